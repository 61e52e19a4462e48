#include "cadre/model/families/gguf_names.h"

#include <charconv>

namespace cadre::gguf {
namespace {

constexpr int64_t kMaxSize = int64_t{1} << 40;

/// Reads a number at the start of `text` and removes it; false when there is none.
bool take_number(std::string_view& text, int64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || number < 0) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return true;
}

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

/// "gate_proj.weight" -> "ffn_gate_exps.weight"
std::string_view expert_stack(std::string_view matrix) {
  if (matrix == "gate_proj.weight") return "ffn_gate_exps.weight";
  if (matrix == "up_proj.weight") return "ffn_up_exps.weight";
  if (matrix == "down_proj.weight") return "ffn_down_exps.weight";
  return {};
}

}  // namespace

GgufArchitecture::Source find_source(std::string_view name, std::span<const LayerName> layer_names) {
  if (name == "model.embed_tokens.weight") return {.tensor = "token_embd.weight"};
  if (name == "model.norm.weight") return {.tensor = "output_norm.weight"};
  if (name == "lm_head.weight") return {.tensor = "output.weight"};
  int64_t layer = 0;
  if (!take_prefix(name, "model.layers.") || !take_number(name, layer) || !take_prefix(name, ".")) return {};
  int64_t expert = 0;
  if (std::string_view rest = name;
      take_prefix(rest, "mlp.experts.") && take_number(rest, expert) && take_prefix(rest, ".")) {
    const std::string_view stack = expert_stack(rest);
    if (stack.empty()) return {};
    return {.tensor = fmt::format("blk.{}.{}", layer, stack), .expert = expert};
  }
  for (const LayerName& entry : layer_names)
    if (entry.hf == name) return {.tensor = fmt::format("blk.{}.{}", layer, entry.gguf)};
  return {};
}

Result<int64_t> vocab_size(const GgufFile& file, std::string_view prefix) {
  const std::string key = fmt::format("{}.vocab_size", prefix);
  if (file.has(key)) return file.integer(key, 1, kMaxSize);
  CADRE_TRY(const StoredTensor embedding, file.tensor("token_embd.weight"));
  if (embedding.shape.size() != 2)
    return invalid("{}: tensor 'token_embd.weight': two dimensions expected, shape {} found",
                   file.path().string(), to_string(embedding.shape));
  return embedding.shape[0];
}

Result<Json> common_config(const GgufFile& file, std::string_view prefix) {
  const auto key = [&](std::string_view name) { return fmt::format("{}.{}", prefix, name); };
  const auto integer = [&](std::string_view name) { return file.integer(key(name), 0, kMaxSize); };
  Json config;
  CADRE_TRY(config["num_hidden_layers"], integer("block_count"));
  CADRE_TRY(config["max_position_embeddings"], integer("context_length"));
  CADRE_TRY(config["hidden_size"], integer("embedding_length"));
  CADRE_TRY(config["intermediate_size"], integer("feed_forward_length"));
  CADRE_TRY(config["num_attention_heads"], integer("attention.head_count"));
  CADRE_TRY(config["rms_norm_eps"], file.number(key("attention.layer_norm_rms_epsilon")));
  CADRE_TRY(config["vocab_size"], vocab_size(file, prefix));
  if (file.has(key("rope.freq_base"))) {
    CADRE_TRY(config["rope_theta"], file.number(key("rope.freq_base")));
  }
  config["tie_word_embeddings"] = !file.has_tensor("output.weight");
  for (const auto& [field, name] : {std::pair("bos_token_id", "tokenizer.ggml.bos_token_id"),
                                    std::pair("eos_token_id", "tokenizer.ggml.eos_token_id")}) {
    if (!file.has(name)) continue;
    CADRE_TRY(config[field], file.integer(name, 0, kMaxSize));
  }
  return config;
}

void add_common(const ModelConfig& config, std::string_view prefix, GgufMetadata& metadata) {
  const auto add = [&](std::string_view name, int64_t value) {
    metadata.add(fmt::format("{}.{}", prefix, name), static_cast<uint32_t>(value));
  };
  add("block_count", config.num_hidden_layers);
  add("context_length", config.max_position_embeddings);
  add("embedding_length", config.hidden_size);
  add("feed_forward_length", config.intermediate_size);
  add("vocab_size", config.vocab_size);
  metadata.add(fmt::format("{}.attention.layer_norm_rms_epsilon", prefix), config.rms_norm_eps);
  metadata.add(fmt::format("{}.rope.freq_base", prefix), static_cast<float>(config.rope.theta));
}

}  // namespace cadre::gguf
