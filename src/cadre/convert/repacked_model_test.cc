// GGUF models whose row layouts are packed at load.
#include <gtest/gtest.h>

#include "cadre/convert/convert_testing.h"

namespace cadre {
namespace {

namespace fs = std::filesystem;
using fixtures::logits_of;
using fixtures::small_llama;
using fixtures::small_shape;

class RepackedModel : public fixtures::ConvertTest {
 protected:
  /// A GGUF model with matrices of `type`'s row layout.
  void write_gguf(const Json& config, DType type) {
    fs::remove_all(path("m"));
    write_model("m", config);
    fixtures::pack_matrices(path("m"), type);
    const auto report = to_gguf("m", "m.gguf", {.force = true});
    ASSERT_TRUE(report.has_value()) << report.error().message;
  }
  Model load(const LoadOptions& options) { return Model::load(path("m.gguf"), options).value(); }
};

TEST_F(RepackedModel, IsTheDirectoryThatTheFileWasMadeFrom) {
  for (const DType type : {DType::kPackedQ4, DType::kPackedQ8, DType::kPackedMXFP4}) {
    SCOPED_TRACE(name(type));
    Json config = small_llama();
    config["cadre_rope_interleaved"] = true;  // no row changes its place
    write_gguf(config, type);
    const Model model = load({.repack = true, .threads = 2});
    EXPECT_GT(model.repacked().bytes(), 0);
    EXPECT_EQ(model.row_layout_bytes(), 0);
    const auto& block = model.transformer().blocks[1];
    EXPECT_EQ(std::get<SwigluFfn>(block.ffn).down_proj.dtype, type);
    // A token reads one row of the table, so it stays where it is.
    EXPECT_FALSE(is_packed(model.transformer().embedding.dtype));
    EXPECT_EQ(model.transformer().head.dtype, type);
    for (const int threads : {1, 3})
      EXPECT_EQ(logits_of(path("m.gguf"), {.repack = true, .threads = threads}), logits_of(path("m")));
  }
}

TEST_F(RepackedModel, OffReadsTheFileWhereItIsMapped) {
  write_gguf(small_shape("deepseek-v3"), DType::kPackedQ4);
  const Model model = load({});
  EXPECT_EQ(model.repacked().bytes(), 0);
  EXPECT_GT(model.row_layout_bytes(), 0);
  const auto& moe = std::get<Moe>(model.transformer().blocks[1].ffn);
  EXPECT_EQ(moe.experts[3].up.dtype, DType::kQ4_0);
  const std::vector<float> mapped = logits_of(path("m.gguf"));
  const std::vector<float> repacked = logits_of(path("m.gguf"), {.repack = true, .threads = 2});
  fixtures::expect_near(mapped, repacked, 0.05F);
}

TEST_F(RepackedModel, HeadsThatAreNoWholeBlocksStay) {
  Json config = small_shape("deepseek-v3");
  config["v_head_dim"] = 40;
  config["num_attention_heads"] = 4;
  write_gguf(config, DType::kPackedQ8);
  const Model model = load({.repack = true, .threads = 1});
  const auto& attention = std::get<Mla>(model.transformer().blocks[0].attention);
  EXPECT_EQ(attention.v_b_proj.dtype, DType::kQ8_0);
  EXPECT_EQ(attention.q_b_proj.dtype, DType::kPackedQ8);
}

TEST_F(RepackedModel, ATiedTableIsTheHeadAndIsRepacked) {
  Json config = small_llama();
  config["tie_word_embeddings"] = true;
  write_gguf(config, DType::kPackedQ8);
  const Model model = load({.repack = true, .threads = 1});
  EXPECT_EQ(model.transformer().head.dtype, DType::kPackedQ8);
  EXPECT_EQ(model.transformer().head.data, model.transformer().embedding.data);
}

}  // namespace
}  // namespace cadre
