#include "cadre/formats/gguf_writer.h"

#include <gtest/gtest.h>

#include "cadre/base/fixtures.h"
#include "cadre/formats/test_files.h"

namespace cadre {
namespace {

using fixtures::expect_error;

GgufMetadata sample_metadata() {
  GgufMetadata metadata;
  metadata.add_string("general.architecture", "test");
  metadata.add("u32", uint32_t{7});
  metadata.add("i64", int64_t{-1});
  metadata.add("f32", 0.25f);
  metadata.add("f64", 0.1);
  metadata.add("bool", true);
  const std::vector<int32_t> ints = {1, -2, 3};
  metadata.add_array<int32_t>("ints", ints);
  const std::vector<std::string_view> strings = {"a", "", "ccc"};
  metadata.add_strings("strings", strings);
  return metadata;
}

TEST(GgufWriter, WritesWhatTheReaderReads) {
  for (const int64_t alignment : {32, 64, 4096}) {
    const fixtures::ScratchFolder scratch;
    const std::vector<TensorSpec> specs = {{"w", DType::kF32, {3, 5}},
                                           {"q", DType::kQ8_0, {2, 4, 64}},
                                           {"s", DType::kI64, {}},
                                           {"b", DType::kBF16, {1}}};
    auto writer = GgufWriter::create(scratch / "m.gguf", sample_metadata(), specs, alignment);
    ASSERT_TRUE(writer) << writer.error().message;
    for (const TensorSpec& spec : specs) {
      const std::string data(static_cast<size_t>(*stored_bytes(spec.dtype, spec.shape)), spec.name[0]);
      ASSERT_TRUE(writer->write(spec.name, fixtures::bytes_of(data)));
    }
    ASSERT_TRUE(writer->finish());
    EXPECT_EQ(static_cast<int64_t>(std::filesystem::file_size(scratch / "m.gguf")), writer->file_bytes());
    EXPECT_EQ(writer->file_bytes() % alignment, 0);

    const auto file = GgufFile::open(scratch / "m.gguf");
    ASSERT_TRUE(file) << file.error().message;
    for (const TensorSpec& spec : specs) {
      const auto tensor = file->tensor(spec.name);
      ASSERT_TRUE(tensor) << tensor.error().message;
      EXPECT_EQ(tensor->dtype, spec.dtype);
      EXPECT_EQ(tensor->shape, spec.shape);
      EXPECT_EQ((tensor->bytes.data() - file->files()[0].bytes().data()) % alignment, 0);
      for (const std::byte byte : tensor->bytes) ASSERT_EQ(byte, static_cast<std::byte>(spec.name[0]));
    }
    EXPECT_EQ(file->string("general.architecture"), "test");
    EXPECT_EQ(file->integer("u32", 0, 9), 7);
    EXPECT_EQ(file->integer("i64", -9, 9), -1);
    EXPECT_EQ(file->number("f32"), 0.25);
    EXPECT_EQ(file->number("f64"), 0.1);
    EXPECT_EQ(file->boolean_or("bool", false), true);
    EXPECT_EQ(file->integers("ints"), (std::vector<int64_t>{1, -2, 3}));
    EXPECT_EQ(file->strings("strings"), (std::vector<std::string_view>{"a", "", "ccc"}));
    EXPECT_EQ(file->has("general.alignment"), alignment != 32);
  }
}

TEST(GgufWriter, CopiesValuesOfAnotherFile) {
  const fixtures::ScratchFolder scratch;
  auto first = GgufWriter::create(scratch / "a.gguf", sample_metadata(), {});
  ASSERT_TRUE(first && first->finish());
  const auto source = GgufFile::open(scratch / "a.gguf");
  ASSERT_TRUE(source);
  GgufMetadata copy;
  for (const char* key : {"general.architecture", "u32", "i64", "f32", "f64", "bool", "ints", "strings"})
    copy.add(key, *source->find_value(key));
  auto second = GgufWriter::create(scratch / "b.gguf", copy, {});
  ASSERT_TRUE(second && second->finish());
  EXPECT_EQ(fixtures::read_file(scratch / "a.gguf"), fixtures::read_file(scratch / "b.gguf"));
}

TEST(GgufWriter, RefusesWhatTheFormatCannotHold) {
  const fixtures::ScratchFolder scratch;
  const auto expect = [&](const TensorSpec& spec, std::string_view fragment) {
    expect_error(GgufWriter::create(scratch / "m", {}, {{"first", DType::kI8, {1}}, spec}), fragment);
  };
  expect({"t", DType::kF8E4M3, {128}}, "m: tensor 't': ggml has no type F8_E4M3");
  expect({"t", DType::kF32, {1, 1, 1, 1, 1}}, "m: tensor 't': shape [1, 1, 1, 1, 1]: at most 4 dimensions");
  expect({"t", DType::kQ4_K, {128}},
         "m: tensor 't': shape [128]: rows of 128 elements are not whole blocks of 256");
  expect({"t", DType::kI8, {INT64_MAX}}, "m: tensor 't': the file would be beyond 62 bits");
  expect({"first", DType::kF32, {1}}, "m: tensor 'first' is given twice");
  expect({"t", DType::kI8, {int64_t{1} << 60}}, "bytes are needed and the disk has");
  EXPECT_TRUE(scratch.empty());
}

}  // namespace
}  // namespace cadre
