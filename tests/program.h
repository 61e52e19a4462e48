#pragma once
/// Runs the `cadre` binary as a user would.

#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace cadre::testing {

struct ProgramResult {
  int exit_code = -1;
  std::string out;
  std::string err;
};

inline std::string slurp(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

/// A folder of this test process, removed at its end.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "cadre-test-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// `arguments` is shell text: quote what needs it. `prefix` comes before the program (environment, limits).
inline ProgramResult run_cadre(const std::string& arguments, const std::string& input = {},
                               const std::string& prefix = {}) {
  const ScratchFolder scratch;
  std::ofstream(scratch / "in", std::ios::binary) << input;
  const std::string command = prefix + " " + CADRE_PROGRAM + " " + arguments + " <" +
                              (scratch / "in").string() + " >" + (scratch / "out").string() + " 2>" +
                              (scratch / "err").string();
  const int status = std::system(command.c_str());
  ProgramResult result;
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.out = slurp(scratch / "out");
  result.err = slurp(scratch / "err");
  return result;
}

/// The shared data of the project's developers: $CADRE_SHARED, else ../shared beside the source tree.
inline std::filesystem::path shared_folder() {
  const char* folder = std::getenv("CADRE_SHARED");
  return folder != nullptr ? folder : CADRE_SOURCE_DIR "/../shared";
}

}  // namespace cadre::testing
