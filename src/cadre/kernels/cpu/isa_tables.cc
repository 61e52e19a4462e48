#include "cadre/kernels/cpu/isa_tables.h"

#include <cstddef>
#include <cstring>
#include <iterator>
#include <span>

namespace cadre::cpu {
namespace {

/// One source of entries: a folder of kernels/cpu.
struct Source {
  std::string_view name;
  std::span<void (*const)(CpuTable&)> fills;
};

using Fill = void (*)(CpuTable&);
constexpr Fill kGenericFills[] = {fill_generic_products, fill_generic_packed, fill_generic_attention,
                                  fill_generic_rows, fill_generic_gradients};
#if defined(__x86_64__)
constexpr Fill kAvx2Fills[] = {fill_avx2_products, fill_avx2_packed, fill_avx2_attention,
                               fill_avx2_rows,     fill_avx2_decode, fill_avx2_gradients};
constexpr Fill kAvxVnniFills[] = {fill_avxvnni_packed, fill_avxvnni_attention};
constexpr Fill kAvx512Fills[] = {fill_avx512_products, fill_avx512_rows, fill_avx512_decode,
                                 fill_avx512_gradients};
constexpr Fill kAvx512VnniFills[] = {fill_avx512vnni_packed, fill_avx512vnni_attention};
#endif

/// In the order in which they are filled in: the last one that has an entry wins.
std::vector<Source> sources(Isa isa, bool vnni) {
  std::vector<Source> list = {{"generic", kGenericFills}};
#if defined(__x86_64__)
  if (isa >= Isa::kAvx2) {
    list.push_back({"avx2", kAvx2Fills});
    if (vnni && has_vnni(Isa::kAvx2)) list.push_back({"avxvnni", kAvxVnniFills});
  }
  if (isa >= Isa::kAvx512) {
    list.push_back({"avx512", kAvx512Fills});
    if (vnni && has_vnni(Isa::kAvx512)) list.push_back({"avx512vnni", kAvx512VnniFills});
  }
#else
  static_cast<void>(isa);
  static_cast<void>(vnni);
#endif
  return list;
}

struct Entry {
  std::string_view name;
  size_t offset;
};
#define CADRE_ENTRY(member) \
  Entry { #member, offsetof(CpuTable, member) }
constexpr Entry kEntries[] = {
    CADRE_ENTRY(dot_rows_f32),
    CADRE_ENTRY(dot_rows_bf16),
    CADRE_ENTRY(x_tile),
    CADRE_ENTRY(w_tile),
    CADRE_ENTRY(pack_f32),
    CADRE_ENTRY(pack_bf16),
    CADRE_ENTRY(tile_product),
    CADRE_ENTRY(quantise_row),
    CADRE_ENTRY(q8.product),
    CADRE_ENTRY(q8.decode_row),
    CADRE_ENTRY(q6.product),
    CADRE_ENTRY(q6.decode_row),
    CADRE_ENTRY(q4.product),
    CADRE_ENTRY(q4.decode_row),
    CADRE_ENTRY(mxfp4.product),
    CADRE_ENTRY(mxfp4.decode_row),
    CADRE_ENTRY(q3.product),
    CADRE_ENTRY(q3.decode_row),
    CADRE_ENTRY(q2.product),
    CADRE_ENTRY(q2.decode_row),
    CADRE_ENTRY(column_product_f32),
    CADRE_ENTRY(column_product_bf16),
    CADRE_ENTRY(softmax_block),
    CADRE_ENTRY(softmax_merge),
    CADRE_ENTRY(rms_norm_row),
    CADRE_ENTRY(rope_row),
    CADRE_ENTRY(swiglu_row),
    CADRE_ENTRY(add_row),
    CADRE_ENTRY(multiply_add_row),
    CADRE_ENTRY(multiply_row),
    CADRE_ENTRY(divide_row),
    CADRE_ENTRY(round_to_bf16_row),
    CADRE_ENTRY(code_group),
    CADRE_ENTRY(coded_scores),
    CADRE_ENTRY(transpose_codes),
    CADRE_ENTRY(coded_weights),
    CADRE_ENTRY(coded_values),
    CADRE_ENTRY(gemm_rows),
    CADRE_ENTRY(gemm_columns),
    CADRE_ENTRY(gemm_tile),
    CADRE_ENTRY(gemm_pack_along),
    CADRE_ENTRY(gemm_pack_across),
    CADRE_ENTRY(rms_norm_grad_row),
    CADRE_ENTRY(swiglu_grad_row),
    CADRE_ENTRY(softmax_grad_row),
    CADRE_ENTRY(adamw_range),
    CADRE_ENTRY(square_sum),
    CADRE_ENTRY(store_bf16_row),
    CADRE_ENTRY(decode_bf16),
    CADRE_ENTRY(decode_f16),
    CADRE_ENTRY(decode_f8e4m3),
    CADRE_ENTRY(decode_q8_0),
    CADRE_ENTRY(decode_q4_0),
    CADRE_ENTRY(decode_q4_k),
    CADRE_ENTRY(decode_q6_k),
    CADRE_ENTRY(decode_mxfp4),
};
#undef CADRE_ENTRY
constexpr size_t kEntryBytes = sizeof(void*);
static_assert(std::size(kEntries) * kEntryBytes == sizeof(CpuTable), "an entry is missing in the list above");

}  // namespace

Result<Isa> choose_isa(const CpuOptions& options) {
  if (options.isa.empty() || options.isa == "auto") return best_isa();
  const std::optional<Isa> named = isa_from_name(options.isa);
  if (!named)
    return fail(ErrorKind::kUsage, "instruction set: auto, generic, avx2 or avx512 expected, '{}' found",
                options.isa);
  if (!has_isa(*named))
    return fail(ErrorKind::kNotFound, "instruction set '{}': this machine has none above '{}'", options.isa,
                name(best_isa()));
  return *named;
}

CpuTable table_for(Isa isa, bool vnni) {
  CpuTable table{};
  for (const Source& source : sources(isa, vnni))
    for (const Fill fill : source.fills) fill(table);
  return table;
}

std::vector<KernelSource> table_sources(Isa isa, bool vnni) {
  std::vector<KernelSource> result;
  for (const Entry& entry : kEntries) result.push_back({entry.name, "none"});
  const CpuTable nothing{};
  for (const Source& source : sources(isa, vnni)) {
    // Into an empty table, which shows what this source has, whatever lay there before.
    CpuTable own{};
    for (const Fill fill : source.fills) fill(own);
    for (size_t i = 0; i < std::size(kEntries); ++i) {
      const auto* bytes = reinterpret_cast<const char*>(&own) + kEntries[i].offset;
      const char* empty = reinterpret_cast<const char*>(&nothing) + kEntries[i].offset;
      if (std::memcmp(bytes, empty, kEntryBytes) != 0) result[i].source = source.name;
    }
  }
  return result;
}

}  // namespace cadre::cpu

namespace cadre {

Result<std::vector<KernelSource>> cpu_kernel_sources(const CpuOptions& options) {
  CADRE_TRY(const Isa isa, cpu::choose_isa(options));
  return cpu::table_sources(isa, options.vnni);
}

}  // namespace cadre
