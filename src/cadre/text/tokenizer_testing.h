#pragma once
/// Shared by the tokenizer's tests: where the golden files lie, and small vocabularies.

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "cadre/base/json.h"
#include "cadre/base/shared_folder_testing.h"
#include "cadre/text/bpe.h"
#include "cadre/text/tokenizer.h"

namespace cadre {

using fixtures::shared_folder;

/// Skips the test where the golden data is not installed.
#define CADRE_REQUIRE_SHARED(path)                                                             \
  if (!std::filesystem::exists(path)) {                                                        \
    GTEST_SKIP() << "golden data is absent: " << (path) << "; set CADRE_SHARED to its folder"; \
  }

/// A tokenizer.json with the 256 bytes as ids 0 to 255 and a token for each of `merges`, whose two halves are
/// separated by a blank and written in the byte alphabet.
inline Json small_tokenizer_json(const std::vector<std::string>& merges = {"a b", "ab c", "Ġ ab"}) {
  Json vocabulary = Json::object();
  for (int byte = 0; byte < 256; ++byte) {
    vocabulary[std::string(alphabet_character(static_cast<uint8_t>(byte)))] = byte;
  }
  for (const std::string& merge : merges) {
    std::string token = merge;
    token.erase(token.find(' '), 1);
    vocabulary.emplace(token, vocabulary.size());
  }
  Json json;
  json["added_tokens"] = Json::array();
  json["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}};
  json["model"] = {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", merges}};
  return json;
}

inline Json added_token(int id, std::string_view content, bool special = true) {
  return {{"id", id}, {"content", content}, {"special", special}, {"normalized", false}};
}

inline Result<Tokenizer> tokenizer_from(const Json& json) {
  return Tokenizer::from_json(json.dump(), "tokenizer.json");
}

}  // namespace cadre
