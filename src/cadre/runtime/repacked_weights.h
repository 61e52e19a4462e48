#pragma once
/// Weights of foreign row layouts (GGUF's Q4_0, Q8_0, MXFP4) in the packed layout that the kernels read, made
/// once at load in memory of our own. No value changes.

#include <cstdint>
#include <vector>

#include "cadre/base/anonymous_memory.h"
#include "cadre/base/result.h"
#include "cadre/tensor/tensor.h"

namespace cadre {

/// Owns the packed copies.
class RepackedWeights {
 public:
  RepackedWeights() = default;

  /// Whether a matrix that is used in slices of `slice_rows` rows (0: as a whole) has a packed form: its type
  /// has a packed twin, and slices are whole blocks.
  static bool can_repack(const Weight& weight, int64_t slice_rows);

  /// Packs each of `weights`, which must pass can_repack, with `threads` threads (0: one per core), binds it
  /// to its copy, and gives back the pages that were read for it.
  /// Errors: kTooLarge when the copies exceed this machine's memory, with the numbers.
  static Result<RepackedWeights> make(const std::vector<Weight*>& weights, int threads);

  int64_t bytes() const { return memory_.size(); }
  double seconds() const { return seconds_; }

 private:
  AnonymousMemory memory_;
  double seconds_ = 0;
};

}  // namespace cadre
