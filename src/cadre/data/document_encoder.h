#pragma once
/// From documents to tokens, and which of them a model is to learn.

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cadre/base/result.h"
#include "cadre/data/documents.h"
#include "cadre/runtime/text_assets.h"

namespace cadre {

struct EncodedDocument {
  std::vector<int32_t> tokens;
  std::vector<uint8_t> learned;  ///< by token: 1 where predicting it counts in the loss
};

/// Plain text becomes BOS, text, EOS, of which all but BOS is learned. A conversation becomes what the chat
/// template makes of it, of which the assistant's answers and the EOS after each are learned. Prompts and
/// answers are encoded apart, as they are when a model is asked and answers. Thread-compatible.
class DocumentEncoder {
 public:
  /// `origin` names the tokenizer in errors. Errors: kInvalid when it names no EOS token.
  static Result<DocumentEncoder> create(TextAssets assets, std::string_view origin);

  /// Replaces the contents of `out`. Errors: of the chat template; kInvalid naming the document when a
  /// message writes out a control token, or when the template changes answers so that they cannot be told
  /// from the rest.
  Status encode(const Document& document, EncodedDocument& out);

  const Tokenizer& tokenizer() const { return assets_.tokenizer; }

 private:
  /// What a template makes of a conversation of given roles: for each message in the order in which the
  /// template prints them, the text before its content; and the text after the last.
  struct Frame {
    struct Slot {
      std::string before;
      size_t turn = 0;
    };
    std::vector<Slot> slots;
    std::string after;
  };

  explicit DocumentEncoder(TextAssets assets);
  Result<std::string> render(const std::vector<ChatTurn>& turns, std::string_view origin) const;
  Result<const Frame*> frame(const Document& document);
  Status encode_chat(const Document& document, EncodedDocument& out);
  Status append(std::string_view text, bool learned, bool parse_special, EncodedDocument& out) const;
  Status check_no_control_token(const Document& document) const;

  TextAssets assets_;
  std::map<std::string, Frame> frames_;     ///< by roles: a corpus has few kinds, and templates are slow
  std::array<bool, 256> begins_control_{};  ///< by byte: whether a special token begins with it
};

}  // namespace cadre
