#pragma once
/// Low-rank adapters (LoRA, Hu et al., arXiv:2106.09685) in PEFT's layout on disk: adapter_config.json, and
/// adapter_model.safetensors with A and B of each adapted matrix.
///
///   W' = W + (alpha / r) B A,   A: [r, in], B: [out, r]
///
/// A model that is loaded with an adapter has W' in place of W, so that it runs as fast as without.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cadre/base/anonymous_memory.h"
#include "cadre/base/json.h"
#include "cadre/formats/safetensors.h"
#include "cadre/model/weights.h"

namespace cadre {

inline constexpr const char* kLoraConfigFile = "adapter_config.json";
inline constexpr const char* kLoraWeightsFile = "adapter_model.safetensors";

struct LoraConfig {
  int64_t rank = 0;
  double alpha = 0;
  /// Module names, as PEFT's target_modules: "q_proj" is every module whose name ends in ".q_proj",
  /// "layers.0.self_attn.q_proj" that of one layer.
  std::vector<std::string> targets;

  float scale() const { return static_cast<float>(alpha / static_cast<double>(rank)); }
};

/// "model.layers.0.self_attn.q_proj" of "model.layers.0.self_attn.q_proj.weight".
std::string_view module_name(std::string_view weight);

/// Whether matrices of a role can be adapted: those of attention, dense FFNs and experts.
bool can_adapt(WeightRole role);
/// Whether one of the targets names the module.
bool is_target(const LoraConfig& config, std::string_view module);

/// The name that PEFT gives a module's matrix; `matrix` is 'A' or 'B'.
std::string lora_tensor_name(std::string_view module, char matrix);

/// adapter_config.json, as PEFT reads it. `base` is the model that the adapter is for.
Json lora_config_json(const LoraConfig& config, const std::string& base);
/// Errors: kInvalid, naming the field, for an adapter that is not plain LoRA (another peft_type, DoRA,
/// biases, modules saved whole, ranks by pattern).
Result<LoraConfig> parse_lora_config(const Json& json, const std::string& origin);

/// An adapter on disk. Owns the mapping.
class LoraAdapter {
 public:
  /// Errors: kNotFound, kInvalid, naming file and field.
  static Result<LoraAdapter> open(const std::filesystem::path& folder);

  const LoraConfig& config() const { return config_; }
  const std::filesystem::path& folder() const { return folder_; }
  /// A, B of a module in f32, nullopt when it is not adapted. Errors: kInvalid when one of the two is missing
  /// or does not fit the module's matrix [rows, cols] and the rank, with both shapes.
  struct Factors {
    std::vector<float> a;  ///< [r, cols]
    std::vector<float> b;  ///< [rows, r]
  };
  Result<std::optional<Factors>> factors(std::string_view module, int64_t rows, int64_t cols) const;
  /// Modules that the file has tensors for.
  const std::vector<std::string>& modules() const { return modules_; }

 private:
  LoraAdapter(std::filesystem::path folder, LoraConfig config, SafetensorsFile file)
      : folder_(std::move(folder)), config_(std::move(config)), file_(std::move(file)) {}
  Status list_modules();
  Result<std::vector<float>> matrix(std::string_view module, char which, int64_t rows, int64_t cols) const;

  std::filesystem::path folder_;
  LoraConfig config_;
  SafetensorsFile file_;
  std::vector<std::string> modules_;
};

/// Owns the adapted matrices, in f32 whatever the model's type.
class AdaptedWeights {
 public:
  AdaptedWeights() = default;
  /// Binds each weight of `slots` that `adapter` has factors for to W'. Errors: kInvalid for a module of the
  /// adapter that is not among them, and as LoraAdapter::factors; kTooLarge.
  static Result<AdaptedWeights> make(const LoraAdapter& adapter, const std::vector<WeightSlot>& slots,
                                     int threads);

  int64_t bytes() const { return memory_.size(); }

 private:
  AnonymousMemory memory_;
};

}  // namespace cadre
