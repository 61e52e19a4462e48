#include "cadre/data/document_encoder.h"

#include <gtest/gtest.h>

#include "cadre/base/fixtures.h"
#include "cadre/data/test_corpus.h"

namespace cadre {
namespace {

using fixtures::ScratchFolder;

constexpr std::string_view kBegin = "<｜begin▁of▁sentence｜>";
constexpr std::string_view kEnd = "<｜end▁of▁sentence｜>";

DocumentEncoder small_encoder(const ScratchFolder& scratch) {
  return DocumentEncoder::create(load_text_assets(fixtures::small_tokenizer(scratch)).value(), "tok").value();
}

/// What is learned in brackets.
std::string shown(const DocumentEncoder& encoder, const EncodedDocument& document) {
  std::string text;
  bool open = false;
  for (size_t i = 0; i < document.tokens.size(); ++i) {
    if ((document.learned[i] != 0) != open) text += (open = !open) ? "[" : "]";
    text += encoder.tokenizer().token_bytes(document.tokens[i]).value();
  }
  return text + (open ? "]" : "");
}

TEST(DocumentEncoder, PlainTextIsLearnedButForItsBegin) {
  const ScratchFolder scratch;
  DocumentEncoder encoder = small_encoder(scratch);
  EncodedDocument encoded;
  ASSERT_TRUE(encoder.encode({.text = "The cat saw 12 birds."}, encoded));
  EXPECT_EQ(shown(encoder, encoded), fmt::format("{}[The cat saw 12 birds.{}]", kBegin, kEnd));
  // A text that writes out a control token is text.
  ASSERT_TRUE(encoder.encode({.text = "a<｜User｜>b"}, encoded));
  EXPECT_EQ(encoded.tokens.front(), 0);
  EXPECT_EQ(std::count(encoded.tokens.begin(), encoded.tokens.end(), 3), 0);
}

TEST(DocumentEncoder, OfAConversationTheAnswersAreLearned) {
  const ScratchFolder scratch;
  DocumentEncoder encoder = small_encoder(scratch);
  EncodedDocument encoded;
  const Document chat{.origin = "x",
                      .turns = {{"system", "Be kind."},
                                {"user", "Hi \n"},
                                {"assistant", " Hello there "},
                                {"user", "Bye < now"},
                                {"assistant", ""},
                                {"user", "more"}}};
  const auto done = encoder.encode(chat, encoded);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(shown(encoder, encoded), fmt::format("{}Be kind.<｜User｜>Hi \n<｜Assistant｜>[ Hello there "
                                                 "{}]<｜User｜>Bye < now<｜Assistant｜>[{}]<｜User｜>more",
                                                 kBegin, kEnd, kEnd));
  // The prompt is encoded as it is when the model is asked.
  const auto prompt =
      encoder.tokenizer().encode(fmt::format("{}Be kind.<｜User｜>Hi \n<｜Assistant｜>", kBegin));
  ASSERT_TRUE(std::equal(prompt->begin(), prompt->end(), encoded.tokens.begin()));
}

TEST(DocumentEncoder, AMessageMayHoldNoControlToken) {
  const ScratchFolder scratch;
  DocumentEncoder encoder = small_encoder(scratch);
  EncodedDocument encoded;
  for (const char* role : {"user", "assistant"}) {
    const Document chat{.origin = "a.jsonl:7",
                        .turns = {{"assistant", "x"}, {role, fmt::format("a{}b", kEnd)}}};
    const auto done = encoder.encode(chat, encoded);
    ASSERT_FALSE(done);
    EXPECT_NE(done.error().message.find("a.jsonl:7: field 'messages[1].content'"), std::string::npos)
        << done.error().message;
  }
}

TEST(DocumentEncoder, OtherTemplates) {
  const struct {
    const char* text;
    const char* expected;  // with $ for EOS; or a part of the error
  } cases[] = {
      // No EOS after an answer: only the answer is learned.
      {"{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}",
       "user: hi\nassistant: [hello]\nuser: and\nassistant: [bye]\n"},
      {"{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}", "hi$[hello$]and$[bye$]"},
      // Answers left out or changed.
      {"{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}",
       "chat template"},
      {"{% for m in messages %}{{ m.content | upper }}{% endfor %}", "chat template"},
      {"{% for m in messages %}{{ m.content.split('l')[0] }}{% endfor %}", "chat template"},
      {"{{ raise_exception('no chats') }}", "no chats"},
  };
  for (const auto& [text, expected] : cases) {
    const ScratchFolder scratch;
    const auto folder = fixtures::small_tokenizer(scratch);
    fixtures::write_file(folder / "chat_template.jinja", text);
    auto encoder = DocumentEncoder::create(load_text_assets(folder).value(), "tok");
    EncodedDocument encoded;
    const Document chat{
        .origin = "x",
        .turns = {{"user", "hi"}, {"assistant", "hello"}, {"user", "and"}, {"assistant", "bye"}}};
    const auto done = encoder->encode(chat, encoded);
    std::string found = done ? shown(*encoder, encoded) : done.error().message;
    for (size_t at = 0; (at = found.find(kEnd)) != std::string::npos;) found.replace(at, kEnd.size(), "$");
    if (done) {
      EXPECT_EQ(found, expected) << text;
    } else {
      EXPECT_NE(found.find(expected), std::string::npos) << found;
      EXPECT_TRUE(found.starts_with("x: ")) << found;
    }
  }
}

TEST(DocumentEncoder, ATokenizerWithoutEndIsRefused) {
  const ScratchFolder scratch;
  const auto folder = fixtures::small_tokenizer(scratch);
  std::filesystem::remove(folder / "tokenizer_config.json");
  const auto encoder = DocumentEncoder::create(load_text_assets(folder).value(), "tok");
  ASSERT_FALSE(encoder);
  EXPECT_NE(encoder.error().message.find("eos_token"), std::string::npos);
}

}  // namespace
}  // namespace cadre
