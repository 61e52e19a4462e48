#include "cadre/kernels/reference/coded_cache.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "cadre/tensor/convert.h"

namespace cadre::reference {
namespace {

/// Values whose codes have one scale.
struct Coded {
  std::vector<int> codes;
  double scale = 0;
};

/// code = value * (127 / largest) rounded, scale = largest / 127, both factors in f32.
Coded code_values(const std::vector<float>& values) {
  Coded coded{.codes = std::vector<int>(values.size())};
  float largest = 0;
  bool finite = true;
  for (const float value : values) {
    finite &= std::isfinite(value);
    largest = std::max(largest, std::abs(value));
  }
  if (!finite) coded.scale = std::numeric_limits<double>::quiet_NaN();
  if (!finite || largest < 1e-35f) return coded;
  coded.scale = double{largest / 127.0f};
  const float inverse = 127.0f / largest;
  for (size_t i = 0; i < values.size(); ++i)
    coded.codes[i] = static_cast<int>(std::nearbyint(values[i] * inverse));
  return coded;
}

std::byte* part_of(const KvStream& stream, const int32_t* pages, int64_t position, int64_t part) {
  const int64_t page = pages[position / stream.page_tokens];
  return stream.data + page * page_bytes(stream) + part * KvQuantisedPart(stream).bytes;
}

/// Offsets of an element within a part, in bytes.
int64_t code_offset(const KvStream& stream, int64_t slot, int64_t channel) {
  return (channel / 4 * stream.page_tokens + slot) * 4 + channel % 4;
}
int64_t scale_offset(const KvStream& stream, int64_t slot, int64_t group) {
  return KvQuantisedPart(stream).scales_offset + (group * stream.page_tokens + slot) * 4;
}
int64_t plain_offset(const KvStream& stream, int64_t slot, int64_t i) {
  return KvQuantisedPart(stream).plain_offset + (i * stream.page_tokens + slot) * 2;
}

int read_code(const KvStream& stream, const int32_t* pages, int64_t position, int64_t part, int64_t channel) {
  const std::byte* from = part_of(stream, pages, position, part);
  return static_cast<int>(from[code_offset(stream, position % stream.page_tokens, channel)]) - 128;
}

float read_scale(const KvStream& stream, const int32_t* pages, int64_t position, int64_t part,
                 int64_t group) {
  float scale = 0;
  std::memcpy(
      &scale,
      part_of(stream, pages, position, part) + scale_offset(stream, position % stream.page_tokens, group),
      sizeof scale);
  return scale;
}

/// Group g of the coded channels that begin at x.
Coded code_group(const KvQuantisedPart& layout, const float* x, int64_t g) {
  return code_values({x + g * kKvGroup, x + std::min((g + 1) * kKvGroup, layout.coded)});
}

double score(const Attend& args, const std::vector<Coded>& q, const float* q_plain, const int32_t* pages,
             int64_t key, int64_t part) {
  const KvStream& keys = args.keys;
  const int64_t coded = KvQuantisedPart(keys).coded;
  double sum = 0;
  for (int64_t i = 0; i < keys.plain; ++i)
    sum += double{q_plain[i]} * double{read_coded(keys, pages, key, part, coded + i)};
  for (size_t g = 0; g < q.size(); ++g) {
    int64_t dot = 0;
    const auto group = static_cast<int64_t>(g);
    for (size_t i = 0; i < q[g].codes.size(); ++i)
      dot += int64_t{q[g].codes[i]} *
             read_code(keys, pages, key, part, group * kKvGroup + static_cast<int64_t>(i));
    sum += static_cast<double>(dot) * q[g].scale * double{read_scale(keys, pages, key, part, group)};
  }
  return sum * double{args.scale};
}

}  // namespace

void write_coded(const KvStream& stream, const int32_t* pages, int64_t position, const float* x) {
  const KvQuantisedPart layout(stream);
  const int64_t slot = position % stream.page_tokens;
  for (int64_t part = 0; part < stream.parts; ++part, x += stream.width / stream.parts) {
    std::byte* to = part_of(stream, pages, position, part);
    for (int64_t c = 0; c < layout.channels; ++c) to[code_offset(stream, slot, c)] = std::byte{128};
    for (int64_t g = 0; g < layout.groups; ++g) {
      const Coded coded = code_group(layout, x, g);
      for (size_t i = 0; i < coded.codes.size(); ++i)
        to[code_offset(stream, slot, g * kKvGroup + static_cast<int64_t>(i))] =
            static_cast<std::byte>(coded.codes[i] + 128);
      const auto scale = static_cast<float>(coded.scale);
      std::memcpy(to + scale_offset(stream, slot, g), &scale, sizeof scale);
    }
    for (int64_t i = 0; i < stream.plain; ++i) {
      const uint16_t bits = f32_to_bf16(x[layout.coded + i]);
      std::memcpy(to + plain_offset(stream, slot, i), &bits, sizeof bits);
    }
  }
}

float read_coded(const KvStream& stream, const int32_t* pages, int64_t position, int64_t part,
                 int64_t channel) {
  const int64_t coded = KvQuantisedPart(stream).coded;
  if (channel < coded)
    return static_cast<float>(read_code(stream, pages, position, part, channel)) *
           read_scale(stream, pages, position, part, channel / kKvGroup);
  uint16_t bits = 0;
  std::memcpy(&bits,
              part_of(stream, pages, position, part) +
                  plain_offset(stream, position % stream.page_tokens, channel - coded),
              sizeof bits);
  return bf16_to_f32(bits);
}

void attend_coded_row(const Attend& args, const int32_t* pages, int64_t row, int64_t head, int64_t position) {
  const int64_t part = head / (args.q.heads / args.kv_heads);
  const KvQuantisedPart key_layout(args.keys);
  const float* x = args.q.at(row, head);
  std::vector<Coded> q;
  for (int64_t g = 0; g < key_layout.groups; ++g) q.push_back(code_group(key_layout, x, g));

  std::vector<double> weights;
  double highest = -std::numeric_limits<double>::infinity();
  for (int64_t j = 0; j <= position; ++j) {
    weights.push_back(score(args, q, x + key_layout.coded, pages, j, part));
    highest = std::max(highest, weights.back());
  }
  double sum = 0;
  for (double& weight : weights) sum += weight = std::exp(weight - highest);

  for (int64_t c = 0; c < args.out.width; ++c) {
    double value = 0;
    for (int64_t first = 0; first <= position; first += args.keys.page_tokens) {
      const int64_t end = std::min(first + args.keys.page_tokens, position + 1);
      std::vector<double> products;
      double largest = 0, poison = 0;
      for (int64_t j = first; j < end; ++j) {
        products.push_back(weights[static_cast<size_t>(j)] *
                           double{read_scale(args.values, pages, j, part, c / kKvGroup)});
        largest = std::max(largest, products.back());
        poison += products.back() * 0;
      }
      double block = 0;
      for (int64_t j = first; j < end && largest > 0; ++j)
        block += std::nearbyint(products[static_cast<size_t>(j - first)] * 127 / largest) *
                 read_code(args.values, pages, j, part, c);
      value += block * largest / 127 + poison;
    }
    args.out.at(row, head)[c] = static_cast<float>(value / sum);
  }
}

}  // namespace cadre::reference
