// `cadre data`: from text files to shards that can be trained from, and what stops it.
#include <gtest/gtest.h>

#include "cadre/base/fixtures.h"
#include "cadre/base/json.h"
#include "program.h"

namespace cadre {
namespace {

using fixtures::read_file;
using fixtures::run_cadre;
using fixtures::ScratchFolder;

/// Some text with words that repeat.
std::string stories(int count) {
  std::string text;
  for (int i = 0; i < count; ++i)
    text +=
        "The little cat number " + std::to_string(i) + " saw a yellow bird near the river.\n<|endoftext|>\n";
  return text;
}

class DataCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    text_ = scratch_.file("a.txt", stories(50)).string();
    tokenizer_ = (scratch_ / "tok").string();
    const auto made = run_cadre("data tokenizer --size 300 --out " + tokenizer_ + " " + text_);
    ASSERT_EQ(made.exit_code, 0) << made.err;
  }
  std::string out(const std::string& name) const { return (scratch_ / name).string(); }

  ScratchFolder scratch_;
  std::string text_;
  std::string tokenizer_;
};

TEST_F(DataCommand, TheTokenizerWorksInOtherCommands) {
  const auto ids = run_cadre("tokenize " + tokenizer_ + " --json --text 'The cat and 12'");
  ASSERT_EQ(ids.exit_code, 0) << ids.err;
  const auto text = run_cadre("tokenize " + tokenizer_ + " --decode", ids.out);
  EXPECT_EQ(text.out, "The cat and 12");
  const auto prompt = run_cadre("chat-template " + tokenizer_, R"([{"role": "user", "content": "Hi"}])");
  EXPECT_EQ(prompt.out, "<｜begin▁of▁sentence｜><｜User｜>Hi<｜Assistant｜>") << prompt.err;
}

TEST_F(DataCommand, PrepareReportsWhatItMade) {
  const auto chat = scratch_.file(
      "b.jsonl",
      R"({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]})");
  const auto made = run_cadre("data prepare --tokenizer " + tokenizer_ + " --out " + out("shards") +
                              " --held-out 0.2 --seed 3 --json " + text_ + " " + chat.string());
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const auto report = parse_json(made.out, "report");
  ASSERT_TRUE(report) << made.out;
  const Json& splits = (*report)["splits"];
  EXPECT_EQ(splits["train"]["documents"].get<int>() + splits["held_out"]["documents"].get<int>(), 51);
  EXPECT_EQ((*report)["seed"], "3");
  EXPECT_TRUE(std::filesystem::exists(scratch_ / "shards" / "tokenizer.json"));
}

TEST_F(DataCommand, ErrorsSayWhereAndLeaveNothing) {
  const auto bad = scratch_.file("bad.jsonl", "{\"text\": \"x\"}\n{\"text\": 7}\n").string();
  const auto broken = scratch_
                          .file("broken.txt",
                                "ab\xFF"
                                "c")
                          .string();
  const auto before = scratch_.names();
  const std::string prepare = "data prepare --tokenizer " + tokenizer_ + " --out " + out("shards") + " ";
  const struct {
    std::string arguments;
    int code;
    const char* part;
  } cases[] = {{prepare + bad, 1, "bad.jsonl:2: field 'text'"},
               {prepare + broken, 1, "byte 2"},
               {prepare + out("none"), 1, "none"},
               {prepare + "--format xml " + text_, 2, "--format"},
               {prepare + "--held-out 2 " + text_, 2, "held-out"},
               {"data tokenizer --size 100000 --out " + out("t2") + " " + text_, 1, "--size"},
               {"data", 2, "subcommand"},
               {"data tokenizer --out " + tokenizer_ + " --size 300 " + text_, 1, "not empty"}};
  for (const auto& [arguments, code, part] : cases) {
    const auto result = run_cadre(arguments);
    EXPECT_EQ(result.exit_code, code) << arguments << "\n" << result.err;
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
    EXPECT_EQ(scratch_.names(), before) << arguments;
  }
  const auto lossy = run_cadre(prepare + "--held-out 0 --lossy " + broken);
  EXPECT_EQ(lossy.exit_code, 0) << lossy.err;
}

TEST_F(DataCommand, AFullDiskLeavesNothing) {
  const auto text = scratch_.file("big.txt", stories(2000)).string();
  const auto before = scratch_.names();
  // Files may grow to 8 blocks of 1 KiB, fewer than the shard needs; the signal is turned into an error.
  const auto result = run_cadre(
      "data prepare --held-out 0 --tokenizer " + tokenizer_ + " --out " + out("shards") + " " + text, {},
      "ulimit -f 8; trap '' XFSZ;");
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_NE(result.err.find("safetensors"), std::string::npos) << result.err;
  EXPECT_EQ(scratch_.names(), before);
}

TEST_F(DataCommand, AnotherCommandsEnvironmentDoesNotMatter) {
  const auto result = run_cadre("tokenize " + tokenizer_ + " --text a", {}, "CADRE_SIZE=x CADRE_HELD_OUT=y");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const auto sibling =
      run_cadre("data prepare --held-out 0 --tokenizer " + tokenizer_ + " --out " + out("s") + " " + text_,
                {}, "CADRE_SIZE=x");
  EXPECT_EQ(sibling.exit_code, 0) << sibling.err;
  const auto own = run_cadre("data tokenizer --out " + out("t") + " " + text_, {}, "CADRE_SIZE=299");
  EXPECT_EQ(own.exit_code, 0) << own.err;
}

}  // namespace
}  // namespace cadre
