#include "cadre/data/manifest.h"

#include <gtest/gtest.h>

namespace cadre {
namespace {

Manifest example() {
  Manifest manifest{.tokenizer = "00ff", .vocab_size = 300, .seed = UINT64_MAX, .held_out = 0.25};
  manifest.split(Split::kTrain) = {
      .shards = {{"train-00000.safetensors", 3, 30}, {"train-00001.safetensors", 1, 5}},
      .documents = 4,
      .tokens = 35,
      .learned_tokens = 20,
      .text_bytes = 99};
  manifest.sources = {{"a.jsonl", 120}};
  return manifest;
}

TEST(Manifest, SurvivesWritingAndReading) {
  const Json json = manifest_json(example());
  const auto back = parse_manifest(dump_json(json, 2), "manifest.json");
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(manifest_json(*back), json);
  EXPECT_EQ(back->seed, UINT64_MAX);
  EXPECT_EQ(back->split(Split::kTrain).shards[1].tokens, 5);
}

TEST(Manifest, ErrorsNameTheField) {
  const Json good = manifest_json(example());
  const struct {
    const char* pointer;
    Json value;
    const char* field;
  } cases[] = {{"/format", "other", "'format'"},
               {"/version", 2, "'version'"},
               {"/tokenizer", nullptr, "'tokenizer'"},
               {"/tokenizer/vocab_size", 0, "'tokenizer.vocab_size'"},
               {"/seed", "-1", "'seed'"},
               {"/seed", 3, "'seed'"},
               {"/held_out", 1.5, "'held_out'"},
               {"/splits/train", 3, "'splits.train'"},
               {"/splits/train/tokens", 36, "'splits.train.shards'"},
               {"/splits/train/documents", 2, "'splits.train.shards'"},
               {"/splits/train/learned_tokens", 36, "'splits.train.learned_tokens'"},
               {"/splits/train/shards/0", "x", "'splits.train.shards'"},
               {"/splits/train/shards/0/tokens", -1, "'splits.train.shards[0].tokens'"},
               {"/splits/train/shards/0/file", "../x", "'splits.train.shards[0].file'"},
               {"/splits/train/shards/0/file", "/etc/x", "'splits.train.shards[0].file'"},
               {"/splits/held_out/shards", 1, "'splits.held_out.shards'"},
               {"/sources/0/bytes", "x", "'sources[0].bytes'"}};
  for (const auto& [pointer, value, field] : cases) {
    Json wrong = good;
    wrong[Json::json_pointer(pointer)] = value;
    const auto manifest = parse_manifest(wrong.dump(), "m.json");
    ASSERT_FALSE(manifest) << pointer;
    EXPECT_TRUE(manifest.error().message.starts_with(fmt::format("m.json: field {}", field)))
        << manifest.error().message;
  }
  EXPECT_FALSE(parse_manifest("[]", "m.json"));
}

}  // namespace
}  // namespace cadre
