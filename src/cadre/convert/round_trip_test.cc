// Directory -> GGUF -> directory: the same tensors, the same logits, the same tokens.
#include <gtest/gtest.h>

#include "cadre/base/file.h"
#include "cadre/convert/convert_testing.h"
#include "cadre/formats/gguf_writer.h"
#include "cadre/runtime/text_assets.h"
#include "cadre/tensor/blocks.h"
#include "cadre/tensor/repack.h"

namespace cadre {
namespace {

namespace fs = std::filesystem;
using fixtures::ConvertTest;
using fixtures::expect_near;
using fixtures::expect_same_tensors;
using fixtures::logits_of;
using fixtures::small_llama;
using fixtures::small_shape;

class RoundTrip : public ConvertTest {
 protected:
  void there_and_back(const std::string& model) {
    const auto there = to_gguf(model, model + ".gguf");
    ASSERT_TRUE(there.has_value()) << there.error().message;
    const auto back = to_directory(model + ".gguf", model + "_back");
    ASSERT_TRUE(back.has_value()) << back.error().message;
  }
};

TEST_F(RoundTrip, EveryFamilyKeepsTensorsAndLogits) {
  const std::pair<const char*, Json> models[] = {{"v2lite", small_shape("deepseek-v2-lite")},
                                                 {"v2", small_shape("deepseek-v2")},
                                                 {"v3", small_shape("deepseek-v3", 3)},
                                                 {"cadre", small_shape("cadre-s")},
                                                 {"llama", small_llama()}};
  for (const auto& [name, config] : models)
    for (const DType type : {DType::kBF16, DType::kF32}) {
      SCOPED_TRACE(std::string(name) + (type == DType::kF32 ? " F32" : " BF16"));
      const std::string model = std::string(name) + (type == DType::kF32 ? "_f32" : "_bf16");
      write_model(model, config, type);
      there_and_back(model);
      expect_same_tensors(path(model), path(model + "_back"));
      const std::vector<float> logits = logits_of(path(model));
      EXPECT_EQ(logits, logits_of(path(model + "_back")));
      // The halves of kv_b_proj are summed in another order.
      expect_near(logits, logits_of(path(model + ".gguf")), 2e-3F);
    }
}

TEST_F(RoundTrip, PackedTypesWithACounterpartComeBackBitForBit) {
  for (const DType type : {DType::kPackedQ4, DType::kPackedQ8, DType::kPackedMXFP4}) {
    SCOPED_TRACE(name(type));
    const std::string model(name(type));
    write_model(model, small_llama());
    fixtures::pack_matrices(path(model), type);
    // Rows of queries and keys change places within a head: the values of a row stay together.
    there_and_back(model);
    expect_same_tensors(path(model), path(model + "_back"));
    EXPECT_EQ(logits_of(path(model)), logits_of(path(model + "_back")));
  }
}

TEST_F(RoundTrip, PackedExpertsComeBackAndPackedKeysAsTheirValues) {
  write_model("model", small_shape("deepseek-v3", 2));
  fixtures::pack_matrices(path("model"), DType::kPackedQ4);
  there_and_back("model");
  const SafetensorsFile before = SafetensorsFile::open(path("model") / "model.safetensors").value();
  const SafetensorsFile after = SafetensorsFile::open(path("model_back") / "model.safetensors").value();
  for (const NamedTensor& tensor : before.tensors()) {
    const StoredTensor* other = after.find(tensor.name);
    ASSERT_NE(other, nullptr) << tensor.name;
    if (!tensor.name.ends_with("kv_b_proj.weight")) {
      EXPECT_TRUE(std::equal(other->bytes.begin(), other->bytes.end(), tensor.tensor.bytes.begin(),
                             tensor.tensor.bytes.end()))
          << tensor.name;
      continue;
    }
    ASSERT_EQ(other->dtype, DType::kF32);
    const int64_t cols = tensor.tensor.shape[1];
    std::vector<float> row(static_cast<size_t>(cols));
    for (int64_t r = 0; r < tensor.tensor.shape[0]; ++r) {
      decode_packed_row(DType::kPackedQ4, tensor.tensor.bytes.data(), cols, r, 0, cols, row.data());
      EXPECT_EQ(std::memcmp(row.data(), other->bytes.data() + r * cols * 4, row.size() * 4), 0)
          << "row " << r;
    }
  }
  expect_near(logits_of(path("model")), logits_of(path("model_back")), 0.05F);
}

TEST_F(RoundTrip, NarrowTypesBecomeQ8WithTheSameValues) {
  for (const DType type : {DType::kPackedQ6, DType::kPackedQ3, DType::kPackedQ2}) {
    SCOPED_TRACE(name(type));
    const std::string model(name(type));
    write_model(model, small_llama());
    fixtures::pack_matrices(path(model), type);
    const auto report = to_gguf(model, model + ".gguf");
    ASSERT_TRUE(report.has_value()) << report.error().message;
    ASSERT_FALSE(report->notes.empty());
    EXPECT_NE(report->notes[0].find("stored as Q8_0, the same values"), std::string::npos)
        << report->notes[0];
    const GgufFile file = GgufFile::open(path(model + ".gguf")).value();
    const StoredTensor down = file.tensor("blk.1.ffn_down.weight").value();
    EXPECT_EQ(down.dtype, DType::kQ8_0);
    const SafetensorsFile before = SafetensorsFile::open(path(model) / "model.safetensors").value();
    const StoredTensor packed = before.tensor("model.layers.1.mlp.down_proj.weight").value();
    const int64_t cols = packed.shape[1];
    std::vector<float> expected(static_cast<size_t>(cols));
    std::vector<float> found(static_cast<size_t>(cols));
    for (int64_t r = 0; r < packed.shape[0]; ++r) {
      decode_packed_row(type, packed.bytes.data(), cols, r, 0, cols, expected.data());
      decode_row(down.dtype, down.bytes.data() + r * row_bytes(down.dtype, cols), found.data(), cols);
      ASSERT_EQ(found, expected) << "row " << r;
    }
  }
}

TEST_F(RoundTrip, TokenizerAndTemplateSayTheSame) {
  const fs::path trained = fs::path(CADRE_SOURCE_DIR) / "tests" / "data" / "cadre-xs";
  const auto there = convert_to_gguf(trained, path("b.gguf"), {}, fixtures::kNoProgress);
  ASSERT_TRUE(there.has_value()) << there.error().message;
  const auto back = to_directory("b.gguf", "b");
  ASSERT_TRUE(back.has_value()) << back.error().message;
  const TextAssets original = load_text_assets(trained).value();
  const TextAssets gguf = load_text_assets(path("b.gguf")).value();
  const TextAssets again = load_text_assets(path("b")).value();
  const std::string texts[] = {"Hello, world! 12345 times.",
                               "<｜User｜>Grüße, 你好 \xF0\x9F\x98\x80<｜Assistant｜>",
                               "  tabs\tand\n\nlines  ", "\xFF\xFE broken", "don't we're O'Neill"};
  for (const std::string& text : texts) {
    const auto ids = original.tokenizer.encode(text).value();
    EXPECT_EQ(gguf.tokenizer.encode(text).value(), ids) << text;
    EXPECT_EQ(again.tokenizer.encode(text).value(), ids) << text;
    EXPECT_EQ(gguf.tokenizer.decode(ids).value(), text);
  }
  for (const TextAssets* assets : {&gguf, &again}) {
    EXPECT_EQ(assets->bos_token, original.bos_token);
    EXPECT_EQ(assets->eos_token, original.eos_token);
    EXPECT_EQ(assets->tokenizer.adds_bos(), original.tokenizer.adds_bos());
    EXPECT_EQ(assets->stop_tokens, original.stop_tokens);
    EXPECT_EQ(assets->chat_template.has_value(), original.chat_template.has_value());
  }
  expect_same_tensors(trained, path("b"));
}

TEST_F(RoundTrip, SplitProjectionsOfADirectoryStayAsTheyAre) {
  write_model("model", small_shape("deepseek-v3", 2));
  ASSERT_TRUE(to_gguf("model", "model.gguf").has_value());
  // A GGUF file whose keys are quantised cannot have them joined with the values.
  const GgufFile file = GgufFile::open(path("model.gguf")).value();
  GgufMetadata metadata;
  for (const GgufEntry& entry : file.metadata()) metadata.add(entry.key, entry.value);
  std::vector<TensorSpec> specs;
  std::map<std::string, std::vector<std::byte>> data;
  for (const GgufTensor& tensor : file.tensors()) {
    const StoredTensor stored = file.tensor(tensor.name).value();
    TensorSpec spec{tensor.name, stored.dtype, stored.shape};
    std::vector<std::byte> bytes(stored.bytes.begin(), stored.bytes.end());
    if (tensor.name.ends_with("attn_k_b.weight")) {
      spec.dtype = DType::kQ8_0;
      bytes.assign(static_cast<size_t>(stored_bytes(spec.dtype, spec.shape).value()), std::byte{0x11});
    }
    specs.push_back(spec);
    data[tensor.name] = std::move(bytes);
  }
  GgufWriter writer = GgufWriter::create(path("q.gguf"), metadata, specs).value();
  for (const TensorSpec& spec : specs) ASSERT_TRUE(writer.write(spec.name, data[spec.name]).has_value());
  ASSERT_TRUE(writer.finish().has_value());

  ASSERT_TRUE(to_directory("q.gguf", "q").has_value());
  const SafetensorsFile split = SafetensorsFile::open(path("q") / "model.safetensors").value();
  EXPECT_EQ(split.tensor("model.layers.0.self_attn.k_b_proj.weight").value().dtype, DType::kPackedQ8);
  expect_near(logits_of(path("q.gguf")), logits_of(path("q")), 0.05F);
  ASSERT_TRUE(to_gguf("q", "again.gguf").has_value());
  const GgufFile again = GgufFile::open(path("again.gguf")).value();
  for (const TensorSpec& spec : specs) {
    const StoredTensor found = again.tensor(spec.name).value();
    EXPECT_EQ(found.shape, spec.shape) << spec.name;
    EXPECT_TRUE(
        std::equal(found.bytes.begin(), found.bytes.end(), data[spec.name].begin(), data[spec.name].end()))
        << spec.name;
  }
}

}  // namespace
}  // namespace cadre
