#include "cadre/quant/input_sites.h"

#include <fmt/format.h>

namespace cadre {
namespace {

class LayerSites {
 public:
  explicit LayerSites(size_t layer) : layer_(layer), prefix_(fmt::format("layers.{}.", layer)) {}

  void add(const char* name, int64_t cols, std::vector<const Weight*> weights) {
    sites_.push_back({.name = prefix_ + name, .layer = layer_, .cols = cols, .weights = std::move(weights)});
  }
  void add_heads(const char* name, int64_t cols, int64_t heads, bool transposed, const Weight* weight) {
    sites_.push_back({.name = prefix_ + name,
                      .layer = layer_,
                      .cols = cols,
                      .parts = heads,
                      .kind = InputParts::kHeads,
                      .transposed = transposed,
                      .weights = {weight}});
  }

  void add_attention(const Mla& mla, int64_t d) {
    const MlaConfig& c = mla.c;
    add("attention.in", d, {c.q_lora_rank == 0 ? &mla.q_proj : &mla.q_a_proj, &mla.kv_a_proj});
    if (c.q_lora_rank > 0) add("attention.q_b", c.q_lora_rank, {&mla.q_b_proj});
    add_heads("attention.k_b", c.qk_nope_head_dim, c.num_attention_heads, !c.split_kv_b,
              c.split_kv_b ? &mla.k_b_proj : &mla.kv_b_proj);
    add_heads("attention.v_b", c.kv_lora_rank, c.num_attention_heads, false,
              c.split_kv_b ? &mla.v_b_proj : &mla.kv_b_proj);
    add("attention.o", c.num_attention_heads * c.v_head_dim, {&mla.o_proj});
  }
  void add_attention(const Gqa& gqa, int64_t d) {
    add("attention.in", d, {&gqa.q_proj, &gqa.k_proj, &gqa.v_proj});
    add("attention.o", gqa.c.num_attention_heads * gqa.c.head_dim, {&gqa.o_proj});
  }

  void add_ffn(const SwigluFfn& ffn, const ModelConfig& config) {
    add("ffn.in", config.hidden_size, {&ffn.gate_proj, &ffn.up_proj});
    add("ffn.down", config.intermediate_size, {&ffn.down_proj});
  }
  void add_ffn(const Moe& moe, const ModelConfig& config) {
    const int64_t width = moe.c.moe_intermediate_size;
    // The first that is listed is what the site's inputs are seen at.
    std::vector<const Weight*> every_token;
    if (const Weight* gate = input_matrix(moe.gate); gate != nullptr) every_token.push_back(gate);
    const bool shared = moe.c.n_shared_experts > 0;
    if (shared) every_token.insert(every_token.end(), {&moe.shared.gate_proj, &moe.shared.up_proj});
    if (!every_token.empty()) add("ffn.in", config.hidden_size, std::move(every_token));
    if (shared) add("ffn.down", moe.c.n_shared_experts * width, {&moe.shared.down_proj});
    InputSite in{.name = prefix_ + "experts.in",
                 .layer = layer_,
                 .cols = config.hidden_size,
                 .parts = moe.c.n_routed_experts,
                 .kind = InputParts::kExperts,
                 .shared_columns = true};
    InputSite down{.name = prefix_ + "experts.down",
                   .layer = layer_,
                   .cols = width,
                   .parts = moe.c.n_routed_experts,
                   .kind = InputParts::kExperts};
    for (const ExpertWeights& expert : moe.experts) {
      in.weights.insert(in.weights.end(), {&expert.gate, &expert.up});
      down.weights.push_back(&expert.down);
    }
    sites_.push_back(std::move(in));
    sites_.push_back(std::move(down));
  }

  std::vector<InputSite> take() { return std::move(sites_); }

 private:
  size_t layer_;
  std::string prefix_;
  std::vector<InputSite> sites_;
};

}  // namespace

std::vector<InputSite> layer_input_sites(const Transformer& model, size_t layer) {
  LayerSites sites(layer);
  const Block& block = model.blocks[layer];
  std::visit([&](const auto& attention) { sites.add_attention(attention, model.config.hidden_size); },
             block.attention);
  std::visit([&](const auto& ffn) { sites.add_ffn(ffn, model.config); }, block.ffn);
  return sites.take();
}

InputSite head_input_site(const Transformer& model) {
  const ModelConfig& config = model.config;
  return {.name = "head",
          .layer = model.blocks.size(),
          .cols = config.hidden_size,
          .weights = {config.tie_word_embeddings ? &model.embedding : &model.head}};
}

std::vector<InputSite> input_sites(const Transformer& model) {
  std::vector<InputSite> sites;
  for (size_t layer = 0; layer < model.blocks.size(); ++layer)
    for (InputSite& site : layer_input_sites(model, layer)) sites.push_back(std::move(site));
  sites.push_back(head_input_site(model));
  return sites;
}

std::map<std::string, WeightInput, std::less<>> weight_inputs(const Family& family,
                                                              const ModelConfig& config) {
  Transformer layout = Transformer::layout(config);
  std::map<const Weight*, WeightInput> inputs;
  const std::vector<InputSite> sites = input_sites(layout);
  for (size_t s = 0; s < sites.size(); ++s) {
    const InputSite& site = sites[s];
    for (size_t i = 0; i < site.weights.size(); ++i)
      inputs[site.weights[i]] = {.site = s,
                                 .first_part = site.part_of(i),
                                 .parts = site.kind == InputParts::kHeads ? site.parts : 1};
  }
  std::map<std::string, WeightInput, std::less<>> by_name;
  family.visit_weights(layout, [&](const WeightSlot& slot) {
    if (const auto found = inputs.find(slot.matrix); found != inputs.end())
      by_name.emplace(slot.name, found->second);
  });
  return by_name;
}

SiteIndex::SiteIndex(const std::vector<InputSite>& sites) {
  for (size_t s = 0; s < sites.size(); ++s) {
    const InputSite& site = sites[s];
    int64_t next_part = 0;
    for (size_t i = 0; i < site.weights.size(); ++i) {
      if (site.part_of(i) != next_part) continue;
      const Place place{s, next_part++};
      places_.emplace(std::pair(site.weights[i]->data, site.transposed), place);
      if (site.kind != InputParts::kExperts) break;
    }
  }
}

const SiteIndex::Place* SiteIndex::find(const Weight& weight, bool transposed) const {
  const auto found = places_.find({weight.data, transposed});
  return found == places_.end() ? nullptr : &found->second;
}

}  // namespace cadre
