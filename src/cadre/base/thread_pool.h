#pragma once
/// A fixed team of threads that shares out the tasks of one operation at a time.
///
/// Made for many short operations in a row: between two of them the workers spin for some tens of
/// microseconds before they sleep, and an operation never waits for a worker that has not woken up yet.
/// Thread-compatible: one caller at a time.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "cadre/base/function_ref.h"

namespace cadre {

class ThreadPool {
 public:
  /// `threads` counts the caller, so threads - 1 are started; 0 means available_cores().
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  /// Calls body(task, worker) once for each task in [0, tasks), each on one of the workers [0, size()), the
  /// caller being worker 0; returns when all calls have. Tasks start in ascending order. Never nested.
  void run(int64_t tasks, FunctionRef<void(int64_t task, int worker)> body);

  /// Time that the callers of run() have spent on waiting for others' last tasks, since the pool was made.
  std::chrono::nanoseconds waited() const { return waited_; }

 private:
  using Body = FunctionRef<void(int64_t task, int worker)>;

  void work(int worker);
  void take_tasks(Body body, int64_t tasks, int worker);
  /// Returns when epoch_ differs from `seen`, with its new value.
  uint32_t wait_for_epoch(uint32_t seen);
  /// Returns when no worker is inside the gate.
  void wait_until_empty();

  std::vector<std::jthread> workers_;
  bool running_ = false;
  std::chrono::nanoseconds waited_{0};
  std::atomic<bool> stop_{false};

  // The job: written by the caller while the gate is closed and empty, read by whoever passed the gate.
  const Body* body_ = nullptr;
  int64_t tasks_ = 0;

  // Each on a cache line of its own: the counter is what workers fight over, the epoch is what they watch.
  alignas(64) std::atomic<int64_t> next_{0};
  alignas(64) std::atomic<uint32_t> epoch_{0};
  /// Bit 31: a job may be joined. Below: how many workers are inside.
  alignas(64) std::atomic<uint32_t> gate_{0};
};

}  // namespace cadre
