#include "cadre/convert/planned_tensor.h"

#include <algorithm>
#include <cstring>

#include "cadre/base/interrupt.h"
#include "cadre/base/thread_pool.h"
#include "cadre/tensor/convert.h"
#include "cadre/tensor/repack.h"

namespace cadre {
namespace {

/// Pieces of about this size are made at once, as many as fit kBatchBytes; a bound on memory.
constexpr int64_t kPieceBytes = int64_t{1} << 20;
constexpr int64_t kBatchBytes = int64_t{32} << 20;

/// Rows [first, first + count) of a part.
struct Piece {
  const PlannedTensor* tensor = nullptr;
  const TensorPart* part = nullptr;
  int64_t first = 0;
  int64_t count = 0;
  std::vector<std::byte> bytes;
};

/// Bytes of `rows` rows as `type` stores them.
int64_t bytes_of_rows(DType type, int64_t rows, int64_t cols) {
  if (is_packed(type)) return packed_blocks(rows) * packed_block_bytes(type, cols);
  return rows * row_bytes(type, cols);
}

int64_t source_row(const TensorPart& part, int64_t row) {
  const int64_t half = part.head_rows / 2;
  switch (part.order) {
    case TensorPart::Order::kHalvesToPairs: {
      const int64_t within = row % part.head_rows;
      return part.first_row + row - within + within / 2 + within % 2 * half;
    }
    case TensorPart::Order::kPairsToHalves: {
      const int64_t within = row % part.head_rows;
      return part.first_row + row - within + within % half * 2 + within / half;
    }
    default:
      return part.first_row + row;
  }
}

void encode(const float* values, int64_t count, DType type, std::byte* out) {
  switch (type) {
    case DType::kF32:
      std::memcpy(out, values, static_cast<size_t>(count) * sizeof(float));
      return;
    case DType::kBF16:
    case DType::kF16:
      for (int64_t i = 0; i < count; ++i) {
        const uint16_t bits = type == DType::kBF16 ? f32_to_bf16(values[i]) : f32_to_f16(values[i]);
        std::memcpy(out + i * static_cast<int64_t>(sizeof(bits)), &bits, sizeof(bits));
      }
      return;
    default:
      CADRE_CHECK(false, "values are not encoded as {}", name(type));
  }
}

/// Row `row` of `w` as `type`, which is its own, its row type, or a plain one.
void make_row(const Weight& w, int64_t row, DType type, std::vector<float>& scratch, std::byte* out) {
  if (type == w.dtype && !is_packed(type)) {
    std::memcpy(out, w.row(row), static_cast<size_t>(w.row_bytes));
  } else if (is_packed(w.dtype) && type == row_twin(w.dtype)) {
    unpack_row(w.dtype, w.data, w.cols, row, out);
  } else {
    scratch.resize(static_cast<size_t>(w.cols));
    decode_weight_row(w, row, scratch.data());
    encode(scratch.data(), w.cols, type, out);
  }
}

void make_packed(Piece& piece) {
  const TensorPart& part = *piece.part;
  const DType type = piece.tensor->spec.dtype;
  CADRE_CHECK(packed_twin(part.weight.dtype) == type, "{} from {}", name(type), name(part.weight.dtype));
  std::byte* out = piece.bytes.data();
  for (int64_t first = 0; first < piece.count; first += kPackedRows) {
    const std::byte* rows[kPackedRows];
    const int64_t count = std::min(kPackedRows, piece.count - first);
    for (int64_t i = 0; i < count; ++i) rows[i] = part.weight.row(source_row(part, piece.first + first + i));
    pack_rows(type, std::span(rows, static_cast<size_t>(count)), part.weight.cols, out);
    out += packed_block_bytes(type, part.weight.cols);
  }
}

/// Columns [first, first + count) of the source rows, each as a row.
void make_transposed(Piece& piece) {
  const TensorPart& part = *piece.part;
  const int64_t rows = part.source_rows;
  std::vector<float> source(static_cast<size_t>(part.weight.cols));
  std::vector<float> turned(static_cast<size_t>(piece.count * rows));
  for (int64_t r = 0; r < rows; ++r) {
    decode_weight_row(part.weight, part.first_row + r, source.data());
    for (int64_t c = 0; c < piece.count; ++c)
      turned[static_cast<size_t>(c * rows + r)] = source[static_cast<size_t>(piece.first + c)];
  }
  encode(turned.data(), piece.count * rows, piece.tensor->spec.dtype, piece.bytes.data());
}

void make(Piece& piece) {
  const DType type = piece.tensor->spec.dtype;
  piece.bytes.resize(static_cast<size_t>(bytes_of_rows(type, piece.count, piece.part->cols())));
  if (piece.part->order == TensorPart::Order::kTransposed) return make_transposed(piece);
  if (is_packed(type)) return make_packed(piece);
  std::vector<float> scratch;
  const int64_t bytes = row_bytes(type, piece.part->cols());
  for (int64_t i = 0; i < piece.count; ++i)
    make_row(piece.part->weight, source_row(*piece.part, piece.first + i), type, scratch,
             piece.bytes.data() + i * bytes);
}

/// Cuts tensors into pieces in the order of the file. Pieces of packed tensors are whole blocks; those of a
/// transposed part are the whole part, since each needs all of its source.
class PieceCutter {
 public:
  explicit PieceCutter(const std::vector<PlannedTensor>& tensors) : tensors_(tensors) {}

  /// The next pieces, up to kBatchBytes of them but at least one; none at the end.
  void cut(std::vector<Piece>& pieces) {
    pieces.clear();
    for (int64_t bytes = 0; bytes < kBatchBytes && tensor_ < tensors_.size();) {
      const PlannedTensor& tensor = tensors_[tensor_];
      if (part_ == tensor.parts.size()) {
        ++tensor_;
        part_ = 0;
        continue;
      }
      const TensorPart& part = tensor.parts[part_];
      const int64_t rows = std::min(rows_at_once(tensor, part), part.rows() - row_);
      pieces.push_back({&tensor, &part, row_, rows, {}});
      bytes += bytes_of_rows(tensor.spec.dtype, rows, part.cols());
      row_ += rows;
      if (row_ < part.rows()) continue;
      row_ = 0;
      ++part_;
    }
  }

 private:
  static int64_t rows_at_once(const PlannedTensor& tensor, const TensorPart& part) {
    if (part.order == TensorPart::Order::kTransposed) return part.rows();
    const int64_t sixteen = bytes_of_rows(tensor.spec.dtype, kPackedRows, part.cols());
    return std::max<int64_t>(1, kPieceBytes / std::max<int64_t>(sixteen, 1)) * kPackedRows;
  }

  const std::vector<PlannedTensor>& tensors_;
  size_t tensor_ = 0;
  size_t part_ = 0;
  int64_t row_ = 0;
};

}  // namespace

bool is_lossless(DType from, DType to) {
  if (from == to || to == DType::kF32) return true;
  if (is_packed(from) && to == row_twin(from)) return true;
  if (is_packed(to)) return packed_twin(from) == to;
  return (from == DType::kMXFP4 || from == DType::kPackedMXFP4) && to == DType::kBF16;
}

int64_t total_bytes(const std::vector<PlannedTensor>& tensors) {
  int64_t bytes = 0;
  for (const PlannedTensor& tensor : tensors)
    for (const TensorPart& part : tensor.parts)
      bytes += bytes_of_rows(tensor.spec.dtype, part.rows(), part.cols());
  return bytes;
}

Status make_tensors(const std::vector<PlannedTensor>& tensors, int threads, PieceWriter write,
                    ConvertProgress progress) {
  ThreadPool pool(threads);
  PieceCutter cutter(tensors);
  std::vector<Piece> pieces;
  const int64_t total = total_bytes(tensors);
  int64_t done = 0;
  for (cutter.cut(pieces); !pieces.empty(); cutter.cut(pieces)) {
    CADRE_CHECK_OK(check_interrupt());
    pool.run(static_cast<int64_t>(pieces.size()),
             [&](int64_t task, int) { make(pieces[static_cast<size_t>(task)]); });
    for (const Piece& piece : pieces) {
      CADRE_CHECK_OK(write(piece.tensor->spec.name, piece.bytes));
      done += static_cast<int64_t>(piece.bytes.size());
    }
    progress(done, total);
  }
  return check_interrupt();
}

}  // namespace cadre
