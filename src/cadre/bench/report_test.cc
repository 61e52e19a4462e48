#include "cadre/bench/report.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

namespace cadre {
namespace {

/// Two lines whose figures are easy to check: half of each limit, and a quarter of the time at each peak.
BenchmarkReport sample() {
  BenchmarkReport report{.model = "some model", .family = "deepseek_v3", .backend = "cpu/avx512, 2 threads"};
  report.size.parameters = 1000;
  report.options.repeat = 3;
  report.ready_seconds = 0.25;
  report.memory = {.anonymous_bytes = 1000000, .mapped_bytes = 2000000};
  report.limits[2] = {.read_bytes_per_second = 20e9, .f32_flops = 100e9, .int8_ops = 400e9};
  report.results = {{.phase = BenchmarkResult::Phase::kPrefill,
                     .tokens = 512,
                     .depth = 4096,
                     .batch = 1,
                     .threads = 2,
                     .tokens_per_second = {100, 90, 110},
                     .weight_bytes_per_token = 90e6,
                     .kv_bytes_per_token = 10e6,
                     .bytes_per_second = 10e9,
                     .flops_per_token = 0.25e9,
                     .int8_ops_per_token = 1e9,
                     .experts_per_step = 6},
                    {.phase = BenchmarkResult::Phase::kDecode,
                     .tokens = 16,
                     .batch = 4,
                     .threads = 2,
                     .tokens_per_second = {7, 7, 7},
                     .flops_per_token = 1e9,
                     .profile = {.rows = {{"matmul x", 2, 0.5, 1e9, 2e9}}, .wall_seconds = 1, .steps = 1}}};
  return report;
}

TEST(Report, JsonHasEveryFigure) {
  const Json json = to_json(sample());
  EXPECT_EQ(json["model"], "some model");
  EXPECT_EQ(json["memory"]["mapped_bytes"], 2000000);
  EXPECT_EQ(json["limits"][0]["int8_ops"], 400e9);
  ASSERT_EQ(json["results"].size(), 2u);
  const Json& prefill = json["results"][0];
  EXPECT_EQ(prefill["phase"], "prefill");
  EXPECT_EQ(prefill["depth"], 4096);
  EXPECT_EQ(prefill["tokens_per_second"]["min"], 90);
  EXPECT_EQ(prefill["tokens_per_second"]["max"], 110);
  EXPECT_EQ(prefill["fraction_of_read_limit"], 0.5);
  EXPECT_DOUBLE_EQ(prefill["fraction_of_compute_limit"], 0.5);
  EXPECT_EQ(prefill["ops_per_second"], 125e9);
  EXPECT_FALSE(prefill.contains("profile"));
}

TEST(Report, ProfilesAreShownWhereAskedFor) {
  BenchmarkReport report = sample();
  EXPECT_EQ(to_text(report).find("matmul x"), std::string::npos);
  report.options.profile = true;
  EXPECT_NE(to_text(report).find("matmul x"), std::string::npos);
  EXPECT_NE(to_markdown(report).find("```\noperation"), std::string::npos);
  const Json json = to_json(report);
  EXPECT_EQ(json["results"][1]["profile"]["operations"][0]["operation"], "matmul x");
  EXPECT_EQ(json["results"][1]["profile"]["explained_seconds"], 0.5);
}

TEST(Report, MarkdownRowsHaveAsManyCellsAsTheHead) {
  std::istringstream lines(to_markdown(sample()));
  std::vector<std::string> table;
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with('|')) table.push_back(line);
  ASSERT_EQ(table.size(), 4u);
  const auto cells = std::ranges::count(table[0], '|');
  for (const std::string& line : table) EXPECT_EQ(std::ranges::count(line, '|'), cells) << line;
  EXPECT_TRUE(table[2].starts_with("| pp512 | 4096 | 1 | 2 | 100.00 | 90.00 - 110.00 |")) << table[2];
  EXPECT_NE(table[2].find("| 50 % | 125.0 | 50 % |"), std::string::npos) << table[2];
  EXPECT_TRUE(table[3].starts_with("| tg16 |")) << table[3];
}

TEST(Report, TextColumnsLineUp) {
  std::istringstream lines(to_text(sample()));
  size_t width = 0;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("test") && !line.starts_with("pp512") && !line.starts_with("tg16")) continue;
    if (width == 0) width = line.size();
    EXPECT_EQ(line.size(), width) << line;
  }
  EXPECT_GT(width, 0u);
}

}  // namespace
}  // namespace cadre
