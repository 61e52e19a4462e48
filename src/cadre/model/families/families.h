#pragma once
/// What each family file gives to registry.cc.

#include "cadre/model/families/registry.h"

namespace cadre::deepseek {
void visit_weights(Transformer& model, WeightVisitor visitor);
}  // namespace cadre::deepseek

namespace cadre::deepseek_v2 {
Result<ModelConfig> read_config(const JsonFields& config);
}  // namespace cadre::deepseek_v2

namespace cadre::deepseek_v3 {
Result<ModelConfig> read_config(const JsonFields& config);
}  // namespace cadre::deepseek_v3

namespace cadre::cadre_family {
Result<ModelConfig> read_config(const JsonFields& config);
}  // namespace cadre::cadre_family

namespace cadre::llama {
Result<ModelConfig> read_config(const JsonFields& config);
void visit_weights(Transformer& model, WeightVisitor visitor);
}  // namespace cadre::llama

namespace cadre::gguf_deepseek2 {
Result<Json> config(const GgufFile& file);
Status add_metadata(const ModelConfig& config, const std::string& origin, GgufMetadata& metadata);
GgufArchitecture::Source source(std::string_view name);
}  // namespace cadre::gguf_deepseek2

namespace cadre::gguf_llama {
Result<Json> config(const GgufFile& file);
Status add_metadata(const ModelConfig& config, const std::string& origin, GgufMetadata& metadata);
GgufArchitecture::Source source(std::string_view name);
}  // namespace cadre::gguf_llama
