#include "cadre/cli/progress.h"

#include <fmt/format.h>

#include <cstdio>

#include "cadre/base/units.h"
#include "cadre/cli/io.h"

namespace cadre::cli {
namespace {

constexpr std::chrono::milliseconds kTerminalInterval{100};
constexpr std::chrono::seconds kLogInterval{10};  // lines in a log file: few enough to read
constexpr int kBarWidth = 24;

std::string duration(double seconds) {
  const auto whole = static_cast<int64_t>(seconds + 0.5);
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{}:{:02} min", whole / 60, whole % 60);
  return fmt::format("{}:{:02} h", whole / 3600, whole / 60 % 60);
}

std::string bar(double fraction) {
  const int full = static_cast<int>(fraction * kBarWidth);
  std::string filled;
  for (int i = 0; i < full; ++i) filled += "█";
  std::string rest;
  for (int i = full; i < kBarWidth; ++i) rest += "░";
  return use_color() ? "\x1b[36m" + filled + "\x1b[2m" + rest + "\x1b[0m" : filled + rest;
}

}  // namespace

Progress::Progress(std::string title, Unit unit)
    : title_(std::move(title)),
      unit_(unit),
      terminal_(stderr_is_terminal()),
      start_(Clock::now()),
      printed_(start_) {}

Progress::~Progress() {
  if (open_) std::fputc('\n', stderr);
}

void Progress::say(const std::string& text) {
  if (open_) std::fputs("\r\x1b[K", stderr);
  open_ = false;
  std::fprintf(stderr, "%s\n", text.c_str());
}

double Progress::seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

void Progress::update(int64_t done, int64_t total) { update(done, total, {}); }

void Progress::update(int64_t done, int64_t total, const std::string& note) {
  const bool last = done >= total;
  const Clock::time_point now = Clock::now();
  const bool due = terminal_ ? now - printed_ >= kTerminalInterval : now - printed_ >= kLogInterval;
  if (!due && !(last && open_)) return;
  printed_ = now;
  print(line(done, total, note), last);
}

std::string Progress::line(int64_t done, int64_t total, const std::string& note) const {
  const double fraction = total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 1;
  const double elapsed = seconds();
  const double rate = elapsed > 0 ? static_cast<double>(done) / elapsed : 0;
  const auto amount = [&](int64_t value) {
    return unit_ == Unit::kBytes ? format_bytes(static_cast<double>(value)) : fmt::format("{}", value);
  };
  std::string text = title_;
  if (terminal_) text += " " + bar(fraction);
  text += fmt::format(" {:3.0f} % ({} of {})", 100 * fraction, amount(done), amount(total));
  if (!note.empty()) {
    text += ", " + note;
  } else if (unit_ == Unit::kBytes) {
    text += fmt::format(", {}/s", format_bytes(rate));
  } else if (unit_ == Unit::kTokens) {
    text += fmt::format(", {:.1f} tokens/s", rate);
  }
  if (done < total && rate > 0)
    text += fmt::format(", {} left", duration(static_cast<double>(total - done) / rate));
  return text;
}

void Progress::print(const std::string& line, bool last) {
  if (!terminal_) {
    fmt::print(stderr, "{}\n", line);
    return;
  }
  // Erase to the end of the line: the new text may be shorter.
  fmt::print(stderr, "\r{}\x1b[K{}", line, last ? "\n" : "");
  std::fflush(stderr);
  open_ = !last;
}

}  // namespace cadre::cli
