#include "cadre/formats/gguf.h"

#include <gtest/gtest.h>

#include <vector>

#include "cadre/base/fixtures.h"
#include "cadre/base/shared_folder_testing.h"
#include "cadre/formats/test_files.h"

namespace cadre {
namespace {

using fixtures::bytes_of;
using fixtures::expect_error;
using fixtures::raw;

std::string text(std::string_view value) {
  return raw(static_cast<uint64_t>(value.size())) + std::string(value);
}

std::string entry(std::string_view key, uint32_t type, const std::string& value) {
  return text(key) + raw(type) + value;
}

/// `ne` in the file's order, fastest first.
std::string tensor(std::string_view name, const std::vector<uint64_t>& ne, uint32_t type, uint64_t offset) {
  std::string out = text(name) + raw(static_cast<uint32_t>(ne.size()));
  for (const uint64_t size : ne) out += raw(size);
  return out + raw(type) + raw(offset);
}

struct Parts {
  uint32_t version = 3;
  std::vector<std::string> entries;
  std::vector<std::string> tensors;
  size_t data_bytes = 0;
  size_t alignment = 32;

  std::string file() const {
    std::string out = "GGUF" + raw(version) + raw(static_cast<uint64_t>(tensors.size())) +
                      raw(static_cast<uint64_t>(entries.size()));
    for (const std::string& e : entries) out += e;
    for (const std::string& t : tensors) out += t;
    out.resize((out.size() + alignment - 1) / alignment * alignment, '\0');
    return out + std::string(data_bytes, 'd');
  }
};

Result<GgufHeader> parse(const Parts& parts) { return parse_gguf(bytes_of(parts.file()), "m.gguf"); }
Result<GgufHeader> parse_entry(const std::string& e) { return parse({.entries = {e}}); }
Result<GgufHeader> parse_tensors(std::vector<std::string> tensors, size_t data_bytes = 256) {
  return parse({.tensors = std::move(tensors), .data_bytes = data_bytes});
}

/// One key of every kind, and tensors of a known, a foreign and an unassigned type.
Parts valid() {
  Parts parts;
  parts.entries = {
      entry("u8", 0, raw(uint8_t{200})),
      entry("i8", 1, raw(int8_t{-3})),
      entry("u16", 2, raw(uint16_t{60000})),
      entry("i16", 3, raw(int16_t{-300})),
      entry("u32", 4, raw(uint32_t{4000000000})),
      entry("i32", 5, raw(int32_t{-70000})),
      entry("f32", 6, raw(1.5f)),
      entry("bool", 7, raw(uint8_t{1})),
      entry("string", 8, text("abc")),
      entry("strings", 9, raw(uint32_t{8}) + raw(uint64_t{3}) + text("x") + text("") + text("yz")),
      entry("ints", 9, raw(uint32_t{5}) + raw(uint64_t{2}) + raw(int32_t{-1}) + raw(int32_t{7})),
      entry("floats", 9, raw(uint32_t{6}) + raw(uint64_t{2}) + raw(0.5f) + raw(-2.0f)),
      entry("none", 9, raw(uint32_t{12}) + raw(uint64_t{0})),
      entry("u64", 10, raw(UINT64_MAX)),
      entry("i64", 11, raw(INT64_MIN)),
      entry("f64", 12, raw(0.1)),
  };
  parts.tensors = {tensor("w", {4, 3}, 0, 64), tensor("experts", {32, 1, 2}, 8, 128),
                   tensor("old", {32}, 3, 0), tensor("new", {32}, 99, 32)};
  parts.data_bytes = 224;
  return parts;
}

class GgufFileTest : public ::testing::Test {
 protected:
  GgufFile open(const std::string& bytes) {
    fixtures::write_file(scratch_ / "m.gguf", bytes);
    auto file = GgufFile::open(scratch_ / "m.gguf");
    EXPECT_TRUE(file) << file.error().message;
    return std::move(file).value();
  }
  fixtures::ScratchFolder scratch_;
};

TEST_F(GgufFileTest, ReadsTypedMetadata) {
  const GgufFile file = open(valid().file());
  EXPECT_EQ(file.integer("u8", 0, 255), 200);
  EXPECT_EQ(file.integer("i8", -10, 10), -3);
  EXPECT_EQ(file.integer("u16", 0, 65535), 60000);
  EXPECT_EQ(file.integer("i16", -1000, 0), -300);
  EXPECT_EQ(file.integer("u32", 0, INT64_MAX), 4000000000);
  EXPECT_EQ(file.integer("i32", INT64_MIN, 0), -70000);
  EXPECT_EQ(file.integer("i64", INT64_MIN, 0), INT64_MIN);
  EXPECT_EQ(file.number("f32"), 1.5);
  EXPECT_EQ(file.number("f64"), 0.1);
  EXPECT_EQ(file.number("u64"), 0x1p64);
  EXPECT_EQ(file.number("i8"), -3.0);
  EXPECT_EQ(file.boolean_or("bool", false), true);
  EXPECT_EQ(file.string("string"), "abc");
  EXPECT_EQ(file.strings("strings"), (std::vector<std::string_view>{"x", "", "yz"}));
  EXPECT_EQ(file.integers("ints"), (std::vector<int64_t>{-1, 7}));
  EXPECT_EQ(file.numbers("floats"), (std::vector<double>{0.5, -2.0}));
  EXPECT_EQ(file.numbers("ints"), (std::vector<double>{-1, 7}));
  EXPECT_EQ(file.numbers("none"), std::vector<double>());
  EXPECT_EQ(file.integer_or("absent", 5, 0, 9), 5);
  EXPECT_EQ(file.number_or("absent", 0.5), 0.5);
  EXPECT_EQ(file.boolean_or("absent", true), true);
  EXPECT_EQ(file.string_or("absent", "d"), "d");
  EXPECT_FALSE(file.has("absent"));
  EXPECT_EQ(file.metadata().size(), 16U);
}

TEST_F(GgufFileTest, ErrorsNameFileAndKey) {
  const GgufFile file = open(valid().file());
  expect_error(file.integer("absent", 0, 9),
               "m.gguf: key 'absent': expected an integer from 0 to 9, found nothing");
  expect_error(file.integer("u8", 0, 9), "key 'u8': expected an integer from 0 to 9, found u8 200");
  expect_error(file.integer("u64", 0, INT64_MAX), "found u64 18446744073709551615");
  expect_error(file.integer("f32", 0, 9), "found f32 1.5");
  expect_error(file.integer("bool", 0, 9), "found bool true");
  expect_error(file.integer_or("string", 1, 0, 9), "found string \"abc\"");
  expect_error(file.number("strings"), "key 'strings': expected a number, found an array of 3 string values");
  expect_error(file.number_or("bool", 1), "key 'bool': expected a number, found bool true");
  expect_error(file.boolean_or("u8", true), "key 'u8': expected a bool, found u8 200");
  expect_error(file.string("strings"), "key 'strings': expected a string, found an array");
  expect_error(file.string_or("f64", ""), "key 'f64': expected a string, found f64 0.1");
  expect_error(file.strings("string"), "key 'string': expected an array of strings, found string \"abc\"");
  expect_error(file.strings("ints"), "key 'ints': expected an array of strings");
  expect_error(file.integers("floats"),
               "key 'floats': expected an array of integers, found an array of 2 f32 values");
  expect_error(file.numbers("u8"), "key 'u8': expected an array of numbers, found u8 200");
}

TEST_F(GgufFileTest, ReadsTensorsOutermostFirst) {
  const GgufFile file = open(valid().file());
  ASSERT_EQ(file.tensors().size(), 4U);
  EXPECT_EQ(file.tensors()[0].name, "experts");
  const auto w = file.tensor("w");
  ASSERT_TRUE(w) << w.error().message;
  EXPECT_EQ(w->dtype, DType::kF32);
  EXPECT_EQ(w->shape, Shape({3, 4}));
  EXPECT_EQ(w->bytes.size(), 48U);
  const auto experts = file.tensor("experts");
  ASSERT_TRUE(experts);
  EXPECT_EQ(experts->dtype, DType::kQ8_0);
  EXPECT_EQ(experts->shape, Shape({2, 1, 32}));
  EXPECT_EQ(experts->bytes.data() - w->bytes.data(), 64);
  EXPECT_EQ(file.tensor_bytes(), 48 + 68 + 20);
  expect_error(file.tensor("old"), "m.gguf: tensor 'old': type Q4_1 is not supported");
  expect_error(file.tensor("new"), "m.gguf: tensor 'new': unknown ggml type 99");
  expect_error(file.tensor("none"), "m.gguf: no tensor 'none'");
  EXPECT_TRUE(file.has_tensor("old"));
  EXPECT_FALSE(file.has_tensor("none"));
}

TEST(Gguf, ReadsVersionTwo) {
  Parts parts = valid();
  parts.version = 2;
  const auto header = parse(parts);
  ASSERT_TRUE(header) << header.error().message;
  EXPECT_EQ(header->version, 2U);
  EXPECT_EQ(header->tensors.size(), 4U);
}

TEST(Gguf, RefusesOtherFilesAndVersions) {
  expect_error(parse_gguf({}, "m"), "m: the file ends at byte 0, 4 more were expected at byte 0");
  expect_error(parse_gguf(bytes_of("GGML" + std::string(20, '\0')), "m"), "m: not a GGUF file");
  expect_error(parse({.version = 1}), "m.gguf: GGUF version 1 is not supported");
  expect_error(parse({.version = 4}), "m.gguf: GGUF version 4 is not known, 2 and 3 are");
  expect_error(parse({.version = 0}), "m.gguf: GGUF version 0 is not known");
  expect_error(parse({.version = 0x03000000}), "m.gguf: big-endian GGUF is not supported");
}

TEST(Gguf, RefusesCountsThatCannotBe) {
  const std::string start = "GGUF" + raw(uint32_t{3});
  expect_error(parse_gguf(bytes_of(start + raw(UINT64_MAX) + raw(uint64_t{0})), "m"),
               "m: 18446744073709551615 tensors do not fit into the 0 bytes left");
  expect_error(parse_gguf(bytes_of(start + raw(uint64_t{0}) + raw(uint64_t{1} << 60)), "m"),
               "m: 1152921504606846976 keys do not fit into the 0 bytes left");
}

TEST(Gguf, RefusesMalformedMetadata) {
  expect_error(parse_entry(text("k") + raw(uint32_t{13}) + raw(uint64_t{0})),
               "m.gguf: key 'k': unknown value type 13");
  expect_error(parse_entry(raw(UINT64_MAX) + "k" + raw(uint32_t{4})),
               "m.gguf: key 0 of 1: a string of 18446744073709551615 bytes at byte 32 is beyond the end");
  expect_error(parse_entry(entry("", 4, raw(uint32_t{1}))), "m.gguf: key 0 of 1: an empty name at byte 32");
  expect_error(parse_entry(entry(std::string(65536, 'k'), 4, raw(uint32_t{1}))),
               "a name of 65536 bytes at byte 65568, at most 65535 are allowed");
  expect_error(parse_entry(entry("k", 8, raw(uint64_t{1000}) + "abc")), "key 'k': a string of 1000 bytes");
  expect_error(parse_entry(entry("k", 9, raw(uint32_t{9}) + raw(uint64_t{0}))),
               "m.gguf: key 'k': an array of arrays is not supported");
  expect_error(parse_entry(entry("k", 9, raw(uint32_t{77}) + raw(uint64_t{0}))),
               "key 'k': unknown value type 77");
  expect_error(parse_entry(entry("k", 9, raw(uint32_t{4}) + raw(UINT64_MAX / 4 + 2))),
               "key 'k': an array of 4611686018427387905 u32 values is beyond the end of the file");
  expect_error(parse_entry(entry("k", 9, raw(uint32_t{8}) + raw(uint64_t{1} << 61))),
               "string values is beyond the end of the file");
  expect_error(
      parse_entry(entry("k", 9, raw(uint32_t{8}) + raw(uint64_t{2}) + text("a") + raw(uint64_t{1} << 40))),
      "key 'k': a string of 1099511627776 bytes");
  const std::string one = entry("k", 4, raw(uint32_t{1}));
  expect_error(parse({.entries = {one, one}}), "m.gguf: key 'k' is given twice");
}

TEST(Gguf, ChecksTheAlignment) {
  const auto aligned = [](uint32_t value) { return entry("general.alignment", 4, raw(value)); };
  const auto small =
      parse({.entries = {aligned(8)}, .tensors = {tensor("t", {1}, 0, 8)}, .data_bytes = 12, .alignment = 8});
  ASSERT_TRUE(small) << small.error().message;
  EXPECT_EQ(small->tensors[0].bytes.size(), 4U);
  for (const uint32_t bad : {0U, 3U, 48U, 1U << 21})
    expect_error(
        parse_entry(aligned(bad)),
        fmt::format("key 'general.alignment': expected a power of two up to 1048576, found {}", bad));
  expect_error(parse_entry(entry("general.alignment", 10, raw(uint64_t{32}))),
               "key 'general.alignment': expected a u32, found u64 32");
}

TEST(Gguf, RefusesMalformedTensors) {
  expect_error(parse_tensors({tensor("t", {1, 1, 1, 1, 1}, 0, 0)}),
               "tensor 0 of 1: tensor 't': 5 dimensions, at most 4");
  expect_error(parse_tensors({tensor("t", {uint64_t{1} << 63}, 0, 0)}),
               "tensor 't': dimension 9223372036854775808");
  expect_error(parse_tensors({tensor("t", {uint64_t{1} << 32, uint64_t{1} << 32}, 0, 0)}),
               "m.gguf: tensor 't': type F32: shape [4294967296, 4294967296] has more elements than 63 bits");
  expect_error(parse_tensors({tensor("t", {uint64_t{1} << 62}, 0, 0)}), "has more bytes than 63 bits");
  expect_error(parse_tensors({tensor("t", {33}, 8, 0)}),
               "tensor 't': type Q8_0: shape [33]: rows of 33 elements are not whole blocks of 32");
  expect_error(parse_tensors({tensor("t", {1408, 256}, 12, 0)}),
               "type Q4_K: shape [256, 1408]: rows of 1408 elements are not whole blocks of 256");
  expect_error(parse_tensors({tensor("t", {1}, 0, 16)}),
               "tensor 't': offset 16 is not a multiple of the alignment 32");
  expect_error(parse_tensors({tensor("t", {1}, 0, 288)}), "tensor 't': offset 288 is outside the file");
  expect_error(parse_tensors({tensor("t", {65}, 0, 0)}),
               "tensor 't': 260 bytes at offset 0 are outside the file, which has 256");
  expect_error(parse_tensors({tensor("t", {1}, 0, 0)}, 0),
               "tensor 't': 4 bytes at offset 0 are outside the file");
  expect_error(parse_tensors({tensor("a", {16}, 0, 0), tensor("b", {8}, 0, 32)}),
               "m.gguf: tensor 'b' at bytes 32 to 64 overlaps tensor 'a' at bytes 0 to 64");
  expect_error(parse_tensors({tensor("a", {8}, 0, 0), tensor("a", {8}, 0, 32)}),
               "m.gguf: tensor 'a' is given twice");
  expect_error(parse_tensors({tensor("", {8}, 0, 0)}), "m.gguf: tensor 0 of 1: an empty name");
}

TEST(Gguf, EveryTruncationIsAnError) {
  Parts parts = valid();
  parts.data_bytes = 128 + 68;  // the last tensor ends the file
  ASSERT_TRUE(parse(parts));
  fixtures::for_each_truncation(parts.file(), [](std::span<const std::byte> bytes) {
    EXPECT_FALSE(parse_gguf(bytes, "m")) << bytes.size();
  });
}

TEST_F(GgufFileTest, CorruptedBytesAreAnErrorOrAValidFile) {
  fixtures::for_each_corruption(valid().file(), 20000, [](std::span<const std::byte> bytes) {
    const auto header = parse_gguf(bytes, "m");
    if (!header) return;
    for (const GgufEntry& e : header->metadata) EXPECT_FALSE(describe(e.value).empty());
    for (const GgufTensor& t : header->tensors) {
      if (t.bytes.empty()) continue;
      ASSERT_GE(t.bytes.data(), bytes.data());
      ASSERT_LE(t.bytes.data() + t.bytes.size(), bytes.data() + bytes.size());
    }
  });
}

TEST_F(GgufFileTest, RefusesWhatIsNoFile) {
  expect_error(GgufFile::open(scratch_.path()), "expected a file, found a directory");
  expect_error(GgufFile::open(scratch_ / "none.gguf"), "none.gguf: cannot open: No such file");
}

class SplitGgufTest : public GgufFileTest {
 protected:
  std::filesystem::path part_path(int number) {
    return scratch_ / fmt::format("m-{:05}-of-00002.gguf", number);
  }
  void write_part(int number, const std::string& name, uint16_t no, uint16_t count, int32_t total = 2) {
    const Parts parts{.entries = {entry("split.no", 2, raw(no)), entry("split.count", 2, raw(count)),
                                  entry("split.tensors.count", 5, raw(total))},
                      .tensors = {tensor(name, {1}, 0, 0)},
                      .data_bytes = 4};
    fixtures::write_file(part_path(number), parts.file());
  }
  void expect_open_error(std::string_view fragment) { expect_error(GgufFile::open(part_path(1)), fragment); }
};

TEST_F(SplitGgufTest, OpensAllPartsFromTheFirst) {
  write_part(1, "z", 0, 2);
  write_part(2, "a", 1, 2);
  const auto file = GgufFile::open(part_path(1));
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_EQ(file->tensors().size(), 2U);
  EXPECT_EQ(file->tensors()[0].name, "a");
  EXPECT_TRUE(file->tensor("z"));
  EXPECT_EQ(file->files().size(), 2U);
  EXPECT_EQ(file->path(), part_path(1));
}

TEST_F(SplitGgufTest, RefusesPartsThatDoNotFit) {
  write_part(1, "z", 0, 2);
  expect_open_error("m-00002-of-00002.gguf: cannot open: No such file");
  write_part(2, "a", 0, 2);
  expect_open_error("m-00002-of-00002.gguf: key 'split.no': expected 1, found u16 0");
  write_part(2, "a", 1, 3);
  expect_open_error("m-00002-of-00002.gguf: key 'split.count': expected 2, found u16 3");
  write_part(2, "z", 1, 2);
  expect_open_error("m-00001-of-00002.gguf: tensor 'z' is in two parts");
  write_part(2, "a", 1, 2);
  expect_error(GgufFile::open(part_path(2)),
               "this is part 2 of 2; give the first part, ...-00001-of-00002.gguf");
  write_part(1, "z", 0, 2, 3);
  expect_open_error("key 'split.tensors.count': expected 2, found i32 3");
  write_part(1, "z", 0, 3);
  expect_open_error("a file of 3 parts, so its name must end in -00001-of-00003.gguf");
  write_part(1, "z", 0, 2);
  std::filesystem::rename(part_path(1), scratch_ / "renamed.gguf");
  expect_error(GgufFile::open(scratch_ / "renamed.gguf"),
               "renamed.gguf: a file of 2 parts, so its name must end in");
}

TEST(Gguf, ReadsVocabulariesOfLlamaCpp) {
  const auto folder = fixtures::shared_folder() / "data" / "tokenizer" / "llama.cpp-vocab";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no vocabularies at " << folder;
  const auto gpt2 = GgufFile::open(folder / "ggml-vocab-gpt-2.gguf");
  ASSERT_TRUE(gpt2) << gpt2.error().message;
  EXPECT_EQ(gpt2->string("tokenizer.ggml.model"), "gpt2");
  EXPECT_EQ(gpt2->string("tokenizer.ggml.pre"), "gpt-2");
  const auto tokens = gpt2->strings("tokenizer.ggml.tokens");
  ASSERT_TRUE(tokens);
  EXPECT_EQ(tokens->size(), 50257U);
  EXPECT_EQ((*tokens)[0], "!");
  EXPECT_EQ(tokens->back(), "<|endoftext|>");
  EXPECT_EQ(gpt2->integer("tokenizer.ggml.eos_token_id", 0, 50256), 50256);
  const auto coder = GgufFile::open(folder / "ggml-vocab-deepseek-coder.gguf");
  ASSERT_TRUE(coder) << coder.error().message;
  EXPECT_EQ(coder->string("tokenizer.ggml.pre"), "deepseek-coder");
  EXPECT_EQ(coder->integers("tokenizer.ggml.token_type")->size(),
            coder->strings("tokenizer.ggml.tokens")->size());
  EXPECT_TRUE(coder->tensors().empty());
}

}  // namespace
}  // namespace cadre
