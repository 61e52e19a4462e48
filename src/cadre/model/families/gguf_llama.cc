// GGUF architecture "llama": Llama 2 and 3 as llama.cpp's converter writes them, with the rows of the query
// and key projections permuted so that rotary pairs are adjacent.
#include "cadre/model/families/families.h"
#include "cadre/model/families/gguf_names.h"

namespace cadre::gguf_llama {
namespace {

constexpr std::string_view kPrefix = "llama";
constexpr int64_t kMaxSize = int64_t{1} << 40;

constexpr gguf::LayerName kLayerNames[] = {
    {"input_layernorm.weight", "attn_norm.weight"}, {"post_attention_layernorm.weight", "ffn_norm.weight"},
    {"self_attn.q_proj.weight", "attn_q.weight"},   {"self_attn.k_proj.weight", "attn_k.weight"},
    {"self_attn.v_proj.weight", "attn_v.weight"},   {"self_attn.o_proj.weight", "attn_output.weight"},
    {"mlp.gate_proj.weight", "ffn_gate.weight"},    {"mlp.up_proj.weight", "ffn_up.weight"},
    {"mlp.down_proj.weight", "ffn_down.weight"},
};

std::string key(std::string_view name) { return fmt::format("{}.{}", kPrefix, name); }

}  // namespace

Status add_metadata(const ModelConfig& config, const std::string& origin, GgufMetadata& metadata) {
  gguf::add_common(config, kPrefix, metadata);
  const auto& gqa = std::get<GqaConfig>(config.attention);
  const auto add = [&](std::string_view name, int64_t value) {
    metadata.add(key(name), static_cast<uint32_t>(value));
  };
  add("attention.head_count", gqa.num_attention_heads);
  add("attention.head_count_kv", gqa.num_key_value_heads);
  add("attention.key_length", gqa.head_dim);
  add("attention.value_length", gqa.head_dim);
  add("rope.dimension_count", gqa.head_dim);
  if (const auto* linear = std::get_if<RopeConfig::Linear>(&config.rope.scaling)) {
    metadata.add_string(key("rope.scaling.type"), "linear");
    metadata.add(key("rope.scaling.factor"), static_cast<float>(linear->factor));
  } else if (!std::holds_alternative<RopeConfig::None>(config.rope.scaling)) {
    return gguf::no_gguf_for(
        origin, "rope_scaling",
        "of the scalings, \"linear\" is the one that is written to a GGUF file of this family");
  }
  return {};
}

Result<Json> config(const GgufFile& file) {
  CADRE_TRY(Json config, gguf::common_config(file, kPrefix));
  config["model_type"] = "llama";
  config["cadre_rope_interleaved"] = true;
  CADRE_TRY(const int64_t experts, file.integer_or(key("expert_count"), 0, 0, kMaxSize));
  if (experts > 0)
    return invalid("{}: key '{}': a mixture of experts under the llama architecture is not supported",
                   file.path().string(), key("expert_count"));
  const int64_t heads = config["num_attention_heads"].get<int64_t>();
  CADRE_TRY(config["num_key_value_heads"],
            file.integer_or(key("attention.head_count_kv"), heads, 1, kMaxSize));
  if (file.has(key("attention.key_length"))) {
    CADRE_TRY(config["head_dim"], file.integer(key("attention.key_length"), 1, kMaxSize));
  }
  CADRE_TRY(const std::string scaling, file.string_or(key("rope.scaling.type"), "none"));
  if (scaling == "linear") {
    CADRE_TRY(const double factor, file.number(key("rope.scaling.factor")));
    config["rope_scaling"] = {{"type", "linear"}, {"factor", factor}};
  } else if (scaling != "none") {
    return invalid("{}: key '{}': expected \"linear\" or \"none\", found \"{}\"", file.path().string(),
                   key("rope.scaling.type"), scaling);
  }
  if (file.has_tensor("rope_freqs.weight"))
    return invalid(
        "{}: tensor 'rope_freqs.weight': Llama 3.1's frequency factors are read from Hugging Face "
        "directories only, not from GGUF files",
        file.path().string());
  return config;
}

GgufArchitecture::Source source(std::string_view name) { return gguf::find_source(name, kLayerNames); }

}  // namespace cadre::gguf_llama
