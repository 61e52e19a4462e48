#pragma once
/// Token ids to text that can be shown at once.

#include <cstdint>
#include <string>

#include "cadre/base/result.h"
#include "cadre/text/tokenizer.h"
#include "cadre/text/utf8.h"

namespace cadre {

/// Takes ids one at a time and gives whole characters: a token may end inside a character, whose bytes are
/// then held back until the next one. Invalid bytes become U+FFFD (see Utf8Stream), so all results together
/// are valid UTF-8. One per answer; not thread-safe.
class StreamDecoder {
 public:
  explicit StreamDecoder(Tokenizer tokenizer, DecodeOptions options = {});

  /// What can be shown now, possibly nothing. Errors: an id outside of the vocabulary; the stream is
  /// unchanged.
  Result<std::string> push(int32_t id);
  /// The rest, at the end of the answer. Afterwards the decoder is as new.
  std::string finish();

 private:
  Tokenizer tokenizer_;
  DecodeOptions options_;
  Utf8Stream stream_;
};

}  // namespace cadre
