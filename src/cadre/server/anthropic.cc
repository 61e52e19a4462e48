#include "cadre/server/anthropic.h"

#include "cadre/server/api_error.h"

namespace cadre::server {
namespace {

/// A list of blocks, or a string, which counts as one block of text.
Result<Json> blocks_of(const JsonFields& fields, std::string_view key) {
  const Json* value = fields.find(key);
  if (value != nullptr && value->is_string()) return Json::array({Json{{"type", "text"}, {"text", *value}}});
  if (value != nullptr && value->is_array()) return *value;
  return fields.error(key, "expected a string or a list of blocks, found " +
                               (value == nullptr ? std::string("nothing") : describe_json(*value)));
}

/// One block of a list as fields; `path` is that of the list.
Result<JsonFields> block_fields(const Json& block, const std::string& path, size_t index) {
  const std::string at = fmt::format("{}[{}]", path, index);
  if (!block.is_object())
    return invalid("{}: field '{}': expected an object, found {}", kRequestOrigin, at, describe_json(block));
  return JsonFields(block, std::string(kRequestOrigin), at);
}

/// The text of a list that must hold nothing else.
Result<std::string> text_only(const JsonFields& fields, std::string_view key, const std::string& path) {
  CADRE_TRY(const Json blocks, blocks_of(fields, key));
  std::string text;
  for (size_t i = 0; i < blocks.size(); ++i) {
    CADRE_TRY(const JsonFields block, block_fields(blocks[i], path, i));
    CADRE_TRY(const std::string type, block.string("type"));
    if (type != "text") return block.error("type", "expected text, found " + describe_json(Json(type)));
    CADRE_TRY(const std::string more, block.string("text"));
    text += (i > 0 ? "\n\n" : "") + more;
  }
  return text;
}

void append_text(Json& message, const std::string& text) {
  std::string content = message["content"].get<std::string>();
  if (!content.empty()) content += "\n\n";
  message["content"] = content + text;
}

Status add_user_block(const JsonFields& block, const std::string& path, Json& messages) {
  CADRE_TRY(const std::string type, block.string("type"));
  if (type == "text") {
    CADRE_TRY(const std::string text, block.string("text"));
    if (messages.empty() || messages.back()["role"] != "user" || !messages.back().contains("open")) {
      messages.push_back({{"role", "user"}, {"content", ""}, {"open", true}});
    }
    append_text(messages.back(), text);
    return {};
  }
  if (type == "tool_result") {
    CADRE_TRY(const std::string id, block.string("tool_use_id"));
    std::string text;
    if (block.has("content")) {
      CADRE_TRY(text, text_only(block, "content", path + ".content"));
    }
    messages.push_back({{"role", "tool"}, {"tool_call_id", id}, {"content", text}});
    return {};
  }
  return block.error("type", "expected text or tool_result, found " + describe_json(Json(type)));
}

Status add_assistant_block(const JsonFields& block, Json& message) {
  CADRE_TRY(const std::string type, block.string("type"));
  if (type == "text") {
    CADRE_TRY(const std::string text, block.string("text"));
    append_text(message, text);
  } else if (type == "thinking") {
    CADRE_TRY(const std::string thinking, block.string("thinking"));
    message["reasoning_content"] = thinking;
  } else if (type == "tool_use") {
    CADRE_TRY(const std::string id, block.string("id"));
    CADRE_TRY(const std::string name, block.string("name"));
    const Json* input = block.find("input");
    if (input == nullptr || !input->is_object())
      return block.error("input", "expected an object, found " +
                                      (input == nullptr ? std::string("nothing") : describe_json(*input)));
    message["tool_calls"].push_back(
        {{"id", id}, {"type", "function"}, {"function", {{"name", name}, {"arguments", dump_json(*input)}}}});
  } else if (type != "redacted_thinking") {
    return block.error("type", "expected text, thinking or tool_use, found " + describe_json(Json(type)));
  }
  return {};
}

Status add_message(const Json& value, size_t index, Json& messages) {
  CADRE_TRY(const JsonFields message, block_fields(value, "messages", index));
  const std::string path = fmt::format("messages[{}].content", index);
  CADRE_TRY(const std::string role, message.string("role"));
  if (role != "user" && role != "assistant")
    return message.error("role", "expected user or assistant, found " + describe_json(Json(role)));
  CADRE_TRY(const Json blocks, blocks_of(message, "content"));
  Json assistant = {{"role", "assistant"}, {"content", ""}};
  for (size_t i = 0; i < blocks.size(); ++i) {
    CADRE_TRY(const JsonFields block, block_fields(blocks[i], path, i));
    if (role == "user")
      CADRE_CHECK_OK(add_user_block(block, fmt::format("{}[{}]", path, i), messages));
    else
      CADRE_CHECK_OK(add_assistant_block(block, assistant));
  }
  // A later message of the user begins a text of its own.
  for (Json& done : messages) done.erase("open");
  if (role == "assistant") messages.push_back(std::move(assistant));
  return {};
}

/// Tools in OpenAI's form: {name, description, input_schema} -> {type, function: {name, ..., parameters}}.
Result<Json> chat_tools(const Json& tools) {
  Json list = Json::array();
  if (!tools.is_array())
    return invalid("{}: field 'tools': expected a list, found {}", kRequestOrigin, describe_json(tools));
  for (size_t i = 0; i < tools.size(); ++i) {
    CADRE_TRY(const JsonFields tool, block_fields(tools[i], "tools", i));
    CADRE_TRY(const std::string type, tool.string_or("type", "custom"));
    if (type != "custom") return tool.error("type", "expected custom, found " + describe_json(Json(type)));
    CADRE_TRY(const std::string name, tool.string("name"));
    CADRE_TRY(const std::string description, tool.string_or("description", ""));
    CADRE_TRY(const std::optional<JsonFields> schema, tool.object("input_schema"));
    Json function = {{"name", name}, {"description", description}};
    if (schema) function["parameters"] = *tool.find("input_schema");
    list.push_back({{"type", "function"}, {"function", std::move(function)}});
  }
  return list;
}

/// {type: auto | any | tool | none, name, disable_parallel_tool_use} in OpenAI's form.
Status copy_tool_choice(const JsonFields& fields, Json& chat) {
  CADRE_TRY(const std::optional<JsonFields> choice, fields.object("tool_choice"));
  if (!choice) return {};
  CADRE_TRY(const std::string type, choice->string("type"));
  CADRE_TRY(const bool one, choice->boolean_or("disable_parallel_tool_use", false));
  chat["parallel_tool_calls"] = !one;
  if (type == "auto" || type == "none") {
    chat["tool_choice"] = type;
  } else if (type == "any") {
    chat["tool_choice"] = "required";
  } else if (type == "tool") {
    CADRE_TRY(const std::string name, choice->string("name"));
    chat["tool_choice"] = {{"type", "function"}, {"function", {{"name", name}}}};
  } else {
    return choice->error("type", "expected auto, any, tool or none, found " + describe_json(Json(type)));
  }
  return {};
}

/// output_config.format: {type: "json_schema", schema}.
Status copy_format(const JsonFields& fields, Json& chat) {
  CADRE_TRY(const std::optional<JsonFields> output, fields.object("output_config"));
  if (!output) return {};
  CADRE_TRY(const std::optional<JsonFields> format, output->object("format"));
  if (!format) return {};
  CADRE_TRY(const std::string type, format->string("type"));
  if (type != "json_schema")
    return format->error("type", "expected json_schema, found " + describe_json(Json(type)));
  const Json* schema = format->find("schema");
  if (schema == nullptr) return format->error("schema", "expected a schema, found nothing");
  chat["response_format"] = {{"type", "json_schema"}, {"json_schema", {{"schema", *schema}}}};
  return {};
}

}  // namespace

Result<Json> anthropic_chat(const JsonFields& fields) {
  Json messages = Json::array();
  if (fields.has("system")) {
    CADRE_TRY(const std::string system, text_only(fields, "system", "system"));
    messages.push_back({{"role", "system"}, {"content", system}});
  }
  const Json* given = fields.find("messages");
  if (given == nullptr || !given->is_array() || given->empty())
    return fields.error("messages", "expected a list of at least one message, found " +
                                        (given == nullptr ? std::string("nothing") : describe_json(*given)));
  for (size_t i = 0; i < given->size(); ++i) CADRE_CHECK_OK(add_message((*given)[i], i, messages));
  if (messages.empty()) return fields.error("messages", "expected at least one block of content, found none");
  // A last message of the assistant is the beginning of the answer.
  if (messages.back()["role"] == "assistant") messages.back()["prefix"] = true;

  Json chat = {{"messages", std::move(messages)}};
  if (const Json* tools = fields.find("tools")) {
    CADRE_TRY(chat["tools"], chat_tools(*tools));
  }
  CADRE_CHECK_OK(copy_tool_choice(fields, chat));
  CADRE_CHECK_OK(copy_format(fields, chat));
  CADRE_TRY(const std::optional<JsonFields> thinking, fields.object("thinking"));
  if (thinking) {
    CADRE_TRY(const std::string type, thinking->string("type"));
    if (type != "enabled" && type != "disabled" && type != "adaptive")
      return thinking->error("type",
                             "expected enabled, disabled or adaptive, found " + describe_json(Json(type)));
    chat["thinking"] = type != "disabled";
  }
  return chat;
}

}  // namespace cadre::server
