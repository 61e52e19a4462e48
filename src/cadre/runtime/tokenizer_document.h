#pragma once
/// Writing a tokenizer.json: the parts that differ, and around them what every byte-level BPE vocabulary has.

#include <string_view>

#include "cadre/base/json.h"

namespace cadre {

struct TokenizerDocument {
  Json vocabulary = Json::object();  ///< text in the byte alphabet -> id
  Json merges = Json::array();       ///< "left right", best first
  Json added = Json::array();        ///< of added_token
  Json pre_tokenizer;                ///< its last stage is byte_level_stage()
  bool ignore_merges = false;        ///< pieces that are tokens as a whole skip the merges
};

/// The tokenizer.json.
Json tokenizer_json(TokenizerDocument document);

/// An entry of `added_tokens`: found as it is written, wherever it stands.
Json added_token(int64_t id, std::string_view text, bool special);

/// The stage that goes over to the byte alphabet without cutting.
Json byte_level_stage();

}  // namespace cadre
