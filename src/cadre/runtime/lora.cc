#include "cadre/runtime/lora.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "cadre/base/thread_pool.h"
#include "cadre/base/units.h"
#include "cadre/tensor/blocks.h"

namespace cadre {
namespace {

constexpr std::string_view kWeightSuffix = ".weight";
constexpr std::string_view kPrefix = "base_model.model.";
constexpr double kMostAlpha = 1e6;
constexpr int64_t kMostRank = int64_t{1} << 16;

std::string_view lora_suffix(char matrix) { return matrix == 'A' ? ".lora_A.weight" : ".lora_B.weight"; }

/// Errors where a field that would change the arithmetic is set.
Status refuse_variants(const JsonFields& fields) {
  for (const char* key : {"use_dora", "fan_in_fan_out", "use_rslora"}) {
    CADRE_TRY(const bool on, fields.boolean_or(key, false));
    if (on) return fields.error(key, "expected false: only plain LoRA is applied");
  }
  for (const char* key : {"rank_pattern", "alpha_pattern", "modules_to_save"}) {
    const Json* value = fields.find(key);
    if (value != nullptr && !value->empty())
      return fields.error(key, "expected nothing: only adapters of one rank are applied");
  }
  CADRE_TRY(const std::string bias, fields.string_or("bias", "none"));
  if (bias != "none") return fields.error("bias", fmt::format("expected \"none\", found \"{}\"", bias));
  return {};
}

/// Row r of W', in place of row r of W.   row: [cols]
void add_low_rank_row(const LoraAdapter::Factors& factors, int64_t rank, float scale, int64_t r,
                      std::span<float> row) {
  const float* b = factors.b.data() + r * rank;
  for (size_t i = 0; i < row.size(); ++i) {
    float sum = 0;
    for (int64_t k = 0; k < rank; ++k)
      sum = std::fma(b[k], factors.a[static_cast<size_t>(k) * row.size() + i], sum);
    row[i] = std::fma(scale, sum, row[i]);
  }
}

}  // namespace

std::string_view module_name(std::string_view weight) {
  return weight.ends_with(kWeightSuffix) ? weight.substr(0, weight.size() - kWeightSuffix.size()) : weight;
}

bool can_adapt(WeightRole role) {
  switch (role) {
    case WeightRole::kAttention:
    case WeightRole::kDenseFfn:
    case WeightRole::kSharedExpert:
    case WeightRole::kRoutedExpert:
    case WeightRole::kFallbackExpert:
      return true;
    default:
      return false;
  }
}

bool is_target(const LoraConfig& config, std::string_view module) {
  return std::ranges::any_of(config.targets, [&](const std::string& target) {
    return module == target || module.ends_with("." + target);
  });
}

std::string lora_tensor_name(std::string_view module, char matrix) {
  return fmt::format("{}{}{}", kPrefix, module, lora_suffix(matrix));
}

Json lora_config_json(const LoraConfig& config, const std::string& base) {
  return {{"peft_type", "LORA"},
          {"task_type", "CAUSAL_LM"},
          {"base_model_name_or_path", base},
          {"r", config.rank},
          {"lora_alpha", config.alpha},
          {"target_modules", config.targets},
          {"lora_dropout", 0.0},
          {"bias", "none"},
          {"fan_in_fan_out", false},
          {"modules_to_save", nullptr},
          {"inference_mode", true}};
}

Result<LoraConfig> parse_lora_config(const Json& json, const std::string& origin) {
  if (!json.is_object()) return invalid("{}: expected an object, found {}", origin, describe_json(json));
  const JsonFields fields(json, origin);
  CADRE_TRY(const std::string type, fields.string("peft_type"));
  if (type != "LORA") return fields.error("peft_type", fmt::format("expected \"LORA\", found \"{}\"", type));
  CADRE_CHECK_OK(refuse_variants(fields));
  LoraConfig config;
  CADRE_TRY(config.rank, fields.integer("r", 1, kMostRank));
  CADRE_TRY(config.alpha, fields.number("lora_alpha"));
  if (!(std::abs(config.alpha) <= kMostAlpha))
    return fields.error("lora_alpha", fmt::format("expected at most {}, found {}", kMostAlpha, config.alpha));
  // What is adapted is what the file has tensors for; a pattern as one string is for whoever trains on.
  const Json* targets = fields.find("target_modules");
  if (targets != nullptr && targets->is_array())
    for (const Json& target : *targets) {
      if (!target.is_string())
        return fields.error("target_modules",
                            fmt::format("expected names of modules, found {}", describe_json(target)));
      config.targets.push_back(target.get<std::string>());
    }
  return config;
}

Result<LoraAdapter> LoraAdapter::open(const std::filesystem::path& folder) {
  const std::filesystem::path config_path = folder / kLoraConfigFile;
  CADRE_TRY(const Json json, read_json_file(config_path.string()));
  CADRE_TRY(LoraConfig config, parse_lora_config(json, config_path.string()));
  CADRE_TRY(SafetensorsFile file, SafetensorsFile::open(folder / kLoraWeightsFile));
  LoraAdapter adapter(folder, std::move(config), std::move(file));
  CADRE_CHECK_OK(adapter.list_modules());
  return adapter;
}

Status LoraAdapter::list_modules() {
  std::set<std::string, std::less<>> modules;
  for (const NamedTensor& tensor : file_.tensors()) {
    const std::string_view name = tensor.name;
    const std::string_view suffix = name.ends_with(lora_suffix('A')) ? lora_suffix('A') : lora_suffix('B');
    if (!name.starts_with(kPrefix) || !name.ends_with(suffix) ||
        name.size() <= kPrefix.size() + suffix.size())
      return invalid("{}: tensor '{}': expected a name such as {}", file_.path().string(), name,
                     lora_tensor_name("MODULE", 'A'));
    modules.emplace(name.substr(kPrefix.size(), name.size() - kPrefix.size() - suffix.size()));
  }
  if (modules.empty())
    return invalid("{}: expected tensors of an adapter, found none", file_.path().string());
  modules_.assign(modules.begin(), modules.end());
  return {};
}

Result<std::vector<float>> LoraAdapter::matrix(std::string_view module, char which, int64_t rows,
                                               int64_t cols) const {
  const std::string name = lora_tensor_name(module, which);
  CADRE_TRY(const StoredTensor stored, file_.tensor(name));
  const Shape expected = {rows, cols};
  if (stored.shape != expected)
    return invalid("{}: tensor '{}': shape {} expected (rank {}), {} found", file_.path().string(), name,
                   to_string(expected), config_.rank, to_string(stored.shape));
  if (stored.dtype != DType::kF32 && stored.dtype != DType::kBF16 && stored.dtype != DType::kF16)
    return invalid("{}: tensor '{}': type F32, BF16 or F16 expected, {} found", file_.path().string(), name,
                   cadre::name(stored.dtype));
  std::vector<float> values(static_cast<size_t>(rows * cols));
  decode_row(stored.dtype, stored.bytes.data(), values.data(), rows * cols);
  return values;
}

Result<std::optional<LoraAdapter::Factors>> LoraAdapter::factors(std::string_view module, int64_t rows,
                                                                 int64_t cols) const {
  if (!std::ranges::binary_search(modules_, module)) return std::optional<Factors>();
  Factors factors;
  CADRE_TRY(factors.a, matrix(module, 'A', config_.rank, cols));
  CADRE_TRY(factors.b, matrix(module, 'B', rows, config_.rank));
  return std::optional<Factors>(std::move(factors));
}

Result<AdaptedWeights> AdaptedWeights::make(const LoraAdapter& adapter, const std::vector<WeightSlot>& slots,
                                            int threads) {
  std::vector<const WeightSlot*> adapted;
  int64_t floats = 0;
  for (const std::string& module : adapter.modules()) {
    const auto slot = std::ranges::find_if(slots, [&](const WeightSlot& s) {
      return s.matrix != nullptr && can_adapt(s.role) && module_name(s.name) == module;
    });
    if (slot == slots.end())
      return invalid("{}: module '{}': the model has no such matrix in its attention or experts",
                     (adapter.folder() / kLoraWeightsFile).string(), module);
    adapted.push_back(&*slot);
    floats += element_count(slot->shape);
  }
  const int64_t bytes = floats * static_cast<int64_t>(sizeof(float));
  if (bytes > physical_memory_bytes())
    return fail(ErrorKind::kTooLarge, "{}: the adapted matrices take {} in f32, this machine has {}",
                adapter.folder().string(), format_bytes(static_cast<double>(bytes)),
                format_bytes(static_cast<double>(physical_memory_bytes())));
  AdaptedWeights result;
  CADRE_TRY(result.memory_, AnonymousMemory::reserve(bytes));
  auto* next = reinterpret_cast<float*>(result.memory_.data());
  ThreadPool pool(threads);
  for (const WeightSlot* slot : adapted) {
    Weight& weight = *slot->matrix;
    CADRE_TRY(const std::optional<LoraAdapter::Factors> factors,
              adapter.factors(module_name(slot->name), weight.rows, weight.cols));
    const auto cols = static_cast<size_t>(weight.cols);
    pool.run(weight.rows, [&](int64_t r, int) {
      const std::span<float> row(next + r * weight.cols, cols);
      decode_weight_row(weight, r, row.data());
      add_low_rank_row(*factors, adapter.config().rank, adapter.config().scale(), r, row);
    });
    weight = {.data = reinterpret_cast<const std::byte*>(next),
              .dtype = DType::kF32,
              .rows = weight.rows,
              .cols = weight.cols,
              .row_bytes = weight.cols * static_cast<int64_t>(sizeof(float))};
    next += weight.rows * weight.cols;
  }
  return result;
}

}  // namespace cadre
