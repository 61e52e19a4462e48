#pragma once
/// Runs the `cadre` binary as a user would.

#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "cadre/base/scratch_folder_testing.h"

namespace cadre::testing {

struct ProgramResult {
  int exit_code = -1;
  std::string out;
  std::string err;
};

/// `arguments` is shell text: quote what needs it. `prefix` comes before the program (environment, limits).
inline ProgramResult run_cadre(const std::string& arguments, const std::string& input = {},
                               const std::string& prefix = {}) {
  const ScratchFolder scratch;
  scratch.file("in", input);
  const std::string command = prefix + " " + CADRE_PROGRAM + " " + arguments + " <" +
                              (scratch / "in").string() + " >" + (scratch / "out").string() + " 2>" +
                              (scratch / "err").string();
  const int status = std::system(command.c_str());
  ProgramResult result;
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.out = read_file(scratch / "out");
  result.err = read_file(scratch / "err");
  return result;
}

/// The shared data of the project's developers: $CADRE_SHARED, else ../shared beside the source tree.
inline std::filesystem::path shared_folder() {
  const char* folder = std::getenv("CADRE_SHARED");
  return folder != nullptr ? folder : CADRE_SOURCE_DIR "/../shared";
}

}  // namespace cadre::testing
