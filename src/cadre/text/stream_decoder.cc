#include "cadre/text/stream_decoder.h"

#include <utility>

namespace cadre {

StreamDecoder::StreamDecoder(Tokenizer tokenizer, DecodeOptions options)
    : tokenizer_(std::move(tokenizer)), options_(options) {}

Result<std::string> StreamDecoder::push(int32_t id) {
  CADRE_TRY(const std::string_view bytes, tokenizer_.token_bytes(id));
  if (options_.skip_special && tokenizer_.is_special(id)) return std::string();
  return stream_.push(bytes);
}

std::string StreamDecoder::finish() { return stream_.finish(); }

}  // namespace cadre
