#include "cadre/text/tokenizer.h"

#include "cadre/text/tokenizer_data.h"
#include "cadre/text/utf8.h"

namespace cadre {
namespace {

// Positions inside a piece are 32 bits wide.
constexpr size_t kMaxTextBytes = size_t{1} << 31;

/// How many bytes at the start of `text` are not part of valid UTF-8.
size_t invalid_utf8_prefix(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const Utf8Char c = decode_utf8(text, at);
    if (c.kind == Utf8Kind::kValid) break;
    at += c.length;
  }
  return at;
}

/// Encodes stretches of text without added tokens.
class Encoder final : public PieceSink {
 public:
  Encoder(const TokenizerData& data, EncodeWorkspace& workspace, std::vector<int32_t>& ids)
      : data_(data), workspace_(workspace), ids_(ids) {}

  /// False if a byte has no token, see unknown_byte().
  bool encode(std::string_view text) {
    while (!text.empty()) {
      const size_t valid = valid_utf8_prefix(text);
      data_.pre_tokenizer.split(text.substr(0, valid), workspace_.pre_tokenizer, *this);
      text.remove_prefix(valid);
      const size_t broken = invalid_utf8_prefix(text);
      if (broken == 0) continue;
      // Bytes of valid UTF-8 all have tokens, so only here one may be unknown.
      for (const char c : text.substr(0, broken)) {
        unknown_byte_ = static_cast<uint8_t>(c);
        if (data_.bpe.byte_id(unknown_byte_) == Bpe::kNoToken) return false;
      }
      piece(text.substr(0, broken));
      text.remove_prefix(broken);
    }
    return true;
  }

  uint8_t unknown_byte() const { return unknown_byte_; }

  void piece(std::string_view piece) override {
    if (piece.size() > PieceCache::kMaxBytes) {
      merge(piece);
      return;
    }
    const uint64_t hash = hash_bytes(piece);
    if (workspace_.cache.lookup(piece, hash, ids_)) return;
    const size_t before = ids_.size();
    merge(piece);
    workspace_.cache.insert(piece, hash, std::span(ids_).subspan(before));
  }

 private:
  void merge(std::string_view piece) {
    if (data_.ignore_merges) {
      const std::optional<int32_t> whole = data_.vocabulary.find(bytes_to_alphabet(piece));
      if (whole && !data_.vocabulary.is_added(*whole)) {
        ids_.push_back(*whole);
        return;
      }
    }
    data_.bpe.encode(piece, workspace_.bpe, ids_);
  }

  const TokenizerData& data_;
  EncodeWorkspace& workspace_;
  std::vector<int32_t>& ids_;
  uint8_t unknown_byte_ = 0;
};

/// A workspace for one call, given back however that ends.
class Lease {
 public:
  explicit Lease(WorkspacePool& pool) : pool_(pool), workspace_(pool.take()) {}
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  ~Lease() { pool_.give_back(std::move(workspace_)); }
  EncodeWorkspace& operator*() const { return *workspace_; }

 private:
  WorkspacePool& pool_;
  std::unique_ptr<EncodeWorkspace> workspace_;
};

/// A token of tokenizer_config.json: a string, or an object with `content`; nullopt when absent.
Result<std::optional<int32_t>> config_token(const JsonFields& config, std::string_view key,
                                            const Vocabulary& vocabulary) {
  const Json* value = config.find(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_object() && value->contains("content")) value = &(*value)["content"];
  if (!value->is_string()) {
    return config.error(
        key, fmt::format("expected a string or an object with 'content', found {}", describe_json(*value)));
  }
  const auto& token = value->get_ref<const std::string&>();
  const std::optional<int32_t> id = vocabulary.find(token);
  if (!id) return config.error(key, fmt::format("the token '{}' is not in the vocabulary", token));
  return id;
}

}  // namespace

Status Tokenizer::apply_config(const JsonFields& config) {
  CADRE_TRY(const std::optional<int32_t> bos, config_token(config, "bos_token", data_->vocabulary));
  CADRE_TRY(const std::optional<int32_t> eos, config_token(config, "eos_token", data_->vocabulary));
  CADRE_TRY(const bool add_bos, config.boolean_or("add_bos_token", add_bos_));
  CADRE_TRY(const bool add_eos, config.boolean_or("add_eos_token", add_eos_));
  if (bos) bos_ = bos;
  if (eos) eos_ = eos;
  add_bos_ = add_bos;
  add_eos_ = add_eos;
  return {};
}

Result<std::vector<int32_t>> Tokenizer::encode(std::string_view bytes, const EncodeOptions& options) const {
  if (bytes.size() >= kMaxTextBytes) {
    return fail(ErrorKind::kTooLarge, "text of {} bytes: at most {} can be tokenized at once", bytes.size(),
                kMaxTextBytes - 1);
  }
  if (options.add_bos && !bos_) return invalid("a BOS token is asked for, but this vocabulary names none");
  std::vector<int32_t> ids;
  ids.reserve(bytes.size() / 4 + 1);
  if (options.add_bos) ids.push_back(*bos_);
  const Lease workspace(data_->workspaces);
  Encoder encoder(*data_, *workspace, ids);
  std::vector<AddedTokens::Part> parts;
  if (options.parse_special) {
    parts = data_->added.split(bytes);
  } else {
    parts.push_back({.text = bytes});
  }
  for (const AddedTokens::Part& part : parts) {
    if (part.id != AddedTokens::Part::kText) {
      const bool written_out = options.add_bos && part.id == *bos_ && &part == parts.data();
      if (!written_out) ids.push_back(part.id);
    } else if (!encoder.encode(part.text)) {
      return invalid(
          "the text holds the byte 0x{:02X}, for which this vocabulary has no token (it occurs in no UTF-8)",
          encoder.unknown_byte());
    }
  }
  return ids;
}

Result<std::string> Tokenizer::decode(std::span<const int32_t> ids, const DecodeOptions& options) const {
  std::string bytes;
  bytes.reserve(ids.size() * 4);
  for (const int32_t id : ids) {
    CADRE_TRY(const std::string_view token, token_bytes(id));
    if (!options.skip_special || !is_special(id)) bytes += token;
  }
  return bytes;
}

Result<std::string_view> Tokenizer::token_bytes(int32_t id) const {
  const Vocabulary& vocabulary = data_->vocabulary;
  if (!vocabulary.contains(id)) {
    if (id < 0 || id >= vocabulary.size()) {
      return invalid("token id {}: expected 0 to {}", id, vocabulary.size() - 1);
    }
    return invalid("token id {}: the vocabulary has no token with this id", id);
  }
  return vocabulary.bytes(id);
}

std::optional<int32_t> Tokenizer::find(std::string_view token) const { return data_->vocabulary.find(token); }

bool Tokenizer::is_special(int32_t id) const { return data_->vocabulary.is_special(id); }

bool Tokenizer::is_added(int32_t id) const { return data_->vocabulary.is_added(id); }

int32_t Tokenizer::vocab_size() const { return data_->vocabulary.size(); }

bool Tokenizer::contains(int32_t id) const { return data_->vocabulary.contains(id); }

}  // namespace cadre
