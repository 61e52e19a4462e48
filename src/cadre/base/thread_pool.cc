#include "cadre/base/thread_pool.h"

#include <chrono>

#include "cadre/base/check.h"
#include "cadre/base/cpu_features.h"

namespace cadre {
namespace {

constexpr uint32_t kOpen = uint32_t{1} << 31;

/// The operations of a forward pass follow each other within this time; whoever waits longer sleeps, so that
/// a machine shared with other programs loses little.
constexpr std::chrono::microseconds kSpin{40};

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/// Spins until `done()` or until kSpin has passed; returns what done() said last.
template <typename Done>
bool spin_until(Done done) {
  constexpr int kPausesPerLookAtClock = 32;
  std::chrono::steady_clock::time_point end{};
  while (true) {
    for (int i = 0; i < kPausesPerLookAtClock; ++i) {
      if (done()) return true;
      pause();
    }
    const auto now = std::chrono::steady_clock::now();
    if (end == std::chrono::steady_clock::time_point{}) end = now + kSpin;
    if (now >= end) return done();
  }
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  const int count = threads > 0 ? threads : available_cores();
  workers_.reserve(static_cast<size_t>(count) - 1);
  for (int worker = 1; worker < count; ++worker) workers_.emplace_back([this, worker] { work(worker); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true);
  epoch_.fetch_add(1);
  epoch_.notify_all();
  workers_.clear();  // joins while the counters above still live
}

void ThreadPool::run(int64_t tasks, Body body) {
  CADRE_CHECK(!running_, "a task may not start tasks of its own");
  running_ = true;
  if (tasks <= 1 || workers_.empty()) {
    for (int64_t task = 0; task < tasks; ++task) body(task, 0);
    running_ = false;
    return;
  }
  body_ = &body;
  tasks_ = tasks;
  next_.store(0, std::memory_order_relaxed);
  gate_.store(kOpen, std::memory_order_release);
  epoch_.fetch_add(1);
  epoch_.notify_all();  // a system call only if somebody sleeps

  take_tasks(body, tasks, 0);

  // No task is left, so nobody else need come in; whoever is inside still works on its last one.
  gate_.fetch_and(~kOpen, std::memory_order_acq_rel);
  if (gate_.load(std::memory_order_acquire) != 0) {  // the clock is read only where there is time to lose
    const auto start = std::chrono::steady_clock::now();
    wait_until_empty();
    waited_ += std::chrono::steady_clock::now() - start;
  }
  running_ = false;
}

void ThreadPool::wait_until_empty() {
  const auto empty = [this] { return gate_.load(std::memory_order_acquire) == 0; };
  if (spin_until(empty)) return;
  for (uint32_t inside = gate_.load(std::memory_order_acquire); inside != 0;
       inside = gate_.load(std::memory_order_acquire))
    gate_.wait(inside, std::memory_order_acquire);
}

void ThreadPool::take_tasks(Body body, int64_t tasks, int worker) {
  for (int64_t task = next_.fetch_add(1, std::memory_order_relaxed); task < tasks;
       task = next_.fetch_add(1, std::memory_order_relaxed))
    body(task, worker);
}

uint32_t ThreadPool::wait_for_epoch(uint32_t seen) {
  const auto changed = [&] { return epoch_.load(std::memory_order_acquire) != seen; };
  if (!spin_until(changed)) epoch_.wait(seen, std::memory_order_acquire);
  return epoch_.load(std::memory_order_acquire);
}

void ThreadPool::work(int worker) {
  uint32_t seen = 0;
  while (true) {
    seen = wait_for_epoch(seen);
    if (stop_.load(std::memory_order_acquire)) return;
    uint32_t gate = gate_.load(std::memory_order_relaxed);
    while ((gate & kOpen) != 0 && !gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acq_rel,
                                                               std::memory_order_relaxed)) {
    }
    if ((gate & kOpen) == 0) continue;
    take_tasks(*body_, tasks_, worker);
    if (gate_.fetch_sub(1, std::memory_order_acq_rel) == 1) gate_.notify_one();
  }
}

}  // namespace cadre
