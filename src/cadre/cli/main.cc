// The `cadre` program: parses the command line, runs one command, prints its error, and maps it to an exit
// code: 0 done, 1 the work failed, 2 wrong usage, 130 interrupted.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <span>
#include <string>
#include <vector>

#include "cadre/base/interrupt.h"
#include "cadre/cli/command_line.h"
#include "cadre/cli/version.h"

namespace {

constexpr int kFailed = 1;
constexpr int kUsage = 2;
constexpr int kInterrupted = 130;

int exit_code(cadre::ErrorKind kind) {
  switch (kind) {
    case cadre::ErrorKind::kUsage:
      return kUsage;
    case cadre::ErrorKind::kInterrupt:
      return kInterrupted;
    default:
      return kFailed;
  }
}

void drop_twins(CLI::App& command) {
  for (CLI::Option* option : command.get_options()) option->envname("");
  for (CLI::App* below : command.get_subcommands(nullptr)) drop_twins(*below);
}

/// CLI11 reads the environment for every command. A twin that one command refuses must not stop another, so
/// only the command that is named keeps its twins, and of its own commands again only the one that is named.
void drop_twins_of_others(CLI::App& app, std::span<const std::string> arguments) {
  const auto named = std::find_if(arguments.begin(), arguments.end(),
                                  [](const std::string& argument) { return !argument.starts_with('-'); });
  for (CLI::App* command : app.get_subcommands(nullptr)) {
    if (named != arguments.end() && command->get_name() == *named) {
      drop_twins_of_others(*command, {named + 1, arguments.end()});
    } else {
      drop_twins(*command);
    }
  }
}

/// What CLI11 printed went through std::cout, the rest through stdout.
cadre::Status flush_stdout() {
  const bool streamed = std::cout.flush().good();
  if (streamed && std::fflush(stdout) == 0) return {};
  return cadre::fail(cadre::ErrorKind::kIo, "cannot write to standard output");
}

/// Prints the error, if there is one. -> the exit code
int finish(const std::string& who, const cadre::Status& status) {
  if (status) return 0;
  std::fprintf(stderr, "%s: %s\n", who.c_str(), status.error().message.c_str());
  return exit_code(status.error().kind);
}

}  // namespace

int main(int argc, char** argv) {
  cadre::cli::CommandLine line;
  CLI::App& app = line.app;

  const std::vector<std::string> arguments(argv + 1, argv + argc);
  drop_twins_of_others(app, arguments);
  cadre::install_interrupt_handlers();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (app.exit(error) != 0) return kUsage;
    return finish("cadre", flush_stdout());
  }
  if (line.version) {
    cadre::cli::print_version(line.json);
    return finish("cadre", flush_stdout());
  }

  for (const auto& [sub, action] : line.actions) {
    if (!sub->parsed()) continue;
    cadre::Status status = action();
    if (status) status = flush_stdout();
    return finish("cadre " + sub->get_name(), status);
  }
  std::fputs(app.help().c_str(), stderr);
  return kUsage;
}
