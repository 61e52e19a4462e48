#include "cadre/data/prepare.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <fstream>

#include "cadre/base/fixtures.h"
#include "cadre/base/interrupt.h"
#include "cadre/data/test_corpus.h"
#include "cadre/data/token_set.h"
#include "cadre/formats/safetensors_writer.h"
#include "cadre/runtime/text_assets.h"

namespace cadre {
namespace {

using fixtures::kNoProgress;
using fixtures::numbered_stories;
using fixtures::read_file;
using fixtures::ScratchFolder;

using Files = std::vector<std::filesystem::path>;

Result<Manifest> prepare(const ScratchFolder& scratch, const Files& files, const std::string& out,
                         const PrepareOptions& options) {
  if (!std::filesystem::exists(scratch / "tok")) fixtures::small_tokenizer(scratch);
  return prepare_corpus(files, scratch / "tok", scratch / out, options, kNoProgress);
}

/// The texts of a set's documents, sorted, without control tokens.
std::vector<std::string> texts_of(const TokenSet& set, const Tokenizer& tokenizer) {
  std::vector<std::string> texts;
  for (int64_t d = 0; d < set.documents(); ++d) {
    const auto length = static_cast<size_t>(set.length(d) - 1);
    std::vector<int32_t> tokens(length);
    std::vector<int32_t> targets(length);
    set.read(d, 0, tokens, targets);
    tokens.push_back(targets.back());  // documents of these tests end with a learned token
    texts.push_back(tokenizer.decode(tokens, {.skip_special = true}).value());
  }
  std::sort(texts.begin(), texts.end());
  return texts;
}

std::vector<std::string> input_texts(const std::string& jsonl) {
  std::vector<std::string> texts;
  for (std::string_view rest = jsonl; !rest.empty(); rest.remove_prefix(rest.find('\n') + 1))
    texts.push_back(parse_json(rest.substr(0, rest.find('\n')), "line").value()["text"].get<std::string>());
  std::sort(texts.begin(), texts.end());
  return texts;
}

TEST(PrepareCorpus, EveryDocumentIsInOneSplit) {
  const ScratchFolder scratch;
  const Files files = {scratch.file("a.jsonl", numbered_stories(300))};
  const auto manifest = prepare(scratch, files, "out", {.held_out = 0.1, .shard_tokens = 2000});
  ASSERT_TRUE(manifest) << manifest.error().message;
  EXPECT_GT(manifest->split(Split::kTrain).shards.size(), 2u);
  EXPECT_NEAR(static_cast<double>(manifest->split(Split::kHeldOut).documents), 30, 20);

  const auto train = TokenSet::open(scratch / "out", Split::kTrain);
  const auto held_out = TokenSet::open(scratch / "out", Split::kHeldOut);
  ASSERT_TRUE(train && held_out) << train.error().message;
  const Tokenizer tokenizer = load_text_assets(scratch / "out")->tokenizer;
  auto texts = texts_of(*train, tokenizer);
  const auto held = texts_of(*held_out, tokenizer);
  texts.insert(texts.end(), held.begin(), held.end());
  std::sort(texts.begin(), texts.end());
  EXPECT_EQ(texts, input_texts(read_file(files[0])));
  EXPECT_EQ(train->documents() + held_out->documents(), 300);
  EXPECT_TRUE(train->check_tokenizer(scratch / "tok"));
}

TEST(PrepareCorpus, TheSplitDependsOnTextAndSeedAlone) {
  const ScratchFolder scratch;
  const std::string stories = numbered_stories(200);
  const size_t middle = stories.find('\n', stories.size() / 2) + 1;
  const Files one = {scratch.file("a.jsonl", stories)};
  const Files two = {scratch.file("b.jsonl", stories.substr(middle)),
                     scratch.file("c.jsonl", stories.substr(0, middle))};
  ASSERT_TRUE(prepare(scratch, one, "one", {.held_out = 0.2}));
  ASSERT_TRUE(prepare(scratch, two, "two", {.held_out = 0.2}));
  ASSERT_TRUE(prepare(scratch, one, "other_seed", {.seed = 1, .held_out = 0.2}));
  const Tokenizer tokenizer = load_text_assets(scratch / "tok")->tokenizer;
  const auto held = [&](const char* folder) {
    return texts_of(TokenSet::open(scratch / folder, Split::kHeldOut).value(), tokenizer);
  };
  EXPECT_EQ(held("one"), held("two"));
  EXPECT_NE(held("one"), held("other_seed"));
  ASSERT_TRUE(prepare(scratch, one, "again", {.held_out = 0.2}));
  for (const char* file : {"manifest.json", "train-00000.safetensors", "held_out-00000.safetensors"})
    EXPECT_EQ(read_file(scratch / "one" / file), read_file(scratch / "again" / file)) << file;
}

TEST(PrepareCorpus, LossIsOnAnswersOnly) {
  const ScratchFolder scratch;
  const Files files = {scratch.file(
      "a.jsonl",
      R"({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]})")};
  ASSERT_TRUE(prepare(scratch, files, "out", {.held_out = 0}));
  const auto set = TokenSet::open(scratch / "out", Split::kTrain);
  ASSERT_TRUE(set);
  ASSERT_EQ(set->length(0), 8);  // BOS User h i Assistant y o EOS
  std::vector<int32_t> tokens(7);
  std::vector<int32_t> targets(7);
  set->read(0, 0, tokens, targets);
  const auto byte = [](char c) { return kControlTokens + c; };
  EXPECT_EQ(tokens, (std::vector<int32_t>{0, 3, byte('h'), byte('i'), 4, byte('y'), byte('o')}));
  EXPECT_EQ(targets, (std::vector<int32_t>{-1, -1, -1, -1, byte('y'), byte('o'), 1}));
  EXPECT_EQ(set->learned(0, 0, 7), 3);
  EXPECT_EQ(set->entry().learned_tokens, 3);
}

TEST(PrepareCorpus, ALargeVocabularyTakesWiderTokens) {
  const ScratchFolder scratch;
  fixtures::small_tokenizer(scratch);
  // An added token far up makes the vocabulary large.
  Json tokenizer = read_json_file((scratch / "tok" / "tokenizer.json").string()).value();
  Json added = tokenizer["added_tokens"][2];
  added["id"] = 40000;
  added["content"] = "<far>";
  tokenizer["added_tokens"].push_back(added);
  fixtures::write_file(scratch / "tok" / "tokenizer.json", tokenizer.dump());
  const Files files = {scratch.file("a.txt", "The cat saw birds.")};
  const auto manifest = prepare(scratch, files, "out", {.held_out = 0});
  ASSERT_TRUE(manifest) << manifest.error().message;
  const auto file = SafetensorsFile::open(scratch / "out" / "train-00000.safetensors");
  EXPECT_EQ(file->tensor("tokens")->dtype, DType::kI32);
  const auto set = TokenSet::open(scratch / "out", Split::kTrain);
  ASSERT_TRUE(set) << set.error().message;
  EXPECT_EQ(texts_of(*set, load_text_assets(scratch / "tok")->tokenizer),
            std::vector<std::string>{"The cat saw birds."});
  EXPECT_FALSE(set->check_vocabulary(40000));
  EXPECT_TRUE(set->check_vocabulary(40001));
}

TEST(PrepareCorpus, ErrorsLeaveNothingBehind) {
  const ScratchFolder scratch;
  fixtures::small_tokenizer(scratch);
  const auto good = scratch.file("good.jsonl", numbered_stories(50));
  const auto bad = scratch.file("bad.jsonl", "{\"text\": 1}");
  const auto empty = scratch.file("empty.txt", "\n");
  const auto before = scratch.names();
  const struct {
    Files files;
    double held_out;
    const char* part;
  } cases[] = {{{good, bad}, 0.1, "bad.jsonl:1"},
               {{empty}, 0.1, "no documents"},
               {{scratch / "none"}, 0.1, "none"},
               {{good}, 1e-9, "--held-out 0"}};
  for (const auto& [files, held_out, part] : cases) {
    // Small shards, so that some are written before the error.
    const auto manifest = prepare(scratch, files, "out", {.held_out = held_out, .shard_tokens = 100});
    ASSERT_FALSE(manifest) << part;
    EXPECT_NE(manifest.error().message.find(part), std::string::npos) << manifest.error().message;
    EXPECT_EQ(scratch.names(), before);
  }
  ASSERT_TRUE(prepare(scratch, {good}, "out", {.held_out = 0.1}));
  EXPECT_FALSE(prepare(scratch, {good}, "out", {.held_out = 0.1})) << "what is there is not overwritten";
}

TEST(PrepareCorpus, AnInterruptLeavesNothing) {
  const ScratchFolder scratch;
  fixtures::small_tokenizer(scratch);
  const Files files = {scratch.file("a.jsonl", numbered_stories(200))};
  const auto before = scratch.names();
  install_interrupt_handlers();
  int documents = 0;
  const auto manifest =
      prepare_corpus(files, scratch / "tok", scratch / "out", {.shard_tokens = 100}, [&](int64_t, int64_t) {
        if (++documents == 100) ::raise(SIGINT);
      });
  clear_interrupt();
  ASSERT_FALSE(manifest);
  EXPECT_EQ(manifest.error().kind, ErrorKind::kInterrupt);
  EXPECT_EQ(documents, 100);
  EXPECT_EQ(scratch.names(), before);
}

TEST(TokenSet, ShardsThatDoNotAgreeAreRefused) {
  const ScratchFolder scratch;
  const Files files = {scratch.file("a.jsonl", numbered_stories(20))};
  ASSERT_TRUE(prepare(scratch, files, "out", {.held_out = 0.2}));
  EXPECT_FALSE(TokenSet::open(scratch / "tok", Split::kTrain)) << "no manifest";
  const auto shard = scratch / "out" / "train-00000.safetensors";
  const Manifest manifest = read_manifest(scratch / "out").value();
  const ShardEntry& entry = manifest.split(Split::kTrain).shards[0];
  const auto tokens = static_cast<size_t>(entry.tokens);
  std::vector<int16_t> ids(tokens, 7);
  std::vector<uint8_t> learned((tokens + 7) / 8, 0xFF);
  std::vector<int64_t> documents(static_cast<size_t>(entry.documents) + 1);
  for (size_t i = 0; i < documents.size(); ++i) documents[i] = static_cast<int64_t>(i);
  documents.back() = entry.tokens;
  const auto error_of = [&](DType type) {
    const auto written = write_safetensors(
        shard, {{"documents", {DType::kI64, {std::ssize(documents)}, std::as_bytes(std::span(documents))}},
                {"tokens", {type, {std::ssize(ids)}, std::as_bytes(std::span(ids))}},
                {"learned", {DType::kU8, {std::ssize(learned)}, std::as_bytes(std::span(learned))}}});
    EXPECT_TRUE(written) << written.error().message;
    const auto set = TokenSet::open(scratch / "out", Split::kTrain);
    return set ? std::string("no error") : set.error().message;
  };
  EXPECT_EQ(error_of(DType::kI16), "no error");
  EXPECT_NE(error_of(DType::kF16).find("type I32 expected"), std::string::npos);
  for (const int16_t wrong : {int16_t{-1}, int16_t{300}}) {
    ids[3] = wrong;
    EXPECT_NE(error_of(DType::kI16).find("token ids from 0 to 299"), std::string::npos);
  }
  ids[3] = 7;
  std::swap(documents[1], documents[2]);
  EXPECT_NE(error_of(DType::kI16).find("increasing offsets"), std::string::npos);
  std::swap(documents[1], documents[2]);
  documents[0] = -1;
  EXPECT_NE(error_of(DType::kI16).find("offsets from 0"), std::string::npos);
  documents[0] = 0;
  learned.pop_back();
  EXPECT_NE(error_of(DType::kI16).find("'learned': shape"), std::string::npos);
  std::filesystem::remove(shard);
  EXPECT_NE(TokenSet::open(scratch / "out", Split::kTrain).error().message.find("train-00000"),
            std::string::npos);
}

TEST(TokenSet, AnotherTokenizerIsNoticed) {
  const ScratchFolder scratch;
  const Files files = {scratch.file("a.jsonl", numbered_stories(20))};
  ASSERT_TRUE(prepare(scratch, files, "out", {.held_out = 0.2}));
  const auto set = TokenSet::open(scratch / "out", Split::kTrain);
  ASSERT_TRUE(set);
  std::ofstream(scratch / "tok" / "tokenizer.json", std::ios::app) << "\n";
  const auto same = set->check_tokenizer(scratch / "tok");
  ASSERT_FALSE(same);
  EXPECT_NE(same.error().message.find("fingerprint"), std::string::npos);
}

}  // namespace
}  // namespace cadre
