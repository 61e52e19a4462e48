#include "cadre/quant/plan.h"

#include <algorithm>
#include <array>

#include "cadre/base/check.h"
#include "cadre/tensor/packed.h"

namespace cadre {
namespace {

/// What published names are called in short: each pair is replaced once, in this order.
constexpr std::array<std::pair<std::string_view, std::string_view>, 10> kShortNames = {{
    {"model.embed_tokens", "embedding"},
    {"lm_head", "head"},
    {"model.", ""},
    {".weight", ""},
    {".self_attn.", ".attention."},
    {".mlp.experts.", ".experts."},
    {".mlp.shared_experts.", ".shared."},
    {".mlp.", ".ffn."},
    {"_proj", ""},
    {"_with_mqa", ""},
}};

DType preset_type(const PlannedWeight& weight, int64_t layer, int64_t layers,
                  const QuantPlanOptions& options) {
  const DType preset = options.preset;
  if (weight.role == WeightRole::kRouter) return DType::kF32;
  if (options.pure || preset == DType::kPackedQ8 || preset == DType::kPackedQ6) return preset;
  switch (weight.role) {
    case WeightRole::kRoutedExpert:
      if (preset != DType::kPackedQ2 || !weight.short_name.ends_with(".down")) return preset;
      return layer < layers / 8 ? DType::kPackedQ4 : DType::kPackedQ3;
    case WeightRole::kEmbedding:
    case WeightRole::kHead:
      return DType::kPackedQ6;
    default:
      return DType::kPackedQ8;
  }
}

/// The N of "layers.N.": -1 for what is in no layer.
int64_t layer_of(std::string_view short_name) {
  constexpr std::string_view kPrefix = "layers.";
  if (!short_name.starts_with(kPrefix)) return -1;
  int64_t layer = 0;
  for (const char c : short_name.substr(kPrefix.size())) {
    if (c < '0' || c > '9') break;
    layer = layer * 10 + (c - '0');
  }
  return layer;
}

}  // namespace

int64_t PlannedWeight::bytes() const {
  if (is_packed(type)) return packed_blocks(shape[0]) * packed_block_bytes(type, shape[1]);
  return element_count(shape) * info(type).block_bytes;
}

int64_t QuantPlan::parameters() const {
  int64_t count = 0;
  for (const PlannedWeight& weight : weights) count += element_count(weight.shape);
  return count;
}

int64_t QuantPlan::bytes() const {
  int64_t bytes = 0;
  for (const PlannedWeight& weight : weights) bytes += weight.bytes();
  return bytes;
}

double QuantPlan::bits_per_weight() const {
  return 8 * static_cast<double>(bytes()) / static_cast<double>(parameters());
}

Result<DType> parse_weight_type(std::string_view type) {
  if (type == "f32") return DType::kF32;
  if (type == "bf16") return DType::kBF16;
  if (const auto packed = dtype_from_name(type); packed && is_packed(*packed)) return *packed;
  return fail(ErrorKind::kUsage, "type: q8, q6, q4, mxfp4, q3, q2, bf16 or f32 expected, '{}' found", type);
}

std::string weight_type_name(DType type) {
  return type == DType::kF32 ? "f32" : type == DType::kBF16 ? "bf16" : std::string(name(type));
}

Result<QuantRule> parse_quant_rule(std::string_view text) {
  const size_t equals = text.rfind('=');
  if (equals == std::string_view::npos || equals == 0)
    return fail(ErrorKind::kUsage, "rule '{}': GLOB=TYPE expected", text);
  const auto type = parse_weight_type(text.substr(equals + 1));
  if (!type) return fail(ErrorKind::kUsage, "rule '{}': {}", text, type.error().message);
  return QuantRule{std::string(text.substr(0, equals)), *type};
}

bool glob_matches(std::string_view pattern, std::string_view text) {
  // Where to go on after a mismatch: the last star, taking one character more each time.
  size_t star = std::string_view::npos;
  size_t star_text = 0;
  size_t p = 0;
  size_t t = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_text = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++star_text;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

std::string short_weight_name(std::string_view name) {
  constexpr std::string_view kRouter = ".mlp.gate.weight";
  std::string text(name);
  // The router is called a gate, as the first of an FFN's matrices is.
  if (name.ends_with(kRouter)) text.replace(text.size() - kRouter.size(), kRouter.size(), ".router");
  for (const auto& [from, to] : kShortNames)
    if (const size_t at = text.find(from); at != std::string::npos) text.replace(at, from.size(), to);
  return text;
}

ModelConfig split_kv_b(ModelConfig config) {
  if (auto* mla = std::get_if<MlaConfig>(&config.attention)) mla->split_kv_b = true;
  return config;
}

Result<QuantPlan> plan_quantisation(const Family& family, const ModelConfig& config,
                                    const QuantPlanOptions& options) {
  CADRE_CHECK(is_packed(options.preset), "{}", name(options.preset));
  QuantPlan plan;
  std::vector<int64_t> decided(options.rules.size());
  Transformer layout = Transformer::layout(config);
  family.visit_weights(layout, [&](const WeightSlot& slot) {
    PlannedWeight weight{slot.name, short_weight_name(slot.name), slot.shape, slot.role};
    if (slot.matrix != nullptr) {
      weight.type = preset_type(weight, layer_of(weight.short_name), config.num_hidden_layers, options);
      const auto rule = std::find_if(options.rules.begin(), options.rules.end(), [&](const QuantRule& r) {
        return glob_matches(r.pattern, weight.short_name) || glob_matches(r.pattern, weight.name);
      });
      if (rule != options.rules.end()) {
        weight.type = rule->type;
        ++decided[static_cast<size_t>(rule - options.rules.begin())];
      }
      weight.wanted = weight.type;
      if (is_packed(weight.type) && slot.shape[1] % kPackedGroup != 0) weight.type = DType::kBF16;
    }
    plan.weights.push_back(std::move(weight));
  });
  for (size_t i = 0; i < decided.size(); ++i)
    if (decided[i] == 0)
      return fail(
          ErrorKind::kUsage,
          "rule '{}={}': a matrix that it matches, and no rule before it, expected; none found. Names "
          "are such as 'layers.3.experts.17.down', 'layers.3.attention.o', 'embedding', 'head'",
          options.rules[i].pattern, weight_type_name(options.rules[i].type));
  return plan;
}

}  // namespace cadre
