#include "cadre/data/tokenizer_trainer.h"

#include <gtest/gtest.h>

#include "cadre/base/fixtures.h"
#include "cadre/data/piece_counts.h"
#include "cadre/data/test_corpus.h"
#include "cadre/runtime/text_assets.h"

namespace cadre {
namespace {

using fixtures::kNoMergeProgress;
using fixtures::kNoProgress;
using fixtures::numbered_stories;
using fixtures::read_file;
using fixtures::ScratchFolder;

using Files = std::vector<std::filesystem::path>;

Result<TokenizerReport> train(const Files& files, const std::filesystem::path& out,
                              const TokenizerOptions& options) {
  return train_tokenizer(files, out, options, {.reading = kNoProgress, .merging = kNoMergeProgress});
}

TEST(TrainTokenizer, WritesWhatTheLoaderReads) {
  const ScratchFolder scratch;
  const Files files = {scratch.file("a.jsonl", numbered_stories(60))};
  const auto report = train(files, scratch / "out", {.size = 320});
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->tokens, 320);
  EXPECT_EQ(report->documents, 60);
  const auto assets = load_text_assets(scratch / "out");
  ASSERT_TRUE(assets) << assets.error().message;
  const Tokenizer& tokenizer = assets->tokenizer;
  EXPECT_EQ(tokenizer.vocab_size(), 320);
  EXPECT_EQ(tokenizer.bos(), 0);
  EXPECT_EQ(tokenizer.eos(), 1);
  for (int32_t id = 0; id < 320; ++id) EXPECT_EQ(tokenizer.is_special(id), id < kControlTokens) << id;
  EXPECT_EQ(assets->bos_token, "<｜begin▁of▁sentence｜>");

  const std::string text = "The cat saw 12 birds, naïve 日本\r\n\n\tand \xFF.";
  const auto ids = tokenizer.encode(text);
  ASSERT_TRUE(ids);
  EXPECT_EQ(*tokenizer.decode(*ids), text);
  EXPECT_EQ(tokenizer.encode(" cat")->size(), 1u);
  EXPECT_EQ(tokenizer.encode("27")->size(), 2u) << "digits stay apart";
}

TEST(TrainTokenizer, DigitsAreMergedOnRequest) {
  const ScratchFolder scratch;
  std::string text;
  for (int i = 0; i < 50; ++i) text += "in 2024 and 27 more\n";
  const Files files = {scratch.file("a.txt", text)};
  ASSERT_TRUE(train(files, scratch / "out", {.size = 266, .merge_digits = true}));
  EXPECT_EQ(load_text_assets(scratch / "out")->tokenizer.encode("27")->size(), 1u);
}

TEST(TrainTokenizer, TheTemplateIsDeepSeeksFormat) {
  const ScratchFolder scratch;
  const auto assets = load_text_assets(fixtures::small_tokenizer(scratch));
  ASSERT_TRUE(assets && assets->chat_template);
  ChatRequest request;
  request.messages = Json::parse(R"([{"role": "user", "content": " a\n"}, {"role": "system", "content": "s"},
      {"role": "assistant", "content": "b "}, {"role": "system", "content": "t"}, {"role": "user", "content": "c"}])");
  const auto text = assets->chat_template->render(request, assets->bos_token, assets->eos_token);
  ASSERT_TRUE(text) << text.error().message;
  EXPECT_EQ(*text,
            "<｜begin▁of▁sentence｜>s\n\nt<｜User｜> a\n<｜Assistant｜>b "
            "<｜end▁of▁sentence｜><｜User｜>c<｜Assistant｜>");
}

TEST(TrainTokenizer, TheSameTextGivesTheSameBytes) {
  const ScratchFolder scratch;
  const std::string stories = numbered_stories(40);
  const size_t middle = stories.find('\n', stories.size() / 2) + 1;
  const Files one = {scratch.file("a.jsonl", stories)};
  const Files two = {scratch.file("b.jsonl", stories.substr(middle)),
                     scratch.file("c.jsonl", stories.substr(0, middle))};
  ASSERT_TRUE(train(one, scratch / "one", {.size = 310}));
  ASSERT_TRUE(train(two, scratch / "two", {.size = 310}));
  EXPECT_EQ(read_file(scratch / "one" / "tokenizer.json"), read_file(scratch / "two" / "tokenizer.json"));
}

TEST(TrainTokenizer, RefusesWhatCannotWorkAndLeavesNothing) {
  const ScratchFolder scratch;
  const auto tiny = scratch.file("tiny.txt", "hello hello");
  const auto empty = scratch.file("empty.txt", "");
  const auto broken = scratch.file("broken.jsonl", "{\"text\": \"fine\"}\n{\"text\": 1}\n");
  const struct {
    Files files;
    int64_t size;
    const char* part;
  } cases[] = {{{tiny}, 6144, "6144 expected"},
               {{empty}, 300, "no text"},
               {{tiny}, 200, "261"},
               {{broken}, 300, "broken.jsonl:2"},
               {{tiny}, 1 << 30, "1048576"}};
  for (const auto& [files, size, part] : cases) {
    const auto report = train(files, scratch / "out", {.size = size});
    ASSERT_FALSE(report) << part;
    EXPECT_NE(report.error().message.find(part), std::string::npos) << report.error().message;
  }
  EXPECT_EQ(scratch.names(), (std::vector<std::string>{"broken.jsonl", "empty.txt", "tiny.txt"}));
}

TEST(TrainTokenizer, ALineWithoutEndIsBounded) {
  const ScratchFolder scratch;
  std::string text = "word word word word ";
  text.append(size_t{3} << 20, 'a');
  const Files files = {scratch.file("a.txt", text)};
  const auto report = train(files, scratch / "out", {.size = 263});
  ASSERT_TRUE(report) << report.error().message;
}

TEST(PieceCounts, ForgetsTheRarestWhenFull) {
  PieceCounts counts(true, 4);
  for (const char* piece : {"a", "a", "b", "b", "c", "d", "e", "a"}) counts.piece(piece);
  EXPECT_TRUE(counts.forgot());
  EXPECT_EQ(counts.total(), 8);
  const auto words = counts.take();
  ASSERT_EQ(words.size(), 3u);
  EXPECT_EQ(words[0].word, "a");
  EXPECT_EQ(words[0].count, 3);
  EXPECT_EQ(words[1].word, "b");
  EXPECT_EQ(words[2].word, "e");
}

TEST(PieceCounts, LeavesOutDigitsAndWhatIsNoWord) {
  PieceCounts counts(false);
  for (const std::string& piece : {std::string("12"), std::string("x"), std::string(300, '-')})
    counts.piece(piece);
  EXPECT_EQ(counts.total(), 3);
  EXPECT_EQ(counts.distinct(), 1u);
}

}  // namespace
}  // namespace cadre
