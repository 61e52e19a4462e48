// What is refused, what is noted, and what is left behind.
#include "cadre/convert/convert.h"

#include <gtest/gtest.h>

#include "cadre/base/file.h"
#include "cadre/convert/convert_testing.h"
#include "cadre/formats/gguf_writer.h"
#include "cadre/tensor/blocks.h"
#include "cadre/tensor/convert.h"

namespace cadre {
namespace {

namespace fs = std::filesystem;
using fixtures::small_llama;
using fixtures::small_shape;

class Convert : public fixtures::ConvertTest {
 protected:
  /// The message of converting a model of `config` to GGUF.
  std::string refusal(const Json& config, const ConvertOptions& options = {}) {
    fs::remove_all(path("m"));
    write_model("m", config);
    const auto report = to_gguf("m", "m.gguf", options);
    EXPECT_FALSE(fs::exists(path("m.gguf")));
    return report ? "no error" : report.error().message;
  }
  static bool contains(const std::string& text, std::string_view part) {
    return text.find(part) != text.npos;
  }

  /// A copy of a GGUF file with matrix `name` as random blocks of `type`.
  void replace_tensor(const std::string& in, const std::string& out, const std::string& name, DType type) {
    const GgufFile file = GgufFile::open(path(in)).value();
    GgufMetadata metadata;
    for (const GgufEntry& entry : file.metadata()) metadata.add(entry.key, entry.value);
    std::vector<TensorSpec> specs;
    for (const GgufTensor& tensor : file.tensors())
      specs.push_back(
          {tensor.name, tensor.name == name ? type : *find_ggml_type(tensor.ggml_type)->dtype, tensor.shape});
    GgufWriter writer = GgufWriter::create(path(out), metadata, specs).value();
    for (const TensorSpec& spec : specs) {
      std::vector<std::byte> bytes(static_cast<size_t>(stored_bytes(spec.dtype, spec.shape).value()),
                                   std::byte{0x12});
      if (spec.name != name)
        bytes.assign(file.tensor(spec.name)->bytes.begin(), file.tensor(spec.name)->bytes.end());
      ASSERT_TRUE(writer.write(spec.name, bytes).has_value());
    }
    ASSERT_TRUE(writer.finish().has_value());
  }
};

TEST_F(Convert, WhatGgufCannotSayIsRefusedByName) {
  Json config = small_shape("deepseek-v3");
  config["rope_scaling"]["mscale_all_dim"] = 0.5;
  EXPECT_TRUE(contains(refusal(config), "config.json: field 'rope_scaling.mscale': "));
  config = small_shape("deepseek-v3");
  config["rope_scaling"]["beta_fast"] = 16;
  EXPECT_TRUE(contains(refusal(config), "field 'rope_scaling.beta_fast': GGUF's deepseek2 implies 32"));
  config = small_shape("deepseek-v3");
  config["rope_scaling"] = {{"type", "linear"}, {"factor", 2.0}};
  EXPECT_TRUE(contains(refusal(config), "field 'rope_scaling.type': "));
  config = small_shape("deepseek-v3", 3);
  config["moe_layer_freq"] = 2;
  EXPECT_TRUE(contains(refusal(config), "field 'moe_layer_freq': GGUF's deepseek2 implies 1, found 2"));
  config = small_llama();
  config["rope_scaling"] = {{"rope_type", "llama3"}, {"factor", 8.0}};
  EXPECT_TRUE(contains(refusal(config), "field 'rope_scaling': "));
}

TEST_F(Convert, ATypeThatWouldChangeValuesIsRefused) {
  const std::string message = refusal(small_llama(), {.type = DType::kQ4_0});
  EXPECT_TRUE(contains(message, "tensor 'model.embed_tokens.weight': BF16 cannot become Q4_0")) << message;
  EXPECT_TRUE(contains(message, "quantize")) << message;
}

TEST_F(Convert, AWiderTypeIsMade) {
  write_model("m", small_llama());
  ASSERT_TRUE(to_gguf("m", "m.gguf", {.type = DType::kF32}).has_value());
  const GgufFile file = GgufFile::open(path("m.gguf")).value();
  EXPECT_EQ(file.tensor("token_embd.weight")->dtype, DType::kF32);
  // Products of f32 and rotary pairs instead of halves are summed in another order.
  fixtures::expect_near(fixtures::logits_of(path("m")), fixtures::logits_of(path("m.gguf")), 2e-3F);
}

TEST_F(Convert, AnOutputThatExistsNeedsForce) {
  write_model("m", small_llama());
  ASSERT_TRUE(write_text_file(path("m.gguf"), "old").has_value());
  auto report = to_gguf("m", "m.gguf");
  ASSERT_FALSE(report.has_value());
  EXPECT_EQ(report.error().kind, ErrorKind::kUsage);
  EXPECT_TRUE(contains(report.error().message, "--force"));
  EXPECT_EQ(read_text_file(path("m.gguf")).value(), "old");
  ASSERT_TRUE(to_gguf("m", "m.gguf", {.force = true}).has_value());

  EXPECT_FALSE(to_directory("m.gguf", "m").has_value());
  fs::create_directories(path("other"));
  ASSERT_TRUE(write_text_file(path("other") / "file", "precious").has_value());
  report = to_directory("m.gguf", "other", {.force = true});
  ASSERT_FALSE(report.has_value());
  EXPECT_TRUE(contains(report.error().message, "no config.json"));
  report = to_directory("m.gguf", "m", {.force = true});
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(folder_.names().size(), 3u);
  EXPECT_TRUE(Model::load(path("m")).has_value());
}

TEST_F(Convert, TheModelItselfIsNotReplaced) {
  write_model("m", small_llama());
  ASSERT_TRUE(to_gguf("m", "m/inside.gguf").has_value());
  const auto report = to_directory("m/inside.gguf", "m", {.force = true});
  ASSERT_FALSE(report.has_value());
  EXPECT_TRUE(contains(report.error().message, "holds the model"));
}

TEST_F(Convert, TypesWithoutACounterpartAreDecodedAndNoted) {
  Json config = small_llama();
  config["hidden_size"] = 256;
  write_model("m", config);
  ASSERT_TRUE(to_gguf("m", "m.gguf").has_value());
  replace_tensor("m.gguf", "k.gguf", "blk.0.ffn_up.weight", DType::kQ4_K);
  const std::string name = "model.layers.0.mlp.up_proj.weight";
  const auto rounded = to_directory("k.gguf", "rounded");
  ASSERT_TRUE(rounded.has_value()) << rounded.error().message;
  ASSERT_EQ(rounded->notes.size(), 1U);
  EXPECT_EQ(rounded->notes[0], "1 tensor of Q4_K: rounded to BF16; --type f32 keeps every value");
  const auto exact = to_directory("k.gguf", "exact", {.type = DType::kF32});
  ASSERT_TRUE(exact.has_value()) << exact.error().message;
  const GgufFile file = GgufFile::open(path("k.gguf")).value();
  std::vector<float> row(256);
  decode_row(DType::kQ4_K, file.tensor("blk.0.ffn_up.weight")->bytes.data(), row.data(), 256);
  const SafetensorsFile found = SafetensorsFile::open(path("exact") / "model.safetensors").value();
  EXPECT_EQ(std::memcmp(found.tensor(name)->bytes.data(), row.data(), 1024), 0);
  const SafetensorsFile narrow = SafetensorsFile::open(path("rounded") / "model.safetensors").value();
  for (size_t i = 0; i < row.size(); ++i) {
    uint16_t bits = 0;
    std::memcpy(&bits, narrow.tensor(name)->bytes.data() + 2 * i, 2);
    ASSERT_EQ(bits, f32_to_bf16(row[i]));
  }
}

TEST_F(Convert, ExpertsOfDifferentTypesCannotBeStacked) {
  write_model("m", small_shape("deepseek-v3"));
  const fs::path file = path("m") / "model.safetensors";
  std::vector<NamedTensor> tensors;
  std::vector<std::byte> zeros(64 * 96 * 4);
  const SafetensorsFile weights = SafetensorsFile::open(file).value();
  for (NamedTensor tensor : weights.tensors()) {
    if (tensor.name == "model.layers.1.mlp.experts.5.up_proj.weight")
      tensor.tensor = {DType::kF32, tensor.tensor.shape, zeros};
    tensors.push_back(std::move(tensor));
  }
  ASSERT_TRUE(write_safetensors(file, tensors).has_value());
  const auto report = to_gguf("m", "m.gguf");
  ASSERT_FALSE(report.has_value());
  EXPECT_TRUE(
      contains(report.error().message,
               "tensor 'model.layers.1.mlp.experts.5.up_proj.weight': BF16 expected, as of the experts"))
      << report.error().message;
}

TEST_F(Convert, APreTokenizerWithoutANameNeedsOne) {
  const fs::path trained = fs::path(CADRE_SOURCE_DIR) / "tests" / "data" / "cadre-xs";
  fs::copy(trained, path("b"), fs::copy_options::recursive);
  std::string json = read_text_file(path("b") / "tokenizer.json").value();
  const size_t at = json.find("{1,3}");
  ASSERT_NE(at, json.npos);
  json.replace(at, 5, "{1,4}");
  ASSERT_TRUE(write_text_file(path("b") / "tokenizer.json", json).has_value());
  auto report = to_gguf("b", "b.gguf");
  ASSERT_FALSE(report.has_value());
  EXPECT_TRUE(contains(report.error().message, "tokenizer.json: field 'pre_tokenizer': "))
      << report.error().message;
  report = to_gguf("b", "b.gguf", {.pre_tokenizer = "nonsense"});
  EXPECT_FALSE(report.has_value());
  report = to_gguf("b", "b.gguf", {.pre_tokenizer = "deepseek-v3"});
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(GgufFile::open(path("b.gguf"))->string("tokenizer.ggml.pre"), "deepseek-v3");
}

TEST_F(Convert, AMalformedListOfNarrowTensorsIsNamed) {
  write_model("m", small_llama());
  ASSERT_TRUE(to_gguf("m", "m.gguf").has_value());
  const GgufFile file = GgufFile::open(path("m.gguf")).value();
  for (const std::string_view bad : {"no sign", "x=q4", "x=", "="}) {
    GgufMetadata metadata;
    for (const GgufEntry& entry : file.metadata())
      if (entry.key != kNarrowTensorsKey) metadata.add(entry.key, entry.value);
    metadata.add_strings(kNarrowTensorsKey, std::span(&bad, 1));
    std::vector<TensorSpec> specs;
    for (const GgufTensor& tensor : file.tensors())
      specs.push_back({tensor.name, *find_ggml_type(tensor.ggml_type)->dtype, tensor.shape});
    GgufWriter writer = GgufWriter::create(path("bad.gguf"), metadata, specs).value();
    for (const TensorSpec& spec : specs)
      ASSERT_TRUE(writer.write(spec.name, file.tensor(spec.name)->bytes).has_value());
    ASSERT_TRUE(writer.finish().has_value());
    const auto report = to_directory("bad.gguf", "bad");
    ASSERT_FALSE(report.has_value()) << bad;
    EXPECT_TRUE(contains(report.error().message, "key 'cadre.narrow_tensors'")) << report.error().message;
  }
}

}  // namespace
}  // namespace cadre
