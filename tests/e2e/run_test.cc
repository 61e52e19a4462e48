// Answers of the bundled model.
#include <gtest/gtest.h>

#include "cadre/base/fixtures.h"
#include "cadre/base/json.h"
#include "program.h"

namespace cadre {
namespace {

using fixtures::run_cadre;

std::string answer(const std::string& flags, const std::string& input = {}, const std::string& prefix = {}) {
  const auto result = run_cadre("run -q --temp 0 -n 24 " + flags, input, prefix);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return result.out;
}

TEST(Run, TheBundledModelAnswers) {
  const std::string text = answer("-p 'Hello!'");
  EXPECT_GT(text.size(), 3u);
}

TEST(Run, PipedInputIsThePromptWithoutItsLastNewline) {
  const auto tokens = [](const std::string& flags, const std::string& input) {
    const auto result = run_cadre("run --json --temp 0 -n 24 " + flags, input);
    return (*parse_json(result.out, "run"))["prompt_tokens"].get<int>();
  };
  EXPECT_EQ(answer("", "Hello!"), answer("-p 'Hello!'"));
  EXPECT_EQ(answer("", "Hello!\n"), answer("-p 'Hello!'"));
  EXPECT_EQ(tokens("", "Hello!\n"), tokens("-p 'Hello!'", ""));
  EXPECT_EQ(tokens("--raw", "Hello!\n"), tokens("--raw", "Hello!") + 1);
}

TEST(Run, TheSameBitsInEveryInstructionSetAndWithAnyThreads) {
  const std::string expected = answer("--raw -p 'Once upon a time'");
  EXPECT_EQ(answer("--raw -p 'Once upon a time' -t 1"), expected);
  EXPECT_EQ(answer("--raw -p 'Once upon a time' -t 3"), expected);
  EXPECT_EQ(answer("--raw -p 'Once upon a time'", "", "CADRE_ISA=generic"), expected);
}

TEST(Run, ASeedRepeatsASampledAnswer) {
  const auto sample = [](int seed) {
    return run_cadre("run -q --temp 1 -n 24 -p 'Tell me a story.' -s " + std::to_string(seed)).out;
  };
  EXPECT_EQ(sample(1), sample(1));
  EXPECT_NE(sample(1), sample(2));
}

TEST(Run, JsonHasTheAnswerAndItsCounts) {
  const auto document = parse_json(run_cadre("run --json --temp 0 -n 5 --raw -p 'Once upon'").out, "run");
  ASSERT_TRUE(document.has_value()) << document.error().message;
  EXPECT_LE((*document)["completion_tokens"].get<int>(), 5);
  EXPECT_GT((*document)["prompt_tokens"].get<int>(), 0);
}

TEST(Run, StopStringsEndTheAnswerBeforeThem) {
  const std::string whole = answer("--raw -p 'Once upon a time'");
  ASSERT_GT(whole.size(), 8u);
  const std::string stop = whole.substr(4, 3);
  EXPECT_EQ(answer("--raw -p 'Once upon a time' --stop '" + stop + "'"),
            whole.substr(0, whole.find(stop)) + "\n");
}

TEST(Run, IdsThatTheVocabularyLeavesOutAreNeverSampled) {
  // A random model's tokenizer has the 256 bytes and the special tokens; the ids between are no tokens.
  fixtures::ScratchFolder scratch;
  const std::string shape = (scratch / "shape.json").string(), model = (scratch / "model").string();
  fixtures::write_file(shape, R"({"model_type": "llama", "vocab_size": 4000, "hidden_size": 32,
      "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2,
      "max_position_embeddings": 128, "rms_norm_eps": 1e-6, "rope_theta": 10000, "bos_token_id": 3990,
      "eos_token_id": 3991})");
  ASSERT_EQ(run_cadre("init " + shape + " " + model).exit_code, 0);
  const auto result = run_cadre("run " + model + " --raw -p Hello -n 64 --temp 2 -s 1");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_FALSE(result.out.empty());
}

TEST(Run, APromptLongerThanTheContextIsAClearError) {
  std::string prompt;
  for (int i = 0; i < 400; ++i) prompt += "word ";
  const auto result = run_cadre("run -q -c 64 --raw", prompt);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find("do not fit"), std::string::npos) << result.err;
}

TEST(Run, AContextSmallerThanAPageHolds) {
  EXPECT_EQ(run_cadre("run -q -c 3 --raw -p 'one two three four five six'").exit_code, 1);
  const auto document =
      parse_json(run_cadre("run --json --temp 0 -c 9 --raw -p 'Once upon a time'").out, "run");
  ASSERT_TRUE(document.has_value()) << document.error().message;
  // The last token sampled needs no room of its own.
  EXPECT_EQ((*document)["prompt_tokens"].get<int>() + (*document)["completion_tokens"].get<int>(), 10);
  EXPECT_EQ((*document)["finish_reason"], "length");
}

TEST(Run, AnEmptyRawPromptIsAClearErrorOrAnAnswerFromBos) {
  const auto result = run_cadre("run -q -n 4 --raw -p ''");
  EXPECT_TRUE(result.exit_code == 0 || result.exit_code == 1) << result.err;
}

}  // namespace
}  // namespace cadre
