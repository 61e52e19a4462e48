#include <gtest/gtest.h>

#include "cadre/base/fixtures.h"
#include "cadre/formats/safetensors.h"
#include "cadre/formats/safetensors_writer.h"
#include "cadre/formats/test_files.h"

namespace cadre {
namespace {

using fixtures::expect_error;

/// A file of F32 scalars whose names and values are given.
void write_scalars(const std::filesystem::path& path,
                   const std::vector<std::pair<std::string, float>>& scalars) {
  std::vector<NamedTensor> tensors;
  for (const auto& [name, value] : scalars)
    tensors.push_back({name, {DType::kF32, {}, std::as_bytes(std::span(&value, 1))}});
  const auto status = write_safetensors(path, tensors);
  ASSERT_TRUE(status) << status.error().message;
}

float value_of(const SafetensorsSet& set, std::string_view name) {
  float value = 0;
  std::memcpy(&value, set.find(name)->bytes.data(), sizeof(value));
  return value;
}

class SafetensorsSetTest : public ::testing::Test {
 protected:
  void write_index(std::string_view weight_map) {
    fixtures::write_file(
        scratch_ / "model.safetensors.index.json",
        fmt::format(R"({{"metadata": {{"total_size": 8, "weight_map": [[]]}}, "weight_map": {}}})",
                    weight_map));
  }
  void write_two_shards() {
    write_scalars(scratch_ / "s1.safetensors", {{"a", 1.0f}, {"c", 3.0f}});
    write_scalars(scratch_ / "s2.safetensors", {{"b", 2.0f}, {"unlisted", 4.0f}});
  }
  void expect_open_error(std::string_view fragment) {
    expect_error(SafetensorsSet::open(scratch_.path()), fragment);
  }

  fixtures::ScratchFolder scratch_;
};

TEST_F(SafetensorsSetTest, MergesShards) {
  write_two_shards();
  write_index(R"({"a": "s1.safetensors", "b": "s2.safetensors", "c": "s1.safetensors"})");
  auto opened = SafetensorsSet::open(scratch_.path());
  ASSERT_TRUE(opened) << opened.error().message;
  const SafetensorsSet set = std::move(*opened);
  EXPECT_EQ(value_of(set, "a"), 1.0f);
  EXPECT_EQ(value_of(set, "b"), 2.0f);
  EXPECT_EQ(value_of(set, "c"), 3.0f);
  EXPECT_EQ(value_of(set, "unlisted"), 4.0f);
  EXPECT_EQ(set.find("d"), nullptr);
  EXPECT_EQ(set.file_of("b"), (scratch_ / "s2.safetensors").string());
  EXPECT_EQ(set.file_of("d"), scratch_.path().string());
  EXPECT_EQ(set.tensor_bytes(), 16);
  std::string names;
  for (const auto& entry : set.entries()) names += std::string(entry.name) + " ";
  EXPECT_EQ(names, "a b c unlisted ");
}

TEST_F(SafetensorsSetTest, PrefersTheSingleFileThenTheIndexThenTheOnlyFile) {
  write_scalars(scratch_ / "other.safetensors", {{"x", 1.0f}});
  auto set = SafetensorsSet::open(scratch_.path());
  ASSERT_TRUE(set) << set.error().message;
  EXPECT_EQ(value_of(*set, "x"), 1.0f);

  write_scalars(scratch_ / "s1.safetensors", {{"x", 2.0f}});
  expect_open_error("2 safetensors files but neither model.safetensors nor model.safetensors.index.json");
  write_index(R"({"x": "s1.safetensors"})");
  set = SafetensorsSet::open(scratch_.path());
  ASSERT_TRUE(set) << set.error().message;
  EXPECT_EQ(value_of(*set, "x"), 2.0f);

  write_scalars(scratch_ / "model.safetensors", {{"x", 3.0f}});
  set = SafetensorsSet::open(scratch_.path());
  ASSERT_TRUE(set) << set.error().message;
  EXPECT_EQ(value_of(*set, "x"), 3.0f);
}

TEST_F(SafetensorsSetTest, SaysWhatItLookedFor) {
  expect_open_error(
      "no weights: looked for model.safetensors, model.safetensors.index.json and *.safetensors");
  expect_error(SafetensorsSet::open(scratch_ / "none"), "none: no such directory");
  fixtures::write_file(scratch_ / "file", "x");
  expect_error(SafetensorsSet::open(scratch_ / "file"), "file: expected a directory");
}

TEST_F(SafetensorsSetTest, RefusesMalformedIndexes) {
  write_two_shards();
  const auto index_path = scratch_ / "model.safetensors.index.json";
  fixtures::write_file(index_path, "");
  expect_open_error("model.safetensors.index.json: not valid JSON");
  fixtures::write_file(index_path, "[]");
  expect_open_error("model.safetensors.index.json: expected an object, found an array");
  fixtures::write_file(index_path, "7");
  expect_open_error("expected an object, found a number");
  fixtures::write_file(index_path, R"({"metadata": {"weight_map": {}}})");
  expect_open_error("field 'weight_map' is missing");
  fixtures::write_file(index_path, R"({"weight_map": {"a": "s1.safetensors"}, "weight_map": {}})");
  expect_open_error("field 'weight_map' is given twice");
  write_index("[]");
  expect_open_error("field 'weight_map': expected an object, found an array");
  write_index("{}");
  expect_open_error("field 'weight_map' is empty");
  write_index(R"({"a": 1})");
  expect_open_error("field 'weight_map': tensor 'a': expected a file name, found a number");
  write_index(R"({"a": ["s1.safetensors"]})");
  expect_open_error("field 'weight_map': tensor 'a': expected a file name, found an array");
  write_index(R"({"a": "s1.safetensors", "a": "s2.safetensors"})");
  expect_open_error("tensor 'a' is given twice");
}

TEST_F(SafetensorsSetTest, RefusesShardsThatDoNotFit) {
  write_two_shards();
  for (const char* name :
       {"../s1.safetensors", "/etc/passwd", "sub/s1.safetensors", "..", ".", "", "a\\\\b", "a\\u0000"}) {
    write_index(fmt::format(R"({{"a": "{}"}})", name));
    expect_open_error("is not a plain file name");
  }
  write_index(R"({"a": "s3.safetensors"})");
  expect_open_error(
      "s3.safetensors: cannot open: No such file or directory (named by model.safetensors.index.json)");
  write_index(R"({"b": "s1.safetensors"})");
  expect_open_error("tensor 'b' is not in the shard s1.safetensors that the index names");
  write_scalars(scratch_ / "s3.safetensors", {{"a", 1.0f}, {"z", 3.0f}});
  write_index(R"({"a": "s1.safetensors", "z": "s3.safetensors"})");
  expect_open_error("s1.safetensors: tensor 'a' is also in s3.safetensors");
  fixtures::write_file(scratch_ / "s3.safetensors", "short");
  expect_open_error("s3.safetensors: 5 bytes");
}

}  // namespace
}  // namespace cadre
