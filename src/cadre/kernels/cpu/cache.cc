#include "cadre/kernels/cpu/cache.h"

#include <algorithm>
#include <cstring>

#include "cadre/kernels/cpu/operations.h"
#include "cadre/tensor/convert.h"

namespace cadre::cpu {
namespace {

/// One part of an entry, `slot` being its place in the page.
void write_part(const CpuTable& table, const KvStream& stream, const KvQuantisedPart& layout, const float* x,
                std::byte* part, int64_t slot) {
  const int64_t tokens = stream.page_tokens;
  for (int64_t g = 0; g < layout.groups; ++g) {
    int8_t codes[kKvGroup];
    float scale = 0;
    int32_t sum = 0;
    const int64_t begin = g * kKvGroup;
    const int64_t end = std::min(begin + kKvGroup, layout.channels);
    table.code_group({.x = x + begin,
                      .count = std::min(kKvGroup, layout.coded - begin),
                      .codes = codes,
                      .scale = &scale,
                      .sum = &sum});
    std::memcpy(part + layout.scales_offset + (g * tokens + slot) * 4, &scale, sizeof scale);
    for (int64_t c = begin; c < end; c += 4) {
      uint32_t quad = 0;
      std::memcpy(&quad, codes + (c - begin), sizeof quad);
      quad ^= 0x80808080u;
      std::memcpy(part + (c / 4 * tokens + slot) * 4, &quad, sizeof quad);
    }
  }
  for (int64_t i = 0; i < stream.plain; ++i) {
    const uint16_t bits = f32_to_bf16(x[layout.coded + i]);
    std::memcpy(part + layout.plain_offset + (i * tokens + slot) * 2, &bits, sizeof bits);
  }
}

void read_part(const KvStream& stream, const KvQuantisedPart& layout, const std::byte* part, int64_t slot,
               float* y) {
  const int64_t tokens = stream.page_tokens;
  for (int64_t c = 0; c < layout.coded; ++c) {
    float scale = 0;
    std::memcpy(&scale, part + layout.scales_offset + (c / kKvGroup * tokens + slot) * 4, sizeof scale);
    const int code = static_cast<int>(part[(c / 4 * tokens + slot) * 4 + c % 4]) - 128;
    y[c] = static_cast<float>(code) * scale;
  }
  for (int64_t i = 0; i < stream.plain; ++i) {
    uint16_t bits = 0;
    std::memcpy(&bits, part + layout.plain_offset + (i * tokens + slot) * 2, sizeof bits);
    y[layout.coded + i] = bf16_to_f32(bits);
  }
}

}  // namespace

void kv_write(CpuContext& ctx, const KvWrite& args) {
  const KvStream& stream = args.stream;
  const KvQuantisedPart layout(stream);
  for (const SequenceRows& sequence : args.sequences) {
    for_rows(ctx, sequence.rows, stream.width, [&](int64_t begin, int64_t end, Worker&) {
      for (int64_t i = begin; i < end; ++i) {
        const float* x = args.x.row(sequence.first_row + i);
        const int64_t position = sequence.first_position + i;
        if (stream.dtype == DType::kI8) {
          for (int64_t part = 0; part < stream.parts; ++part)
            write_part(ctx.table, stream, layout, x + part * (stream.width / stream.parts),
                       cache_part(stream, layout, sequence.pages, position, part),
                       position % stream.page_tokens);
        } else if (std::byte* entry = cache_entry(stream, sequence.pages, position);
                   stream.dtype == DType::kF32) {
          std::memcpy(entry, x, static_cast<size_t>(entry_bytes(stream)));
        } else {
          ctx.table.store_bf16_row(x, entry, stream.width);
        }
      }
    });
  }
}

void kv_read(CpuContext& ctx, const KvRead& args) {
  const KvStream& stream = args.stream;
  const KvQuantisedPart layout(stream);
  for_rows(ctx, args.y.rows, stream.width, [&](int64_t begin, int64_t end, Worker&) {
    for (int64_t j = begin; j < end; ++j) {
      float* y = args.y.row(j);
      if (stream.dtype == DType::kI8) {
        for (int64_t part = 0; part < stream.parts; ++part)
          read_part(stream, layout, cache_part(stream, layout, args.pages, j, part), j % stream.page_tokens,
                    y + part * (stream.width / stream.parts));
      } else if (const std::byte* entry = cache_entry(stream, args.pages, j); stream.dtype == DType::kF32) {
        std::memcpy(y, entry, static_cast<size_t>(entry_bytes(stream)));
      } else {
        ctx.table.decode_bf16(entry, y, stream.width);
      }
    }
  });
}

}  // namespace cadre::cpu
