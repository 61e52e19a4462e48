#include "cadre/runtime/step_loop.h"

#include <algorithm>
#include <cmath>

#include "cadre/base/check.h"

namespace cadre {
namespace {

// Pages are some megabytes at most: so many take the time of a short step.
constexpr int kSavedPerStep = 4;   ///< copied out
constexpr int kLoadedPerStep = 8;  ///< read for each request

}  // namespace

StepLoop::StepLoop(Engine& engine, SamplableTokens samplable, const SchedulerOptions& options,
                   std::unique_ptr<SnapshotStore> snapshots)
    : engine_(engine),
      options_(options),
      chooser_(std::move(samplable), engine.model().config().vocab_size, engine.max_sequence_tokens()),
      usage_(std::make_shared<ExpertUsage>(engine.model().config())),
      snapshots_(std::move(snapshots)) {
  if (options.prefix_cache) prefixes_.emplace(engine.kv_cache());
  engine_.add_policy([usage = usage_](RoutingPlan plan) {
    usage->hear(plan);
    return plan;
  });
}

StepLoop::~StepLoop() {
  for (const std::unique_ptr<Job>& job : running_) release(*job);
  while (has_unsaved()) save_one();
}

void StepLoop::add(std::unique_ptr<Job> job) {
  ledger_.enter(job->request.client);
  waiting_.add(std::move(job));
}

void StepLoop::cancel(RequestId id) {
  for (const std::unique_ptr<Job>& job : running_)
    if (job->id == id) finish(*job, FinishReason::kCancelled);
  drop_ended();
  for (const std::unique_ptr<Job>& job : waiting_.jobs()) {
    if (job->id != id) continue;
    finish(*waiting_.take(job.get()), FinishReason::kCancelled);
    return;
  }
}

void StepLoop::cancel_all() {
  for (const std::unique_ptr<Job>& job : running_) finish(*job, FinishReason::kCancelled);
  drop_ended();
  while (waiting_.size() > 0) finish(*waiting_.take(waiting_.jobs().front().get()), FinishReason::kCancelled);
}

void StepLoop::step() {
  const auto start = Job::Clock::now();
  end_late(start);
  admit();
  if (running_.empty()) return;
  plan_rows();
  run_step();
  drop_ended();
  save_some();
  counters_.busy_seconds += std::chrono::duration<double>(Job::Clock::now() - start).count();
}

void StepLoop::end_late(Job::Clock::time_point now) {
  const auto late = [&](const Job& job) { return job.request.deadline && now >= *job.request.deadline; };
  const auto error = [&](const Job& job) {
    return Error{ErrorKind::kBusy, fmt::format("the deadline passed after {:.3f} s and {} tokens of answer",
                                               job.age(now), job.stats.generated_tokens)};
  };
  for (const std::unique_ptr<Job>& job : running_)
    if (late(*job)) fail(*job, error(*job));
  drop_ended();
  for (int64_t i = waiting_.size() - 1; i >= 0; --i) {
    const Job& job = *waiting_.jobs()[static_cast<size_t>(i)];
    if (!late(job)) continue;
    const std::unique_ptr<Job> taken = waiting_.take(&job);
    fail(*taken, error(*taken));
  }
}

void StepLoop::admit() {
  // Whoever is next waits until it fits: to let a smaller one pass would starve it.
  while (Job* next = waiting_.next(ledger_)) {
    if (try_admit(*next)) continue;
    if (running_.empty() || victim().request.priority >= next->request.priority) return;
    preempt(victim());
  }
}

bool StepLoop::try_admit(Job& job) {
  if (static_cast<int64_t>(running_.size()) >= options_.max_running) return false;
  // Those that run need pages for the tokens that they have, and a spare one each: otherwise whoever is
  // admitted would soon have to give way again.
  int64_t promised = 0;
  for (const std::unique_ptr<Job>& other : running_) {
    const auto wanted = pages_for(static_cast<int64_t>(other->tokens.size()));
    promised += wanted - static_cast<int64_t>(engine_.pages(*other->sequence).size()) + 1;
  }
  const KvCache& cache = engine_.kv_cache();
  const std::span<const int32_t> found = find_prefix(job);
  const int64_t needed = pages_for(static_cast<int64_t>(job.tokens.size())) - std::ssize(found);
  const int64_t found_idle =
      std::count_if(found.begin(), found.end(), [&](int32_t page) { return cache.only_kept(page); });
  if (!running_.empty() && needed + promised > cache.free_pages() + cache.kept_pages() - found_idle)
    return false;

  job.sequence = engine_.open_sequence();
  job.admission = ++admissions_;
  job.loading = snapshots_ != nullptr && uses_prefixes(job);
  if (!job.started) {
    job.started = true;
    job.stats.queue_seconds = job.age(Job::Clock::now());
    ledger_.charge(job.request.client, job.stats.prompt_tokens);
    counters_.prompt_tokens += job.stats.prompt_tokens;
  }
  take_prefix(job);
  if (!job.generates())
    job.embedding_sum.assign(static_cast<size_t>(engine_.model().config().hidden_size), 0);
  running_.push_back(waiting_.take(&job));
  return true;
}

Job& StepLoop::victim() const {
  const auto gives_way_before = [](const std::unique_ptr<Job>& a, const std::unique_ptr<Job>& b) {
    if (a->request.priority != b->request.priority) return a->request.priority < b->request.priority;
    return a->admission > b->admission;
  };
  return **std::min_element(running_.begin(), running_.end(), gives_way_before);
}

void StepLoop::preempt(Job& job) {
  release(job);
  ++job.stats.preemptions;
  ++counters_.preempted;
  const auto found = std::find_if(running_.begin(), running_.end(),
                                  [&](const std::unique_ptr<Job>& other) { return other.get() == &job; });
  waiting_.add(std::move(*found));
  running_.erase(found);
}

void StepLoop::plan_rows() {
  for (const std::unique_ptr<Job>& job : running_)
    if (job->loading) load_prefix(*job);
  while (true) {
    demands_.clear();
    for (const std::unique_ptr<Job>& job : running_) {
      take_prefix(*job);
      const int64_t left = static_cast<int64_t>(job->tokens.size()) - engine_.length(*job->sequence);
      demands_.push_back({.tokens = job->loading ? 0 : left, .cost = engine_.row_cost(job->request.experts)});
    }
    share_rows(demands_,
               {.step_rows = engine_.options().max_step_rows,
                .prefill_rows = options_.prefill_rows,
                .turn = counters_.steps},
               granted_);
    const int64_t pages = new_pages();
    if (pages <= engine_.kv_cache().free_pages() + engine_.kv_cache().kept_pages()) return make_room(pages);
    // The last one always fits: no request is longer than the cache.
    CADRE_CHECK(running_.size() > 1);
    preempt(victim());
  }
}

int64_t StepLoop::new_pages() const {
  int64_t pages = 0;
  for (size_t i = 0; i < running_.size(); ++i) {
    const SequenceId sequence = *running_[i]->sequence;
    pages += pages_for(engine_.length(sequence) + granted_[i]) -
             static_cast<int64_t>(engine_.pages(sequence).size());
  }
  return pages;
}

void StepLoop::run_step() {
  items_.clear();
  item_jobs_.clear();
  for (size_t i = 0; i < running_.size(); ++i) {
    if (granted_[i] == 0) continue;
    Job& job = *running_[i];
    const auto tokens =
        std::span<const int32_t>(job.tokens)
            .subspan(static_cast<size_t>(engine_.length(*job.sequence)), static_cast<size_t>(granted_[i]));
    const bool last = granted_[i] == demands_[i].tokens;
    items_.push_back({.sequence = *job.sequence,
                      .tokens = tokens,
                      .logits = last && job.generates() ? LogitsFor::kLast : LogitsFor::kNone,
                      .hidden = !job.generates(),
                      .experts = job.request.experts});
    item_jobs_.push_back(&job);
    counters_.step_rows += granted_[i];
  }
  if (items_.empty()) return;  // all are being loaded
  ++counters_.steps;
  note_routing();
  const Result<Tensor> logits = engine_.step(items_);
  if (logits) return take_results(*logits);
  for (Job* job : item_jobs_) fail(*job, logits.error());
}

void StepLoop::note_routing() {
  routed_rows_.clear();
  int64_t row = 0;
  for (size_t i = 0; i < items_.size(); ++i) {
    row += static_cast<int64_t>(items_[i].tokens.size());
    if (item_jobs_[i]->request.routing && items_[i].logits == LogitsFor::kLast)
      routed_rows_.push_back(static_cast<int32_t>(row - 1));
  }
  usage_->note_rows(routed_rows_);
}

void StepLoop::take_results(const Tensor& logits) {
  int64_t logit_row = 0;
  int64_t hidden_row = 0;
  size_t routed = 0;
  for (size_t i = 0; i < items_.size(); ++i) {
    Job& job = *item_jobs_[i];
    if (items_[i].tokens.size() > 1) keep_prefix(job);
    if (items_[i].hidden) {
      const auto rows = static_cast<int64_t>(items_[i].tokens.size());
      take_embedding(job, engine_.hidden().slice_rows(hidden_row, rows));
      hidden_row += rows;
    } else if (items_[i].logits == LogitsFor::kLast) {
      const auto choices = job.request.routing ? usage_->choices(routed++) : std::span<const ExpertChoice>{};
      take_token(job, std::span(logits.row(logit_row++), static_cast<size_t>(logits.width)), choices);
    }
  }
}

void StepLoop::take_token(Job& job, std::span<float> logits, std::span<const ExpertChoice> routing) {
  const int64_t generated = job.stats.generated_tokens;
  const Result<std::optional<FinishReason>> reason = chooser_.choose(job, logits, routing);
  const int64_t more = job.stats.generated_tokens - generated;
  counters_.generated_tokens += more;
  ledger_.charge(job.request.client, more);
  if (!reason) return fail(job, reason.error());
  if (*reason) finish(job, **reason);
}

void StepLoop::take_embedding(Job& job, const Tensor& hidden) {
  std::vector<double>& sum = job.embedding_sum;
  for (int64_t row = 0; row < hidden.rows; ++row)
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<double>(hidden.row(row)[i]);
  if (engine_.length(*job.sequence) < static_cast<int64_t>(job.tokens.size())) return;

  double squares = 0;
  for (const double value : sum) squares += value * value;
  const double scale = squares > 0 ? 1 / std::sqrt(squares) : 0;
  std::vector<float> embedding;
  embedding.reserve(sum.size());
  for (const double value : sum) embedding.push_back(static_cast<float>(value * scale));
  job.listener->on_embedding(embedding);
  finish(job, FinishReason::kStopToken);
}

bool StepLoop::uses_prefixes(const Job& job) const {
  // An embedding needs the hidden states of all tokens, so they are computed.
  return prefixes_ && job.request.use_prefix_cache && job.generates();
}

std::span<const int32_t> StepLoop::find_prefix(const Job& job) {
  if (!uses_prefixes(job)) return {};
  // An answer begins with the logits of the last token, so that is computed.
  return prefixes_->find(job.request.experts, std::span(job.tokens).first(job.tokens.size() - 1));
}

void StepLoop::take_prefix(Job& job) {
  const int64_t length = engine_.length(*job.sequence);
  if (static_cast<int64_t>(job.tokens.size()) - length <= kPageTokens) return;
  const std::span<const int32_t> found = find_prefix(job);
  const int64_t own_pages = length / kPageTokens;
  if (std::ssize(found) <= own_pages) return;
  engine_.truncate(*job.sequence, own_pages * kPageTokens);
  engine_.append_pages(*job.sequence, found.subspan(static_cast<size_t>(own_pages)));
  count_cached(job, engine_.length(*job.sequence) - length);
}

void StepLoop::load_prefix(Job& job) {
  for (int i = 0; i < kLoadedPerStep; ++i) {
    job.loading = load_page(job);
    if (!job.loading) return;
  }
}

bool StepLoop::load_page(Job& job) {
  KvCache& cache = engine_.kv_cache();
  const int64_t end = engine_.length(*job.sequence) + kPageTokens;
  if (end >= static_cast<int64_t>(job.tokens.size())) return false;
  const PageName name{.experts = job.request.experts,
                      .tokens = std::span(job.tokens).first(static_cast<size_t>(end))};
  page_bytes_.resize(static_cast<size_t>(cache.page_bytes()));
  if (!snapshots_->load(name, page_bytes_)) return false;
  make_room(1);
  const int32_t page = cache.take_page();
  if (page < 0) return false;
  cache.write_page(page, page_bytes_);
  engine_.append_pages(*job.sequence, std::span(&page, 1));
  cache.give_page(page);
  keep_prefix(job);
  prefixes_->forget_new(name.experts, name.tokens);
  count_cached(job, kPageTokens);
  return true;
}

void StepLoop::count_cached(Job& job, int64_t tokens) {
  if (job.stats.preemptions > 0) return;  // it was not charged for them again either
  ledger_.charge(job.request.client, -tokens);
  job.stats.cached_tokens += tokens;
  counters_.cached_tokens += tokens;
}

bool StepLoop::save_one() {
  const std::optional<PrefixCache::Prefix> prefix = prefixes_->next_new();
  if (!prefix) return false;
  const PageName name{.experts = prefix->experts, .tokens = prefix->tokens};
  if (snapshots_->contains(name)) return true;
  std::vector<std::byte> bytes(static_cast<size_t>(engine_.kv_cache().page_bytes()));
  engine_.kv_cache().read_page(prefix->page, bytes);
  snapshots_->save(name, std::move(bytes));
  return true;
}

void StepLoop::save_some() {
  for (int i = 0; i < kSavedPerStep && has_unsaved() && snapshots_->has_room(); ++i) save_one();
}

void StepLoop::keep_prefix(const Job& job) {
  if (!prefixes_ || !job.request.use_prefix_cache) return;
  const auto full_pages = static_cast<size_t>(engine_.length(*job.sequence) / kPageTokens);
  prefixes_->add(job.request.experts, job.tokens, engine_.pages(*job.sequence).first(full_pages),
                 [&](int64_t index, int32_t page) { engine_.replace_page(*job.sequence, index, page); });
}

void StepLoop::make_room(int64_t count) {
  const int64_t missing = count - engine_.kv_cache().free_pages();
  if (missing > 0) prefixes_->evict(missing);
}

void StepLoop::release(Job& job) {
  if (!job.sequence) return;
  keep_prefix(job);
  engine_.close_sequence(*job.sequence);
  job.sequence.reset();
}

void StepLoop::finish(Job& job, FinishReason reason) {
  end(job);
  ++(reason == FinishReason::kCancelled ? counters_.cancelled : counters_.finished);
  job.listener->on_finish(reason, job.stats);
}

void StepLoop::fail(Job& job, const Error& error) {
  end(job);
  ++counters_.failed;
  job.listener->on_error(error, job.stats);
}

void StepLoop::end(Job& job) {
  release(job);
  job.ended = true;
  job.stats.total_seconds = job.age(Job::Clock::now());
  ledger_.leave(job.request.client);
}

void StepLoop::drop_ended() {
  std::erase_if(running_, [](const std::unique_ptr<Job>& job) { return job->ended; });
}

SchedulerStats StepLoop::stats() const {
  SchedulerStats stats = counters_;
  stats.running = static_cast<int64_t>(running_.size());
  stats.queued = waiting_.size();
  stats.pages = engine_.kv_cache().pages();
  stats.free_pages = engine_.kv_cache().free_pages();
  stats.cached_pages = engine_.kv_cache().kept_pages();
  return stats;
}

}  // namespace cadre
