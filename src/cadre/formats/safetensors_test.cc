#include "cadre/formats/safetensors.h"

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

std::string file_of(std::string_view json, size_t data_bytes = 0) {
  return raw(static_cast<uint64_t>(json.size())) + std::string(json) + std::string(data_bytes, 'x');
}

Result<SafetensorsHeader> parse(std::string_view json, size_t data_bytes = 0) {
  return parse_safetensors(bytes_of(file_of(json, data_bytes)), "m.safetensors");
}

/// Two tensors and metadata, 24 bytes of data.
const std::string kValid =
    R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2,2],"data_offsets":)"
    R"([0,16]},"a.é":{"dtype":"BF16","shape":[4],"data_offsets":[16,24]}}   )";

TEST(Safetensors, ReadsTensorsInNameOrder) {
  const std::string file = file_of(kValid, 24);
  const auto header = parse_safetensors(bytes_of(file), "m");
  ASSERT_TRUE(header) << header.error().message;
  EXPECT_EQ(header->metadata.at("format"), "pt");
  ASSERT_EQ(header->tensors.size(), 2U);
  EXPECT_EQ(header->tensors[0].name, "a.é");
  EXPECT_EQ(header->tensors[0].tensor.dtype, DType::kBF16);
  EXPECT_EQ(header->tensors[0].tensor.shape, Shape({4}));
  EXPECT_EQ(header->tensors[0].tensor.bytes.size(), 8U);
  EXPECT_EQ(header->tensors[1].tensor.shape, Shape({2, 2}));
  const auto* data = reinterpret_cast<const std::byte*>(file.data()) + 8 + kValid.size();
  EXPECT_EQ(header->tensors[1].tensor.bytes.data(), data);
  EXPECT_EQ(header->tensors[0].tensor.bytes.data(), data + 16);
}

TEST(Safetensors, AcceptsWhatTheFormatAllows) {
  EXPECT_TRUE(parse("{}"));
  EXPECT_TRUE(parse(R"({"s":{"dtype":"F64","shape":[],"data_offsets":[0,8]}})", 8)) << "a scalar";
  EXPECT_TRUE(parse(R"({"e":{"dtype":"F32","shape":[3,0],"data_offsets":[4,4]}})", 4)) << "an empty tensor";
  EXPECT_TRUE(parse(R"({"u":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}})", 6)) << "an odd address";
  EXPECT_TRUE(parse(R"({"h":{"dtype":"U8","shape":[2],"data_offsets":[4,6]}})", 9)) << "holes";
  EXPECT_TRUE(parse(R"({"z":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},)"
                    R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                    4))
      << "an empty tensor shares no byte";
  for (const char* dtype : {"F8_E4M3", "F8_E5M2", "F8_E8M0", "I8", "U8", "BOOL"})
    EXPECT_TRUE(parse(fmt::format(R"({{"t":{{"dtype":"{}","shape":[5],"data_offsets":[0,5]}}}})", dtype), 5))
        << dtype;
}

TEST(Safetensors, DoesNotListPadding) {
  const auto header = parse(R"({"cadre.padding.0":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 4);
  ASSERT_TRUE(header);
  EXPECT_TRUE(header->tensors.empty());
}

TEST(Safetensors, RefusesMalformedHeaderLength) {
  expect_error(parse_safetensors({}, "m"), "m: 0 bytes, a safetensors file begins");
  expect_error(parse_safetensors(bytes_of("1234567"), "m"), "m: 7 bytes");
  expect_error(parse_safetensors(bytes_of(raw(uint64_t{3}) + "{}"), "m"),
               "header length 3 is beyond the end of the file of 10 bytes");
  expect_error(parse_safetensors(bytes_of(raw(UINT64_MAX) + "{}"), "m"),
               "header length 18446744073709551615 is beyond");
  expect_error(parse_safetensors(bytes_of(file_of(std::string(100'000'001, ' '))), "m"),
               "header length 100000001 is above the limit of 100000000");
}

struct Case {
  const char* json;
  const char* message;
};

TEST(Safetensors, RefusesMalformedHeaders) {
  const Case cases[] = {
      {"", "m.safetensors: header: not valid JSON"},
      {"{\"a\":", "header: not valid JSON (byte 6)"},
      {"{} x", "not valid JSON"},
      {"{\"\xff\":1}", "not valid JSON"},
      {"[]", "expected a JSON object, found an array"},
      {"3", "expected a JSON object, found 3"},
      {R"({"a":1})", "tensor 'a': expected an object, found 1"},
      {R"({"a":[1]})", "tensor 'a': expected an object, found an array"},
      {R"({"__metadata__":"x"})", "'__metadata__': expected an object of strings, found \"x\""},
      {R"({"__metadata__":{"k":1}})", "'__metadata__': key 'k': expected a string, found 1"},
      {R"({"__metadata__":{"k":{}}})", "'__metadata__': key 'k': expected a string, found an object"},
      {R"({"__metadata__":{"k":"1","k":"2"}})", "'__metadata__' has key 'k' twice"},
      {R"({"__metadata__":{},"__metadata__":{}})", "'__metadata__' is given twice"},
  };
  for (const Case& c : cases) expect_error(parse(c.json, 16), c.message);
  expect_error(parse(std::string_view("{}\0}", 4)), "header: not valid JSON (byte 3): a zero byte");
}

TEST(Safetensors, RefusesMalformedTensors) {
  const Case cases[] = {
      {R"("shape":[1],"data_offsets":[0,4])", "tensor 't': 'dtype' is missing"},
      {R"("dtype":"F32","data_offsets":[0,4])", "tensor 't': 'shape' is missing"},
      {R"("dtype":"F32","shape":[1])", "tensor 't': 'data_offsets' is missing"},
      {R"("dtype":"F32","dtype":"F32")", "tensor 't': 'dtype' is given twice"},
      {R"("dtype":"F32","stride":[1])", "tensor 't': unknown field 'stride'"},
      {R"("dtype":"F33","shape":[1],"data_offsets":[0,4])",
       "m.safetensors: tensor 't': unknown dtype \"F33\""},
      {R"("dtype":"Q4_K","shape":[256],"data_offsets":[0,144])", "tensor 't': unknown dtype \"Q4_K\""},
      {R"("dtype":7,"shape":[1],"data_offsets":[0,4])", "tensor 't': 'dtype': expected a string, found 7"},
      {R"("dtype":["F32"])", "tensor 't': 'dtype': expected a string, found an array"},
      {R"("dtype":"F32","shape":1)", "tensor 't': 'shape': expected an array of integers, found 1"},
      {R"("dtype":"F32","shape":{})", "tensor 't': 'shape': expected an array of integers, found an object"},
      {R"("dtype":"F32","shape":[-1])", "tensor 't': 'shape': expected integers of 0 or more, found -1"},
      {R"("dtype":"F32","shape":[1.5])", "tensor 't': 'shape': expected integers of 0 or more, found 1.5"},
      {R"("dtype":"F32","shape":["1"])", "tensor 't': 'shape': expected integers of 0 or more, found \"1\""},
      {R"("dtype":"F32","shape":[[1]])",
       "tensor 't': 'shape': expected integers of 0 or more, found an array"},
      {R"("dtype":"F32","shape":[99999999999999999999])",
       "expected integers of 0 or more, found 99999999999999999999"},
      {R"("dtype":"F32","shape":[1,1,1,1,1,1,1,1,1])", "tensor 't': 'shape' has more than 8 elements"},
      {R"("dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,4])",
       "9223372036854775808 is beyond 63 bits"},
      {R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4])", "more elements than 63 bits"},
      {R"("dtype":"F32","shape":[4294967296,4294967296,0],"data_offsets":[0,0])",
       "more elements than 63 bits"},
      {R"("dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,4])", "more bytes than 63 bits"},
      {R"("dtype":"F32","shape":[1],"data_offsets":[0])", "'data_offsets': expected two integers, found 1"},
      {R"("dtype":"F32","shape":[1],"data_offsets":[0,4,8])",
       "'data_offsets': expected two integers, found 3"},
      {R"("dtype":"F32","shape":[1],"data_offsets":[0,null])",
       "'data_offsets': expected integers of 0 or more"},
      {R"("dtype":"F32","shape":[1],"data_offsets":[8,4])",
       "tensor 't': 'data_offsets': begin 8 is after end 4"},
      {R"("dtype":"F32","shape":[5],"data_offsets":[0,20])",
       "tensor 't': 'data_offsets': end 20 is outside the file, which has 16 bytes of data"},
      {R"("dtype":"F32","shape":[3],"data_offsets":[0,16])",
       "tensor 't': shape [3] of F32 takes 12 bytes, 'data_offsets' hold 16"},
  };
  for (const Case& c : cases) expect_error(parse(fmt::format(R"({{"t":{{{}}}}})", c.json), 16), c.message);
}

TEST(Safetensors, ReadsPackedTensorsAsTheirTypeAndShape) {
  // 17 rows are two blocks of 16; 32 columns of q4 take 288 bytes in each.
  const auto packed = [](std::string_view meaning, std::string_view shape, size_t bytes) {
    return parse(fmt::format(R"({{"__metadata__":{{"cadre.packed:t":"{}"}},)"
                             R"("t":{{"dtype":"U8","shape":{},"data_offsets":[0,{}]}}}})",
                             meaning, shape, bytes),
                 bytes);
  };
  const auto header = packed("q4 [17, 32]", "[2,288]", 576);
  ASSERT_TRUE(header) << header.error().message;
  EXPECT_EQ(header->tensors[0].tensor.dtype, DType::kPackedQ4);
  EXPECT_EQ(header->tensors[0].tensor.shape, (Shape{17, 32}));
  EXPECT_EQ(header->tensors[0].tensor.bytes.size(), 576u);

  for (const char* malformed :
       {"", "q4", "q4 ", "q5 [17, 32]", "Q4_0 [17, 32]", "q4 [17]", "q4 [17, 32", "q4 [17, 32] ",
        "q4 [-1, 32]", "q4 [17,32]", "q4 [1e1, 32]", "q4 [99999999999999999999, 32]"})
    expect_error(packed(malformed, "[2,288]", 576),
                 "key 'cadre.packed:t': expected a packed type and a shape");
  expect_error(packed("q4 [17, 33]", "[2,288]", 576), "rows of 33 elements are not whole blocks of 32");
  expect_error(packed("q4 [33, 32]", "[2,288]", 576),
               "tensor 't': q4 [33, 32] takes 864 bytes of U8, found 576 of U8");
  expect_error(packed("q4 [9223372036854775807, 32]", "[2,288]", 576),
               "more elements than 63 bits can count");
  expect_error(parse(R"({"__metadata__":{"cadre.packed:u":"q4 [17, 32]"}})", 0),
               "key 'cadre.packed:u': there is no such tensor");
  expect_error(parse(R"({"__metadata__":{"cadre.packed:t":"q2 [16, 32]"},)"
                     R"("t":{"dtype":"F32","shape":[40],"data_offsets":[0,160]}})",
                     160),
               "tensor 't': q2 [16, 32] takes 160 bytes of U8, found 160 of F32");
}

TEST(Safetensors, RefusesTensorsThatShareBytesOrNames) {
  const std::string a = R"("a":{"dtype":"U8","shape":[6],"data_offsets":[0,6]})";
  expect_error(parse("{" + a + R"(,"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})", 8),
               "m.safetensors: tensor 'b' at bytes 4 to 8 overlaps tensor 'a' at bytes 0 to 6");
  expect_error(parse("{" + a + R"(,"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]},)" +
                         R"("c":{"dtype":"U8","shape":[1],"data_offsets":[5,6]}})",
                     8),
               "tensor 'b' at bytes 2 to 3 overlaps tensor 'a'");
  expect_error(parse("{" + a + "," + a + "}", 8), "m.safetensors: tensor 'a' is given twice");
}

TEST(Safetensors, KeepsMessagesShortAndPrintable) {
  const auto result = parse(fmt::format(R"({{"{}\n":1}})", std::string(100000, 'n')));
  ASSERT_FALSE(result);
  EXPECT_LT(result.error().message.size(), 400U);
  expect_error(parse(R"({"a\n":1})"), "tensor 'a\\x0a'");
  const auto unterminated = parse("{\"" + std::string(100000, 'n'));
  ASSERT_FALSE(unterminated);
  EXPECT_LT(unterminated.error().message.size(), 400U);
}

TEST(Safetensors, EveryTruncationIsAnError) {
  fixtures::for_each_truncation(file_of(kValid, 24), [](std::span<const std::byte> bytes) {
    EXPECT_FALSE(parse_safetensors(bytes, "m")) << bytes.size();
  });
}

TEST(Safetensors, CorruptedBytesAreAnErrorOrAValidFile) {
  fixtures::for_each_corruption(file_of(kValid, 24), 20000, [](std::span<const std::byte> bytes) {
    const auto header = parse_safetensors(bytes, "m");
    if (!header) return;
    for (const NamedTensor& tensor : header->tensors) {
      ASSERT_GE(tensor.tensor.bytes.data(), bytes.data());
      ASSERT_LE(tensor.tensor.bytes.data() + tensor.tensor.bytes.size(), bytes.data() + bytes.size());
      ASSERT_EQ(row_bytes(tensor.tensor.dtype, element_count(tensor.tensor.shape)),
                static_cast<int64_t>(tensor.tensor.bytes.size()));
    }
  });
}

TEST(SafetensorsFile, OpensMovesAndFinds) {
  const fixtures::ScratchFolder scratch;
  fixtures::write_file(scratch / "m.safetensors", file_of(kValid, 24));
  auto opened = SafetensorsFile::open(scratch / "m.safetensors");
  ASSERT_TRUE(opened) << opened.error().message;
  const StoredTensor* before = opened->find("b");
  const SafetensorsFile file = std::move(*opened);
  EXPECT_EQ(file.find("b"), before);
  EXPECT_EQ(before->bytes[0], std::byte{'x'});
  EXPECT_EQ(file.find("c"), nullptr);
  EXPECT_EQ(file.tensor_bytes(), 24);
  expect_error(file.tensor("c"), "m.safetensors: no tensor 'c'");
}

TEST(SafetensorsFile, RefusesWhatIsNoFile) {
  const fixtures::ScratchFolder scratch;
  expect_error(SafetensorsFile::open(scratch / "none"), "none: cannot open: No such file");
  expect_error(SafetensorsFile::open(scratch.path()), "expected a file, found a directory");
  fixtures::write_file(scratch / "empty", "");
  expect_error(SafetensorsFile::open(scratch / "empty"), "empty: 0 bytes");
}

TEST(SafetensorsFile, ReadsEveryGoldenFile) {
  const auto golden = fixtures::shared_folder() / "golden";
  if (!std::filesystem::exists(golden)) GTEST_SKIP() << "no golden files at " << golden;
  int files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(golden)) {
    if (entry.path().extension() != ".safetensors") continue;
    const auto file = SafetensorsFile::open(entry.path());
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_FALSE(file->tensors().empty());
    ++files;
  }
  EXPECT_GE(files, 18);
  const auto model = SafetensorsFile::open(golden / "v4_fp4_tiny" / "model.safetensors");
  ASSERT_TRUE(model);
  EXPECT_EQ(model->tensors().size(), 340U);
  EXPECT_EQ(model->metadata().at("format"), "pt");
}

}  // namespace
}  // namespace cadre
