#pragma once
/// The whole command line of `cadre`: its own flags and those of every command.

#include <utility>
#include <vector>

#include "cadre/cli/command.h"

namespace cadre::cli {

struct CommandLine {
  CLI::App app;
  bool version = false;
  bool json = false;
  std::vector<std::pair<CLI::App*, Action>> actions;  ///< what each command runs, once it was parsed

  CommandLine();
};

/// What a command takes, as plain data.
struct FlagRow {
  std::vector<std::string> names;  ///< "-m", "--model"; empty: a positional argument
  std::string value;               ///< what the value is called; empty: the flag takes none
  std::string help;
  std::string environment;    ///< its twin; may be empty
  std::string default_value;  ///< may be empty
  bool required = false;
};

struct CommandRow {
  std::string name;  ///< with those above it: "cadre data prepare"
  std::string summary;
  std::vector<FlagRow> arguments;  ///< positional ones
  std::vector<FlagRow> flags;
  std::vector<CommandRow> commands;

  /// The last word of `name`.
  std::string word() const { return name.substr(name.rfind(' ') + 1); }
};

/// What is declared in `app`, read from CLI11's own tables; hidden flags and commands that do not exist yet
/// are left out. The man page and the completions are made of it, so that they cannot differ from --help.
CommandRow command_table(const CLI::App& app);

}  // namespace cadre::cli
