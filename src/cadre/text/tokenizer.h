#pragma once
/// Text to token ids and back, with byte-level BPE vocabularies: Hugging Face's tokenizer.json, or the arrays
/// that a GGUF file holds.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cadre/base/json.h"
#include "cadre/base/result.h"

namespace cadre {

struct TokenizerData;

/// A vocabulary as GGUF stores it. The views need to live only during Tokenizer::from_parts.
struct TokenizerParts {
  std::vector<std::string_view> tokens;  ///< tokenizer.ggml.tokens, by id
  std::vector<std::string_view> merges;  ///< tokenizer.ggml.merges: "left right", best first
  std::vector<int32_t> token_types;      ///< tokenizer.ggml.token_type; empty: all are normal
  std::string_view pre_tokenizer;        ///< tokenizer.ggml.pre
  std::optional<int32_t> bos;            ///< tokenizer.ggml.bos_token_id
  std::optional<int32_t> eos;            ///< tokenizer.ggml.eos_token_id
  bool add_bos = false;                  ///< tokenizer.ggml.add_bos_token
  bool add_eos = false;                  ///< tokenizer.ggml.add_eos_token
};

struct EncodeOptions {
  /// Begin with the BOS token, unless the text itself begins with it: there is never more than one.
  bool add_bos = false;
  /// Turn added tokens that are written out in the text (`<｜User｜>`) into their ids. False takes them as
  /// plain text: what a stranger wrote can then hold no control token.
  bool parse_special = true;
};

struct DecodeOptions {
  bool skip_special = false;  ///< leave out tokens whose `special` flag is set
};

/// A vocabulary and how to use it. Copies share the vocabulary; all const methods may be called by any number
/// of threads at once.
///
/// Encoding is lossless: decode(encode(x)) == x for every byte string x, valid UTF-8 or not. Each maximal run
/// of bytes that are not part of valid UTF-8 is a piece of its own, which merges encode like any other.
/// Exceptions are only what tokenizer.json itself asks for: removing or adding spaces.
class Tokenizer {
 public:
  /// Reads the text of a tokenizer.json: model BPE (byte-level), pre-tokenizer stages Split, Digits,
  /// ByteLevel and Sequences of them, no normalizer. Post-processors are ignored: see EncodeOptions::add_bos.
  /// Errors: kInvalid, naming `origin` and the field; what is not supported is refused by name.
  static Result<Tokenizer> from_json(std::string_view tokenizer_json, std::string_view origin);

  /// Token types are llama.cpp's: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte; 2 to 4
  /// are added tokens, 2 and 3 special. Errors as from_json, with the names of the GGUF keys.
  static Result<Tokenizer> from_parts(const TokenizerParts& parts, std::string_view origin);

  /// Takes bos_token, eos_token, add_bos_token and add_eos_token from a tokenizer_config.json. A token is a
  /// string or an object with `content`. Errors: a token that the vocabulary lacks, wrong types; then nothing
  /// has changed.
  Status apply_config(const JsonFields& config);

  /// Errors: kInvalid if a BOS token is asked for and not known, or if the bytes hold one of those that never
  /// occur in UTF-8 (C0, C1, F5 to FF) and the vocabulary has no token for it; kTooLarge from 2 GiB on.
  Result<std::vector<int32_t>> encode(std::string_view bytes, const EncodeOptions& options = {}) const;

  /// The bytes that the tokens stand for, in general not valid UTF-8 before the last token: see
  /// StreamDecoder. Errors: as token_bytes.
  Result<std::string> decode(std::span<const int32_t> ids, const DecodeOptions& options = {}) const;

  /// The view lives as long as any copy of this tokenizer. Errors: kInvalid for an id outside of the
  /// vocabulary.
  Result<std::string_view> token_bytes(int32_t id) const;

  /// The token that the vocabulary file writes as `token`: literally for an added token, else in the byte
  /// alphabet (a leading blank is "Ġ").
  std::optional<int32_t> find(std::string_view token) const;

  /// False also for ids outside of the vocabulary.
  bool is_special(int32_t id) const;
  /// Whether it was added to the vocabulary as a whole, special or not: `<｜User｜>`. Such a token is never
  /// made of text by merges.
  bool is_added(int32_t id) const;

  /// Highest id + 1; the model's own vocab_size may be larger.
  int32_t vocab_size() const;
  /// Whether there is a token with this id: a vocabulary may leave ids out.
  bool contains(int32_t id) const;

  std::optional<int32_t> bos() const { return bos_; }
  std::optional<int32_t> eos() const { return eos_; }
  /// What the vocabulary's makers say a prompt without chat template should get; encode() does not look at
  /// it.
  bool adds_bos() const { return add_bos_; }
  bool adds_eos() const { return add_eos_; }

 private:
  explicit Tokenizer(std::shared_ptr<const TokenizerData> data) : data_(std::move(data)) {}

  std::shared_ptr<const TokenizerData> data_;
  std::optional<int32_t> bos_;
  std::optional<int32_t> eos_;
  bool add_bos_ = false;
  bool add_eos_ = false;
};

}  // namespace cadre
