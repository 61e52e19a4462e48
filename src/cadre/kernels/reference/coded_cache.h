#pragma once
/// int8 caches and attention over them, as kernels/backend.h defines them: Attend and KvQuantisedPart.

#include "cadre/kernels/backend.h"

namespace cadre::reference {

/// Writes entry `position` of a sequence.   x: [width]
void write_coded(const KvStream& stream, const int32_t* pages, int64_t position, const float* x);

/// Channel `channel` of part `part` of an entry, widened.
float read_coded(const KvStream& stream, const int32_t* pages, int64_t position, int64_t part,
                 int64_t channel);

/// One row and head over the keys up to `position`, into args.out.
void attend_coded_row(const Attend& args, const int32_t* pages, int64_t row, int64_t head, int64_t position);

}  // namespace cadre::reference
