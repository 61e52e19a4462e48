#pragma once
/// Standard streams as Results, and whether they are terminals.

#include <string>
#include <string_view>

#include "cadre/base/result.h"

namespace cadre::cli {

/// All of standard input. Errors: kIo.
Result<std::string> read_stdin();
/// Writes and flushes. Errors: kIo (a closed pipe, a full disk).
Status write_stdout(std::string_view text);

bool stdin_is_terminal();
bool stdout_is_terminal();
bool stderr_is_terminal();

/// Whether to colour what goes to standard error: a terminal, and NO_COLOR is not set.
bool use_color();

}  // namespace cadre::cli
