#include "cadre/runtime/tokenizer_document.h"

#include <utility>

namespace cadre {

Json tokenizer_json(TokenizerDocument document) {
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", std::move(document.added)},
          {"normalizer", nullptr},
          {"pre_tokenizer", std::move(document.pre_tokenizer)},
          {"post_processor", nullptr},
          {"decoder", byte_level_stage()},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", nullptr},
            {"end_of_word_suffix", nullptr},
            {"fuse_unk", false},
            {"byte_fallback", false},
            {"ignore_merges", document.ignore_merges},
            {"vocab", std::move(document.vocabulary)},
            {"merges", std::move(document.merges)}}}};
}

Json added_token(int64_t id, std::string_view text, bool special) {
  return {{"id", id},        {"content", text},     {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", special}};
}

Json byte_level_stage() {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
}

}  // namespace cadre
