#pragma once
/// Errors of the outside world (files, requests, configurations) as values.
///
/// A function that can fail for a reason outside the program returns `Result<T>`. Its `Error` says what
/// failed, where, what was expected and what was found, in one sentence that a user can act on. Nothing in
/// the library prints, exits or throws; entry points do the printing.

#include <fmt/format.h>

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace cadre {

/// What kind of thing went wrong; the message says which one.
enum class ErrorKind {
  kInvalid,    ///< input that does not mean what it should: a malformed file, a contradictory field
  kNotFound,   ///< a file, a tensor or a name that is not there
  kIo,         ///< the operating system refused: permission, full disk, short read
  kTooLarge,   ///< over a budget or a limit
  kUsage,      ///< the command line asks for something that does not exist
  kInterrupt,  ///< the user asked to stop
  kBusy,       ///< cannot be taken on now; later it may
};

struct [[nodiscard]] Error {
  ErrorKind kind = ErrorKind::kInvalid;
  std::string message;
};

template <typename T>
using Result = tl::expected<T, Error>;
using Status = tl::expected<void, Error>;

/// `return fail(ErrorKind::kIo, "{}: cannot open: {}", path, reason);`
template <typename... Args>
[[nodiscard]] tl::unexpected<Error> fail(ErrorKind kind, fmt::format_string<Args...> format, Args&&... args) {
  return tl::unexpected<Error>(Error{kind, fmt::format(format, std::forward<Args>(args)...)});
}

/// Most errors are of kind kInvalid.
template <typename... Args>
[[nodiscard]] tl::unexpected<Error> invalid(fmt::format_string<Args...> format, Args&&... args) {
  return tl::unexpected<Error>(Error{ErrorKind::kInvalid, fmt::format(format, std::forward<Args>(args)...)});
}

}  // namespace cadre

#define CADRE_CONCAT_INNER(a, b) a##b
#define CADRE_CONCAT(a, b) CADRE_CONCAT_INNER(a, b)
#define CADRE_TRY_IMPL(result, declaration, ...)                                   \
  auto result = (__VA_ARGS__);                                                     \
  if (!result) return ::tl::unexpected<::cadre::Error>(std::move(result).error()); \
  declaration = std::move(result).value()

/// `CADRE_TRY(const File file, File::open(path));` returns the Error upwards, or declares `file`.
#define CADRE_TRY(declaration, ...) \
  CADRE_TRY_IMPL(CADRE_CONCAT(cadre_result_, __LINE__), declaration, __VA_ARGS__)

/// `CADRE_CHECK_OK(write(...));` for a Status: returns the Error upwards.
#define CADRE_CHECK_OK(...)                                                     \
  do {                                                                          \
    if (auto cadre_status = (__VA_ARGS__); !cadre_status)                       \
      return ::tl::unexpected<::cadre::Error>(std::move(cadre_status).error()); \
  } while (false)
