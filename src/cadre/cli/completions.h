#pragma once
/// Completions of the command line for shells: commands and flags; elsewhere file names.

#include <string>

#include "cadre/cli/command_line.h"

namespace cadre::cli {

std::string bash_completions(const CommandRow& program);
std::string zsh_completions(const CommandRow& program);
std::string fish_completions(const CommandRow& program);

}  // namespace cadre::cli
