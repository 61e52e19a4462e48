#include "cadre/server/chat_task.h"

#include "cadre/server/request_fields.h"
#include "cadre/text/constrained_decoding.h"

namespace cadre::server {
namespace {

/// Errors of the text library name a path alone.
Error in_request(Error error) {
  error.kind = ErrorKind::kInvalid;
  error.message = fmt::format("{}: {}", kRequestOrigin, error.message);
  return error;
}

Result<std::optional<JsonGrammar>> content_grammar(const JsonFields& chat) {
  CADRE_TRY(const std::optional<JsonFields> format, chat.object("response_format"));
  if (!format) return std::optional<JsonGrammar>();
  CADRE_TRY(const std::string type, format->string("type"));
  if (type == "text") return std::optional<JsonGrammar>();
  if (type == "json_object") return std::optional<JsonGrammar>(JsonGrammar::any_object());
  if (type != "json_schema")
    return format->error("type",
                         "expected text, json_object or json_schema, found " + describe_json(Json(type)));
  CADRE_TRY(const std::optional<JsonFields> named, format->object("json_schema"));
  if (!named) return format->error("json_schema", "expected an object, found nothing");
  const Json* schema = named->find("schema");
  if (schema == nullptr) return named->error("schema", "expected a schema, found nothing");
  auto grammar = JsonGrammar::from_schema(*schema, "response_format.json_schema.schema");
  if (!grammar) return tl::unexpected(in_request(grammar.error()));
  return std::optional<JsonGrammar>(std::move(*grammar));
}

/// Tools must be functions: nothing else can be called here.
Status check_tools(const Json& tools) {
  if (!tools.is_array())
    return invalid("{}: field 'tools': expected a list, found {}", kRequestOrigin, describe_json(tools));
  for (size_t i = 0; i < tools.size(); ++i) {
    const std::string at = fmt::format("tools[{}]", i);
    if (!tools[i].is_object())
      return invalid("{}: field '{}': expected an object, found {}", kRequestOrigin, at,
                     describe_json(tools[i]));
    const JsonFields tool(tools[i], std::string(kRequestOrigin), at);
    CADRE_TRY(const std::string type, tool.string("type"));
    if (type != "function")
      return tool.error("type", "expected function, found " + describe_json(Json(type)));
    CADRE_TRY(const std::optional<JsonFields> function, tool.object("function"));
    if (!function) return tool.error("function", "expected an object, found nothing");
    CADRE_TRY(const std::string name, function->string("name"));
    CADRE_TRY(const std::optional<JsonFields> parameters, function->object("parameters"));
  }
  return {};
}

/// tool_choice: "none", "auto", "required", or {type: "function", function: {name}}.
Status read_tool_choice(const JsonFields& chat, AnswerRules& rules) {
  const Json* choice = chat.find("tool_choice");
  if (choice == nullptr || *choice == "auto") {
    rules.tool_choice = ToolChoice::kAuto;
  } else if (*choice == "none") {
    rules.tool_choice = ToolChoice::kNone;
  } else if (*choice == "required") {
    rules.tool_choice = ToolChoice::kRequired;
  } else {
    CADRE_TRY(const std::optional<JsonFields> object, choice->is_object()
                                                          ? chat.object("tool_choice")
                                                          : Result<std::optional<JsonFields>>(std::nullopt));
    if (!object)
      return chat.error("tool_choice",
                        "expected none, auto, required or an object that names a function, found " +
                            describe_json(*choice));
    CADRE_TRY(const std::optional<JsonFields> function, object->object("function"));
    if (!function) return object->error("function", "expected an object with a name, found nothing");
    CADRE_TRY(rules.function, function->string("name"));
    rules.tool_choice = ToolChoice::kRequired;
  }
  return {};
}

Status read_tools(const JsonFields& chat, AnswerRules& rules) {
  const Json* tools = chat.find("tools");
  if (tools != nullptr) CADRE_CHECK_OK(check_tools(*tools));
  const bool any = tools != nullptr && !tools->empty();
  CADRE_CHECK_OK(read_tool_choice(chat, rules));
  CADRE_TRY(rules.parallel_tool_calls, chat.boolean_or("parallel_tool_calls", true));
  if (any) {
    rules.tools = tools;
  } else if (rules.tool_choice == ToolChoice::kRequired) {
    return chat.error("tool_choice", "there are no tools to call");
  } else {
    rules.tool_choice = ToolChoice::kNone;
  }
  return {};
}

}  // namespace

Status plan_chat(const Json& chat, const ServedModel& model, GenerationTask& task) {
  const JsonFields fields = request_fields(chat);
  AnswerRules rules{.format = model.answer_format};
  CADRE_TRY(rules.content, content_grammar(fields));
  CADRE_CHECK_OK(read_tools(fields, rules));
  if (rules.tool_choice != ToolChoice::kNone && rules.format.tool_calls == ToolCallFormat::kNone)
    return fields.error("tools", "this model's chat template knows no tools");

  CADRE_TRY(const std::string text, render_chat(chat, model));
  CADRE_TRY(std::vector<int32_t> prompt, template_prompt(text, model));
  rules.in_reasoning = ends_in_reasoning(text);
  task.prompts.push_back(std::move(prompt));
  task.reading = AnswerReading{.format = rules.format, .in_reasoning = rules.in_reasoning};
  if (rules.tool_choice == ToolChoice::kNone) task.reading->format.tool_calls = ToolCallFormat::kNone;
  for (int64_t i = 0; i < task.settings.choices; ++i) {
    auto constraint = constrain_answer(model.token_trie, rules);
    if (!constraint) return tl::unexpected(in_request(constraint.error()));
    if (*constraint != nullptr) task.constraints.push_back(std::move(*constraint));
  }
  return {};
}

}  // namespace cadre::server
