#pragma once
/// Runs the `cadre` binary as a user would.

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "cadre/base/fixtures.h"
#include "cadre/base/json.h"

namespace cadre::fixtures {

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

/// What the program prints, as JSON; a failed expectation if it fails or prints something else.
inline Json json_of(const std::string& arguments) {
  const auto result = run_cadre(arguments);
  EXPECT_EQ(result.exit_code, 0) << arguments << "\n" << result.err;
  const auto document = parse_json(result.out, arguments);
  EXPECT_TRUE(document) << result.out;
  return document ? *document : Json();
}

/// A model of six million parameters that has learnt a little.
inline const std::string kTrainedModel = CADRE_SOURCE_DIR "/tests/data/cadre-xs";

}  // namespace cadre::fixtures
