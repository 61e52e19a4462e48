#include "cadre/model/families/registry.h"

#include <fmt/ranges.h>

#include "cadre/model/families/families.h"

namespace cadre {
namespace {

constexpr Family kFamilies[] = {
    {"cadre", cadre_family::read_config, deepseek::visit_weights, "deepseek2"},
    {"deepseek_v2", deepseek_v2::read_config, deepseek::visit_weights, "deepseek2"},
    {"deepseek_v3", deepseek_v3::read_config, deepseek::visit_weights, "deepseek2"},
    {"llama", llama::read_config, llama::visit_weights, "llama"},
};

constexpr GgufArchitecture kGgufArchitectures[] = {
    {"deepseek2", gguf_deepseek2::config, gguf_deepseek2::source, gguf_deepseek2::add_metadata},
    {"llama", gguf_llama::config, gguf_llama::source, gguf_llama::add_metadata},
};

/// The names in a table, for the message that a name is not among them.
template <typename Table, typename Name>
std::string known_names(const Table& table, Name name) {
  std::vector<std::string_view> names;
  for (const auto& entry : table) names.push_back(name(entry));
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace

std::span<const Family> families() { return kFamilies; }
std::span<const GgufArchitecture> gguf_architectures() { return kGgufArchitectures; }

Result<const Family*> find_family(std::string_view model_type, std::string_view origin) {
  for (const Family& family : kFamilies)
    if (family.model_type == model_type) return &family;
  return invalid("{}: field 'model_type': '{}' is not supported; supported are {}", origin, model_type,
                 known_names(kFamilies, [](const Family& family) { return family.model_type; }));
}

Result<const GgufArchitecture*> find_gguf_architecture(std::string_view name, std::string_view origin) {
  for (const GgufArchitecture& architecture : kGgufArchitectures)
    if (architecture.name == name) return &architecture;
  return invalid("{}: key 'general.architecture': '{}' is not supported; supported are {}", origin, name,
                 known_names(kGgufArchitectures, [](const GgufArchitecture& arch) { return arch.name; }));
}

Result<ModelConfig> read_model_config(const Json& config, const std::string& origin) {
  if (!config.is_object()) return invalid("{}: expected an object, found {}", origin, describe_json(config));
  const JsonFields fields(config, origin);
  CADRE_TRY(const std::string model_type, fields.string("model_type"));
  CADRE_TRY(const Family* family, find_family(model_type, origin));
  CADRE_TRY(ModelConfig result, family->read_config(fields));
  result.model_type = model_type;
  return result;
}

}  // namespace cadre
