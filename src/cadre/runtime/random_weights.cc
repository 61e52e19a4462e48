#include "cadre/runtime/random_weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "cadre/base/random.h"
#include "cadre/tensor/convert.h"
#include "cadre/tensor/packed.h"

namespace cadre {
namespace {

using Fill = RandomTensor::Fill;

constexpr double kWeightDeviation = 0.02;  // as published models are initialised

/// The quantiles of the standard normal distribution at the middles of 65,536 equal parts: 16 random bits
/// index a normal value. Newton's method on the upper tail, which is convex, so it converges from the left.
std::vector<double> normal_quantiles() {
  constexpr size_t kCount = size_t{1} << 16;
  std::vector<double> quantiles(kCount);
  double x = 0;
  for (size_t i = kCount / 2; i < kCount; ++i) {
    // From the middle outwards, each starts where its neighbour ended; the upper tail keeps its precision.
    const double upper = (static_cast<double>(kCount - i) - 0.5) / static_cast<double>(kCount);
    for (double step = 1; step > 1e-14;) {
      const double error = 0.5 * std::erfc(x / std::numbers::sqrt2) - upper;
      step = error * std::sqrt(2 * std::numbers::pi) * std::exp(0.5 * x * x);
      x += step;
    }
    quantiles[i] = x;
    quantiles[kCount - 1 - i] = -x;
  }
  return quantiles;
}

/// Normal values of one standard deviation, in each plain storage type.
struct NormalTable {
  std::vector<uint16_t> bf16;
  std::vector<float> f32;

  NormalTable(const std::vector<double>& quantiles, double deviation) {
    for (const double quantile : quantiles) {
      f32.push_back(static_cast<float>(quantile * deviation));
      bf16.push_back(f32_to_bf16(f32.back()));
    }
  }
};

/// FNV-1a: the same name gives the same stream in every model.
uint64_t hash_name(std::string_view name) {
  uint64_t hash = 0xCBF29CE484222325ull;
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001B3ull;
  return hash;
}

/// Elements [first, first + count) of a stream of normal values, four to a draw; `first` is a multiple of 4.
template <typename Element>
void fill_normal(const RandomStream& stream, const std::vector<Element>& table, int64_t first, int64_t count,
                 Element* out) {
  auto counter = static_cast<uint64_t>(first / 4);
  int64_t i = 0;
  for (; i + 4 <= count; i += 4) {
    const uint64_t bits = stream.bits(counter++);
    out[i] = table[bits & 0xFFFF];
    out[i + 1] = table[(bits >> 16) & 0xFFFF];
    out[i + 2] = table[(bits >> 32) & 0xFFFF];
    out[i + 3] = table[bits >> 48];
  }
  if (i == count) return;
  for (uint64_t bits = stream.bits(counter); i < count; ++i, bits >>= 16) out[i] = table[bits & 0xFFFF];
}

/// The scale, as it is stored, that gives codes drawn evenly the standard deviation `deviation`.
uint16_t packed_scale_bits(DType type, double deviation) {
  const std::span<const int8_t> values = packed_codes(type).values;
  double sum = 0, squares = 0;
  for (const int8_t value : values) {
    sum += value;
    squares += double{static_cast<double>(value)} * value;
  }
  const auto count = static_cast<double>(values.size());
  const double scale = deviation / std::sqrt(squares / count - sum / count * (sum / count));
  if (type != DType::kPackedMXFP4) return f32_to_f16(static_cast<float>(scale));
  return static_cast<uint16_t>(128 + std::lround(std::log2(scale)));
}

/// Blocks [first, first + count) of a packed matrix: random codes, scales of one magnitude. Codes reach one
/// step further down than up, and scales of random sign keep that from adding up to a mean.
void fill_packed(const RandomStream& stream, const RandomTensor& tensor, uint16_t scale, int64_t first,
                 int64_t count, std::byte* out) {
  const DType type = tensor.spec.dtype;
  const int64_t groups = tensor.spec.shape[1] / kPackedGroup;
  const int64_t scale_bytes = packed_scale_bytes(type);
  const int64_t group_bytes = packed_group_bytes(type);
  for (int64_t group = first * groups; group < (first + count) * groups; ++group, out += group_bytes) {
    if (type == DType::kPackedMXFP4) {
      std::fill(out, out + scale_bytes, static_cast<std::byte>(scale));
    } else {
      const uint64_t signs = stream.bits(~static_cast<uint64_t>(group));
      for (int64_t row = 0; row < kPackedRows; ++row) {
        const auto signed_scale = static_cast<uint16_t>(scale | (signs >> row & 1) << 15);
        std::memcpy(out + 2 * row, &signed_scale, sizeof signed_scale);
      }
    }
    // A group's codes are a multiple of 128 bytes.
    for (int64_t i = scale_bytes; i < group_bytes; i += 8) {
      const uint64_t bits = stream.bits(static_cast<uint64_t>((group * group_bytes + i) / 8));
      std::memcpy(out + i, &bits, sizeof bits);
    }
  }
}

DType stored_type(const WeightSlot& slot, DType type) {
  if (slot.role == WeightRole::kRouter && slot.vector != nullptr) return DType::kF32;  // as published
  if (slot.role == WeightRole::kRoutingTable) return DType::kF32;  // whole numbers stay whole
  if (!is_packed(type)) return type;
  if (slot.vector != nullptr || slot.role == WeightRole::kRouter) return DType::kF32;
  return slot.shape[1] % kPackedGroup == 0 ? type : DType::kBF16;
}

}  // namespace

std::vector<RandomTensor> random_tensors(const Family& family, const ModelConfig& config, DType type) {
  std::vector<RandomTensor> tensors;
  Transformer layout = Transformer::layout(config);
  family.visit_weights(layout, [&](const WeightSlot& slot) {
    RandomTensor tensor{.spec = {slot.name, stored_type(slot, type), slot.shape}};
    if (is_packed(tensor.spec.dtype)) {
      tensor.units = packed_blocks(slot.shape[0]);
      tensor.unit_bytes = packed_block_bytes(tensor.spec.dtype, slot.shape[1]);
    } else {
      tensor.units = element_count(slot.shape);
      tensor.unit_bytes = info(tensor.spec.dtype).block_bytes;
    }
    if (slot.role == WeightRole::kEmbedding) tensor.fill = Fill::kEmbedding;
    if (slot.role == WeightRole::kNorm) tensor.fill = Fill::kOnes;
    if (slot.role == WeightRole::kRouter && slot.vector != nullptr) tensor.fill = Fill::kZeros;
    if (slot.role == WeightRole::kRoutingTable) {
      tensor.fill = Fill::kExperts;
      tensor.experts = config.moe->n_routed_experts;
      tensor.units = slot.shape[0];
      tensor.unit_bytes = slot.shape[1] * static_cast<int64_t>(sizeof(float));
    }
    tensors.push_back(std::move(tensor));
  });
  return tensors;
}

Json random_model_config(Json config, DType type) {
  config.erase("quantization_config");
  if (is_packed(type)) {
    config["quantization_config"] = {{"quant_method", "cadre"}, {"type", name(type)}};
    if (config.contains("kv_lora_rank")) config["cadre_split_kv_b"] = true;
  }
  const char* type_name = type == DType::kF32 ? "float32" : "bfloat16";
  config["torch_dtype"] = type_name;
  if (config.contains("dtype")) config["dtype"] = type_name;
  return config;
}

struct RandomWeights::Tables {
  double embedding_deviation;
  NormalTable weights;
  NormalTable embedding;

  Tables(const std::vector<double>& quantiles, double of_embedding)
      : embedding_deviation(of_embedding),
        weights(quantiles, kWeightDeviation),
        embedding(quantiles, of_embedding) {}
};

RandomWeights::RandomWeights(const ModelConfig& config, uint64_t seed)
    : seed_(seed),
      tables_(std::make_unique<const Tables>(
          normal_quantiles(),
          config.tie_word_embeddings ? 1 / std::sqrt(static_cast<double>(config.hidden_size)) : 1.0)) {}

RandomWeights::~RandomWeights() = default;

void RandomWeights::make(const RandomTensor& tensor, int64_t first, int64_t count, std::byte* out) const {
  const RandomStream stream(seed_, hash_name(tensor.spec.name));
  const DType type = tensor.spec.dtype;
  if (tensor.fill == Fill::kExperts) {
    const auto width = static_cast<size_t>(tensor.spec.shape[1]);
    auto* row = reinterpret_cast<float*>(out);
    for (int64_t token = first; token < first + count; ++token, row += width)
      fill_hash_row(stream, token, tensor.experts, std::span(row, width));
    return;
  }
  const bool embedding = tensor.fill == Fill::kEmbedding;
  if (is_packed(type)) {
    const double deviation = embedding ? tables_->embedding_deviation : kWeightDeviation;
    return fill_packed(stream, tensor, packed_scale_bits(type, deviation), first, count, out);
  }
  const NormalTable& table = embedding ? tables_->embedding : tables_->weights;
  const float constant = tensor.fill == Fill::kOnes ? 1.0f : 0.0f;
  const bool is_constant = tensor.fill == Fill::kOnes || tensor.fill == Fill::kZeros;
  if (type == DType::kBF16) {
    auto* elements = reinterpret_cast<uint16_t*>(out);
    if (is_constant)
      std::fill_n(elements, count, f32_to_bf16(constant));
    else
      fill_normal(stream, table.bf16, first, count, elements);
  } else {
    auto* elements = reinterpret_cast<float*>(out);
    if (is_constant)
      std::fill_n(elements, count, constant);
    else
      fill_normal(stream, table.f32, first, count, elements);
  }
}

}  // namespace cadre
