// The command line as a user meets it: help, versions, exit codes.
#include <gtest/gtest.h>

#include <sstream>

#include "cadre/base/json.h"
#include "program.h"

namespace cadre {
namespace {

using fixtures::run_cadre;

TEST(CommandLine, HelpListsTheCommandsAndSucceeds) {
  const auto result = run_cadre("--help");
  EXPECT_EQ(result.exit_code, 0);
  for (const char* command : {"run", "bench", "inspect", "init", "tokenize", "chat-template", "logits",
                              "perplexity", "imatrix", "quantize", "convert"})
    EXPECT_NE(result.out.find(command), std::string::npos) << command;
}

TEST(CommandLine, EachCommandHasHelp) {
  for (const char* command : {"run", "bench", "inspect", "init", "tokenize", "chat-template", "logits",
                              "perplexity", "imatrix", "quantize", "convert"}) {
    const auto result = run_cadre(std::string(command) + " --help");
    EXPECT_EQ(result.exit_code, 0) << command;
    EXPECT_NE(result.out.find("Usage"), std::string::npos) << command;
  }
}

TEST(CommandLine, WrongUsageIsTwo) {
  for (const char* arguments :
       {"", "nonsense", "run --nonsense", "logits", "run -t many", "run --kv-type f8 -p x",
        "run --device cuda:0 -p x", "run --isa mips -p x", "run --temp -1 -p x", "run --compute f64 -p x",
        "bench -t -1", "run --seed -1 -p x", "run --seed 99999999999999999999 -p x",
        "init deepseek-v2-lite x --seed 1.5", "quantize a b --type q5", "quantize a b --rule head", "convert",
        "run --repack on -p x"}) {
    const auto result = run_cadre(arguments);
    EXPECT_EQ(result.exit_code, 2) << arguments << "\n" << result.err;
    EXPECT_FALSE(result.err.empty()) << arguments;
  }
}

TEST(CommandLine, PlannedCommandsSayThatTheyAreNotThere) {
  for (const char* command : {"eval", "plan", "experts", "redteam"}) {
    const auto result = run_cadre(std::string(command) + " whatever --flag");
    EXPECT_EQ(result.exit_code, 2) << command;
    EXPECT_NE(result.err.find("not there yet"), std::string::npos) << command;
  }
}

TEST(CommandLine, VersionNamesCompilerAndInstructionSets) {
  EXPECT_NE(run_cadre("--version").out.find("instruction sets here: generic"), std::string::npos);
  const auto document = parse_json(run_cadre("--version --json").out, "version");
  ASSERT_TRUE(document.has_value());
  EXPECT_EQ((*document)["isa"][0], "generic");
}

TEST(CommandLine, AMissingModelIsOneAndListsWhereItLooked) {
  const auto result = run_cadre("inspect no-such-model");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find("no-such-model"), std::string::npos);
}

TEST(CommandLine, FlagsHaveEnvironmentTwins) {
  const auto result = run_cadre("run -p hello", "", "CADRE_KV_TYPE=f8");
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.err.find("--kv-type"), std::string::npos) << result.err;
  EXPECT_EQ(run_cadre("tokenize --text b", "", "CADRE_JSON=1 CADRE_TEXT=a").out,
            run_cadre("tokenize --json --text b").out);
  EXPECT_EQ(run_cadre("run -q", "", "CADRE_PROMPT=a CADRE_RAW=1 CADRE_PREDICT=2 CADRE_TEMP=0").out,
            run_cadre("run -q -p a --raw -n 2 --temp 0").out);
  EXPECT_EQ(run_cadre("tokenize", "", "CADRE_JSON=perhaps CADRE_TEXT=a").exit_code, 2);
}

TEST(CommandLine, ATwinOfAnotherCommandIsNotRead) {
  EXPECT_EQ(run_cadre("tokenize --text a", "", "CADRE_LAYERS=many CADRE_REPEAT=often").exit_code, 0);
  EXPECT_EQ(run_cadre("init deepseek-v2-lite x", "", "CADRE_LAYERS=many").exit_code, 2);
}

TEST(CommandLine, EveryFlagOfEveryCommandNamesItsTwin) {
  for (const char* command :
       {"run", "bench", "inspect", "init", "tokenize", "chat-template", "logits", "perplexity", "imatrix"}) {
    std::istringstream help(run_cadre(std::string(command) + " --help").out);
    for (std::string line; std::getline(help, line);) {
      if (!line.starts_with("  -") || line.starts_with("  -h,--help")) continue;
      EXPECT_NE(line.find("(Env:CADRE_"), std::string::npos) << command << ": " << line;
    }
  }
}

TEST(CommandLine, OutputThatCannotBeWrittenIsOne) {
  for (const char* arguments : {"--help", "--version", "run --help", "inspect", "tokenize --text a"}) {
    const std::string command = std::string(CADRE_PROGRAM) + " " + arguments + " >/dev/full 2>/dev/null";
    EXPECT_EQ(WEXITSTATUS(std::system(command.c_str())), 1) << arguments;
  }
}

}  // namespace
}  // namespace cadre
