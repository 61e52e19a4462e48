#pragma once
/// How far a long command is, on standard error: one line that is rewritten on a terminal, a plain line now
/// and then elsewhere.

#include <chrono>
#include <cstdint>
#include <string>

namespace cadre::cli {

/// Thread-compatible. Errors of the terminal are ignored: progress is a courtesy.
class Progress {
 public:
  enum class Unit { kBytes, kTokens, kSteps };

  /// `title` begins every line: "writing weights".
  Progress(std::string title, Unit unit);
  /// Ends the line of an unfinished job, so that what follows starts on its own.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `done` of `total` units; prints when enough time has passed since the last time.
  void update(int64_t done, int64_t total);
  /// As update, with a note that replaces the rate: "perplexity 12.3".
  void update(int64_t done, int64_t total, const std::string& note);
  /// A line of its own, above the one that is rewritten.
  void say(const std::string& text);
  double seconds() const;

 private:
  using Clock = std::chrono::steady_clock;
  void print(const std::string& line, bool last);
  std::string line(int64_t done, int64_t total, const std::string& note) const;

  std::string title_;
  Unit unit_;
  bool terminal_;
  Clock::time_point start_;
  Clock::time_point printed_;
  bool open_ = false;  ///< the cursor stands at the end of a line that may be rewritten
};

}  // namespace cadre::cli
