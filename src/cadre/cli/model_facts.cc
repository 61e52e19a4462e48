#include "cadre/cli/model_facts.h"

#include <fmt/ranges.h>

#include "cadre/base/units.h"

namespace cadre::cli {
namespace {

template <typename... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};
template <typename... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;

const char* score_name(ScoreFunction function) {
  switch (function) {
    case ScoreFunction::kSoftmax:
      return "softmax";
    case ScoreFunction::kSigmoid:
      return "sigmoid";
    case ScoreFunction::kSqrtSoftplus:
      return "sqrtsoftplus";
  }
  return "";
}

const char* group_rule(GroupScore rule) {
  switch (rule) {
    case GroupScore::kNone:
      return "none";
    case GroupScore::kMax:
      return "max";
    case GroupScore::kTopTwoSum:
      return "top-two sum";
  }
  return "";
}

std::string bytes_text(int64_t bytes) { return format_bytes(static_cast<double>(bytes)); }

Json attention_json(const ModelConfig& config) {
  return std::visit(Overloaded{[](const MlaConfig& c) {
                                 return Json{
                                     {"form", "mla"},
                                     {"num_attention_heads", c.num_attention_heads},
                                     {"q_lora_rank", c.q_lora_rank == 0 ? Json() : Json(c.q_lora_rank)},
                                     {"kv_lora_rank", c.kv_lora_rank},
                                     {"qk_nope_head_dim", c.qk_nope_head_dim},
                                     {"qk_rope_head_dim", c.qk_rope_head_dim},
                                     {"v_head_dim", c.v_head_dim},
                                     {"softmax_scale", c.softmax_scale}};
                               },
                               [](const GqaConfig& c) {
                                 return Json{{"form", "gqa"},
                                             {"num_attention_heads", c.num_attention_heads},
                                             {"num_key_value_heads", c.num_key_value_heads},
                                             {"head_dim", c.head_dim},
                                             {"softmax_scale", c.softmax_scale}};
                               }},
                    config.attention);
}

std::string attention_text(const ModelConfig& config) {
  return std::visit(
      Overloaded{[](const MlaConfig& c) {
                   return fmt::format(
                       "MLA, {} heads of {} + {} rotary, values {}, latent {}{}", c.num_attention_heads,
                       c.qk_nope_head_dim, c.qk_rope_head_dim, c.v_head_dim, c.kv_lora_rank,
                       c.q_lora_rank == 0 ? "" : fmt::format(", queries through {}", c.q_lora_rank));
                 },
                 [](const GqaConfig& c) {
                   return fmt::format("GQA, {} heads of {}, {} key/value heads", c.num_attention_heads,
                                      c.head_dim, c.num_key_value_heads);
                 }},
      config.attention);
}

Json rope_json(const RopeConfig& rope) {
  Json json = {{"dim", rope.dim}, {"theta", rope.theta}, {"interleaved", rope.interleaved}};
  json["scaling"] = std::visit(
      Overloaded{[](const RopeConfig::None&) { return Json(); },
                 [](const RopeConfig::Yarn& s) {
                   return Json{{"type", "yarn"},
                               {"factor", s.factor},
                               {"original_max_position_embeddings", s.original_max_position_embeddings},
                               {"mscale", s.mscale},
                               {"mscale_all_dim", s.mscale_all_dim}};
                 },
                 [](const RopeConfig::Llama3& s) {
                   return Json{{"type", "llama3"},
                               {"factor", s.factor},
                               {"original_max_position_embeddings", s.original_max_position_embeddings}};
                 },
                 [](const RopeConfig::Linear& s) {
                   return Json{{"type", "linear"}, {"factor", s.factor}};
                 }},
      rope.scaling);
  return json;
}

std::string rope_text(const RopeConfig& rope) {
  const std::string scaling = std::visit(
      Overloaded{[](const RopeConfig::None&) { return std::string("no scaling"); },
                 [](const RopeConfig::Yarn& s) {
                   return fmt::format("YaRN {}x from {}", s.factor, s.original_max_position_embeddings);
                 },
                 [](const RopeConfig::Llama3& s) {
                   return fmt::format("Llama 3 scaling {}x from {}", s.factor,
                                      s.original_max_position_embeddings);
                 },
                 [](const RopeConfig::Linear& s) { return fmt::format("linear {}x", s.factor); }},
      rope.scaling);
  return fmt::format("theta {}, {} of a head's channels, {}", rope.theta, rope.dim, scaling);
}

const char* gate_name(const GateConfig& gate) {
  return std::visit(
      Overloaded{[](const LinearGateConfig&) { return "linear"; }, [](const MlpGateConfig&) { return "mlp"; },
                 [](const TransformerGateConfig&) { return "transformer"; },
                 [](const HashGateConfig&) { return "hash"; }},
      gate);
}

Json moe_json(const MoeConfig& moe) {
  return {{"n_routed_experts", moe.n_routed_experts},
          {"n_shared_experts", moe.n_shared_experts},
          {"num_experts_per_tok", moe.num_experts_per_tok},
          {"moe_intermediate_size", moe.moe_intermediate_size},
          {"first_k_dense_replace", moe.first_k_dense_replace},
          {"moe_layer_freq", moe.moe_layer_freq},
          {"gate", gate_name(moe.gate)},
          {"scoring_func", score_name(moe.score_function)},
          {"group_score", group_rule(moe.group_score)},
          {"n_group", moe.n_group},
          {"topk_group", moe.topk_group},
          {"selection_bias", moe.selection_bias},
          {"norm_topk_prob", moe.normalise_weights},
          {"routed_scaling_factor", moe.weight_scale}};
}

std::string gate_text(const MoeConfig& moe) {
  std::string text = fmt::format("{}, {} scores", gate_name(moe.gate), score_name(moe.score_function));
  if (moe.selection_bias) text += " + selection bias";
  text += fmt::format(", top-{}", moe.num_experts_per_tok);
  if (moe.group_score != GroupScore::kNone)
    text += fmt::format(" within the best {} of {} groups (by {})", moe.topk_group, moe.n_group,
                        group_rule(moe.group_score));
  if (moe.normalise_weights) text += ", weights normalised";
  if (moe.weight_scale != 1) text += fmt::format(", scaled by {}", moe.weight_scale);
  return text;
}

Json weights_json(const ModelFacts& facts) {
  Json weights = Json::object();
  for (int role = 0; role < kWeightRoleCount; ++role) {
    const WeightCount& count = facts.size.by_role[static_cast<size_t>(role)];
    if (count.tensors == 0) continue;
    Json entry = {{"tensors", count.tensors}, {"parameters", count.parameters}};
    if (facts.has_weights) {
      entry["bytes"] = count.bytes;
      entry["dtypes"] = facts.dtypes(static_cast<WeightRole>(role));
    }
    weights[name(static_cast<WeightRole>(role))] = std::move(entry);
  }
  return weights;
}

std::string weights_table(const ModelFacts& facts) {
  std::string table = fmt::format("\n  {:<16}{:>9}{:>14}", "weights", "tensors", "parameters");
  table += facts.has_weights ? fmt::format("{:>11}  type\n", "bytes") : "\n";
  for (int role = 0; role < kWeightRoleCount; ++role) {
    const WeightCount& count = facts.size.by_role[static_cast<size_t>(role)];
    if (count.tensors == 0) continue;
    table += fmt::format("  {:<16}{:>9}{:>14}", name(static_cast<WeightRole>(role)), count.tensors,
                         format_count(count.parameters));
    if (facts.has_weights) {
      std::vector<std::string> types;
      for (const auto& [dtype, tensors] : facts.dtypes(static_cast<WeightRole>(role))) types.push_back(dtype);
      table += fmt::format("{:>11}  {}", bytes_text(count.bytes), fmt::join(types, ", "));
    }
    table += "\n";
  }
  if (facts.unused_bytes > 0)
    table += fmt::format("  {:<39}{:>11}\n", "in the files, but not used", bytes_text(facts.unused_bytes));
  return table;
}

}  // namespace

int64_t ModelFacts::dense_layers() const {
  int64_t dense = 0;
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer)
    dense += config.is_moe_layer(layer) ? 0 : 1;
  return dense;
}

std::map<std::string, int64_t> ModelFacts::dtypes(WeightRole role) const {
  std::map<std::string, int64_t> counts;
  for (const TensorFacts& tensor : tensors)
    if (tensor.role == role) ++counts[tensor.dtype];
  return counts;
}

Result<ModelFacts> checkpoint_facts(const Model& model) {
  const Checkpoint& checkpoint = model.checkpoint();
  ModelFacts facts{.source = checkpoint.path().string(),
                   .config = model.config(),
                   .size = model.size(),
                   .has_weights = true,
                   .unused_bytes = checkpoint.stored_bytes() - model.size().bytes,
                   .kv_bytes_per_token = kv_bytes_per_token(model.transformer(), DType::kBF16)};
  Transformer layout = Transformer::layout(model.config());
  Status status;
  checkpoint.visit_weights(layout, [&](const WeightSlot& slot) {
    const auto stored = checkpoint.find(slot.name);
    if (!stored) {
      status = tl::unexpected(stored.error());
    } else if (*stored) {
      facts.tensors.push_back({slot.name, slot.role, std::string(name((*stored)->dtype)), slot.shape,
                               static_cast<int64_t>((*stored)->bytes.size())});
    }
  });
  if (!status) return tl::unexpected(status.error());
  return facts;
}

Result<ModelFacts> shape_facts(const Json& json, const std::string& shape) {
  CADRE_TRY(const ModelConfig config, read_model_config(json, shape));
  CADRE_TRY(const Family* family, find_family(config.model_type, shape));
  Transformer layout = Transformer::layout(config);
  ModelFacts facts{.source = shape,
                   .config = config,
                   .size = model_size(*family, config),
                   .kv_bytes_per_token = kv_bytes_per_token(layout, DType::kBF16)};
  family->visit_weights(layout, [&](const WeightSlot& slot) {
    facts.tensors.push_back({.name = slot.name, .role = slot.role, .dtype = {}, .shape = slot.shape});
  });
  return facts;
}

Json to_json(const ModelFacts& facts, bool with_tensors) {
  const ModelConfig& config = facts.config;
  Json json = {{"source", facts.source},
               {"family", config.model_type},
               {"num_hidden_layers", config.num_hidden_layers},
               {"dense_layers", facts.dense_layers()},
               {"moe_layers", config.num_hidden_layers - facts.dense_layers()},
               {"hidden_size", config.hidden_size},
               {"intermediate_size", config.intermediate_size},
               {"vocab_size", config.vocab_size},
               {"max_position_embeddings", config.max_position_embeddings},
               {"tie_word_embeddings", config.tie_word_embeddings},
               {"attention", attention_json(config)},
               {"rope", rope_json(config.rope)},
               {"moe", config.moe ? moe_json(*config.moe) : Json()},
               {"parameters", facts.size.parameters},
               {"active_parameters", facts.size.active_parameters},
               {"weights", weights_json(facts)},
               {"kv_cache",
                {{"type", "bf16"},
                 {"bytes_per_token", facts.kv_bytes_per_token},
                 {"bytes_full_context", facts.kv_bytes_per_token * config.max_position_embeddings}}}};
  if (facts.has_weights) {
    json["bytes"] = facts.size.bytes;
    json["active_bytes"] = facts.size.active_bytes;
    json["unused_bytes"] = facts.unused_bytes;
  }
  if (!with_tensors) return json;
  Json tensors = Json::array();
  for (const TensorFacts& tensor : facts.tensors) {
    Json entry = {{"name", tensor.name}, {"role", name(tensor.role)}, {"shape", tensor.shape}};
    if (facts.has_weights) {
      entry["dtype"] = tensor.dtype;
      entry["bytes"] = tensor.bytes;
    }
    tensors.push_back(std::move(entry));
  }
  json["tensors"] = std::move(tensors);
  return json;
}

std::string to_text(const ModelFacts& facts) {
  const ModelConfig& config = facts.config;
  std::string text = fmt::format("{}\n\n", facts.source);
  const auto line = [&](std::string_view label, const std::string& value) {
    text += fmt::format("  {:<16}{}\n", label, value);
  };
  line("family", config.model_type);
  line("layers", config.moe
                     ? fmt::format("{} ({} dense, {} MoE)", config.num_hidden_layers, facts.dense_layers(),
                                   config.num_hidden_layers - facts.dense_layers())
                     : fmt::format("{}", config.num_hidden_layers));
  line("hidden size", fmt::format("{}, dense FFN {}", config.hidden_size, config.intermediate_size));
  line("attention", attention_text(config));
  line("RoPE", rope_text(config.rope));
  if (config.moe) {
    const MoeConfig& moe = *config.moe;
    line("experts", fmt::format("{} routed + {} shared of width {} in each MoE layer", moe.n_routed_experts,
                                moe.n_shared_experts, moe.moe_intermediate_size));
    line("gate", gate_text(moe));
  }
  line("vocabulary",
       fmt::format("{}{}", config.vocab_size, config.tie_word_embeddings ? ", tied to the head" : ""));
  line("context", fmt::format("{} tokens", config.max_position_embeddings));
  line("parameters",
       fmt::format("{}, {} active for one token ({:.1f} %)", format_count(facts.size.parameters),
                   format_count(facts.size.active_parameters),
                   100 * static_cast<double>(facts.size.active_parameters) /
                       static_cast<double>(facts.size.parameters)));
  if (facts.has_weights)
    line("bytes", fmt::format("{}, {} read for one token", bytes_text(facts.size.bytes),
                              bytes_text(facts.size.active_bytes)));
  line("KV cache", fmt::format("{} bytes a token in bf16, {} for the full context",
                               format_count(facts.kv_bytes_per_token),
                               bytes_text(facts.kv_bytes_per_token * config.max_position_embeddings)));
  return text + weights_table(facts);
}

std::string tensor_table(const ModelFacts& facts) {
  std::string table;
  for (const TensorFacts& tensor : facts.tensors) {
    table += fmt::format("{:<62} {:<18}", tensor.name, to_string(tensor.shape));
    if (facts.has_weights) table += fmt::format(" {:<8} {:>12}", tensor.dtype, tensor.bytes);
    table += "\n";
  }
  return table;
}

}  // namespace cadre::cli
