// The `cadre` program: parses the command line, runs one command, prints its error, and maps it to an exit
// code: 0 done, 1 the work failed, 2 wrong usage, 130 interrupted.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <utility>
#include <vector>

#include "cadre/base/interrupt.h"
#include "cadre/cli/command.h"
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

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Runs sparse Mixture-of-Experts language models of the DeepSeek family.", "cadre");
  app.require_subcommand(0, 1);
  app.get_formatter()->column_width(34);
  bool version = false;
  bool json = false;
  app.add_flag("--version", version,
               "print version, compiler and instruction sets (with --json: for machines)");
  app.add_flag("--json", json)->group("");

  std::vector<std::pair<CLI::App*, cadre::cli::Action>> actions;
  for (const cadre::cli::Command& command : cadre::cli::commands()) {
    CLI::App* sub = app.add_subcommand(command.name, command.summary);
    actions.emplace_back(sub, command.set_up(*sub));
  }

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsage;
  }
  if (version) {
    cadre::cli::print_version(json);
    return 0;
  }

  cadre::install_interrupt_handlers();
  for (const auto& [sub, action] : actions) {
    if (!sub->parsed()) continue;
    cadre::Status status = action();
    if (status && std::fflush(stdout) != 0)
      status = cadre::fail(cadre::ErrorKind::kIo, "cannot write to standard output");
    if (status) return 0;
    std::fprintf(stderr, "cadre %s: %s\n", sub->get_name().c_str(), status.error().message.c_str());
    return exit_code(status.error().kind);
  }
  std::fputs(app.help().c_str(), stderr);
  return kUsage;
}
