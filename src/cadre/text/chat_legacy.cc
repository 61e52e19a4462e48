#include "cadre/text/chat_legacy.h"

#include "cadre/text/chat_dsml.h"

namespace cadre {
namespace {

constexpr std::string_view kUser = "<｜User｜>";
constexpr std::string_view kAssistant = "<｜Assistant｜>";

/// What the formats differ in, apart from V2, which shares nothing with the others.
struct Traits {
  std::string_view name;
  bool can_think = false;       ///< has two modes
  bool always_thinks = false;   ///< has one, which thinks
  bool declares_tools = false;  ///< has words for `tools`
};

Traits traits_of(LegacyFormat format) {
  switch (format) {
    case LegacyFormat::kV2:
      return {.name = "deepseek-v2"};
    case LegacyFormat::kV3:
      return {.name = "deepseek-v3"};
    case LegacyFormat::kR1:
      return {.name = "deepseek-r1", .always_thinks = true};
    case LegacyFormat::kV31:
      return {.name = "deepseek-v3.1", .can_think = true};
    case LegacyFormat::kV32:
      return {.name = "deepseek-v3.2", .can_think = true, .declares_tools = true};
  }
  return {};
}

/// One message, its text joined.
struct Message {
  std::string role;
  std::string path;
  std::string text;
  std::string reasoning;
  const Json* tool_calls = nullptr;  ///< never empty
  bool prefix = false;
};

Result<Message> read_message(const Json& json, std::string path, const Traits& traits) {
  Message message;
  const Json* role = json_member(json, "role");
  message.role = role != nullptr && role->is_string() ? role->get<std::string>() : "";
  const bool tools_exist = traits.name != "deepseek-v2";
  if (message.role != "system" && message.role != "user" && message.role != "assistant" &&
      (message.role != "tool" || !tools_exist))
    return invalid("{}.role: '{}' is not known to {}", path, message.role, traits.name);
  CADRE_TRY(message.text, content_text(json_member(json, "content"), path + ".content"));
  if (const Json* reasoning = json_member(json, "reasoning_content");
      reasoning != nullptr && reasoning->is_string())
    message.reasoning = reasoning->get<std::string>();
  const Json* calls = json_member(json, "tool_calls");
  if (calls != nullptr && calls->is_array() && !calls->empty()) message.tool_calls = calls;
  if (message.tool_calls != nullptr && !tools_exist)
    return invalid("{}.tool_calls: {} has no tools", path, traits.name);
  const Json* prefix = json_member(json, "prefix");
  message.prefix = prefix != nullptr && *prefix == true;
  message.path = std::move(path);
  return message;
}

/// A tool call as V3, R1 and V3.1 write it.
Result<std::string> marked_call(const Json& call, LegacyFormat format, std::string_view path) {
  const Json* function = json_member(call, "function");
  const Json* name = function != nullptr ? json_member(*function, "name") : nullptr;
  if (name == nullptr || !name->is_string()) return invalid("{}.function.name: expected a string", path);
  const Json* arguments = json_member(*function, "arguments");
  std::string text = "{}";
  if (arguments != nullptr)
    text = arguments->is_string() ? arguments->get<std::string>() : dump_json(*arguments);
  if (format == LegacyFormat::kV31)
    return fmt::format("<｜tool▁call▁begin｜>{}<｜tool▁sep｜>{}<｜tool▁call▁end｜>",
                       name->get_ref<const std::string&>(), text);
  return fmt::format("<｜tool▁call▁begin｜>function<｜tool▁sep｜>{}\n```json\n{}\n```<｜tool▁call▁end｜>",
                     name->get_ref<const std::string&>(), text);
}

Result<std::string> marked_calls(const Json& calls, LegacyFormat format, std::string_view path) {
  std::string text = "<｜tool▁calls▁begin｜>";
  for (size_t i = 0; i < calls.size(); ++i) {
    CADRE_TRY(const std::string call,
              marked_call(calls[i], format, fmt::format("{}.tool_calls[{}]", path, i)));
    if (i > 0 && format != LegacyFormat::kV31) text += '\n';
    text += call;
  }
  return text + "<｜tool▁calls▁end｜>";
}

/// History without the thinking that an answer may carry in its text.
std::string_view without_thinking(std::string_view text, LegacyFormat format) {
  constexpr std::string_view kEnd = "</think>";
  const size_t end = format == LegacyFormat::kR1    ? text.rfind(kEnd)
                     : format == LegacyFormat::kV31 ? text.find(kEnd)
                                                    : text.npos;
  return end == text.npos ? text : text.substr(end + kEnd.size());
}

/// Writes the messages of one conversation.
class LegacyWriter {
 public:
  LegacyWriter(LegacyFormat format, bool thinking, std::string_view eos)
      : format_(format), thinking_(thinking), eos_(eos) {}

  /// `messages` must not be empty.
  Status write(const std::vector<Message>& messages, std::string& out) {
    for (size_t i = 0; i < messages.size(); ++i)
      if (messages[i].role == "user") last_user_ = i;
    for (index_ = 0; index_ < messages.size(); ++index_) {
      const Message& message = messages[index_];
      if (message.role == "user") {
        CADRE_CHECK_OK(end_results(message, out));
        out.append(kUser) += message.text;
        state_ = State::kAsked;
      } else if (message.role == "assistant") {
        CADRE_CHECK_OK(write_answer(message, out));
      } else if (message.role == "tool") {
        CADRE_CHECK_OK(write_result(message, out));
      }
    }
    return end_results(messages.back(), out);
  }

  void write_header(std::string& out) {
    if (format_ == LegacyFormat::kV32 && state_ == State::kResults)
      out += thinking_ ? "\n\n<think>" : "\n\n</think>";
    else if (state_ == State::kAsked)
      out.append(kAssistant) += generation_mark();
  }

 private:
  enum class State { kStart, kAsked, kAnswered, kResults };

  std::string_view generation_mark() const {
    switch (format_) {
      case LegacyFormat::kR1:
        return "<think>\n";
      case LegacyFormat::kV31:
      case LegacyFormat::kV32:
        return thinking_ ? "<think>" : "</think>";
      default:
        return "";
    }
  }

  /// Closes the results of the calls of one answer, if there are any.
  Status end_results(const Message& last, std::string& out) {
    if (results_ == 0) return {};
    if (results_ < calls_)
      return invalid("{}: {} results of tools up to here, {} are expected", last.path, results_, calls_);
    if (format_ == LegacyFormat::kV32)
      out += "\n</function_results>";
    else if (format_ != LegacyFormat::kV31)
      out += "<｜tool▁outputs▁end｜>";
    results_ = 0;
    return {};
  }

  Status write_result(const Message& message, std::string& out) {
    if (state_ != State::kResults && (state_ != State::kAnswered || calls_ == 0))
      return invalid("{}: a result without a tool call before it", message.path);
    if (results_ == calls_) return invalid("{}: more results than the {} tool calls", message.path, calls_);
    if (format_ == LegacyFormat::kV32) {
      if (results_ == 0) out += "\n\n<function_results>";
      out += "\n<result>" + message.text + "</result>";
    } else {
      if (format_ != LegacyFormat::kV31) out += results_ == 0 ? "<｜tool▁outputs▁begin｜>" : "\n";
      out += "<｜tool▁output▁begin｜>" + message.text + "<｜tool▁output▁end｜>";
    }
    ++results_;
    state_ = State::kResults;
    return {};
  }

  /// What stands before the text of an answer: a header after a question, and thinking.
  std::string opening(const Message& message) const {
    const bool asked = state_ == State::kAsked;
    if (format_ == LegacyFormat::kV32) {
      if (!asked && state_ != State::kResults) return "";
      std::string text(asked ? kAssistant : "\n\n");
      if (thinking_ && (!last_user_ || index_ > *last_user_)) text += "<think>" + message.reasoning;
      return text + "</think>";
    }
    if (format_ != LegacyFormat::kV31) return std::string(state_ == State::kResults ? "" : kAssistant);
    if (!asked) return "";
    return std::string(kAssistant).append(message.prefix && thinking_ ? "<think>" : "</think>");
  }

  Status write_answer(const Message& message, std::string& out) {
    CADRE_CHECK_OK(end_results(message, out));
    out += opening(message);
    const bool whole =
        format_ == LegacyFormat::kV31 && (state_ == State::kResults || message.tool_calls != nullptr);
    out += whole ? std::string_view(message.text) : without_thinking(message.text, format_);
    calls_ = message.tool_calls != nullptr ? message.tool_calls->size() : 0;
    if (message.tool_calls != nullptr) {
      CADRE_TRY(const std::string calls,
                format_ == LegacyFormat::kV32
                    ? dsml_tool_calls(*message.tool_calls, DsmlDialect::kV32, message.path + ".tool_calls")
                    : marked_calls(*message.tool_calls, format_, message.path));
      if (format_ == LegacyFormat::kV32) out += "\n\n";
      out += calls;
    }
    if (!message.prefix) out += eos_;
    state_ = State::kAnswered;
    return {};
  }

  LegacyFormat format_;
  bool thinking_;
  std::string_view eos_;
  State state_ = State::kStart;
  size_t index_ = 0;
  std::optional<size_t> last_user_;
  size_t calls_ = 0;    ///< of the last answer
  size_t results_ = 0;  ///< given so far
};

std::string render_v2(const std::vector<Message>& messages, bool generation_prompt, std::string_view bos,
                      std::string_view eos) {
  std::string out(bos);
  for (const Message& message : messages) {
    if (message.role == "assistant")
      out.append("Assistant: ").append(message.text).append(message.prefix ? "" : eos);
    else
      out.append(message.role == "user" ? "User: " : "").append(message.text).append("\n\n");
  }
  if (generation_prompt && messages.back().role != "assistant") out += "Assistant:";
  return out;
}

/// All system messages, and the tools, as one text.
Result<std::string> system_text(const std::vector<Message>& messages, const Json& tools,
                                const Traits& traits) {
  std::string text;
  bool first = true;
  for (const Message& message : messages) {
    if (message.role != "system") continue;
    if (!first) text += "\n\n";
    text += message.text;
    first = false;
  }
  if (!tools.is_array() || tools.empty()) return text;
  if (!traits.declares_tools)
    return invalid(
        "tools: the built-in format {} has no words to declare tools; describe them in the system message, "
        "or give "
        "the model's own chat template",
        traits.name);
  CADRE_TRY(const std::string section, dsml_tools_section(tools, DsmlDialect::kV32, "tools"));
  return text.empty() ? section : text + "\n\n" + section;
}

Result<bool> read_thinking(const ChatOptions& options, const Traits& traits) {
  if (!traits.can_think && options.thinking && *options.thinking != traits.always_thinks)
    return invalid("thinking: {} {}", traits.name,
                   traits.always_thinks ? "always thinks" : "has no thinking mode");
  return options.thinking.value_or(traits.always_thinks);
}

}  // namespace

Result<std::string> render_legacy(const ChatRequest& request, LegacyFormat format, std::string_view bos_token,
                                  std::string_view eos_token) {
  const Traits traits = traits_of(format);
  CADRE_TRY(const ChatOptions options, read_chat_options(request));
  CADRE_TRY(const bool thinking, read_thinking(options, traits));
  if (request.messages.empty()) return invalid("messages: expected at least one message");
  std::vector<Message> messages;
  for (size_t i = 0; i < request.messages.size(); ++i) {
    CADRE_TRY(Message message, read_message(request.messages[i], fmt::format("messages[{}]", i), traits));
    messages.push_back(std::move(message));
  }
  CADRE_TRY(const std::string system, system_text(messages, request.tools, traits));
  if (format == LegacyFormat::kV2)
    return render_v2(messages, options.add_generation_prompt, bos_token, eos_token);
  std::string out = std::string(bos_token) + system;
  LegacyWriter writer(format, thinking, eos_token);
  CADRE_CHECK_OK(writer.write(messages, out));
  if (options.add_generation_prompt) writer.write_header(out);
  return out;
}

}  // namespace cadre
