#include "cadre/formats/tensor_stream.h"

#include <algorithm>
#include <array>

#include "cadre/base/check.h"

namespace cadre {

Result<TensorStream> TensorStream::create(const std::filesystem::path& path, std::string_view header,
                                          std::vector<PlacedTensor> tensors, int64_t data_bytes) {
  const auto header_bytes = static_cast<int64_t>(header.size());
  CADRE_TRY(const uint64_t free_bytes, free_disk_bytes(path));
  const auto needed = static_cast<uint64_t>(header_bytes) + static_cast<uint64_t>(data_bytes);
  if (needed > free_bytes)
    return fail(ErrorKind::kTooLarge, "{}: {} bytes are needed and the disk has {} free", path.string(),
                needed, free_bytes);
  CADRE_TRY(AtomicFile file, AtomicFile::create(path));
  CADRE_CHECK_OK(file.write(header));
  TensorStream stream(std::move(file), std::move(tensors), header_bytes, data_bytes);
  stream.skip_complete();
  return stream;
}

Result<TensorStream> TensorStream::resume(const std::filesystem::path& path, std::string_view header,
                                          std::vector<PlacedTensor> tensors, int64_t data_bytes,
                                          size_t finished) {
  CADRE_CHECK(finished <= tensors.size(), "{} of {}", finished, tensors.size());
  const auto header_bytes = static_cast<int64_t>(header.size());
  const int64_t position = finished == 0 ? 0 : tensors[finished - 1].offset + tensors[finished - 1].bytes;
  const int64_t kept = finished == 0 ? 0 : header_bytes + position;
  CADRE_TRY(GrowingFile file, GrowingFile::open(path, static_cast<uint64_t>(kept)));
  if (finished == 0) CADRE_CHECK_OK(file.write(std::as_bytes(std::span(header))));
  TensorStream stream(std::move(file), std::move(tensors), header_bytes, data_bytes);
  stream.position_ = position;
  stream.next_ = finished;
  stream.skip_complete();
  return stream;
}

Status TensorStream::append(std::span<const std::byte> bytes) {
  return std::visit([&](auto& file) { return file.write(bytes); }, file_);
}

void TensorStream::skip_complete() {
  const auto complete = [&](const PlacedTensor& tensor) {
    return tensor.bytes == 0 || position_ >= tensor.offset + tensor.bytes;
  };
  while (next_ < tensors_.size() && complete(tensors_[next_])) ++next_;
}

Status TensorStream::pad_to(int64_t offset) {
  static constexpr std::array<std::byte, 4096> kZeros{};
  while (position_ < offset) {
    const auto count = std::min<int64_t>(offset - position_, kZeros.size());
    CADRE_CHECK_OK(append(std::span(kZeros).first(static_cast<size_t>(count))));
    position_ += count;
  }
  return {};
}

Status TensorStream::write(std::string_view name, std::span<const std::byte> bytes) {
  if (bytes.empty()) return {};
  CADRE_CHECK(next_ < tensors_.size(), "tensor '{}' after the last one", name);
  const PlacedTensor& tensor = tensors_[next_];
  CADRE_CHECK(tensor.name == name, "'{}' where '{}' is to be written", name, tensor.name);
  CADRE_CHECK_OK(pad_to(tensor.offset));
  const int64_t left = tensor.offset + tensor.bytes - position_;
  CADRE_CHECK(static_cast<int64_t>(bytes.size()) <= left, "tensor '{}': {} bytes where {} are left", name,
              bytes.size(), left);
  CADRE_CHECK_OK(append(bytes));
  position_ += static_cast<int64_t>(bytes.size());
  skip_complete();
  return {};
}

Status TensorStream::finish() {
  CADRE_CHECK(next_ == tensors_.size(), "tensor '{}' is not complete", tensors_[next_].name);
  CADRE_CHECK_OK(pad_to(data_bytes_));
  return std::visit([](auto& file) { return file.commit(); }, file_);
}

}  // namespace cadre
