#include "cadre/cli/repl.h"

#include <histedit.h>

#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>

#include "cadre/base/file.h"
#include "cadre/base/interrupt.h"
#include "cadre/cli/io.h"

namespace cadre::cli {
namespace {

constexpr const char* kHelp =
    "Type a message; \"\"\" alone on a line begins and ends a block of several lines.\n"
    "  /help            this list\n"
    "  /clear           forget the conversation\n"
    "  /system TEXT     set the system message (and forget the conversation)\n"
    "  /read FILE       send a file's text as the message\n"
    "  /think /nothink  let a thinking model think, or not\n"
    "  /save FILE       write the conversation as JSON messages\n"
    "  /stats           tokens in the context\n"
    "  /quit            leave (also Ctrl-D)\n"
    "Ctrl-C stops the answer; at an empty prompt, twice leaves.\n";

constexpr int kHistoryLines = 1000;

/// $XDG_STATE_HOME/cadre/history, else ~/.local/state/cadre/history; empty without a home.
std::filesystem::path history_path() {
  if (const char* state = std::getenv("XDG_STATE_HOME"); state != nullptr && *state != '\0')
    return std::filesystem::path(state) / "cadre/history";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0')
    return std::filesystem::path(home) / ".local/state/cadre/history";
  return {};
}

const char* g_prompt = ">>> ";  // libedit asks for the prompt through a plain function
char* current_prompt(EditLine*) { return const_cast<char*>(g_prompt); }

/// Lines from the terminal with editing and history (libedit).
class LineReader {
 public:
  LineReader()
      : history_(::history_init(), &::history_end),
        edit_(::el_init("cadre", stdin, stdout, stderr), &::el_end) {
    HistEvent event;
    ::history(history_.get(), &event, H_SETSIZE, kHistoryLines);
    ::history(history_.get(), &event, H_SETUNIQUE, 1);
    path_ = history_path();
    if (!path_.empty()) ::history(history_.get(), &event, H_LOAD, path_.c_str());
    ::el_set(edit_.get(), EL_PROMPT, &current_prompt);
    ::el_set(edit_.get(), EL_EDITOR, "emacs");
    ::el_set(edit_.get(), EL_HIST, &::history, history_.get());
    ::el_source(edit_.get(), nullptr);
  }
  ~LineReader() {
    if (path_.empty()) return;
    std::error_code ignored;
    std::filesystem::create_directories(path_.parent_path(), ignored);
    HistEvent event;
    ::history(history_.get(), &event, H_SAVE, path_.c_str());
  }
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  /// A line without its newline; nullopt at the end of input or when a signal came.
  std::optional<std::string> read(const char* prompt) {
    g_prompt = prompt;
    int count = 0;
    const char* line = ::el_gets(edit_.get(), &count);
    if (line == nullptr || count <= 0) {
      ::el_reset(edit_.get());
      return std::nullopt;
    }
    std::string text(line, static_cast<size_t>(count));
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
    if (!text.empty()) {
      HistEvent event;
      ::history(history_.get(), &event, H_ENTER, text.c_str());
    }
    return text;
  }

 private:
  std::unique_ptr<History, decltype(&::history_end)> history_;
  std::unique_ptr<EditLine, decltype(&::el_end)> edit_;
  std::filesystem::path path_;
};

void print_error(const Error& error) { std::fprintf(stderr, "error: %s\n", error.message.c_str()); }

void answer(ChatSession& session, const std::string& message) {
  const auto show = [](std::string_view text) { return write_stdout(text).has_value(); };
  const auto result = session.ask(message, show);
  std::fputs("\n", stdout);
  std::fflush(stdout);
  const bool stopped = interrupted();
  clear_interrupt();
  if (!result) {
    if (result.error().kind != ErrorKind::kInterrupt) print_error(result.error());
    return;
  }
  const bool color = use_color();
  std::fprintf(stderr, "%s%s%s%s\n", color ? "\033[2m" : "", stopped ? "[stopped] " : "",
               describe_speed(*result).c_str(), color ? "\033[0m" : "");
}

enum class Next { kContinue, kLeave };

struct SlashCommand {
  const char* name;
  Next (*run)(ChatSession& session, const std::string& argument);
};

constexpr SlashCommand kSlashCommands[] = {
    {"/help",
     [](ChatSession&, const std::string&) {
       std::fputs(kHelp, stdout);
       return Next::kContinue;
     }},
    {"/clear",
     [](ChatSession& session, const std::string&) {
       session.clear();
       return Next::kContinue;
     }},
    {"/system",
     [](ChatSession& session, const std::string& text) {
       session.set_system(text);
       session.clear();
       return Next::kContinue;
     }},
    {"/read",
     [](ChatSession& session, const std::string& path) {
       constexpr size_t kLimitBytes = size_t{16} << 20;
       const auto text = read_text_file(path, kLimitBytes);
       if (text) {
         answer(session, *text);
       } else {
         print_error(text.error());
       }
       return Next::kContinue;
     }},
    {"/think",
     [](ChatSession& session, const std::string&) {
       session.set_thinking(true);
       return Next::kContinue;
     }},
    {"/nothink",
     [](ChatSession& session, const std::string&) {
       session.set_thinking(false);
       return Next::kContinue;
     }},
    {"/save",
     [](ChatSession& session, const std::string& path) {
       const Status status = write_text_file(path, dump_json(session.messages(), 2) + "\n");
       if (!status) print_error(status.error());
       return Next::kContinue;
     }},
    {"/stats",
     [](ChatSession& session, const std::string&) {
       std::printf("%ld of %ld tokens of context in use\n", static_cast<long>(session.tokens()),
                   static_cast<long>(session.engine().options().context_tokens));
       return Next::kContinue;
     }},
    {"/quit", [](ChatSession&, const std::string&) { return Next::kLeave; }},
    {"/exit", [](ChatSession&, const std::string&) { return Next::kLeave; }},
};

Next run_slash_command(ChatSession& session, const std::string& line) {
  const size_t space = line.find(' ');
  const std::string name = line.substr(0, space);
  const std::string argument = space == std::string::npos ? "" : line.substr(space + 1);
  for (const SlashCommand& command : kSlashCommands)
    if (name == command.name) return command.run(session, argument);
  std::fprintf(stderr, "no command '%s'; /help lists them\n", name.c_str());
  return Next::kContinue;
}

/// The rest of a block that \"\"\" began; nullopt when it was given up.
std::optional<std::string> read_block(LineReader& reader) {
  std::string block;
  while (const auto line = reader.read("... ")) {
    if (*line == "\"\"\"") return block;
    block += *line + "\n";
  }
  return std::nullopt;
}

}  // namespace

Status run_repl(ChatSession& session) {
  std::fputs("/help lists commands, Ctrl-D leaves.\n", stderr);
  LineReader reader;
  bool warned = false;
  while (true) {
    std::optional<std::string> line = reader.read(">>> ");
    if (!line) {
      std::fputs("\n", stdout);
      if (!interrupted() || warned) return {};
      clear_interrupt();
      warned = true;
      std::fputs("Ctrl-C again or Ctrl-D leaves.\n", stderr);
      continue;
    }
    warned = false;
    if (*line == "\"\"\"") line = read_block(reader);
    clear_interrupt();
    if (!line || line->empty()) continue;
    if (line->front() != '/') {
      answer(session, *line);
    } else if (run_slash_command(session, *line) == Next::kLeave) {
      return {};
    }
  }
}

}  // namespace cadre::cli
