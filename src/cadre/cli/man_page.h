#pragma once
/// The manual page cadre(1), in roff.

#include <string>

#include "cadre/cli/command_line.h"

namespace cadre::cli {

/// `version`: of the program.
std::string man_page(const CommandRow& program, const std::string& version);

}  // namespace cadre::cli
