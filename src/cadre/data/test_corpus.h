#pragma once
/// Shared by the tests of this folder: small corpora, a tokenizer for them.

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "cadre/base/fixtures.h"
#include "cadre/data/documents.h"
#include "cadre/data/tokenizer_trainer.h"

namespace cadre::fixtures {

inline constexpr auto kNoMergeProgress = [](int64_t, int64_t) -> Status { return {}; };

/// `count` plain documents, each of its own length and text.
inline std::string numbered_stories(int count) {
  constexpr const char* kThings[] = {
      "birds",     "houses",    "rivers",  "little trees", "friendly children", "songs", "yellow flowers",
      "old books", "mountains", "windows", "kites"};
  std::string text;
  for (int i = 0; i < count; ++i) {
    text += fmt::format("{{\"text\": \"Story {} begins.", i);
    for (int j = 0; j < i % 17; ++j)
      text += fmt::format(" The cat saw {} {} and the dog {} {}.", j, kThings[(i + j) % 11], i + j,
                          kThings[(i * 3 + j * 5) % 11]);
    text += "\"}\n";
  }
  return text;
}

/// A tokenizer of the bytes and some merges, in `scratch`/tok.
inline std::filesystem::path small_tokenizer(const ScratchFolder& scratch, int64_t size = 300) {
  const std::vector files = {scratch.file("tok.jsonl", numbered_stories(40))};
  const auto report = train_tokenizer(files, scratch / "tok", {.size = size},
                                      {.reading = kNoProgress, .merging = kNoMergeProgress});
  EXPECT_TRUE(report) << report.error().message;
  return scratch / "tok";
}

}  // namespace cadre::fixtures
