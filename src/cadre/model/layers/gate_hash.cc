#include "cadre/model/layers/gate_hash.h"

#include <algorithm>
#include <cmath>

namespace cadre {

void fill_hash_row(const RandomStream& random, int64_t token, int64_t experts, std::span<float> row) {
  uint64_t draw = static_cast<uint64_t>(token) << 24;  // a token's draws are its own
  for (size_t i = 0; i < row.size();) {
    const auto expert = static_cast<float>(random.bits(draw++) % static_cast<uint64_t>(experts));
    const auto chosen = row.first(i);
    if (std::find(chosen.begin(), chosen.end(), expert) == chosen.end()) row[i++] = expert;
  }
}

Status check_hash_table(std::span<const float> table, int64_t width, int64_t experts) {
  const auto k = static_cast<size_t>(width);
  for (size_t at = 0; at + k <= table.size(); at += k) {
    const std::span<const float> row = table.subspan(at, k);
    for (size_t i = 0; i < k; ++i) {
      const float expert = row[i];
      const bool known = expert >= 0 && expert < static_cast<float>(experts) && std::floor(expert) == expert;
      if (!known)
        return invalid("token {}: expected an expert from 0 to {}, found {}", at / k, experts - 1, expert);
      if (std::find(row.begin(), row.begin() + static_cast<int64_t>(i), expert) !=
          row.begin() + static_cast<int64_t>(i))
        return invalid("token {}: expert {} stands twice", at / k, expert);
    }
  }
  return {};
}

}  // namespace cadre
