#pragma once
/// Reading a corpus: plain text and JSONL files as a sequence of documents. What is accepted and what is
/// refused: docs/training-data.md.

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cadre/base/function_ref.h"
#include "cadre/base/result.h"

namespace cadre {

struct ChatTurn {
  std::string role;  ///< "system", "user" or "assistant"
  std::string content;
};

/// A plain text, or a conversation. The views live until the visitor returns.
struct Document {
  std::string_view origin;      ///< for error messages: "stories.jsonl:17", or the name of a text file
  std::string_view text;        ///< of a plain document
  std::vector<ChatTurn> turns;  ///< of a conversation, else empty

  bool is_chat() const { return !turns.empty(); }
  /// Bytes of text, without what a chat template adds.
  uint64_t bytes() const;
  /// 64-bit FNV-1a over the text, or over roles and contents: the same for equal documents, whatever file
  /// they come from and on every machine.
  uint64_t fingerprint() const;
};

enum class CorpusFormat {
  kAuto,  ///< by the file's name: .jsonl and .ndjson are JSONL, everything else is text
  kText,
  kJsonl,
};

struct CorpusOptions {
  CorpusFormat format = CorpusFormat::kAuto;
  /// A line of a text file that consists of it ends a document. Empty: a file is one document.
  std::string separator = "<|endoftext|>";
  /// Put U+FFFD where a file is not valid UTF-8, instead of refusing it.
  bool lossy = false;
};

/// Longest accepted line of a JSONL file: a larger one is a file that lacks its line ends.
inline constexpr size_t kMaxJsonlLineBytes = size_t{64} << 20;

/// Called for each document in order; its error ends the reading.
using DocumentVisitor = FunctionRef<Status(const Document&)>;
/// How far reading is, in bytes of all files.
using ByteProgress = FunctionRef<void(int64_t done, int64_t total)>;

/// Documents of a text file's contents, which must be valid UTF-8: the stretches between separator lines,
/// without blank lines at either end; what is only white space is no document. Errors: the visitor's.
Status read_text_documents(std::string_view contents, std::string_view origin, std::string_view separator,
                           DocumentVisitor visit);

/// Documents of JSONL: on each line that is not blank an object with either `text`, a string, or `messages`,
/// a list of {role, content} with at least one assistant; other members are ignored. An empty text is no
/// document. Errors: the visitor's; kInvalid naming origin, line and field; kTooLarge for a line above
/// kMaxJsonlLineBytes.
Status read_jsonl_documents(std::string_view contents, std::string_view origin, bool lossy,
                            DocumentVisitor visit);

/// All documents of `files`, in order. Errors: as above and MappedFile::open; kInvalid for bytes that are not
/// valid UTF-8, naming file, line and byte; kInterrupt.
Status read_corpus(std::span<const std::filesystem::path> files, const CorpusOptions& options,
                   DocumentVisitor visit, ByteProgress progress);

/// Takes a stretch of about a megabyte, or all, from the front of `text`, which must be valid UTF-8: up to
/// the end of a line where there is one, else of a character. A document may be of any size, and tokenizing
/// takes many times the memory of what it is given at once.
std::string_view take_stretch(std::string_view& text);

/// 64-bit FNV-1a (Fowler, Noll, Vo), continued from `hash`.
constexpr uint64_t kFnvOffset = 0xCBF29CE484222325ull;
uint64_t fnv1a(std::string_view bytes, uint64_t hash = kFnvOffset);

}  // namespace cadre
