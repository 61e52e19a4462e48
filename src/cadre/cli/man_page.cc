#include "cadre/cli/man_page.h"

#include <string_view>

namespace cadre::cli {
namespace {

/// Text as roff shows it: no escapes, no requests, and hyphens that can be copied.
std::string roff(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (result.empty() && (c == '.' || c == '\'')) result += "\\&";
    if (c == '\\')
      result += "\\e";
    else if (c == '-')
      result += "\\-";
    else if (c == '\n')
      result += ' ';
    else
      result += c;
  }
  return result;
}

std::string bold(std::string_view text) { return "\\fB" + roff(text) + "\\fR"; }
std::string italic(std::string_view text) { return "\\fI" + roff(text) + "\\fR"; }

void append_row(std::string& page, const FlagRow& row) {
  page += ".TP\n";
  std::string names;
  for (const std::string& name : row.names) names += (names.empty() ? "" : ", ") + bold(name);
  if (row.names.empty())
    names = italic(row.value);
  else if (!row.value.empty())
    names += " " + italic(row.value);
  page += names + "\n" + roff(row.help) + ".";
  if (!row.default_value.empty()) page += " Default: " + roff(row.default_value) + ".";
  if (!row.environment.empty()) page += " Environment: " + bold(row.environment) + ".";
  page += "\n";
}

void append_command(std::string& page, const CommandRow& row) {
  std::string title = row.name;
  for (const FlagRow& argument : row.arguments)
    title += argument.required ? " " + argument.value : " [" + argument.value + "]";
  page += ".SS \"" + roff(title) + "\"\n" + roff(row.summary) + ".\n";
  for (const FlagRow& argument : row.arguments) append_row(page, argument);
  for (const FlagRow& flag : row.flags)
    if (flag.names.back() != "--help") append_row(page, flag);
  for (const CommandRow& below : row.commands) append_command(page, below);
}

constexpr std::string_view kClosing =
    ".SH ENVIRONMENT\n"
    "A flag overrides its environment twin, which is named with it above.\n"
    ".TP\n\\fBCADRE_MODEL\\fR\nThe model where none is given; else the bundled one.\n"
    ".TP\n\\fBCADRE_MODELS\\fR\nWhere names of models are looked up first. Default: ~/.cache/cadre/models.\n"
    ".SH \"EXIT STATUS\"\n"
    ".TP\n0\nThe work is done.\n"
    ".TP\n1\nThe work failed.\n"
    ".TP\n2\nWrong usage.\n"
    ".TP\n130\nInterrupted.\n"
    ".SH EXAMPLES\n"
    ".TP\n\\fBcadre run\\fR\nA conversation with the bundled model.\n"
    ".TP\n\\fBcadre run \\-p \\(dqOnce upon a time\\(dq\\fR\nOne answer.\n"
    ".TP\n\\fBcadre serve /models/DeepSeek\\-V2\\-Lite\\-Chat\\fR\nThe model over HTTP, with a web page.\n";

}  // namespace

std::string man_page(const CommandRow& program, const std::string& version) {
  std::string page = ".TH CADRE 1 \"\" \"cadre " + roff(version) + "\" \"User Commands\"\n";
  page += ".SH NAME\ncadre \\- run sparse Mixture\\-of\\-Experts language models\n";
  page += ".SH SYNOPSIS\n.B cadre\n.I COMMAND\n.RI [ ARGUMENTS ]\n";
  page += ".SH DESCRIPTION\n" + roff(program.summary) +
          " Results go to standard output, everything else to standard error.\n";
  page += ".SH OPTIONS\n";
  for (const FlagRow& flag : program.flags) append_row(page, flag);
  page += ".SH COMMANDS\n";
  for (const CommandRow& command : program.commands) append_command(page, command);
  page += kClosing;
  return page;
}

}  // namespace cadre::cli
