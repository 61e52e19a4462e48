#include "cadre/convert/convert.h"

#include <algorithm>

namespace cadre::convert {

void Notes::count(DType from, std::string_view what) {
  std::string note = fmt::format("of {}: {}", name(from), what);
  const auto same =
      std::find_if(counted_.begin(), counted_.end(), [&](const auto& n) { return n.first == note; });
  if (same == counted_.end()) {
    counted_.emplace_back(std::move(note), 1);
  } else {
    ++same->second;
  }
}

std::vector<std::string> Notes::list() const {
  std::vector<std::string> notes;
  for (const auto& [note, count] : counted_)
    notes.push_back(fmt::format("{} tensor{} {}", count, count == 1 ? "" : "s", note));
  notes.insert(notes.end(), single_.begin(), single_.end());
  return notes;
}

Result<DType> choose_type(DType from, DType own, bool rounded, const ConvertOptions& options,
                          const std::string& where, Notes& notes) {
  const DType type = options.type.value_or(own);
  if (type == from) return type;
  if (is_lossless(from, type)) {
    if (!options.type || type != DType::kF32)
      notes.count(from, fmt::format("stored as {}, the same values", name(type)));
    return type;
  }
  if (rounded && type == DType::kBF16) {
    notes.count(from, "rounded to BF16; --type f32 keeps every value");
    return type;
  }
  return invalid(
      "{}: {} cannot become {} without a change of values; quantize the model first, then convert it without "
      "--type",
      where, name(from), name(type));
}

Weight as_row(const std::vector<float>& values) {
  const auto count = static_cast<int64_t>(values.size());
  return {.data = reinterpret_cast<const std::byte*>(values.data()),
          .dtype = DType::kF32,
          .rows = 1,
          .cols = count,
          .row_bytes = row_bytes(DType::kF32, count)};
}

}  // namespace cadre::convert
