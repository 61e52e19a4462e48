// `cadre completion` and `cadre man`: what a package installs beside the program.
#include <cstdio>
#include <memory>

#include "cadre/cli/command_line.h"
#include "cadre/cli/commands.h"
#include "cadre/cli/completions.h"
#include "cadre/cli/man_page.h"

namespace cadre::cli {
namespace {

Status print_completions(const std::string& shell) {
  // A command line of its own: the one that was parsed has lost the environment twins of other commands.
  const CommandLine line;
  const CommandRow program = command_table(line.app);
  std::string text;
  if (shell == "bash") {
    text = bash_completions(program);
  } else if (shell == "zsh") {
    text = zsh_completions(program);
  } else if (shell == "fish") {
    text = fish_completions(program);
  } else {
    return fail(ErrorKind::kUsage, "SHELL: expected bash, zsh or fish, found '{}'", shell);
  }
  std::fputs(text.c_str(), stdout);
  return {};
}

}  // namespace

Action set_up_completion(CLI::App& app) {
  const auto shell = std::make_shared<std::string>();
  app.add_option("SHELL", *shell, "bash, zsh or fish")->required();
  return [shell] { return print_completions(*shell); };
}

Action set_up_man(CLI::App&) {
  return [] {
    const CommandLine line;
    std::fputs(man_page(command_table(line.app), CADRE_VERSION).c_str(), stdout);
    return Status{};
  };
}

}  // namespace cadre::cli
