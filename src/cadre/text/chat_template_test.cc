#include "cadre/text/chat_template.h"

#include <gtest/gtest.h>

#include <set>

#include "cadre/base/file.h"
#include "cadre/text/tokenizer_testing.h"

namespace cadre {
namespace {

constexpr std::string_view kBos = "<｜begin▁of▁sentence｜>";
constexpr std::string_view kEos = "<｜end▁of▁sentence｜>";

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != text.npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
  return text;
}

ChatRequest request_of(const Json& data, const Json& item) {
  const Json& source = data["requests"][item["request"].get<std::string>()];
  ChatRequest request = *parse_chat_request(source, "case");
  for (const auto& [name, value] : item["options"].items()) request.options[name] = value;
  if (request.options.contains("enable_thinking"))
    request.options["thinking"] = request.options["enable_thinking"];
  return request;
}

/// Calls `check(request, expected, description, template file)` for each case of Jinja2's.
template <typename Check>
void for_each_case(const Check& check) {
  const auto data = read_json_file(CADRE_SOURCE_DIR "/src/cadre/text/testdata/chat_template_cases.json");
  ASSERT_TRUE(data) << data.error().message;
  ASSERT_GT((*data)["cases"].size(), 150u);
  for (const Json& item : (*data)["cases"]) {
    const std::string file = item["template"];
    const std::string what =
        fmt::format("{} {} {}", file, item["request"].get<std::string>(), dump_json(item["options"]));
    check(request_of(*data, item), item["output"].get<std::string>(), what, file);
  }
}

TEST(ChatTemplate, RendersPublishedTemplatesAsJinja2Does) {
  const auto folder = shared_folder() / "data" / "chat" / "templates";
  CADRE_REQUIRE_SHARED(folder);
  for_each_case([&](const ChatRequest& request, const std::string& expected, const std::string& what,
                    const std::string& file) {
    const auto text = read_text_file(folder / file);
    ASSERT_TRUE(text);
    const auto chat = ChatTemplate::parse(*text, file);
    ASSERT_TRUE(chat) << chat.error().message;
    const auto prompt = chat->render(request, kBos, kEos);
    ASSERT_TRUE(prompt) << what << ": " << prompt.error().message;
    EXPECT_EQ(*prompt, expected) << what;
  });
}

bool has_string_arguments(const ChatRequest& request) {
  for (const Json& message : request.messages)
    if (const Json* calls = json_member(message, "tool_calls"))
      for (const Json& call : *calls)
        if (call["function"]["arguments"].is_string()) return true;
  return false;
}

bool last_is(const ChatRequest& request, std::string_view role) {
  return request.messages.back()["role"] == role;
}

// Where the templates in circulation and the formats as published differ, the template's text is changed to
// what the format says, and the reason stands beside it.
TEST(ChatTemplate, BuiltInV31AgreesWithItsTemplate) {
  int compared = 0;
  for_each_case([&](ChatRequest request, const std::string& expected, const std::string& what,
                    const std::string& file) {
    if (file != "deepseek-ai-DeepSeek-V3.1.jinja") return;
    if (has_string_arguments(request)) return;               // the template quotes them a second time
    if (request.messages.back().contains("prefix")) return;  // the template ends a prefix
    request.tools = nullptr;  // the template says nothing about them, the format refuses them
    const auto prompt = ChatTemplate::built_in(ChatFormat::kDeepseekV31).render(request, kBos, kEos);
    ASSERT_TRUE(prompt) << what << ": " << prompt.error().message;
    EXPECT_EQ(*prompt, replaced(expected, "<think></think>", "</think>"))
        << what;  // published without <think>
    ++compared;
  });
  EXPECT_GT(compared, 20);
}

TEST(ChatTemplate, BuiltInV32AgreesWithItsTemplate) {
  int compared = 0;
  for_each_case([&](const ChatRequest& request, const std::string& expected, const std::string& what,
                    const std::string& file) {
    if (file != "deepseek-ai-DeepSeek-V3.2.jinja") return;
    if (request.messages.back().contains("prefix")) return;
    const auto prompt = ChatTemplate::built_in(ChatFormat::kDeepseekV32).render(request, kBos, kEos);
    ASSERT_TRUE(prompt) << what << ": " << prompt.error().message;
    std::string text = expected;
    const bool chat_header = !last_is(request, "assistant") && text.ends_with("<think></think>");
    if (chat_header) text.replace(text.size() - 15, 15, "</think>");  // published without <think>
    EXPECT_EQ(*prompt, text) << what;
    ++compared;
  });
  EXPECT_GT(compared, 30);
}

TEST(ChatTemplate, BuiltInR1AgreesWithItsTemplate) {
  int compared = 0;
  for_each_case([&](const ChatRequest& request, const std::string& expected, const std::string& what,
                    const std::string& file) {
    if (file != "llama-cpp-deepseek-r1.jinja") return;
    std::set<std::string> roles;
    for (const Json& message : request.messages) roles.insert(message["role"]);
    // The template keeps only the last system message, and has its own text and order for tools.
    if (roles.contains("tool") || request.tools.is_array() || what.find("two_systems") != what.npos) return;
    if (what.find("empty_contents") != what.npos || last_is(request, "assistant")) return;
    const auto prompt = ChatTemplate::built_in(ChatFormat::kDeepseekR1).render(request, kBos, kEos);
    ASSERT_TRUE(prompt) << what << ": " << prompt.error().message;
    std::string text = expected;  // the template ends user messages as if they were answers
    for (const Json& message : request.messages) {
      const std::string question = message["content"];
      if (message["role"] == "user") text = replaced(text, question + std::string(kEos), question);
    }
    EXPECT_EQ(*prompt, text) << what;
    ++compared;
  });
  EXPECT_GT(compared, 5);
}

TEST(ChatTemplate, BuiltInV4AgreesWithItsTemplates) {
  int compared = 0;
  for_each_case([&](const ChatRequest& request, const std::string& expected, const std::string& what,
                    const std::string& file) {
    const bool initial = file == "deepseek-ai-DeepSeek-V4.jinja";
    if (!initial && file != "deepseek-ai-DeepSeek-V4-Flash-0731.jinja") return;
    // The templates put a header after an answer, all system messages first, and keep thinking where there
    // are results of tools but no declarations.
    if (last_is(request, "assistant") || what.find("two_systems") != what.npos) return;
    if (what.find(" call_") != what.npos && request.tools.is_null()) return;
    const auto format = initial ? ChatFormat::kDeepseekV4 : ChatFormat::kDeepseekV4Flash0731;
    const auto prompt = ChatTemplate::built_in(format).render(request, kBos, kEos);
    ASSERT_TRUE(prompt) << what << ": " << prompt.error().message;
    std::string text = expected;
    if (request.messages[0]["role"] != "system" &&
        request.tools.is_array())  // an empty system message, then them
      text.insert(kBos.size(), "\n\n");
    EXPECT_EQ(*prompt, text) << what;
    ++compared;
  });
  EXPECT_GT(compared, 40);
}

TEST(ChatFormat, IsDetectedFromTokensTypeAndName) {
  const std::set<std::string, std::less<>> v3 = {"<｜begin▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"};
  std::set<std::string, std::less<>> r1 = v3;
  r1.insert({"<think>", "</think>"});
  std::set<std::string, std::less<>> v31 = r1;
  v31.insert("<｜search▁begin｜>");
  std::set<std::string, std::less<>> v4 = v31;
  v4.insert({"｜DSML｜", "<｜latest_reminder｜>"});
  const std::set<std::string, std::less<>> v2 = {"<｜begin▁of▁sentence｜>"};
  const auto found = [&](std::string_view type, std::string_view name, const auto& tokens) {
    const auto has_token = [&](std::string_view token) { return tokens.contains(token); };
    const auto format = detect_chat_format({.model_type = type, .name = name, .has_token = has_token});
    return format ? std::string(chat_format_name(*format)) : format.error().message;
  };
  EXPECT_EQ(found("deepseek_v2", "", v2), "deepseek-v2");
  EXPECT_EQ(found("", "", v2), "deepseek-v2");
  EXPECT_EQ(found("deepseek_v3", "DeepSeek-V3-0324", v3), "deepseek-v3");
  EXPECT_EQ(found("cadre", "", v3), "deepseek-v3");
  EXPECT_EQ(found("deepseek_v3", "", r1), "deepseek-r1");
  EXPECT_EQ(found("deepseek_v3", "DeepSeek-R1-0528", v3), "deepseek-r1");
  EXPECT_EQ(found("deepseek_v3", "", v31), "deepseek-v3.1");
  EXPECT_EQ(found("deepseek_v3", "DeepSeek-V3.1-Terminus", r1), "deepseek-v3.1");
  EXPECT_EQ(found("deepseek_v3", "deepseek_v3_1", r1), "deepseek-v3.1");
  EXPECT_EQ(found("deepseek_v32", "", v31), "deepseek-v3.2");
  EXPECT_EQ(found("", "", v4), "deepseek-v4");
  EXPECT_EQ(found("deepseek_v4", "DeepSeek-V4-Flash-0731", v4), "deepseek-v4-flash-0731");
  EXPECT_EQ(found("deepseek_v4", "20731", v4), "deepseek-v4");
  EXPECT_EQ(found("gpt2", "", std::set<std::string, std::less<>>{"<|endoftext|>"}).substr(0, 38),
            "the model has no chat template, and it");
  EXPECT_NE(found("deepseek_v41", "", v4).find("V4.1"), std::string::npos);
}

TEST(ChatFormat, HasAName) {
  EXPECT_EQ(*chat_format_named("deepseek-v3.1"), ChatFormat::kDeepseekV31);
  EXPECT_EQ(chat_format_named("v9").error().message,
            "no built-in chat format 'v9'; there are deepseek-v2, deepseek-v3, deepseek-r1, deepseek-v3.1, "
            "deepseek-v3.2, deepseek-v4, deepseek-v4-flash-0731");
}

TEST(ChatTemplate, OfAModelIsTheFileThenTheConfigThenTheFormat) {
  const auto no_token = [](std::string_view) { return false; };
  const auto v3_token = [](std::string_view token) {
    return token == "<｜User｜>" || token == "<｜Assistant｜>";
  };
  const ModelTraits unknown{.model_type = "", .name = "", .has_token = no_token};
  const ModelTraits v3{.model_type = "deepseek_v3", .name = "", .has_token = v3_token};
  const Json config = {{"chat_template", "config"}};
  const Json empty = Json::object();
  EXPECT_EQ(load_chat_template(&config, "file", v3)->source(), "chat_template.jinja");
  EXPECT_EQ(load_chat_template(&config, std::nullopt, v3)->source(), "tokenizer_config.json");
  EXPECT_EQ(load_chat_template(&empty, std::nullopt, v3)->source(), "built-in deepseek-v3");
  EXPECT_EQ(load_chat_template(nullptr, std::nullopt, v3)->format(), ChatFormat::kDeepseekV3);
  EXPECT_EQ(load_chat_template(nullptr, std::nullopt, unknown).error().kind, ErrorKind::kNotFound);
  const Json broken = {{"chat_template", "{{ x"}};
  EXPECT_EQ(load_chat_template(&broken, std::nullopt, v3).error().message,
            "tokenizer_config.json: line 1: a tag is not closed with }}");
}

TEST(ChatTemplate, OfTheSharedTokenizersIsBuiltIn) {
  const auto folder = shared_folder() / "data" / "tokenizer";
  CADRE_REQUIRE_SHARED(folder);
  for (const std::string name : {"deepseek-v3", "deepseek-v4"}) {
    const auto tokenizer = read_text_file(folder / name / "tokenizer.json");
    ASSERT_TRUE(tokenizer);
    const auto has_token = [&](std::string_view token) {
      return tokenizer->find(fmt::format("\"content\":\"{}\"", token)) != std::string::npos ||
             tokenizer->find(fmt::format("\"content\": \"{}\"", token)) != std::string::npos;
    };
    const auto config = read_json_file(folder / name / "tokenizer_config.json");
    const auto chat = load_chat_template(config ? &*config : nullptr, std::nullopt,
                                         {.model_type = "", .name = "", .has_token = has_token});
    ASSERT_TRUE(chat) << chat.error().message;
    EXPECT_EQ(chat->source(), "built-in " + name);
  }
}

TEST(ChatTemplate, ListsChooseByTools) {
  const Json list = {{{"name", "default"}, {"template", "plain"}},
                     {{"name", "tool_use"}, {"template", "tools"}}};
  const auto chat = ChatTemplate::from_config(list, "c");
  ASSERT_TRUE(chat);
  ChatRequest request{.messages = Json::array(), .tools = nullptr, .options = Json::object()};
  EXPECT_EQ(*chat->render(request, "", ""), "plain");
  request.tools = Json::array({{{"name", "f"}}});
  EXPECT_EQ(*chat->render(request, "", ""), "tools");
  EXPECT_EQ(ChatTemplate::from_config(Json::array({{{"name", "x"}, {"template", ""}}}), "c").error().message,
            "c: field 'chat_template': no template named 'default'");
  EXPECT_EQ(ChatTemplate::from_config(5, "c").error().message,
            "c: field 'chat_template': expected a string or a list of templates, found 5");
}

TEST(ChatTemplate, TemplatesSeeWhatHuggingFaceGivesThem) {
  const auto chat = ChatTemplate::parse(
      "{{ bos_token }}{{ tools is none }}{{ documents is none }}{{ add_generation_prompt }}{{ thinking is "
      "defined }}"
      "{{ colour }}{{ messages[0].content }}{{ eos_token }}",
      "t");
  const auto request = parse_chat_request(
      {{"messages", {{{"role", "user"}, {"content", "Hi"}}}}, {"chat_template_kwargs", {{"colour", "red"}}}},
      "r");
  ASSERT_TRUE(chat && request);
  EXPECT_EQ(*chat->render(*request, "<s>", "</s>"), "<s>TrueTrueTrueFalseredHi</s>");
  EXPECT_EQ(chat->format(), std::nullopt);
}

}  // namespace
}  // namespace cadre
