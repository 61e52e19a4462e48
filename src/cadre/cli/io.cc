#include "cadre/cli/io.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace cadre::cli {

Result<std::string> read_stdin() {
  std::string text;
  char buffer[1 << 16];
  while (true) {
    const ssize_t count = ::read(STDIN_FILENO, buffer, sizeof(buffer));
    if (count == 0) return text;
    if (count > 0) {
      text.append(buffer, static_cast<size_t>(count));
    } else if (errno == EINTR) {
      return fail(ErrorKind::kInterrupt, "interrupted");
    } else {
      return fail(ErrorKind::kIo, "cannot read standard input: {}", std::strerror(errno));
    }
  }
}

Status write_stdout(std::string_view text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (!written || std::fflush(stdout) != 0)
    return fail(ErrorKind::kIo, "cannot write to standard output: {}", std::strerror(errno));
  return {};
}

bool stdin_is_terminal() { return ::isatty(STDIN_FILENO) != 0; }
bool stdout_is_terminal() { return ::isatty(STDOUT_FILENO) != 0; }
bool stderr_is_terminal() { return ::isatty(STDERR_FILENO) != 0; }

bool use_color() { return stderr_is_terminal() && std::getenv("NO_COLOR") == nullptr; }

}  // namespace cadre::cli
