#pragma once
/// Checks against our own mistakes. A failed check prints the condition with its values and aborts; it can
/// never be reached from input (that is what `Result` is for, and what the fuzz targets prove).

#include <fmt/format.h>

namespace cadre::detail {
[[noreturn]] void check_failed(const char* file, int line, const char* condition, const std::string& detail);
}  // namespace cadre::detail

/// `CADRE_CHECK(rows == out.rows(), "rows {} out {}", rows, out.rows());` On in release builds.
#define CADRE_CHECK(condition, ...)                                                                 \
  do {                                                                                              \
    if (!(condition)) [[unlikely]]                                                                  \
      ::cadre::detail::check_failed(__FILE__, __LINE__, #condition, ::fmt::format("" __VA_ARGS__)); \
  } while (false)

/// As CADRE_CHECK in debug builds, nothing in release: for hot loops.
#ifdef NDEBUG
#define CADRE_DCHECK(condition, ...) \
  do {                               \
  } while (false)
#else
#define CADRE_DCHECK(condition, ...) CADRE_CHECK(condition, __VA_ARGS__)
#endif
