#include "cadre/formats/safetensors_writer.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>

#include "cadre/base/fixtures.h"
#include "cadre/formats/safetensors.h"
#include "cadre/formats/test_files.h"

namespace cadre {
namespace {

using fixtures::expect_error;

const std::vector<TensorSpec> kSpecs = {{"codes", DType::kU8, {5}},
                                        {"empty", DType::kF32, {0, 7}},
                                        {"w", DType::kF32, {2, 3}},
                                        {"é", DType::kBF16, {}}};

std::string data_of(const TensorSpec& spec) {
  std::string data(static_cast<size_t>(stored_bytes(spec.dtype, spec.shape).value()), '\0');
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(spec.name[0] + static_cast<int>(i));
  return data;
}

/// Writes kSpecs in pieces of `piece` bytes and returns the path.
std::filesystem::path write_all(const fixtures::ScratchFolder& scratch, const SafetensorsOptions& options,
                                size_t piece) {
  const auto path = scratch / "m.safetensors";
  auto writer = SafetensorsWriter::create(path, kSpecs, options);
  EXPECT_TRUE(writer) << writer.error().message;
  for (const TensorSpec& spec : kSpecs) {
    const std::string data = data_of(spec);
    for (size_t i = 0; i < data.size(); i += piece)
      EXPECT_TRUE(writer->write(spec.name, fixtures::bytes_of(std::string_view(data).substr(i, piece))));
  }
  EXPECT_FALSE(std::filesystem::exists(path)) << "before finish";
  EXPECT_TRUE(writer->finish());
  EXPECT_EQ(static_cast<int64_t>(std::filesystem::file_size(path)), writer->file_bytes());
  return path;
}

TEST(SafetensorsWriter, WritesWhatTheReaderReads) {
  for (const int64_t alignment : {8, 64, 4096}) {
    for (const int64_t tensor_alignment : {1, 64, 4096}) {
      for (const size_t piece : {1, 3, 1000}) {
        const fixtures::ScratchFolder scratch;
        const SafetensorsOptions options{{{"format", "pt"}, {"\"", "\n"}}, alignment, tensor_alignment};
        const auto file = SafetensorsFile::open(write_all(scratch, options, piece));
        ASSERT_TRUE(file) << file.error().message;
        EXPECT_EQ(file->metadata(), options.metadata);
        ASSERT_EQ(file->tensors().size(), kSpecs.size());
        for (const TensorSpec& spec : kSpecs) {
          const StoredTensor* tensor = file->find(spec.name);
          ASSERT_NE(tensor, nullptr) << spec.name;
          EXPECT_EQ(tensor->dtype, spec.dtype);
          EXPECT_EQ(tensor->shape, spec.shape);
          const std::string data = data_of(spec);
          EXPECT_TRUE(std::ranges::equal(tensor->bytes, fixtures::bytes_of(data)));
          const auto position = tensor->bytes.data() - file->bytes().data();
          EXPECT_EQ(position % std::min(alignment, tensor_alignment), 0) << spec.name;
        }
      }
    }
  }
}

TEST(SafetensorsWriter, LeavesNoHoles) {
  // Other readers insist that the tensors cover the data section.
  const fixtures::ScratchFolder scratch;
  const std::string bytes = fixtures::read_file(write_all(scratch, {}, 1000));
  EXPECT_NE(bytes.find(R"("cadre.padding.0":{"dtype":"U8","shape":[59],"data_offsets":[5,64]})"), bytes.npos)
      << bytes;
  EXPECT_NE(bytes.find(R"("w":{"dtype":"F32","shape":[2, 3],"data_offsets":[64,88]})"), bytes.npos) << bytes;
  EXPECT_NE(bytes.find(R"("cadre.padding.1":{"dtype":"U8","shape":[40],"data_offsets":[88,128]})"),
            bytes.npos);
  EXPECT_TRUE(bytes.ends_with(data_of(kSpecs.back())));
}

TEST(SafetensorsWriter, AppearsWholeOrNotAtAll) {
  const fixtures::ScratchFolder scratch;
  {
    auto writer = SafetensorsWriter::create(scratch / "m.safetensors", kSpecs);
    ASSERT_TRUE(writer);
    ASSERT_TRUE(writer->write("codes", fixtures::bytes_of("12345")));
    EXPECT_FALSE(scratch.empty()) << "the temporary file";
  }
  EXPECT_TRUE(scratch.empty());
}

TEST(SafetensorsWriter, ReportsAFullDisk) {
  const fixtures::ScratchFolder scratch;
  auto previous_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit previous{};
  ::getrlimit(RLIMIT_FSIZE, &previous);
  const rlimit small{4096, previous.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  Status status;
  {
    auto writer = SafetensorsWriter::create(scratch / "m.safetensors", {{"w", DType::kU8, {10000}}});
    ASSERT_TRUE(writer);
    status = writer->write("w", fixtures::bytes_of(std::string(10000, 'x')));
  }
  ::setrlimit(RLIMIT_FSIZE, &previous);
  std::signal(SIGXFSZ, previous_handler);
  expect_error(status, "m.safetensors: cannot write: File too large");
  EXPECT_EQ(status.error().kind, ErrorKind::kIo);
  EXPECT_TRUE(scratch.empty());
}

TEST(SafetensorsWriter, AsksForDiskSpaceFirst) {
  const fixtures::ScratchFolder scratch;
  const auto writer =
      SafetensorsWriter::create(scratch / "m.safetensors", {{"w", DType::kU8, {int64_t{1} << 60}}});
  expect_error(writer, "1152921504606847104 bytes are needed and the disk has");
  EXPECT_EQ(writer.error().kind, ErrorKind::kTooLarge);
  EXPECT_TRUE(scratch.empty());
}

TEST(SafetensorsWriter, RefusesWhatTheFormatCannotHold) {
  const fixtures::ScratchFolder scratch;
  const auto expect = [&](const TensorSpec& spec, std::string_view fragment) {
    expect_error(SafetensorsWriter::create(scratch / "m", {{"first", DType::kI8, {1}}, spec}), fragment);
  };
  expect({"t", DType::kQ4_K, {256}}, "m: tensor 't': the format has no dtype Q4_K");
  expect({"t", DType::kF32, {-1}}, "m: tensor 't': shape [-1] has a negative dimension");
  expect({"t", DType::kF32, {INT64_MAX, 2}},
         "m: tensor 't': shape [9223372036854775807, 2] has more elements");
  expect({"t", DType::kU8, {INT64_MAX}}, "m: tensor 't': the file would be beyond 62 bits");
  expect({"t\xff", DType::kF32, {1}}, "is not valid UTF-8");
  expect({"first", DType::kF32, {1}}, "m: tensor 'first' is given twice");
  expect({"", DType::kF32, {1}}, "m: a tensor without a name");
  expect({"__metadata__", DType::kF32, {1}}, "m: tensor '__metadata__': the name is reserved");
  expect({"cadre.padding.0", DType::kF32, {1}}, "m: tensor 'cadre.padding.0': the name is reserved");
  expect_error(SafetensorsWriter::create(scratch / "m", {}, {.metadata = {{"k", "\xff"}}}),
               "is not valid UTF-8");
  expect_error(SafetensorsWriter::create(scratch / "no" / "m", {}), "cannot create");
}

using SafetensorsWriterDeathTest = ::testing::Test;

TEST(SafetensorsWriterDeathTest, AbortsOnMistakesOfTheCaller) {
  const fixtures::ScratchFolder scratch;
  auto writer = SafetensorsWriter::create(scratch / "m", {{"a", DType::kU8, {2}}, {"b", DType::kU8, {2}}});
  ASSERT_TRUE(writer);
  EXPECT_DEATH((void)writer->write("b", fixtures::bytes_of("12")), "'b' where 'a' is to be written");
  EXPECT_DEATH((void)writer->write("a", fixtures::bytes_of("123")), "tensor 'a': 3 bytes where 2 are left");
  EXPECT_DEATH((void)writer->finish(), "tensor 'a' is not complete");
  ASSERT_TRUE(writer->write("a", fixtures::bytes_of("12")));
  ASSERT_TRUE(writer->write("b", fixtures::bytes_of("12")));
  EXPECT_DEATH((void)writer->write("c", fixtures::bytes_of("1")), "tensor 'c' after the last one");
}

TEST(SafetensorsWriter, PackedTensorsKeepTheirTypeAndShape) {
  const fixtures::ScratchFolder scratch;
  const TensorSpec spec{"w", DType::kPackedQ3, {18, 64}};
  const std::string data(static_cast<size_t>(stored_bytes(spec.dtype, spec.shape).value()), 'q');
  EXPECT_EQ(data.size(), 2u * 16 * 28);
  auto writer = SafetensorsWriter::create(scratch / "p.safetensors", {spec}, {{{"format", "pt"}}});
  ASSERT_TRUE(writer) << writer.error().message;
  ASSERT_TRUE(writer->write("w", fixtures::bytes_of(data)));
  ASSERT_TRUE(writer->finish());
  const auto file = SafetensorsFile::open(scratch / "p.safetensors");
  ASSERT_TRUE(file) << file.error().message;
  const StoredTensor* tensor = file->find("w");
  ASSERT_NE(tensor, nullptr);
  EXPECT_EQ(tensor->dtype, spec.dtype);
  EXPECT_EQ(tensor->shape, spec.shape);
  EXPECT_TRUE(std::ranges::equal(tensor->bytes, fixtures::bytes_of(data)));
  fixtures::expect_error(SafetensorsWriter::create(scratch / "x", {{"w", DType::kPackedQ4, {16, 33}}}),
                         "tensor 'w': shape [16, 33]: rows of 33 elements");
}

}  // namespace
}  // namespace cadre
