#include "cadre/cli/command_line.h"

namespace cadre::cli {
namespace {

FlagRow flag_row(const CLI::Option& option) {
  FlagRow row;
  for (const std::string& name : option.get_snames()) row.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) row.names.push_back("--" + name);
  if (option.get_items_expected_max() > 0) {
    // A flag's type is followed by what is checked of it: "INT:INT in [1 - 64]".
    const std::string type = option.get_type_name();
    row.value = option.get_positional() ? option.get_name(true) : type.substr(0, type.find(':'));
  }
  row.help = option.get_description();
  row.environment = option.get_envname();
  row.default_value = option.get_default_str();
  row.required = option.get_required();
  return row;
}

CommandRow command_row(const CLI::App& app, const std::string& above) {
  CommandRow row;
  row.name = above.empty() ? app.get_name() : above + " " + app.get_name();
  row.summary = app.get_description();
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_group().empty()) continue;
    (option->get_positional() ? row.arguments : row.flags).push_back(flag_row(*option));
  }
  // Only a command that does not exist yet takes whatever it is given.
  for (const CLI::App* below :
       app.get_subcommands([](const CLI::App* sub) { return !sub->get_allow_extras(); }))
    row.commands.push_back(command_row(*below, row.name));
  return row;
}

}  // namespace

CommandLine::CommandLine()
    : app("Runs sparse Mixture-of-Experts language models of the DeepSeek family.", "cadre") {
  app.require_subcommand(0, 1);
  app.get_formatter()->column_width(34);
  app.add_flag("--version", version,
               "print version, compiler and instruction sets (with --json: for machines)");
  app.add_flag("--json", json)->group("");
  for (const Command& command : commands()) {
    CLI::App* sub = app.add_subcommand(command.name, command.summary);
    actions.emplace_back(sub, command.set_up(*sub));
  }
}

CommandRow command_table(const CLI::App& app) { return command_row(app, ""); }

}  // namespace cadre::cli
