#include "cadre/model/families/hf_config.h"

namespace cadre::hf {
namespace {

/// A token id, or a list of them (eos_token_id may be either).
Result<std::vector<int32_t>> read_token_ids(const JsonFields& fields, std::string_view key,
                                            int64_t vocab_size) {
  std::vector<int32_t> ids;
  const Json* value = fields.find(key);
  if (value == nullptr) return ids;
  const Json list = value->is_array() ? *value : Json::array({*value});
  for (const Json& item : list) {
    if (!item.is_number_integer())
      return fields.error(key, "expected a token id or a list of token ids, found " + describe_json(item));
    const bool fits = item.is_number_unsigned()
                          ? item.get<uint64_t>() < static_cast<uint64_t>(vocab_size)
                          : item.get<int64_t>() >= 0 && item.get<int64_t>() < vocab_size;
    if (!fits)
      return fields.error(key, fmt::format("expected ids from 0 to vocab_size - 1 = {}, found {}",
                                           vocab_size - 1, describe_json(item)));
    ids.push_back(item.get<int32_t>());
  }
  return ids;
}

Status read_quantization(const JsonFields& fields, ModelConfig& config) {
  CADRE_TRY(const std::optional<JsonFields> quantization, fields.object("quantization_config"));
  if (!quantization) return {};
  CADRE_TRY(const std::string method, quantization->string("quant_method"));
  if (method == "cadre") return {};  // each packed tensor says itself what it is
  if (method != "fp8")
    return quantization->error("quant_method",
                               fmt::format("expected \"fp8\" or \"cadre\", found \"{}\"", method));
  CADRE_TRY(const std::string format, quantization->string_or("fmt", "e4m3"));
  if (format != "e4m3")
    return quantization->error("fmt", fmt::format("expected \"e4m3\", found \"{}\"", format));
  const Json* block = quantization->find("weight_block_size");
  const auto is_size = [](const Json& item) {
    return item.is_number_integer() && item.get<int64_t>() >= 1 && item.get<int64_t>() <= kMaxCount;
  };
  if (block == nullptr || !block->is_array() || block->size() != 2 || !is_size((*block)[0]) ||
      !is_size((*block)[1]))
    return quantization->error("weight_block_size",
                               fmt::format("expected two positive integers, found {}",
                                           block == nullptr ? "nothing" : dump_json(*block)));
  config.fp8_block_rows = (*block)[0].get<int32_t>();
  config.fp8_block_cols = (*block)[1].get<int32_t>();
  return {};
}

Result<double> positive(const JsonFields& fields, std::string_view key, double fallback) {
  CADRE_TRY(const double value, fields.number_or(key, fallback));
  if (!(value > 0)) return fields.error(key, fmt::format("expected a number above 0, found {}", value));
  return value;
}

Result<RopeConfig::Yarn> read_yarn(const JsonFields& fields) {
  RopeConfig::Yarn yarn;
  CADRE_TRY(yarn.factor, fields.number("factor"));
  if (!(yarn.factor >= 1))
    return fields.error("factor", fmt::format("expected at least 1, found {}", yarn.factor));
  CADRE_TRY(yarn.original_max_position_embeddings,
            positive(fields, "original_max_position_embeddings", 4096));
  CADRE_TRY(yarn.beta_fast, positive(fields, "beta_fast", 32));
  CADRE_TRY(yarn.beta_slow, positive(fields, "beta_slow", 1));
  CADRE_TRY(yarn.mscale, fields.number_or("mscale", 1));
  CADRE_TRY(yarn.mscale_all_dim, fields.number_or("mscale_all_dim", 0));
  return yarn;
}

Result<RopeConfig::Llama3> read_llama3(const JsonFields& fields) {
  RopeConfig::Llama3 llama;
  CADRE_TRY(llama.factor, positive(fields, "factor", 8));
  CADRE_TRY(llama.low_freq_factor, positive(fields, "low_freq_factor", 1));
  CADRE_TRY(llama.high_freq_factor, positive(fields, "high_freq_factor", 4));
  if (llama.high_freq_factor <= llama.low_freq_factor)
    return fields.error("high_freq_factor", "expected more than low_freq_factor");
  CADRE_TRY(llama.original_max_position_embeddings,
            positive(fields, "original_max_position_embeddings", 8192));
  return llama;
}

}  // namespace

Result<ModelConfig> read_common(const JsonFields& fields) {
  ModelConfig config;
  CADRE_TRY(config.vocab_size, size(fields, "vocab_size"));
  CADRE_TRY(config.hidden_size, size(fields, "hidden_size"));
  CADRE_TRY(config.intermediate_size, size(fields, "intermediate_size"));
  CADRE_TRY(config.num_hidden_layers, size(fields, "num_hidden_layers", 4096));
  CADRE_TRY(config.max_position_embeddings, size(fields, "max_position_embeddings", int64_t{1} << 30));
  CADRE_TRY(const double eps, positive(fields, "rms_norm_eps", 1e-6));
  config.rms_norm_eps = static_cast<float>(eps);
  CADRE_TRY(config.tie_word_embeddings, fields.boolean_or("tie_word_embeddings", false));
  CADRE_TRY(const std::string activation, fields.string_or("hidden_act", "silu"));
  if (activation != "silu")
    return fields.error("hidden_act", fmt::format("expected \"silu\", found \"{}\"", activation));
  CADRE_TRY(const bool attention_bias, fields.boolean_or("attention_bias", false));
  if (attention_bias) return fields.error("attention_bias", "expected false; biases are not supported");
  CADRE_TRY(const bool mlp_bias, fields.boolean_or("mlp_bias", false));
  if (mlp_bias) return fields.error("mlp_bias", "expected false; biases are not supported");
  CADRE_TRY(config.eos_token_ids, read_token_ids(fields, "eos_token_id", config.vocab_size));
  CADRE_TRY(const std::vector<int32_t> bos, read_token_ids(fields, "bos_token_id", config.vocab_size));
  if (!bos.empty()) config.bos_token_id = bos.front();
  CADRE_CHECK_OK(read_quantization(fields, config));
  return config;
}

Result<RopeConfig> read_rope(const JsonFields& fields, int64_t dim, bool interleaved) {
  RopeConfig rope{.dim = dim, .interleaved = interleaved};
  const std::string_view key = fields.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  CADRE_TRY(const std::optional<JsonFields> scaling, fields.object(key));
  const bool theta_inside = scaling && scaling->has("rope_theta");
  CADRE_TRY(rope.theta, positive(theta_inside ? *scaling : fields, "rope_theta", 10000));
  if (rope.theta <= 1)
    return fields.error("rope_theta", fmt::format("expected more than 1, found {}", rope.theta));
  if (!scaling) return rope;
  const std::string_view type_key = scaling->has("rope_type") ? "rope_type" : "type";
  CADRE_TRY(const std::string type, scaling->string_or(type_key, "default"));
  if (type == "default") return rope;
  if (type == "yarn") {
    CADRE_TRY(rope.scaling, read_yarn(*scaling));
  } else if (type == "llama3") {
    CADRE_TRY(rope.scaling, read_llama3(*scaling));
  } else if (type == "linear") {
    CADRE_TRY(const double factor, positive(*scaling, "factor", 1));
    rope.scaling = RopeConfig::Linear{factor};
  } else {
    return scaling->error(
        type_key,
        fmt::format("expected \"default\", \"yarn\", \"llama3\" or \"linear\", found \"{}\"", type));
  }
  return rope;
}

}  // namespace cadre::hf
