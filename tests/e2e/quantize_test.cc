// `cadre quantize` on a small trained model and, where it is there, on the reference checkpoints.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "cadre/base/fixtures.h"
#include "cadre/base/json.h"
#include "cadre/base/shared_folder_testing.h"
#include "cadre/formats/safetensors.h"
#include "program.h"

namespace cadre {
namespace {

using fixtures::json_of;
using fixtures::kTrainedModel;
using fixtures::run_cadre;
using fixtures::ScratchFolder;

double perplexity(const std::string& model) {
  return json_of("perplexity " + model +
                 " " CADRE_SOURCE_DIR "/tests/data/cadre-xs/README.md --json")["perplexity"]
      .get<double>();
}

TEST(QuantizeCommand, ATrainedModelStaysItself) {
  const ScratchFolder scratch;
  const double before = perplexity(kTrainedModel);
  for (const auto& [type, ratio] : {std::pair{"q8", 1.01}, std::pair{"q4", 1.06}}) {
    const std::string out = (scratch / type).string();
    const Json report = json_of("quantize " + kTrainedModel + " " + out + " --json --type " + type);
    EXPECT_LT(report["bytes"].get<double>(), report["source_bytes"].get<double>());
    EXPECT_LT(perplexity(out), before * ratio) << type;
    const Json facts = json_of("inspect " + out + " --json");
    EXPECT_EQ(facts["parameters"], report["parameters"]);
    EXPECT_EQ(facts["bytes"], report["bytes"]);
    EXPECT_EQ(facts["weights"]["routed experts"]["dtypes"][type], 240);
    const auto answer = run_cadre("run -q --temp 0 -n 8 -p Hello " + out);
    EXPECT_EQ(answer.exit_code, 0) << answer.err;
    EXPECT_FALSE(answer.out.empty());
  }
}

TEST(QuantizeCommand, ADryRunShowsThePlanAndWritesNothing) {
  const ScratchFolder scratch;
  const std::string out = (scratch / "out").string();
  const auto result = run_cadre("quantize " + kTrainedModel + " " + out + " --dry-run --rule '*.down=q8'");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  for (const char* part : {"routed experts", "q4", "q8", "bits per weight"})
    EXPECT_NE(result.out.find(part), std::string::npos) << result.out;
  EXPECT_FALSE(std::filesystem::exists(out));
  EXPECT_FALSE(std::filesystem::exists(out + ".partial"));
}

TEST(QuantizeCommand, WrongUsageSaysWhatWasExpected) {
  const ScratchFolder scratch;
  const std::string in_out = "quantize " + kTrainedModel + " " + (scratch / "out").string();
  for (const auto& [flags, part] :
       {std::pair{" --type q5", "mxfp4"}, std::pair{" --rule head=q5", "mxfp4"},
        std::pair{" --rule head", "GLOB=TYPE"}, std::pair{" --rule layers.77.attention.o=q8", "layers.77"}}) {
    const auto result = run_cadre(in_out + flags);
    EXPECT_EQ(result.exit_code, 2) << flags;
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
  }
}

std::vector<float> logits_of(const std::string& model, const ScratchFolder& scratch) {
  scratch.file("ids.json", "[5, 9, 120, 33, 100, 7, 7, 61]");
  const std::string out = (scratch / "logits.safetensors").string();
  const auto result =
      run_cadre("logits " + model + " --ids " + (scratch / "ids.json").string() + " --out " + out);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const auto file = SafetensorsFile::open(out);
  std::vector<float> values;
  if (!file || file->find("logits.0") == nullptr) return values;
  const auto bytes = file->find("logits.0")->bytes;
  values.resize(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

/// Also that FP8 with block scales is a source, and queries through a low rank.
TEST(QuantizeCommand, WithoutRoundingTheReferenceModelsStayWhatTheyAre) {
  for (const char* name : {"v2lite_tiny", "v2_tiny", "v3_tiny", "v3_fp8_tiny"}) {
    const std::filesystem::path source = fixtures::shared_folder() / "golden" / name;
    if (!std::filesystem::exists(source))
      GTEST_SKIP() << source << " is not there (CADRE_SHARED names its folder)";
    const ScratchFolder scratch;
    const std::string out = (scratch / "out").string();
    const auto made = run_cadre("quantize " + source.string() + " " + out + " --rule '*=f32'");
    ASSERT_EQ(made.exit_code, 0) << made.err;
    const std::vector<float> before = logits_of(source.string(), scratch);
    const std::vector<float> after = logits_of(out, scratch);
    ASSERT_EQ(before.size(), after.size());
    ASSERT_FALSE(before.empty());
    // The halves of kv_b_proj are multiplied in another order.
    for (size_t i = 0; i < before.size(); ++i) ASSERT_NEAR(before[i], after[i], 2e-5f) << name << ' ' << i;
    const auto packed =
        run_cadre("quantize " + source.string() + " " + (scratch / "q8").string() + " --type q8");
    ASSERT_EQ(packed.exit_code, 0) << packed.err;
    for (const float value : logits_of((scratch / "q8").string(), scratch)) ASSERT_TRUE(std::isfinite(value));
  }
}

}  // namespace
}  // namespace cadre
