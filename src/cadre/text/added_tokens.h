#pragma once
/// Tokens that are cut out of the raw text before anything else sees it: control tokens such as
/// `<｜User｜>`, and words that were added to a vocabulary after its training.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cadre/text/pre_tokenizer_regex.h"

namespace cadre {

/// As in the `added_tokens` of a tokenizer.json.
struct AddedToken {
  std::string content;  ///< not empty
  int32_t id = 0;
  bool special = false;      ///< left out when decoding with skip_special
  bool normalized = false;   ///< is looked for after the others, in what they left
  bool left_strip = false;   ///< takes the white space before it along
  bool right_strip = false;  ///< takes the white space after it along
  bool single_word = false;  ///< only where no letter, mark, digit or connector touches it
};

/// The set of them. Immutable, thread-safe.
class AddedTokens {
 public:
  explicit AddedTokens(std::vector<AddedToken> tokens);

  /// A stretch of text between added tokens (id -1), or one added token with the space it takes along.
  struct Part {
    static constexpr int32_t kText = -1;
    std::string_view text;
    int32_t id = kText;
  };

  /// Cuts `text` (any bytes) from left to right: at each place the longest token that fits, then on behind
  /// it. Parts are in order, not empty, and together they are `text`.
  std::vector<Part> split(std::string_view text) const;

  const std::vector<AddedToken>& tokens() const { return tokens_; }

 private:
  static constexpr uint32_t kNone = ~uint32_t{0};

  /// A tree of bytes. Children of a node are a linked list: few have more than ten.
  struct Node {
    char byte = 0;
    uint32_t child = kNone;
    uint32_t sibling = kNone;
    uint32_t token = kNone;  // index into tokens_
  };
  struct Tree {
    std::array<uint32_t, 256> roots;
    std::vector<Node> nodes;

    Tree() { roots.fill(kNone); }
    void insert(std::string_view content, uint32_t token);
    uint32_t longest_match(std::string_view text, size_t at) const;
  };

  bool touches_word(std::string_view text, size_t begin, size_t end) const;
  void split_text(const Tree& tree, std::string_view text, std::vector<Part>& parts) const;

  std::vector<AddedToken> tokens_;
  std::optional<Regex> word_character_;  // present if any token is a `single_word`
  std::array<Tree, 2> trees_;            // first the tokens that are not `normalized`, then those that are
};

}  // namespace cadre
