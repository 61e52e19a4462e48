#pragma once
/// Token ids from JSON files, as the commands for verification take them.

#include <string>
#include <vector>

#include "cadre/base/result.h"

namespace cadre::cli {

using Sequences = std::vector<std::vector<int32_t>>;

/// An array of ids, or an array of such arrays. Errors: of read_json_file; kInvalid for anything else, an
/// empty sequence, or an id outside the vocabulary, naming the place.
Result<Sequences> read_sequences(const std::string& path, int64_t vocab_size);

}  // namespace cadre::cli
