#include "cadre/text/chat_dsml.h"

#include "cadre/text/chat_request.h"

namespace cadre {
namespace {

// The texts below are part of the models' protocol: a model was trained on these very bytes.

constexpr std::string_view kV32Header = R"(## Tools

You have access to a set of tools you can use to answer the user's question.
You can invoke functions by writing a "<｜DSML｜function_calls>" block like the following as part of your reply to the user:
<｜DSML｜function_calls>
<｜DSML｜invoke name="$FUNCTION_NAME">
<｜DSML｜parameter name="$PARAMETER_NAME" string="true|false">$PARAMETER_VALUE</｜DSML｜parameter>
...
</｜DSML｜invoke>
<｜DSML｜invoke name="$FUNCTION_NAME2">
...
</｜DSML｜invoke>
</｜DSML｜function_calls>

String and scalar parameters should be specified as is without any escaping or quotes, while lists and objects should use JSON format. The "string" attribute should be set to "true" for string type parameters and "false" for other types (numbers, booleans, arrays, objects).

If the thinking_mode is enabled, then after function results you should strongly consider outputting a thinking block. Here is an example:

<｜DSML｜function_calls>
...
</｜DSML｜function_calls>

<function_results>
...
</function_results>

<think>...thinking about results</think>

Here are the functions available in JSONSchema format:
<functions>
)";
constexpr std::string_view kV32Footer = "</functions>\n";

constexpr std::string_view kV4Header = R"(## Tools

You have access to a set of tools to help answer the user's question. You can invoke tools by writing a "<｜DSML｜tool_calls>" block like the following:

<｜DSML｜tool_calls>
<｜DSML｜invoke name="$TOOL_NAME">
<｜DSML｜parameter name="$PARAMETER_NAME" string="true|false">$PARAMETER_VALUE</｜DSML｜parameter>
...
</｜DSML｜invoke>
<｜DSML｜invoke name="$TOOL_NAME2">
...
</｜DSML｜invoke>
</｜DSML｜tool_calls>

String parameters should be specified as is and set `string="true"`. For all other types (numbers, booleans, arrays, objects), pass the value in JSON format and set `string="false"`.

If thinking_mode is enabled (triggered by <think>), you MUST output your complete reasoning inside <think>...</think> BEFORE any tool calls or final response.

Otherwise, output directly after </think> with tool calls or final response.

### Available Tool Schemas

)";
constexpr std::string_view kV4Footer =
    "\nYou MUST strictly follow the above defined tool name and parameter schemas to invoke tool calls.\n";

/// Arguments as an object, parsed where they are a string of JSON.
Result<Json> call_arguments(const Json& function, std::string_view path) {
  const Json* arguments = json_member(function, "arguments");
  if (arguments == nullptr) return Json::object();
  Json parsed = *arguments;
  if (arguments->is_string()) {
    CADRE_TRY(parsed, parse_json(arguments->get_ref<const std::string&>(), path));
  }
  if (parsed.is_object()) return parsed;
  return invalid("{}: expected a JSON object, found {}", path, describe_json(parsed));
}

std::string dsml_parameter(std::string_view name, const Json& value) {
  return fmt::format("<｜DSML｜parameter name=\"{}\" string=\"{}\">{}</｜DSML｜parameter>\n", name,
                     value.is_string() ? "true" : "false",
                     value.is_string() ? value.get<std::string>() : dump_json(value));
}

Result<std::string> dsml_call(const Json& call, DsmlDialect dialect, std::string_view path) {
  const Json* function = json_member(call, "function");
  const Json* name = function != nullptr ? json_member(*function, "name") : nullptr;
  if (name == nullptr || !name->is_string()) return invalid("{}.function.name: expected a string", path);
  CADRE_TRY(const Json arguments, call_arguments(*function, fmt::format("{}.function.arguments", path)));
  std::string text = fmt::format("<｜DSML｜invoke name=\"{}\">\n", name->get_ref<const std::string&>());
  for (const auto& [key, value] : arguments.items()) text += dsml_parameter(key, value);
  if (arguments.empty() && dialect == DsmlDialect::kV4) text += '\n';
  return text + "</｜DSML｜invoke>\n";
}

}  // namespace

Result<std::string> dsml_tool_calls(const Json& calls, DsmlDialect dialect, std::string_view path) {
  const std::string_view tag = dialect == DsmlDialect::kV4 ? "tool_calls" : "function_calls";
  std::string text = fmt::format("<｜DSML｜{}>\n", tag);
  for (size_t i = 0; i < calls.size(); ++i) {
    CADRE_TRY(const std::string call, dsml_call(calls[i], dialect, fmt::format("{}[{}]", path, i)));
    text += call;
  }
  return text + fmt::format("</｜DSML｜{}>", tag);
}

Result<std::string> dsml_tools_section(const Json& tools, DsmlDialect dialect, std::string_view path) {
  const bool v4 = dialect == DsmlDialect::kV4;
  std::string text(v4 ? kV4Header : kV32Header);
  for (size_t i = 0; i < tools.size(); ++i) {
    const Json* function = json_member(tools[i], "function");
    if (function == nullptr || !function->is_object())
      return invalid("{}[{}].function: expected an object (this model knows tools of type function only)",
                     path, i);
    text += dump_json(*function) + "\n";
  }
  return text.append(v4 ? kV4Footer : kV32Footer);
}

}  // namespace cadre
