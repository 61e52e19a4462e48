#include "cadre/text/answer_parser.h"

#include <gtest/gtest.h>

#include "cadre/text/schema_testing.h"

namespace cadre {
namespace {

/// All deltas of an answer together.
struct Answer {
  std::string reasoning;
  std::string content;
  std::vector<std::pair<std::string, std::string>> calls;  ///< name, arguments
  friend bool operator==(const Answer&, const Answer&) = default;

  void add(const AnswerDelta& delta) {
    reasoning += delta.reasoning;
    content += delta.content;
    for (const ToolCallDelta& call : delta.tool_calls) {
      if (!call.name.empty()) {
        EXPECT_EQ(call.index, calls.size());
        calls.emplace_back(call.name, "");
      }
      calls.at(call.index).second += call.arguments;
    }
  }
};

std::ostream& operator<<(std::ostream& out, const Answer& answer) {
  out << "reasoning «" << answer.reasoning << "» content «" << answer.content << "»";
  for (const auto& [name, arguments] : answer.calls) out << " " << name << "(" << arguments << ")";
  return out;
}

/// Parses `text` in pieces that end at random places; none where `dice` is null.
Answer parse(std::string_view text, ToolCallFormat format, bool in_reasoning = false, Dice* dice = nullptr) {
  AnswerParser parser({format}, in_reasoning);
  Answer answer;
  while (!text.empty()) {
    const size_t size = dice == nullptr ? text.size() : 1 + dice->roll(std::min<size_t>(text.size(), 9));
    answer.add(parser.push(text.substr(0, size)));
    text.remove_prefix(size);
  }
  answer.add(parser.finish());
  EXPECT_EQ(parser.tool_calls(), answer.calls.size());
  return answer;
}

constexpr ToolCallFormat kFormats[] = {ToolCallFormat::kNone, ToolCallFormat::kFenced, ToolCallFormat::kPlain,
                                       ToolCallFormat::kDsmlV32, ToolCallFormat::kDsmlV4};

const std::string kCalls = "<｜tool▁calls▁begin｜>";
const std::string kCallsEnd = "<｜tool▁calls▁end｜>";

TEST(AnswerParser, Reasoning) {
  for (const ToolCallFormat format : kFormats) {
    EXPECT_EQ(parse("Hello", format), (Answer{"", "Hello", {}}));
    EXPECT_EQ(parse("because</think>Yes", format, true), (Answer{"because", "Yes", {}}));
    EXPECT_EQ(parse("<think>because</think>Yes", format), (Answer{"because", "Yes", {}}));
    EXPECT_EQ(parse("not over </thin", format, true), (Answer{"not over </thin", "", {}}));
    EXPECT_EQ(parse("<thinking> </think>", format), (Answer{"", "<thinking> </think>", {}}));
    EXPECT_EQ(parse("Yes</think>", format), (Answer{"", "Yes</think>", {}}));
  }
  EXPECT_EQ(parse("a\n\n</think>\n\n\nb", ToolCallFormat::kFenced, true), (Answer{"a\n", "\nb", {}}));
  EXPECT_EQ(parse("a\n</think>\n\nb", ToolCallFormat::kDsmlV4, true), (Answer{"a\n", "\n\nb", {}}));
}

TEST(AnswerParser, CallsWithMarkers) {
  const std::string one =
      "<｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"x\": \"<｜tool▁call▁end｜>\\\"\"}<｜tool▁call▁end｜>";
  const std::string two = "<｜tool▁call▁begin｜>g<｜tool▁sep｜>{}<｜tool▁call▁end｜>";
  EXPECT_EQ(parse("look " + kCalls + one + two + kCallsEnd, ToolCallFormat::kPlain),
            (Answer{"", "look ", {{"f", "{\"x\": \"<｜tool▁call▁end｜>\\\"\"}"}, {"g", "{}"}}}));
  const auto fenced = [](std::string_view name, std::string_view arguments, std::string_view gap) {
    return fmt::format("<｜tool▁call▁begin｜>function<｜tool▁sep｜>{}\n```json\n{}\n```{}<｜tool▁call▁end｜>",
                       name, arguments, gap);
  };
  EXPECT_EQ(parse("t</think>\n\n" + kCalls + fenced("f", "{\n \"x\": 1}", "") + "\n" +
                      fenced("g", "{}", "\n") + kCallsEnd,
                  ToolCallFormat::kFenced, true),
            (Answer{"t", "", {{"f", "{\n \"x\": 1}"}, {"g", "{}"}}}));
}

TEST(AnswerParser, CallsInDsml) {
  const std::string text =
      "Text\n\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"f\">\n"
      "<｜DSML｜parameter name=\"s\" string=\"true\">a \"b\"\n</x></｜DSML｜parameter>\n"
      "<｜DSML｜parameter name=\"n\" string=\"false\">[\"</｜DSML｜parameter>\"]</｜DSML｜parameter>\n"
      "</｜DSML｜invoke>\n<｜DSML｜invoke name=\"g\">\n\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>";
  EXPECT_EQ(
      parse(text, ToolCallFormat::kDsmlV4),
      (Answer{
          "", "Text\n", {{"f", R"({"s": "a \"b\"\n</x>", "n": ["</｜DSML｜parameter>"]})"}, {"g", "{}"}}}));
  EXPECT_EQ(parse(text, ToolCallFormat::kDsmlV32), (Answer{"", text, {}}));
}

TEST(AnswerParser, WhatOnlyLooksLikeAMarkerIsContent) {
  for (const std::string text :
       {"a <｜tool▁calls▁beg", "<｜tool▁calls▁begin｜> is how calls begin",
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>", "<", "\n\n", "<｜DSML｜tool_calls> opens",
        "a\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke>", "<｜DSML｜", "<think", "<tool_calls>"}) {
    for (const ToolCallFormat format : kFormats) EXPECT_EQ(parse(text, format), (Answer{"", text, {}}));
  }
}

TEST(AnswerParser, AnswersThatBreakOff) {
  EXPECT_EQ(parse(kCalls + "<｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"x\": <｜tool", ToolCallFormat::kPlain),
            (Answer{"", "", {{"f", "{\"x\": <｜tool"}}}));
  EXPECT_EQ(parse("<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter name=\"s\" "
                  "string=\"true\">ab</｜DS",
                  ToolCallFormat::kDsmlV4),
            (Answer{"", "", {{"f", "{\"s\": \"ab</｜DS"}}}));
  EXPECT_EQ(parse("<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"f\">\nso what", ToolCallFormat::kDsmlV4),
            (Answer{"", "so what", {{"f", "{}"}}}));
}

/// Text made of markers, pieces of them and other things.
std::string random_answer(Dice& dice) {
  static const std::vector<std::string> kPieces = {
      "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{}",
      "<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"f\">\n",
      "<think>",
      "</think>",
      "<",
      "\n",
      "\n\n",
      " ",
      "\"",
      "\\",
      "{",
      "}",
      "é",
      "f",
      "\">\n",
      "<｜tool▁calls▁begin｜>",
      "<｜tool▁call▁begin｜>",
      "<｜tool▁call▁begin｜>f<｜tool▁sep｜>",
      "<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n",
      "<｜tool▁sep｜>",
      "\n```",
      "<｜tool▁call▁end｜>",
      "<｜tool▁calls▁end｜>",
      "<｜DSML｜tool_calls>\n",
      "<｜DSML｜function_calls>",
      "<｜DSML｜invoke name=\"f\">\n",
      "</｜DSML｜invoke>\n",
      "<｜DSML｜parameter name=\"s\" string=\"true\">",
      "<｜DSML｜parameter name=\"s\" string=\"false\">",
      "</｜DSML｜parameter>\n",
      "</｜DSML｜tool_calls>",
      "</｜DSML｜function_calls>"};
  std::string text;
  for (size_t i = dice.roll(25); i > 0; --i) {
    const std::string& piece = kPieces[dice.roll(kPieces.size())];
    text += dice.roll(6) == 0 ? piece.substr(0, dice.roll(piece.size() + 1)) : piece;
  }
  return text;
}

TEST(AnswerParser, PiecesDoNotMatter) {
  size_t calls = 0;
  for (uint64_t seed = 0; seed < 4000; ++seed) {
    Dice dice(seed);
    const std::string text = random_answer(dice);
    const ToolCallFormat format = kFormats[dice.roll(std::size(kFormats))];
    const bool in_reasoning = dice.roll(4) == 0;
    const Answer whole = parse(text, format, in_reasoning);
    calls += whole.calls.size();
    EXPECT_EQ(parse(text, format, in_reasoning, &dice), whole) << text;
  }
  EXPECT_GT(calls, 100u);
}

/// What a chat format writes for an answer with calls is read back as that answer.
TEST(AnswerParser, ReadsWhatTheFormatsWrite) {
  for (const ChatFormat format :
       {ChatFormat::kDeepseekV3, ChatFormat::kDeepseekR1, ChatFormat::kDeepseekV31, ChatFormat::kDeepseekV32,
        ChatFormat::kDeepseekV4, ChatFormat::kDeepseekV4Flash0731}) {
    const ChatTemplate chat_template = ChatTemplate::built_in(format);
    const AnswerFormat answer = answer_format(chat_template);
    ASSERT_NE(answer.tool_calls, ToolCallFormat::kNone) << chat_format_name(format);
    const bool thinks = format == ChatFormat::kDeepseekV32 || format == ChatFormat::kDeepseekV4;
    for (uint64_t seed = 0; seed < 60; ++seed) {
      Dice dice(seed);
      Json calls = Json::array();
      for (size_t i = dice.roll(3); i > 0; --i) {
        Json arguments = Json::object();
        for (const char* const name : {"text", "list", "flag"})
          if (dice.coin())
            arguments[name] = name[0] == 't'   ? Json("a\"\\ </x>\né")
                              : name[0] == 'l' ? Json::array({1, "}\""})
                                               : Json(true);
        calls.push_back({{"type", "function"},
                         {"function", {{"name", fmt::format("f_{}", i)}, {"arguments", arguments}}}});
      }
      Json message = {{"role", "assistant"},
                      {"content", std::vector<std::string>{"", "Text <", "Text\n\n"}[dice.roll(3)]}};
      if (!calls.empty()) message["tool_calls"] = calls;
      if (thinks) message["reasoning_content"] = "first, \n<think> second\n";
      const Json question = {{"role", "user"}, {"content", "q"}};
      const auto request = parse_chat_request(
          Json{{"messages", Json::array({question})}, {"thinking", thinks ? Json(true) : Json()}}, "r");
      const auto whole = parse_chat_request(Json{{"messages", Json::array({question, message})},
                                                 {"thinking", thinks ? Json(true) : Json()},
                                                 {"add_generation_prompt", false}},
                                            "r");
      ASSERT_TRUE(request && whole);
      const auto prompt = chat_template.render(*request, "", "");
      const auto text = chat_template.render(*whole, "", "[E]");
      ASSERT_TRUE(prompt && text);
      // R1 leaves reasoning out of what was said.
      const std::string header = format == ChatFormat::kDeepseekR1 ? "<｜User｜>q<｜Assistant｜>" : *prompt;
      ASSERT_TRUE(text->starts_with(header)) << *text;
      const std::string said = text->substr(header.size(), text->size() - header.size() - 3);
      const Answer read = parse(said, answer.tool_calls, ends_in_reasoning(header), &dice);
      EXPECT_EQ(read.content, message["content"].get<std::string>()) << said;
      EXPECT_EQ(read.reasoning, thinks ? message["reasoning_content"].get<std::string>() : "");
      ASSERT_EQ(read.calls.size(), calls.size()) << said;
      for (size_t i = 0; i < calls.size(); ++i) {
        EXPECT_EQ(read.calls[i].first, calls[i]["function"]["name"].get<std::string>());
        EXPECT_EQ(read.calls[i].second, dump_json(calls[i]["function"]["arguments"]));
      }
    }
  }
}

TEST(AnswerFormat, IsToldFromTheTemplate) {
  const auto format_of = [](ChatFormat format) {
    return answer_format(ChatTemplate::built_in(format)).tool_calls;
  };
  EXPECT_EQ(format_of(ChatFormat::kDeepseekV2), ToolCallFormat::kNone);
  EXPECT_EQ(format_of(ChatFormat::kDeepseekV3), ToolCallFormat::kFenced);
  EXPECT_EQ(format_of(ChatFormat::kDeepseekR1), ToolCallFormat::kFenced);
  EXPECT_EQ(format_of(ChatFormat::kDeepseekV31), ToolCallFormat::kPlain);
  EXPECT_EQ(format_of(ChatFormat::kDeepseekV32), ToolCallFormat::kDsmlV32);
  EXPECT_EQ(format_of(ChatFormat::kDeepseekV4), ToolCallFormat::kDsmlV4);
  const auto jinja = ChatTemplate::parse(
      "{% for m in messages %}{% if m.tool_calls %}<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>"
      "{{ m.tool_calls[0].function.name + '<｜tool▁sep｜>' + m.tool_calls[0].function.arguments }}"
      "{% endif %}{% endfor %}",
      "t");
  ASSERT_TRUE(jinja);
  EXPECT_EQ(answer_format(*jinja).tool_calls, ToolCallFormat::kPlain);
  EXPECT_TRUE(ends_in_reasoning("<｜Assistant｜><think>\n"));
  EXPECT_FALSE(ends_in_reasoning("<｜Assistant｜><think></think>"));
  EXPECT_FALSE(ends_in_reasoning("\n"));
}

}  // namespace
}  // namespace cadre
