#include "cadre/text/chat_request.h"

#include <algorithm>
#include <array>

namespace cadre {
namespace {

constexpr std::array<std::string_view, 6> kRoles = {"system",    "developer", "user",
                                                    "assistant", "tool",      "latest_reminder"};

tl::unexpected<Error> wrong(std::string_view path, std::string_view expected, const Json* found) {
  return invalid("{}: expected {}, found {}", path, expected,
                 found != nullptr ? describe_json(*found) : "nothing");
}

std::string member_path(std::string_view path, std::string_view name) {
  return path.empty() ? std::string(name) : fmt::format("{}.{}", path, name);
}

enum class Type { kString, kBoolean, kArray, kObject };

/// Checks an optional member of `object`.
Status check_member(const Json& object, std::string_view name, Type type, std::string_view path) {
  const Json* value = json_member(object, name);
  if (value == nullptr) return {};
  const std::string at = member_path(path, name);
  switch (type) {
    case Type::kString:
      return value->is_string() ? Status() : wrong(at, "a string", value);
    case Type::kBoolean:
      return value->is_boolean() ? Status() : wrong(at, "true or false", value);
    case Type::kArray:
      return value->is_array() ? Status() : wrong(at, "an array", value);
    case Type::kObject:
      return value->is_object() ? Status() : wrong(at, "an object", value);
  }
  return {};
}

/// {name: "...", ...} under `function`.
Status check_function(const Json& object, std::string_view path, bool required) {
  const Json* function = json_member(object, "function");
  if (function == nullptr && !required) return {};
  const std::string at = member_path(path, "function");
  if (function == nullptr || !function->is_object()) return wrong(at, "an object", function);
  const Json* name = json_member(*function, "name");
  if (name == nullptr || !name->is_string()) return wrong(at + ".name", "a string", name);
  return {};
}

Status check_tools(const Json* tools, std::string_view path) {
  if (tools == nullptr) return {};
  if (!tools->is_array()) return wrong(path, "an array of tools", tools);
  for (size_t i = 0; i < tools->size(); ++i) {
    const Json& tool = (*tools)[i];
    const std::string at = fmt::format("{}[{}]", path, i);
    if (!tool.is_object()) return wrong(at, "an object", &tool);
    CADRE_CHECK_OK(check_member(tool, "type", Type::kString, at));
    CADRE_CHECK_OK(check_function(tool, at, false));
  }
  return {};
}

Status check_tool_calls(const Json& message, bool assistant, std::string_view path) {
  CADRE_CHECK_OK(check_member(message, "tool_calls", Type::kArray, path));
  const Json* calls = json_member(message, "tool_calls");
  if (calls == nullptr || calls->empty()) return {};
  const std::string at = member_path(path, "tool_calls");
  if (!assistant) return invalid("{}: only an assistant makes tool calls", at);
  for (size_t i = 0; i < calls->size(); ++i) {
    const Json& call = (*calls)[i];
    const std::string call_at = fmt::format("{}[{}]", at, i);
    if (!call.is_object()) return wrong(call_at, "an object", &call);
    CADRE_CHECK_OK(check_member(call, "id", Type::kString, call_at));
    CADRE_CHECK_OK(check_member(call, "type", Type::kString, call_at));
    CADRE_CHECK_OK(check_function(call, call_at, true));
    const Json* arguments = json_member(*json_member(call, "function"), "arguments");
    if (arguments != nullptr && !arguments->is_string() && !arguments->is_object())
      return wrong(call_at + ".function.arguments", "an object or a string of JSON", arguments);
  }
  return {};
}

Status check_content(const Json& message, std::string_view role, std::string_view path) {
  const Json* content = json_member(message, "content");
  const std::string at = member_path(path, "content");
  constexpr std::string_view kExpected = "a string or a list of parts";
  if (content == nullptr) {
    const bool optional = role == "assistant" || role == "system" || role == "tool";
    return optional ? Status() : wrong(at, kExpected, content);
  }
  if (content->is_string()) return {};
  if (!content->is_array()) return wrong(at, kExpected, content);
  for (size_t i = 0; i < content->size(); ++i) {
    const Json& part = (*content)[i];
    const std::string part_at = fmt::format("{}[{}]", at, i);
    const Json* type = json_member(part, "type");
    if (type == nullptr || !type->is_string()) return wrong(part_at + ".type", "a string", type);
    if (*type != "text") continue;
    const Json* text = json_member(part, "text");
    if (text == nullptr || !text->is_string()) return wrong(part_at + ".text", "a string", text);
  }
  return {};
}

Status check_message(const Json& message, std::string_view path, bool last) {
  if (!message.is_object()) return wrong(path, "an object", &message);
  const Json* role = json_member(message, "role");
  const std::string role_at = member_path(path, "role");
  const std::string expected = fmt::format("one of {}", fmt::join(kRoles, ", "));
  if (role == nullptr || !role->is_string()) return wrong(role_at, expected, role);
  const auto& name = role->get_ref<const std::string&>();
  if (std::find(kRoles.begin(), kRoles.end(), name) == kRoles.end()) return wrong(role_at, expected, role);
  CADRE_CHECK_OK(check_content(message, name, path));
  for (const std::string_view text : {"reasoning_content", "tool_call_id", "task", "name"})
    CADRE_CHECK_OK(check_member(message, text, Type::kString, path));
  CADRE_CHECK_OK(check_member(message, "prefix", Type::kBoolean, path));
  CADRE_CHECK_OK(check_member(message, "response_format", Type::kObject, path));
  CADRE_CHECK_OK(check_tools(json_member(message, "tools"), member_path(path, "tools")));
  if (const Json* prefix = json_member(message, "prefix"); prefix != nullptr && prefix->get<bool>())
    if (!last || name != "assistant")
      return invalid("{}: only a last message of the assistant can be a prefix", member_path(path, "prefix"));
  return check_tool_calls(message, name == "assistant", path);
}

Status check_messages(const Json* messages) {
  if (messages == nullptr || !messages->is_array() || messages->empty())
    return wrong("messages", "an array of at least one message", messages);
  for (size_t i = 0; i < messages->size(); ++i)
    CADRE_CHECK_OK(check_message((*messages)[i], fmt::format("messages[{}]", i), i + 1 == messages->size()));
  return {};
}

/// What one spelling of "think" says.
Result<bool> thinking_value(std::string_view name, const Json& value, std::string_view path) {
  if (name == "thinking_mode") {
    if (value == "thinking") return true;
    if (value == "chat") return false;
    return wrong(path, "\"thinking\" or \"chat\"", &value);
  }
  if (value.is_boolean()) return value.get<bool>();
  if (name == "enable_thinking") return wrong(path, "true or false", &value);
  const Json* type = json_member(value, "type");
  if (type != nullptr && *type == "enabled") return true;
  if (type != nullptr && *type == "disabled") return false;
  return wrong(path, "true, false or {\"type\": \"enabled\" or \"disabled\"}", &value);
}

/// Collects options from the request and from its chat_template_kwargs.
class OptionReader {
 public:
  explicit OptionReader(Json& options) : options_(options) {}

  Status read(const Json& object, std::string_view path) {
    for (const std::string_view name : {"thinking", "enable_thinking", "thinking_mode"})
      CADRE_CHECK_OK(read_thinking(object, name, path));
    CADRE_CHECK_OK(check_member(object, "add_generation_prompt", Type::kBoolean, path));
    CADRE_CHECK_OK(check_member(object, "drop_thinking", Type::kBoolean, path));
    CADRE_CHECK_OK(check_member(object, "reasoning_effort", Type::kString, path));
    CADRE_CHECK_OK(check_member(object, "response_format", Type::kObject, path));
    for (const std::string_view name :
         {"add_generation_prompt", "drop_thinking", "reasoning_effort", "response_format"})
      if (const Json* value = json_member(object, name))
        CADRE_CHECK_OK(set(name, *value, member_path(path, name)));
    return {};
  }

  /// Members that are not options of ours: variables of the template.
  Status read_rest(const Json& object, std::string_view path) {
    for (const auto& [name, value] : object.items()) {
      if (name == "messages" || name == "tools" || name == "bos_token" || name == "eos_token")
        return invalid("{}: cannot be set here", member_path(path, name));
      if (!options_.contains(name) && !value.is_null()) options_[name] = value;
    }
    return {};
  }

 private:
  /// `at` is the path of the member that says so.
  Status set(std::string_view name, const Json& value, std::string_view at) {
    const std::string key(name);
    if (options_.contains(key) && options_[key] != value)
      return invalid("{}: contradicts what the request says elsewhere ({})", at,
                     describe_json(options_[key]));
    options_[key] = value;
    return {};
  }

  Status read_thinking(const Json& object, std::string_view name, std::string_view path) {
    const Json* value = json_member(object, name);
    if (value == nullptr) return {};
    const std::string at = member_path(path, name);
    CADRE_TRY(const bool thinking, thinking_value(name, *value, at));
    CADRE_CHECK_OK(set("thinking", thinking, at));
    CADRE_CHECK_OK(set("enable_thinking", thinking, at));
    return set("thinking_mode", thinking ? "thinking" : "chat", at);
  }

  Json& options_;
};

Result<ChatRequest> parse_object(const Json& json) {
  CADRE_CHECK_OK(check_messages(json_member(json, "messages")));
  CADRE_CHECK_OK(check_tools(json_member(json, "tools"), "tools"));
  CADRE_CHECK_OK(check_member(json, "task", Type::kString, ""));
  CADRE_CHECK_OK(check_member(json, "chat_template_kwargs", Type::kObject, ""));
  ChatRequest request;
  request.messages = *json_member(json, "messages");
  if (const Json* tools = json_member(json, "tools")) request.tools = *tools;
  if (const Json* task = json_member(json, "task")) {
    Json& last = request.messages.back();
    if (json_member(last, "task") != nullptr) return invalid("task: the last message has a task of its own");
    last["task"] = *task;
  }
  OptionReader options(request.options);
  CADRE_CHECK_OK(options.read(json, ""));
  if (const Json* more = json_member(json, "chat_template_kwargs")) {
    CADRE_CHECK_OK(options.read(*more, "chat_template_kwargs"));
    CADRE_CHECK_OK(options.read_rest(*more, "chat_template_kwargs"));
  }
  return request;
}

Result<bool> boolean_option(const Json& options, std::string_view name, bool otherwise) {
  const Json* value = json_member(options, name);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean()) return wrong(name, "true or false", value);
  return value->get<bool>();
}

}  // namespace

const Json* json_member(const Json& object, std::string_view name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(std::string(name));
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

Result<ChatRequest> parse_chat_request(const Json& json, std::string_view origin) {
  Result<ChatRequest> request;
  if (json.is_array())
    request = parse_object(Json{{"messages", json}});
  else if (json.is_object())
    request = parse_object(json);
  else
    request = wrong("the request", "an array of messages, or an object with messages", &json);
  if (!request) request.error().message.insert(0, fmt::format("{}: ", origin));
  return request;
}

Result<ChatOptions> read_chat_options(const ChatRequest& request) {
  ChatOptions options;
  if (json_member(request.options, "thinking") != nullptr) {
    CADRE_TRY(options.thinking, boolean_option(request.options, "thinking", false));
  }
  CADRE_TRY(options.add_generation_prompt, boolean_option(request.options, "add_generation_prompt", true));
  CADRE_TRY(options.drop_thinking, boolean_option(request.options, "drop_thinking", true));
  if (const Json* effort = json_member(request.options, "reasoning_effort")) {
    if (!effort->is_string()) return wrong("reasoning_effort", "a string", effort);
    options.reasoning_effort = effort->get<std::string>();
  }
  const Json* format = json_member(request.options, "response_format");
  const Json* type = format != nullptr ? json_member(*format, "type") : nullptr;
  if (type == nullptr || *type != "text") options.response_format = format;
  return options;
}

Result<std::string> content_text(const Json* content, std::string_view path) {
  if (content == nullptr) return std::string();
  if (content->is_string()) return content->get<std::string>();
  if (!content->is_array()) return wrong(path, "a string or a list of parts", content);
  std::string text;
  for (size_t i = 0; i < content->size(); ++i) {
    const Json* type = json_member((*content)[i], "type");
    const Json* part = json_member((*content)[i], "text");
    if (type == nullptr || *type != "text" || part == nullptr || !part->is_string())
      return invalid("{}[{}]: this model reads text only, found a part {}", path, i,
                     type != nullptr ? describe_json(*type) : "without type");
    if (i > 0) text += "\n\n";
    text += part->get_ref<const std::string&>();
  }
  return text;
}

}  // namespace cadre
