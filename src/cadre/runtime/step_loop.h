#pragma once
/// The steps of continuous batching, on one thread: whom to admit, which rows to compute, and what to do with
/// the results.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "cadre/runtime/expert_usage.h"
#include "cadre/runtime/job.h"
#include "cadre/runtime/prefix_cache.h"
#include "cadre/runtime/snapshot_store.h"
#include "cadre/runtime/step_rows.h"
#include "cadre/runtime/token_chooser.h"
#include "cadre/runtime/waiting_queue.h"

namespace cadre {

/// Thread-compatible.
class StepLoop {
 public:
  /// `engine` must outlive the loop, which alone uses it.
  /// `snapshots` may be null.
  StepLoop(Engine& engine, SamplableTokens samplable, const SchedulerOptions& options,
           std::unique_ptr<SnapshotStore> snapshots);
  /// Has what is still in memory alone written, too.
  ~StepLoop();
  StepLoop(const StepLoop&) = delete;
  StepLoop& operator=(const StepLoop&) = delete;

  void add(std::unique_ptr<Job> job);
  /// Ends a request, wherever it is; ids of others are ignored.
  void cancel(RequestId id);
  void cancel_all();
  /// Whether no request is left.
  bool idle() const { return running_.empty() && waiting_.size() == 0; }

  /// Admits who fits, and computes one step of those that run.
  void step();

  /// Whether pages wait to be handed to the snapshots' writer.
  bool has_unsaved() const { return snapshots_ != nullptr && prefixes_->new_pages() > 0; }
  /// Hands over a few pages, as many as its writer takes without a wait.
  void save_some();

  /// What the loop counts itself.
  SchedulerStats stats() const;
  /// What its parts count; any thread may ask.
  const ExpertUsage& usage() const { return *usage_; }
  SnapshotStats disk_stats() const { return snapshots_ ? snapshots_->stats() : SnapshotStats{}; }

 private:
  void end_late(Job::Clock::time_point now);
  void admit();
  /// Whether the job was admitted.
  bool try_admit(Job& job);
  /// Who gives way when pages run out: of the lowest priority, the last admitted.
  Job& victim() const;
  /// Takes a job's pages away and has it wait; it is computed again later.
  void preempt(Job& job);

  void plan_rows();
  /// Pages that the granted rows take beyond those that the sequences have.
  int64_t new_pages() const;
  void run_step();
  void note_routing();
  void take_results(const Tensor& logits);
  void take_token(Job& job, std::span<float> logits, std::span<const ExpertChoice> routing);
  void take_embedding(Job& job, const Tensor& hidden);

  bool uses_prefixes(const Job& job) const;
  /// Pages that the prefix cache has for the beginning of the job's tokens.
  std::span<const int32_t> find_prefix(const Job& job);
  /// Lengthens the job's sequence by what the prefix cache has of its next tokens.
  void take_prefix(Job& job);
  /// Lengthens the job's sequence by a few pages that the disk has of its next tokens.
  void load_prefix(Job& job);
  bool load_page(Job& job);
  void count_cached(Job& job, int64_t tokens);
  /// Has the oldest page that is not on disk written. -> whether there was one
  bool save_one();
  /// Enters the job's full pages into the prefix cache.
  void keep_prefix(const Job& job);
  /// Frees `count` pages at the cost of the prefix cache, if so many are not free.
  void make_room(int64_t count);
  /// Keeps what was computed, and closes the job's sequence.
  void release(Job& job);
  void finish(Job& job, FinishReason reason);
  void fail(Job& job, const Error& error);
  /// What finish and fail have in common.
  void end(Job& job);
  void drop_ended();

  Engine& engine_;
  SchedulerOptions options_;
  TokenChooser chooser_;
  std::shared_ptr<ExpertUsage> usage_;  ///< shared with the engine's policy, which may outlive this
  std::optional<PrefixCache> prefixes_;
  std::unique_ptr<SnapshotStore> snapshots_;
  ClientLedger ledger_;
  WaitingQueue waiting_;
  std::vector<std::unique_ptr<Job>> running_;  ///< in the order of admission
  int64_t admissions_ = 0;
  SchedulerStats counters_;

  // The step under way; kept to reuse their memory.
  std::vector<RowDemand> demands_;
  std::vector<int64_t> granted_;  ///< [running_]
  std::vector<StepItem> items_;
  std::vector<Job*> item_jobs_;
  std::vector<int32_t> routed_rows_;
  std::vector<std::byte> page_bytes_;
};

}  // namespace cadre
