#pragma once
/// Regular expressions as tokenizer.json writes them (Oniguruma's dialect), matched by PCRE2.

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "cadre/base/result.h"

struct pcre2_real_code_8;
struct pcre2_real_match_data_8;
struct pcre2_real_match_context_8;
struct pcre2_real_jit_stack_8;

namespace cadre {

/// Rewrites `pattern` for PCRE2. What PCRE2 would understand differently is rewritten where that is possible
/// and refused by name where it is not (`\b`, class intersections, possessive intervals, ...), so that no
/// pattern silently means something else. Errors: the reason only; the caller knows the field.
Result<std::string> pcre2_from_oniguruma(std::string_view pattern);

/// `text` as a pattern that matches exactly it.
std::string escape_pattern(std::string_view text);

/// What a search needs to write to; one per thread.
class RegexWorkspace {
 public:
  RegexWorkspace();
  RegexWorkspace(RegexWorkspace&&) noexcept;
  RegexWorkspace& operator=(RegexWorkspace&&) noexcept;
  ~RegexWorkspace();

 private:
  friend class Regex;
  pcre2_real_match_data_8* data_ = nullptr;
  pcre2_real_match_context_8* context_ = nullptr;
  pcre2_real_jit_stack_8* stack_ = nullptr;
};

/// One compiled pattern. Immutable, thread-safe, cheap to copy.
class Regex {
 public:
  /// Errors as pcre2_from_oniguruma, and PCRE2's message about a malformed pattern.
  static Result<Regex> compile(std::string_view oniguruma_pattern);

  struct Match {
    size_t begin = 0;
    size_t end = 0;
  };

  /// The first match that begins at or after `from`. `subject` must be valid UTF-8 and `from` the start of a
  /// character (or the end). A search that PCRE2 gives up counts as "no match", so that the rest of the
  /// subject is not cut any further: always the same with one build of PCRE2. Only patterns with nested
  /// repetition reach its step and stack limits.
  std::optional<Match> find(std::string_view subject, size_t from, RegexWorkspace& workspace) const;

 private:
  explicit Regex(std::shared_ptr<const pcre2_real_code_8> code, bool jit)
      : code_(std::move(code)), jit_(jit) {}

  std::shared_ptr<const pcre2_real_code_8> code_;
  bool jit_ = false;
};

}  // namespace cadre
