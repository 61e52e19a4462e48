#include "cadre/text/constrained_decoding.h"

#include <gtest/gtest.h>

#include "cadre/text/grammar_matcher.h"
#include "cadre/text/schema_testing.h"
#include "cadre/text/tokenizer_testing.h"

namespace cadre {
namespace {

/// Bytes, a few words of JSON, and the markers of all formats.
Tokenizer small_tokenizer() {
  Json json =
      small_tokenizer_json({"n u", "nu l", "nul l", "\" :", "\": Ġ", "\" ,", "} }", "{ \"", "a b", "Ã ©"});
  int id = static_cast<int>(json["model"]["vocab"].size());
  json["added_tokens"].push_back(added_token(id++, "<eos>"));
  for (const char* const marker :
       {"<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>",
        "<｜tool▁sep｜>", "｜DSML｜", "<think>", "</think>"})
    json["added_tokens"].push_back(added_token(id++, marker, false));
  return *tokenizer_from(json);
}

class Constrained : public ::testing::Test {
 protected:
  std::vector<int32_t> allowed(const TokenConstraint& constraint) const {
    std::vector<uint64_t> mask((static_cast<size_t>(tokenizer.vocab_size()) + 127) / 64, ~uint64_t{0});
    constraint.allow(mask);
    std::vector<int32_t> ids;
    for (size_t word = 0; word < mask.size(); ++word)
      for (size_t bit = 0; bit < 64; ++bit)
        if ((mask[word] >> bit & 1) != 0) ids.push_back(static_cast<int32_t>(word * 64 + bit));
    return ids;
  }
  bool allows(const TokenConstraint& constraint, int32_t token) const {
    const auto ids = allowed(constraint);
    return std::find(ids.begin(), ids.end(), token) != ids.end();
  }
  /// Feeds the tokens of `text`, as the tokenizer makes them; false where one is not allowed.
  bool feed(TokenConstraint& constraint, std::string_view text) const {
    const auto ids = tokenizer.encode(text);
    for (const int32_t token : *ids) {
      if (!allows(constraint, token)) return false;
      constraint.accept(token);
    }
    return true;
  }
  bool accepts(const AnswerRules& rules, std::string_view text) const {
    auto constraint = constrain_answer(tokens, rules);
    EXPECT_TRUE(constraint) << constraint.error().message;
    return constraint && feed(**constraint, text) && (*constraint)->may_end();
  }

  Tokenizer tokenizer = small_tokenizer();
  std::shared_ptr<const TokenTrie> tokens = TokenTrie::create(tokenizer);
};

TEST_F(Constrained, TrieHoldsAllTokensButSpecialOnes) {
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    const std::string_view bytes = tokens->bytes(id);
    if (tokenizer.is_special(id)) {
      EXPECT_TRUE(bytes.empty());
      continue;
    }
    uint32_t node = 0;
    for (const char byte : bytes) {
      uint32_t child = node + 1;
      while (child < tokens->nodes()[node].end && tokens->nodes()[child].byte != static_cast<uint8_t>(byte))
        child = tokens->nodes()[child].end;
      ASSERT_LT(child, tokens->nodes()[node].end) << id;
      node = child;
    }
    const auto here = tokens->tokens(tokens->nodes()[node]);
    EXPECT_NE(std::find(here.begin(), here.end(), id), here.end()) << id;
    EXPECT_EQ(tokens->path(node), bytes);
  }
  EXPECT_EQ(tokens->spell("a<｜DSML｜b</think>"), "a<\xFF｜DSML｜b\xFF</think>");
}

/// Every mask equals what trying each token by itself gives.
TEST_F(Constrained, MasksAreThoseOfEachToken) {
  Dice dice(1);
  int checked = 0;
  for (int round = 0; round < 40; ++round) {
    const Json schema = random_document(dice);
    const auto grammar = JsonGrammar::from_schema(schema, "s");
    if (!grammar) continue;
    const auto constraint = constrain(tokens, *grammar);
    GrammarMatcher matcher(grammar->shared());
    auto state = matcher.start();
    for (int step = 0; step < 40 && !constraint->complete(); ++step) {
      std::vector<int32_t> expected;
      for (int32_t id = 0; id < tokens->vocab_size(); ++id) {
        const std::string_view bytes = tokens->bytes(id);
        if (!bytes.empty() && matcher.step(state, bytes) != GrammarMatcher::kNoState) expected.push_back(id);
      }
      ASSERT_FALSE(expected.empty()) << schema;
      ASSERT_EQ(allowed(*constraint), expected) << schema;
      EXPECT_EQ(constraint->may_end(), matcher.may_end(state));
      const int32_t token = expected[dice.roll(expected.size())];
      constraint->accept(token);
      state = matcher.step(state, tokens->bytes(token));
      ++checked;
    }
  }
  EXPECT_GT(checked, 400);
}

TEST_F(Constrained, LongAnswersDoNotRemember) {
  const auto constraint = constrain(tokens, JsonGrammar::any_object());
  ASSERT_TRUE(feed(*constraint, "{"));
  for (int i = 0; i < 1000; ++i)
    ASSERT_TRUE(feed(*constraint, fmt::format("\"key {}\":[{{\"a\":1}}],", i))) << i;
  EXPECT_FALSE(feed(*constraint, "\"key 7\":"));
}

constexpr std::string_view kTools = R"([
    {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {
        "where": {"type": "string"}, "count": {"type": "integer", "minimum": 1}, "tags": {"type": "array", "items": {"type": "string"}}},
        "required": ["where"], "additionalProperties": false}}},
    {"type": "function", "function": {"name": "stop"}}])";

TEST_F(Constrained, RequiredCallsOfV31) {
  const Json tools = *parse_json(kTools, "tools");
  AnswerRules rules{
      .format = {ToolCallFormat::kPlain}, .tools = &tools, .tool_choice = ToolChoice::kRequired};
  const std::string look =
      "<｜tool▁call▁begin｜>look<｜tool▁sep｜>{\"where\": \"a<\", \"count\": 2}<｜tool▁call▁end｜>";
  const std::string stop = "<｜tool▁call▁begin｜>stop<｜tool▁sep｜>{}<｜tool▁call▁end｜>";
  EXPECT_TRUE(accepts(rules, "<｜tool▁calls▁begin｜>" + look + stop + "<｜tool▁calls▁end｜>"));
  EXPECT_FALSE(accepts(rules, "text"));
  EXPECT_FALSE(accepts(rules, "<｜tool▁calls▁begin｜><｜tool▁calls▁end｜>"));
  EXPECT_FALSE(accepts(rules, "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>jump"));
  EXPECT_FALSE(accepts(rules, "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>look<｜tool▁sep｜>{\"count\""));
  // A marker is no text of a string.
  EXPECT_FALSE(accepts(
      rules,
      "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>look<｜tool▁sep｜>{\"where\": \"<｜tool▁call▁end｜>"));
  rules.parallel_tool_calls = false;
  EXPECT_TRUE(accepts(rules, "<｜tool▁calls▁begin｜>" + look + "<｜tool▁calls▁end｜>"));
  EXPECT_FALSE(accepts(rules, "<｜tool▁calls▁begin｜>" + look + stop + "<｜tool▁calls▁end｜>"));
  rules.function = "stop";
  EXPECT_TRUE(accepts(rules, "<｜tool▁calls▁begin｜>" + stop + "<｜tool▁calls▁end｜>"));
  EXPECT_FALSE(accepts(rules, "<｜tool▁calls▁begin｜>" + look + "<｜tool▁calls▁end｜>"));
  rules.in_reasoning = true;
  EXPECT_TRUE(accepts(rules, "hm < 3 </think>\n\n<｜tool▁calls▁begin｜>" + stop + "<｜tool▁calls▁end｜>"));
  EXPECT_FALSE(accepts(rules, "hm</think>text"));
}

TEST_F(Constrained, RequiredCallsOfR1) {
  const Json tools = *parse_json(kTools, "tools");
  const AnswerRules rules{
      .format = {ToolCallFormat::kFenced}, .tools = &tools, .tool_choice = ToolChoice::kRequired};
  const std::string call =
      "<｜tool▁call▁begin｜>function<｜tool▁sep｜>look\n```json\n{\"where\": \"x\"}\n```<｜tool▁call▁end｜>";
  EXPECT_TRUE(accepts(rules, "<｜tool▁calls▁begin｜>" + call + "\n" + call + "<｜tool▁calls▁end｜>"));
  EXPECT_FALSE(accepts(rules, "<｜tool▁calls▁begin｜>" + call + call));
}

TEST_F(Constrained, CallsInDsml) {
  const Json tools = *parse_json(kTools, "tools");
  AnswerRules rules{.format = {ToolCallFormat::kDsmlV4}, .tools = &tools, .tool_choice = ToolChoice::kAuto};
  const std::string open = "\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"look\">\n";
  const std::string where =
      "<｜DSML｜parameter name=\"where\" string=\"true\">a \"b\" < c\n</｜DSML｜parameter>\n";
  const std::string close = "</｜DSML｜invoke>\n</｜DSML｜tool_calls>";
  EXPECT_TRUE(accepts(rules, "Only text, with < and <｜DSML｜ in it"));
  EXPECT_TRUE(accepts(rules, "Text" + open + where + close));
  EXPECT_TRUE(accepts(
      rules,
      open + where + "<｜DSML｜parameter name=\"count\" string=\"false\">3</｜DSML｜parameter>\n" + close));
  EXPECT_TRUE(accepts(
      rules, open + where +
                 "<｜DSML｜parameter name=\"tags\" string=\"false\">[\"a\"]</｜DSML｜parameter>\n" + close));
  EXPECT_TRUE(accepts(rules, "\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"stop\">\n\n" + close));
  EXPECT_FALSE(accepts(rules, open + close));
  EXPECT_FALSE(accepts(rules, open + where + "<｜DSML｜parameter name=\"count\" string=\"false\">0"));
  EXPECT_FALSE(accepts(rules, open + where + "<｜DSML｜parameter name=\"count\" string=\"true\">3"));
  EXPECT_FALSE(accepts(rules, open + where + close + " text"));
  rules.tool_choice = ToolChoice::kRequired;
  EXPECT_FALSE(accepts(rules, "Text"));
  EXPECT_TRUE(accepts(rules, open + where + close));
}

TEST_F(Constrained, ContentAfterReasoning) {
  const auto grammar = JsonGrammar::from_schema(Json{{"type", "integer"}}, "s");
  const AnswerRules rules{.in_reasoning = true, .content = *grammar};
  EXPECT_TRUE(accepts(rules, "let me think</think>\n\n42"));
  EXPECT_TRUE(accepts(rules, "</think>42"));
  EXPECT_FALSE(accepts(rules, "42"));
  EXPECT_FALSE(accepts(rules, "</think>forty-two"));
  EXPECT_EQ(constrain_answer(tokens, {})->get(), nullptr);
}

TEST_F(Constrained, RulesThatCannotBeKept) {
  const Json tools = *parse_json(kTools, "tools");
  const auto error = [&](const AnswerRules& rules) {
    const auto constraint = constrain_answer(tokens, rules);
    return constraint ? "accepted" : constraint.error().message;
  };
  EXPECT_EQ(error({.tools = &tools, .tool_choice = ToolChoice::kRequired}),
            "tools: how this model writes tool calls is not known");
  EXPECT_EQ(error({.format = {ToolCallFormat::kPlain},
                   .tools = &tools,
                   .tool_choice = ToolChoice::kRequired,
                   .function = "jump"}),
            "tool_choice: no function 'jump' among the tools");
  EXPECT_EQ(error({.format = {ToolCallFormat::kPlain}, .tool_choice = ToolChoice::kAuto}),
            "tool_choice: asks for a call, and there are no tools");
  Json bad = tools;
  bad[0]["function"]["parameters"]["properties"]["where"]["not"] = true;
  for (const ToolCallFormat format : {ToolCallFormat::kPlain, ToolCallFormat::kDsmlV4})
    EXPECT_TRUE(error({.format = {format}, .tools = &bad, .tool_choice = ToolChoice::kAuto})
                    .ends_with("parameters.properties.where: 'not' is not supported"));
}

}  // namespace
}  // namespace cadre
