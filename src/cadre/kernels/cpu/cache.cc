#include "cadre/kernels/cpu/cache.h"

#include <cstring>

#include "cadre/kernels/cpu/operations.h"

namespace cadre::cpu {

void kv_write(CpuContext& ctx, const KvWrite& args) {
  const KvStream& stream = args.stream;
  for (const SequenceRows& sequence : args.sequences) {
    for_rows(ctx, sequence.rows, stream.width, [&](int64_t begin, int64_t end, Worker&) {
      for (int64_t i = begin; i < end; ++i) {
        const float* x = args.x.row(sequence.first_row + i);
        std::byte* entry = cache_entry(stream, sequence.pages, sequence.first_position + i);
        if (stream.dtype == DType::kF32)
          std::memcpy(entry, x, static_cast<size_t>(entry_bytes(stream)));
        else
          ctx.table.store_bf16_row(x, entry, stream.width);
      }
    });
  }
}

void kv_read(CpuContext& ctx, const KvRead& args) {
  const KvStream& stream = args.stream;
  for_rows(ctx, args.y.rows, stream.width, [&](int64_t begin, int64_t end, Worker&) {
    for (int64_t j = begin; j < end; ++j) {
      const std::byte* entry = cache_entry(stream, args.pages, j);
      if (stream.dtype == DType::kF32)
        std::memcpy(args.y.row(j), entry, static_cast<size_t>(entry_bytes(stream)));
      else
        ctx.table.decode_bf16(entry, args.y.row(j), stream.width);
    }
  });
}

}  // namespace cadre::cpu
