#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "cadre/kernels/reference/coded_cache.h"
#include "cadre/kernels/reference/reference.h"
#include "cadre/tensor/convert.h"

namespace cadre::reference {
namespace {

/// Element `channel` of entry `position` of a sequence.
std::byte* element(const KvStream& stream, const int32_t* pages, int64_t position, int64_t channel) {
  const int64_t slot =
      pages[position / stream.page_tokens] * stream.page_tokens + position % stream.page_tokens;
  return stream.data + (slot * stream.width + channel) * (stream.dtype == DType::kF32 ? 4 : 2);
}

float read(const KvStream& stream, const int32_t* pages, int64_t position, int64_t channel) {
  const std::byte* source = element(stream, pages, position, channel);
  if (stream.dtype == DType::kF32) {
    float value = 0;
    std::memcpy(&value, source, sizeof value);
    return value;
  }
  uint16_t bits = 0;
  std::memcpy(&bits, source, sizeof bits);
  return bf16_to_f32(bits);
}

void write(const KvStream& stream, const int32_t* pages, int64_t position, int64_t channel, float value) {
  std::byte* target = element(stream, pages, position, channel);
  if (stream.dtype == DType::kF32) {
    std::memcpy(target, &value, sizeof value);
  } else {
    const uint16_t bits = f32_to_bf16(value);
    std::memcpy(target, &bits, sizeof bits);
  }
}

/// One row and head: out = sum_j softmax(scale * q . k_j) v_j over the keys up to `position`.
void attend_row(const Attend& args, const int32_t* pages, int64_t row, int64_t head, int64_t position) {
  const int64_t kv_head = head / (args.q.heads / args.kv_heads);
  const float* q = args.q.at(row, head);
  std::vector<double> weights;
  double highest = -std::numeric_limits<double>::infinity();
  for (int64_t j = 0; j <= position; ++j) {
    double score = 0;
    for (int64_t i = 0; i < args.q.width; ++i)
      score += double{q[i]} * double{read(args.keys, pages, j, kv_head * args.key_stride + i)};
    weights.push_back(score * double{args.scale});
    highest = std::max(highest, weights.back());
  }
  double sum = 0;
  for (double& weight : weights) sum += weight = std::exp(weight - highest);
  for (int64_t i = 0; i < args.out.width; ++i) {
    double value = 0;
    for (int64_t j = 0; j <= position; ++j)
      value += weights[static_cast<size_t>(j)] *
               double{read(args.values, pages, j, kv_head * args.value_stride + i)};
    args.out.at(row, head)[i] = static_cast<float>(value / sum);
  }
}

}  // namespace

void kv_write(const KvWrite& args) {
  for (const SequenceRows& sequence : args.sequences)
    for (int64_t r = 0; r < sequence.rows; ++r) {
      const float* x = args.x.row(sequence.first_row + r);
      const int64_t position = sequence.first_position + r;
      if (args.stream.dtype == DType::kI8) {
        write_coded(args.stream, sequence.pages, position, x);
        continue;
      }
      for (int64_t i = 0; i < args.stream.width; ++i) write(args.stream, sequence.pages, position, i, x[i]);
    }
}

void kv_read(const KvRead& args) {
  const int64_t part_width = args.stream.width / args.stream.parts;
  for (int64_t j = 0; j < args.y.rows; ++j)
    for (int64_t i = 0; i < args.stream.width; ++i)
      args.y.row(j)[i] = args.stream.dtype == DType::kI8
                             ? read_coded(args.stream, args.pages, j, i / part_width, i % part_width)
                             : read(args.stream, args.pages, j, i);
}

void attend(const Attend& args) {
  for (const SequenceRows& sequence : args.sequences)
    for (int64_t r = 0; r < sequence.rows; ++r)
      for (int64_t h = 0; h < args.q.heads; ++h)
        (args.keys.dtype == DType::kI8 ? attend_coded_row : attend_row)(
            args, sequence.pages, sequence.first_row + r, h, sequence.first_position + r);
}

}  // namespace cadre::reference
