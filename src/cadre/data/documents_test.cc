#include "cadre/data/documents.h"

#include <gtest/gtest.h>

#include "cadre/base/fixtures.h"
#include "cadre/data/test_corpus.h"

namespace cadre {
namespace {

using fixtures::kNoProgress;
using fixtures::ScratchFolder;

using Files = std::vector<std::filesystem::path>;

/// Texts of plain documents, and "role:content|..." of conversations.
Result<std::vector<std::string>> documents_of(const Files& files, const CorpusOptions& options = {}) {
  std::vector<std::string> documents;
  const Status read = read_corpus(
      files, options,
      [&](const Document& document) -> Status {
        std::string text(document.text);
        for (const ChatTurn& turn : document.turns) text += turn.role + ":" + turn.content + "|";
        documents.push_back(text);
        return {};
      },
      kNoProgress);
  if (!read) return tl::unexpected(read.error());
  return documents;
}

std::string error_of(const Files& files, const CorpusOptions& options = {}) {
  const auto documents = documents_of(files, options);
  return documents ? "no error" : documents.error().message;
}

void expect_contains(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts)
    EXPECT_NE(text.find(part), std::string::npos) << part << "\nin: " << text;
}

TEST(ReadCorpus, TextIsCutAtSeparatorLines) {
  const ScratchFolder scratch;
  const Files files = {
      scratch.file("a.txt",
                   "\xEF\xBB\xBFOne.\n\ntwo\n<|endoftext|>\n\n  Three\r\n\r\n<|endoftext|>\n \n"
                   "<|endoftext|>\nin <|endoftext|> a line"),
      scratch.file("b.md", "four\n---\nfive\n")};
  EXPECT_EQ(*documents_of(files), (std::vector<std::string>{"One.\n\ntwo", "  Three",
                                                            "in <|endoftext|> a line", "four\n---\nfive"}));
  EXPECT_EQ(*documents_of({files[1]}, {.separator = "---"}), (std::vector<std::string>{"four", "five"}));
  EXPECT_EQ(documents_of(files, {.separator = ""})->size(), 2u);
}

TEST(ReadCorpus, JsonlHasTextsAndConversations) {
  const ScratchFolder scratch;
  const Files files = {scratch.file("a.jsonl", R"({"text": "one", "src": 3})"
                                               "\n\n"
                                               R"({"text": " "})"
                                               "\r\n"
                                               R"({"messages": [{"role": "user", "content": "a"}, )"
                                               R"({"role": "assistant", "content": ""}], "text": null})")};
  EXPECT_EQ(*documents_of(files), (std::vector<std::string>{"one", "user:a|assistant:|"}));
  EXPECT_EQ(documents_of(files, {.format = CorpusFormat::kText})->size(), 1u);
}

TEST(ReadCorpus, WrongJsonNamesFileLineAndField) {
  const ScratchFolder scratch;
  const struct {
    const char* line;
    std::vector<std::string> parts;
  } cases[] = {
      {R"({"text": 3})", {"field 'text'", "string", "3"}},
      {R"(["text"])", {"an object"}},
      {R"({"title": "x"})", {"'text'", "'messages'", "neither"}},
      {R"({"text": "a", "messages": []})", {"both"}},
      {R"({"messages": "hello"})", {"field 'messages'", "hello"}},
      {R"({"messages": []})", {"field 'messages'", "empty"}},
      {R"({"messages": [1]})", {"field 'messages[0]'", "object"}},
      {R"({"messages": [{"role": "user", "content": "a"}]})", {"field 'messages'", "assistant"}},
      {R"({"messages": [{"role": "user", "content": "a"}, {"role": "tool", "content": "a"}]})",
       {"field 'messages[1].role'", "tool"}},
      {R"({"messages": [{"role": "assistant", "content": ["a"]}]})",
       {"field 'messages[0].content'", "string"}},
      {R"({"messages": [{"role": "assistant"}]})", {"field 'messages[0].content'"}},
      {R"({"messages": [{"role": "assistant", "content": "", "tool_calls": [1]}]})",
       {"messages[0].tool_calls"}},
      {R"({"text": "a)", {"not valid JSON"}},
  };
  for (const auto& [line, parts] : cases) {
    const std::string error =
        error_of({scratch.file("bad.jsonl", std::string("{\"text\": \"a\"}\n\n") + line)});
    expect_contains(error, {"bad.jsonl:3: "});
    expect_contains(error, parts);
  }
}

TEST(ReadCorpus, InvalidUtf8IsRefusedOrReplaced) {
  const ScratchFolder scratch;
  const Files text = {scratch.file("a.txt", "good\nb\xC3(d\n")};
  expect_contains(error_of(text), {"a.txt", "line 2", "byte 6", "0xC3", "--lossy"});
  EXPECT_EQ(*documents_of(text, {.lossy = true}), std::vector<std::string>{"good\nb\uFFFD(d"});
  const Files jsonl = {scratch.file("a.jsonl", "{\"text\": \"\xFF\"}\n")};
  expect_contains(error_of(jsonl), {"a.jsonl", "line 1", "byte 10", "0xFF"});
  EXPECT_EQ(*documents_of(jsonl, {.lossy = true}), std::vector<std::string>{"\uFFFD"});
}

TEST(ReadCorpus, MissingFilesAndFoldersAreErrors) {
  const ScratchFolder scratch;
  expect_contains(error_of({scratch / "none.txt"}), {"none.txt"});
  expect_contains(error_of({scratch / "."}), {"directory"});
}

TEST(ReadCorpus, AHugeJsonlLineIsRefused) {
  const ScratchFolder scratch;
  std::string line = "{\"text\": \"" + std::string(kMaxJsonlLineBytes, 'a') + "\"}\n";
  expect_contains(error_of({scratch.file("big.jsonl", "\n" + line)}), {"big.jsonl:2", "bytes"});
}

TEST(ReadCorpus, ProgressEndsAtAllBytes) {
  const ScratchFolder scratch;
  const Files files = {scratch.file("a.txt", "abc"), scratch.file("b.jsonl", "{\"text\": \"defg\"}\n")};
  int64_t last = -1;
  const auto ignore = [](const Document&) -> Status { return {}; };
  ASSERT_TRUE(read_corpus(files, {}, ignore, [&](int64_t done, int64_t total) {
    EXPECT_GE(done, last);
    EXPECT_EQ(total, 20);
    last = done;
  }));
  EXPECT_EQ(last, 20);
}

TEST(Document, FingerprintsTellTextsApart) {
  EXPECT_EQ(fnv1a(""), 0xCBF29CE484222325u);
  EXPECT_EQ(fnv1a("a"), 0xAF63DC4C8601EC8Cu);  // the published test vector
  const Document text{.origin = "x", .text = "ab"};
  EXPECT_EQ(text.fingerprint(), (Document{.origin = "y", .text = "ab"}.fingerprint()));
  const Document one{.turns = {{"user", "ab"}, {"assistant", "c"}}};
  const Document other{.turns = {{"user", "a"}, {"assistant", "bc"}}};
  EXPECT_NE(one.fingerprint(), other.fingerprint());
}

TEST(TakeStretch, CutsLongTextAtLinesOrCharacters) {
  constexpr size_t kMega = size_t{1} << 20;
  std::string lines;
  while (lines.size() < 2 * kMega) lines += "a line of text\n";
  for (const std::string& text : {lines, std::string(kMega, 'x') + "\u00E9\u00E9", std::string("short"),
                                  std::string(kMega - 1, 'x') + "\u00E9\u00E9"}) {
    std::string joined;
    for (std::string_view rest = text; !rest.empty();) {
      const std::string_view stretch = take_stretch(rest);
      EXPECT_LE(stretch.size(), kMega);
      ASSERT_FALSE(stretch.empty());
      EXPECT_NE(static_cast<uint8_t>(stretch.front()) & 0xC0, 0x80) << "inside a character";
      joined += stretch;
    }
    EXPECT_EQ(joined, text);
  }
}

}  // namespace
}  // namespace cadre
