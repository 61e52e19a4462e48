#include "cadre/cli/completions.h"

#include <string_view>

namespace cadre::cli {
namespace {

/// In single quotes, for all three shells.
std::string in_quotes(std::string_view text) {
  std::string result = "'";
  for (const char c : text) {
    if (c == '\'')
      result += "'\\''";
    else
      result += c;
  }
  return result + "'";
}

void append_word(std::string& words, std::string_view word) {
  if (!words.empty()) words += ' ';
  words += word;
}

template <typename Visit>
void for_each_command(const CommandRow& row, const Visit& visit) {
  visit(row);
  for (const CommandRow& below : row.commands) for_each_command(below, visit);
}

/// What _arguments takes for special characters: those of its own syntax with a backslash.
std::string zsh_escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') result += '\\';
    result += c;
  }
  return result;
}

std::string zsh_flag(const FlagRow& flag) {
  std::string names;
  for (const std::string& name : flag.names) append_word(names, name);
  std::string specifications;
  for (const std::string& name : flag.names) {
    const std::string action = flag.value.empty() ? "" : ":" + zsh_escaped(flag.value) + ":_files";
    append_word(specifications,
                in_quotes("(" + names + ")" + name + "[" + zsh_escaped(flag.help) + "]" + action));
  }
  return specifications;
}

std::string zsh_function(const CommandRow& row) {
  std::string name = "_" + row.name;
  for (char& c : name)
    if (c == ' ' || c == '-') c = '_';
  return name;
}

}  // namespace

std::string bash_completions(const CommandRow& program) {
  std::string paths;
  std::string cases;
  for_each_command(program, [&](const CommandRow& row) {
    if (&row != &program) paths += (paths.empty() ? "" : " | ") + in_quotes(row.name);
    std::string commands;
    std::string flags;
    for (const CommandRow& below : row.commands) append_word(commands, below.word());
    for (const FlagRow& flag : row.flags)
      for (const std::string& name : flag.names) append_word(flags, name);
    cases += "    " + in_quotes(row.name) + ") commands=" + in_quotes(commands) +
             " flags=" + in_quotes(flags) + " ;;\n";
  });
  return "# bash completions for cadre; made by `cadre completion bash`.\n"
         "_cadre() {\n"
         "  local current=${COMP_WORDS[COMP_CWORD]} path=cadre commands= flags= word\n"
         "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
         "    case \"$path $word\" in\n"
         "      " +
         paths +
         ") path=\"$path $word\" ;;\n"
         "    esac\n"
         "  done\n"
         "  case $path in\n" +
         cases +
         "  esac\n"
         "  COMPREPLY=()\n"
         "  if [[ $current == -* ]]; then\n"
         "    mapfile -t COMPREPLY < <(compgen -W \"$flags\" -- \"$current\")\n"
         "  elif [[ -n $commands ]]; then\n"
         "    mapfile -t COMPREPLY < <(compgen -W \"$commands\" -- \"$current\")\n"
         "  fi\n"
         "}\n"
         "complete -o default -F _cadre cadre\n";
}

std::string zsh_completions(const CommandRow& program) {
  std::string text = "#compdef cadre\n# zsh completions for cadre; made by `cadre completion zsh`.\n";
  for_each_command(program, [&](const CommandRow& row) {
    text += "\n" + zsh_function(row) + "() {\n";
    text +=
        "  local curcontext=$curcontext state state_descr line\n  local -a commands\n  typeset -A opt_args\n";
    text += "  _arguments -C";
    for (const FlagRow& flag : row.flags) text += " \\\n    " + zsh_flag(flag);
    if (row.commands.empty()) {
      text += " \\\n    '*:file:_files'\n}\n";
      return;
    }
    text += " \\\n    '1:command:->command' \\\n    '*::argument:->argument' && return\n";
    text += "  case $state in\n    command)\n      commands=(\n";
    for (const CommandRow& below : row.commands)
      text += "        " + in_quotes(below.word() + ":" + below.summary) + "\n";
    text += "      )\n      _describe command commands\n      ;;\n    argument)\n      case $line[1] in\n";
    for (const CommandRow& below : row.commands)
      text += "        " + below.word() + ") " + zsh_function(below) + " ;;\n";
    text += "      esac\n      ;;\n  esac\n}\n";
  });
  return text + "\n_cadre \"$@\"\n";
}

std::string fish_completions(const CommandRow& program) {
  std::string text = "# fish completions for cadre; made by `cadre completion fish`.\n";
  for_each_command(program, [&](const CommandRow& row) {
    // Seen: every command on the way here; not seen: any of those below.
    std::string seen;
    std::string_view rest = std::string_view(row.name).substr(program.name.size());
    while (!rest.empty()) {
      rest.remove_prefix(1);
      const std::string word(rest.substr(0, rest.find(' ')));
      seen += (seen.empty() ? "" : "; and ") + ("__fish_seen_subcommand_from " + word);
      rest.remove_prefix(word.size());
    }
    std::string none_below;
    for (const CommandRow& below : row.commands) append_word(none_below, below.word());
    if (!none_below.empty())
      none_below = (seen.empty() ? "" : "; and ") + ("not __fish_seen_subcommand_from " + none_below);
    const std::string start = "complete -c cadre -n " + in_quotes(seen + none_below);
    for (const CommandRow& below : row.commands)
      text += start + " -f -a " + below.word() + " -d " + in_quotes(below.summary) + "\n";
    for (const FlagRow& flag : row.flags) {
      text += start;
      for (const std::string& name : flag.names)
        text += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      if (!flag.value.empty()) text += " -r";
      text += " -d " + in_quotes(flag.help) + "\n";
    }
  });
  return text;
}

}  // namespace cadre::cli
