#include "cadre/base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <vector>

#include "cadre/base/cpu_features.h"

namespace cadre {
namespace {

TEST(ThreadPool, RunsEveryTaskOnceOnAWorkerOfTheTeam) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    ASSERT_EQ(pool.size(), threads);
    for (const int64_t tasks : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> calls(static_cast<size_t>(tasks));
      std::atomic<bool> stranger{false};
      pool.run(tasks, [&](int64_t task, int worker) {
        if (worker < 0 || worker >= threads) stranger = true;
        ++calls[static_cast<size_t>(task)];
      });
      EXPECT_FALSE(stranger);
      for (const auto& count : calls) EXPECT_EQ(count, 1);
    }
  }
}

TEST(ThreadPool, WorkersNeverShareAnIndexAtOneTime) {
  ThreadPool pool(4);
  std::vector<std::atomic<bool>> busy(4);
  std::atomic<bool> clash{false};
  for (int round = 0; round < 200; ++round)
    pool.run(64, [&](int64_t, int worker) {
      if (busy[static_cast<size_t>(worker)].exchange(true)) clash = true;
      busy[static_cast<size_t>(worker)] = false;
    });
  EXPECT_FALSE(clash);
}

/// Plain variables on purpose: what one run writes the caller and the next run must see, which is what
/// ThreadSanitizer checks here.
TEST(ThreadPool, ResultsAreVisibleAfterTheRunAndInTheNext) {
  ThreadPool pool(3);
  std::vector<int64_t> values(257, 0);
  for (int round = 1; round <= 3000; ++round) {
    const auto tasks = static_cast<int64_t>(round % 257);
    pool.run(tasks, [&](int64_t task, int) { values[static_cast<size_t>(task)] += 1; });
    if (round % 64 == 0) std::this_thread::sleep_for(std::chrono::microseconds(100));  // let workers park
  }
  int64_t expected = 0;
  for (int round = 1; round <= 3000; ++round) expected += round % 257;
  EXPECT_EQ(std::accumulate(values.begin(), values.end(), int64_t{0}), expected);
}

TEST(ThreadPool, StartsAndStopsWithoutWork) {
  for (int i = 0; i < 50; ++i) ThreadPool pool(4);
}

TEST(ThreadPoolDeathTest, NestedRunsAreAMistake) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        ThreadPool pool(1);
        pool.run(1, [&](int64_t, int) { pool.run(1, [](int64_t, int) {}); });
      },
      "tasks of its own");
}

TEST(CpuFeatures, NamesAndOrder) {
  for (const Isa isa : {Isa::kGeneric, Isa::kAvx2, Isa::kAvx512}) EXPECT_EQ(isa_from_name(name(isa)), isa);
  EXPECT_FALSE(isa_from_name("sse9"));
  EXPECT_TRUE(has_isa(Isa::kGeneric));
  EXPECT_TRUE(has_isa(best_isa()));
  EXPECT_TRUE(!has_isa(Isa::kAvx512) || has_isa(Isa::kAvx2));
  EXPECT_GE(available_cores(), 1);
}

}  // namespace
}  // namespace cadre
