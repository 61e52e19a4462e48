#include "cadre/text/pre_tokenizer_regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <new>

namespace cadre {
namespace {

// A match of a published pattern takes a few steps per character. Ten million (PCRE2's own default) end a
// runaway pattern within a second; the heap and stack limits are only there to bound memory.
constexpr uint32_t kMatchLimit = 10'000'000;
constexpr uint32_t kHeapLimitKib = 64 * 1024;
constexpr size_t kJitStackStart = size_t{32} * 1024;
constexpr size_t kJitStackLimit = size_t{1024} * 1024;

}  // namespace

RegexWorkspace::RegexWorkspace()
    : data_(pcre2_match_data_create(1, nullptr)),
      context_(pcre2_match_context_create(nullptr)),
      stack_(pcre2_jit_stack_create(kJitStackStart, kJitStackLimit, nullptr)) {
  if (data_ == nullptr || context_ == nullptr) throw std::bad_alloc();
  pcre2_set_match_limit(context_, kMatchLimit);
  pcre2_set_heap_limit(context_, kHeapLimitKib);
  // Without JIT support there is no stack, and none is needed.
  if (stack_ != nullptr) pcre2_jit_stack_assign(context_, nullptr, stack_);
}

RegexWorkspace::RegexWorkspace(RegexWorkspace&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      context_(std::exchange(other.context_, nullptr)),
      stack_(std::exchange(other.stack_, nullptr)) {}

RegexWorkspace& RegexWorkspace::operator=(RegexWorkspace&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(context_, other.context_);
  std::swap(stack_, other.stack_);
  return *this;
}

RegexWorkspace::~RegexWorkspace() {
  pcre2_match_data_free(data_);
  pcre2_match_context_free(context_);
  pcre2_jit_stack_free(stack_);
}

Result<Regex> Regex::compile(std::string_view oniguruma_pattern) {
  CADRE_TRY(const std::string pattern, pcre2_from_oniguruma(oniguruma_pattern));
  const std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), &pcre2_compile_context_free);
  if (context == nullptr) throw std::bad_alloc();
  // As in Oniguruma `.`, `^` and `$` know one line end, and the anchors work at every line.
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  constexpr uint32_t kOptions = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
  int error = 0;
  size_t offset = 0;
  pcre2_code* const raw = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                        kOptions, &error, &offset, context.get());
  if (raw == nullptr) {
    char reason[256] = "unknown error";
    pcre2_get_error_message(error, reinterpret_cast<PCRE2_UCHAR*>(reason), sizeof(reason));
    return invalid("{} (in '{}', byte {})", reason, pattern, offset);
  }
  std::shared_ptr<const pcre2_code> code(
      raw, [](const pcre2_code* c) { pcre2_code_free(const_cast<pcre2_code*>(c)); });
  const bool jit = pcre2_jit_compile(raw, PCRE2_JIT_COMPLETE) == 0;
  return Regex(std::move(code), jit);
}

std::optional<Regex::Match> Regex::find(std::string_view subject, size_t from,
                                        RegexWorkspace& workspace) const {
  const auto* const text = reinterpret_cast<PCRE2_SPTR>(subject.data());
  const int count = jit_ ? pcre2_jit_match(code_.get(), text, subject.size(), from, PCRE2_NO_UTF_CHECK,
                                           workspace.data_, workspace.context_)
                         : pcre2_match(code_.get(), text, subject.size(), from, PCRE2_NO_UTF_CHECK,
                                       workspace.data_, workspace.context_);
  // 0 means more groups than the workspace has room for; only the whole match is of interest.
  if (count < 0) return std::nullopt;
  const size_t* const ends = pcre2_get_ovector_pointer(workspace.data_);
  return Match{.begin = ends[0], .end = ends[1]};
}

}  // namespace cadre
