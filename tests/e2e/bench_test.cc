// `cadre bench` as a user meets it.
#include <gtest/gtest.h>

#include <algorithm>

#include "cadre/base/json.h"
#include "program.h"

namespace cadre {
namespace {

using fixtures::run_cadre;

/// A shape of which a step takes milliseconds.
constexpr const char* kSmall = "bench --shape cadre-s --layers 2 --type q4 ";

TEST(Bench, ListsAreSwept) {
  const auto result = run_cadre(std::string(kSmall) + "-p 4,8 -n 2 -d 0,64 -b 1,2 -t 1,2 -r 2 --json");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto json = parse_json(result.out, "bench");
  ASSERT_TRUE(json) << json.error().message;
  const Json& results = (*json)["results"];
  ASSERT_EQ(results.size(), 2u * 2 * 2 * 3);
  const auto count = [&](const char* field, const Json& value) {
    return std::ranges::count_if(results, [&](const Json& line) { return line[field] == value; });
  };
  EXPECT_EQ(count("phase", "decode"), 8);
  EXPECT_EQ(count("tokens", 4), 8);
  EXPECT_EQ(count("depth", 64), 12);
  EXPECT_EQ(count("batch", 2), 12);
  EXPECT_EQ(count("threads", 1), 12);
  EXPECT_EQ((*json)["limits"].size(), 2u);
  EXPECT_EQ((*json)["model"], "cadre-s of 2 layers, random q4");
  EXPECT_GT((*json)["ready_seconds"], 0);
  EXPECT_GT((*json)["memory"]["anonymous_bytes"], 0);
}

TEST(Bench, MarkdownAndProfile) {
  const auto result = run_cadre(std::string(kSmall) + "-p 4 -n 0 -t 1 -r 1 --markdown --profile");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("| pp4 | 0 | 1 | 1 |"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("expert_ffn experts, q4"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("explained"), std::string::npos) << result.out;
}

TEST(Bench, KernelsNeedNoModel) {
  const auto result = run_cadre("bench --kernels --isa generic");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("dot_rows_f32"), std::string::npos) << result.out;
  EXPECT_EQ(result.out.find("avx"), std::string::npos) << result.out;
  const auto json = parse_json(run_cadre("bench --kernels --isa generic --json").out, "bench");
  ASSERT_TRUE(json);
  EXPECT_EQ((*json)["dot_rows_f32"], "generic");
}

TEST(Bench, DefaultLengthsFitASmallContext) {
  const std::string model = CADRE_SOURCE_DIR "/tests/data/cadre-xs";  // has a context of 256 tokens
  const auto result = run_cadre("bench " + model + " -r 1 -t 1 --json");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(run_cadre("bench " + model + " -p 512 -r 1").exit_code, 2) << "what is asked for is not changed";
}

TEST(Bench, WrongUsageIsTwo) {
  for (const char* arguments :
       {"bench -p 1,x", "bench -b 0", "bench --json --markdown", "bench --shape cadre-s model",
        "bench --shape no-such-shape", "bench --shape cadre-s --type q5",
        "bench --shape cadre-s --layers 999", "bench --shape cadre-s -p 0 -n 0"}) {
    const auto result = run_cadre(arguments);
    EXPECT_EQ(result.exit_code, 2) << arguments << "\n" << result.err;
    EXPECT_FALSE(result.err.empty()) << arguments;
  }
}

TEST(Bench, AShapeLargerThanTheMachineIsRefusedWithTheNumbers) {
  const auto result = run_cadre("bench --shape deepseek-v3 --type f32");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find("TB"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace cadre
