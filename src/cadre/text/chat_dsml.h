#pragma once
/// DSML, the markup in which DeepSeek-V3.2 and V4 call tools, and the texts that explain it to the model.

#include <string>
#include <string_view>

#include "cadre/base/json.h"
#include "cadre/base/result.h"

namespace cadre {

enum class DsmlDialect {
  kV32,  ///< block <｜DSML｜function_calls>
  kV4,   ///< block <｜DSML｜tool_calls>; a call without arguments has an empty line in their place
};

/// The block of calls, from its opening to its closing tag. `path` names `calls` in error messages.
/// Errors: arguments that are no JSON object.
Result<std::string> dsml_tool_calls(const Json& calls, DsmlDialect dialect, std::string_view path);

/// The section of the system prompt that declares `tools`. Errors: a tool that is no function.
Result<std::string> dsml_tools_section(const Json& tools, DsmlDialect dialect, std::string_view path);

}  // namespace cadre
