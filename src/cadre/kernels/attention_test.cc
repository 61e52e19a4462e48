#include <algorithm>
#include <numeric>

#include "cadre/kernels/conformance.h"
#include "cadre/tensor/arena.h"

namespace cadre {
namespace {

using namespace conformance;

struct Shape {
  int64_t heads = 1;
  int64_t kv_heads = 1;
  int64_t key_width = 8;
  int64_t value_width = 8;
  bool one_stream = false;  ///< MLA: values are the first channels of the keys
  DType dtype = DType::kBF16;
  int64_t page_tokens = 16;
  int64_t plain = 0;  ///< kI8: channels of a key that stay bf16
};

constexpr Shape kMla{.heads = 16, .kv_heads = 1, .key_width = 72, .value_width = 64, .one_stream = true};
constexpr Shape kGqa{.heads = 6, .kv_heads = 2, .key_width = 24, .value_width = 24, .dtype = DType::kF32};
constexpr Shape kExplicit{
    .heads = 3, .kv_heads = 3, .key_width = 19, .value_width = 13, .dtype = DType::kF32};

constexpr Shape kMlaInt8{.heads = 16,
                         .kv_heads = 1,
                         .key_width = 168,
                         .value_width = 160,
                         .one_stream = true,
                         .dtype = DType::kI8,
                         .plain = 8};
constexpr Shape kGqaInt8{.heads = 6, .kv_heads = 2, .key_width = 24, .value_width = 24, .dtype = DType::kI8};
constexpr Shape kShapes[] = {kMla, kGqa, kExplicit, kMlaInt8, kGqaInt8};

/// A cache of several sequences whose pages are shuffled, with NaN wherever nothing was written.
class Cache {
 public:
  Cache(const Shape& shape, std::vector<int64_t> lengths, Values kind = Values::kOrdinary) : shape_(shape) {
    const int64_t values_width = shape.one_stream ? 0 : shape.kv_heads * shape.value_width;
    keys_.width = shape.kv_heads * shape.key_width;
    values_.width = values_width;
    int64_t pages = 0;
    for (const int64_t length : lengths) pages += (length + shape.page_tokens - 1) / shape.page_tokens;
    std::vector<int32_t> order(static_cast<size_t>(pages));
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), std::mt19937_64(5));
    auto next = order.begin();
    for (const int64_t length : lengths) {
      const int64_t count = (length + shape.page_tokens - 1) / shape.page_tokens;
      tables_.emplace_back(next, next + count);
      next += count;
    }
    for (KvStream* stream : {&keys_, &values_}) {
      stream->dtype = shape.dtype;
      stream->page_tokens = shape.page_tokens;
      stream->parts = shape.kv_heads;
      if (stream == &keys_) stream->plain = shape.plain;
      auto& memory = stream == &keys_ ? key_memory_ : value_memory_;
      memory.assign(static_cast<size_t>(pages * page_bytes(*stream)), std::byte{0xFF});  // NaN in every type
      stream->data = memory.data();
    }
    for (size_t s = 0; s < lengths.size(); ++s) {
      const SequenceRows rows{
          .first_row = 0, .rows = lengths[s], .first_position = 0, .pages = tables_[s].data()};
      for (const KvStream& stream : {keys_, values_}) {
        if (stream.width == 0) continue;
        std::vector<float> x = random_values(lengths[s] * stream.width, 71 + s, kind);
        reference().kv_write({.x = Tensor::dense(x.data(), lengths[s], stream.width),
                              .stream = stream,
                              .sequences = std::span(&rows, 1)});
      }
    }
  }

  Attend args() const {
    return {.keys = keys_,
            .values = shape_.one_stream ? keys_ : values_,
            .kv_heads = shape_.kv_heads,
            .key_stride = shape_.key_width,
            .value_stride = shape_.one_stream ? shape_.key_width : shape_.value_width,
            .scale = 0.2f};
  }
  const int32_t* pages(size_t sequence) const { return tables_[sequence].data(); }

 private:
  Shape shape_;
  KvStream keys_;
  KvStream values_;
  std::vector<std::byte> key_memory_;
  std::vector<std::byte> value_memory_;
  std::vector<std::vector<int32_t>> tables_;
};

/// Attention of `sequences`, all rows in one call.
std::vector<float> attend(Backend& backend, const Shape& shape, const Cache& cache,
                          std::span<const SequenceRows> sequences, std::vector<float>& q) {
  const int64_t rows = static_cast<int64_t>(q.size()) / (shape.heads * shape.key_width);
  GuardedOutput out(rows * shape.heads * shape.value_width, 1);
  Attend args = cache.args();
  args.q = Tensor::dense(q.data(), rows, shape.heads, shape.key_width);
  args.out = Tensor::dense(out.data(), rows, shape.heads, shape.value_width);
  args.sequences = sequences;
  backend.attend(args);
  return out.take();
}

/// Scores of |q . k| up to `largest` carry errors that the exponential turns into relative ones of the
/// weights; the weighted mean of values up to about 5 then adds its own.
double attention_tolerance(const Shape& shape, int64_t keys) {
  const double score_error = 0.2 * tolerance(shape.key_width, static_cast<double>(shape.key_width) * 4);
  return 5 * (2 * score_error + 8 * 0x1p-23) + tolerance(keys, 5);
}

void check_attend(const Shape& shape, std::vector<int64_t> first_positions, std::vector<int64_t> rows) {
  SCOPED_TRACE(testing::Message() << shape.heads << " heads, " << shape.kv_heads << " KV heads, " << rows[0]
                                  << " rows from " << first_positions[0] << ", pages of "
                                  << shape.page_tokens);
  std::vector<int64_t> lengths;
  std::vector<SequenceRows> sequences;
  int64_t total = 0;
  for (size_t s = 0; s < rows.size(); ++s) lengths.push_back(first_positions[s] + rows[s]);
  const Cache cache(shape, lengths);
  for (size_t s = 0; s < rows.size(); ++s) {
    sequences.push_back(
        {.first_row = total, .rows = rows[s], .first_position = first_positions[s], .pages = cache.pages(s)});
    total += rows[s];
  }
  std::vector<float> q = random_values(total * shape.heads * shape.key_width, 73);
  const auto run = [&](Backend& backend) { return attend(backend, shape, cache, sequences, q); };
  Expected expected{.values = run(reference()), .allowed = {}};
  const int64_t keys = *std::max_element(lengths.begin(), lengths.end());
  const double allowed = attention_tolerance(shape, keys);
  expected.allowed.assign(expected.values.size(), allowed);
  if (shape.dtype == DType::kI8) {
    // A softmax weight next to a half is rounded up in f32 and down in f64: one step of 127 of the largest
    // weight, times a value of up to 5. It happens to few.
    size_t different = 0;
    const std::vector<float> got = run(backend(isas().back(), 1));
    for (size_t i = 0; i < got.size(); ++i)
      different += static_cast<size_t>(!(std::abs(double{got[i]} - expected.values[i]) <= allowed));
    EXPECT_LE(different, got.size() / 50);
    expected.allowed.assign(expected.values.size(), allowed + 5.0 / 127);
  }
  expect_conformance(run, expected);
}

TEST(Attend, EveryShape) {
  for (const Shape& shape : kShapes) {
    check_attend(shape, {0}, {1});
    check_attend(shape, {0}, {37});
    check_attend(shape, {41}, {1});
    check_attend(shape, {41, 0, 15, 16}, {1, 3, 20, 1});
  }
}

TEST(Attend, EveryWidthAndPage) {
  for (int64_t width = 1; width <= 34; ++width)
    for (const DType dtype : {DType::kF32, DType::kBF16})
      check_attend({.heads = 2,
                    .key_width = width,
                    .value_width = 35 - width,
                    .dtype = dtype,
                    .page_tokens = width % 7 + 1},
                   {11}, {9});
}

/// Fewer queries take wider strips of the values.
TEST(Attend, EveryNumberOfQueriesAndStrip) {
  for (int64_t heads = 1; heads <= 9; ++heads)
    for (const int64_t width : {15, 63, 64, 81, 97, 128, 141})
      for (const DType dtype : {DType::kF32, DType::kBF16})
        check_attend({.heads = heads, .key_width = 24, .value_width = width, .dtype = dtype}, {20}, {1});
}

TEST(Attend, EveryWidthOfInt8) {
  for (int64_t width = 1; width <= 140; width += width < 35 ? 1 : 13)
    for (const int64_t plain : {0, 3})
      check_attend({.heads = 3,
                    .key_width = width + plain,
                    .value_width = 141 - width,
                    .dtype = DType::kI8,
                    .page_tokens = width % 3 * 16 + 16,
                    .plain = plain},
                   {28}, {7});
}

/// Several chunks, which few rows share out among the threads and many rows take one after the other.
TEST(Attend, LongSequences) {
  for (Shape shape : kShapes) {
    for (const int64_t page : {16, 64}) {
      shape.page_tokens = page;
      check_attend(shape, {1100}, {1});
      check_attend(shape, {510, 30}, {5, 1});
    }
    shape.page_tokens = 1024;  // pages that are larger than a chunk
    check_attend(shape, {1023}, {2});
  }
  check_attend(kGqa, {400}, {200});
  check_attend(kGqaInt8, {400}, {200});
}

TEST(Attend, ManyHeadsOfOneRow) {
  check_attend({.heads = 128, .key_width = 40, .value_width = 32, .one_stream = true}, {70}, {2});
}

/// Prefilling one by one, by sevens or at once gives the same bits, on any number of threads, whatever other
/// sequences are in the call.
TEST(Attend, ARowDependsOnNothingElse) {
  for (const Shape& shape : kShapes) {
    const int64_t length = 90;
    const Cache cache(shape, {length, 50});
    const int64_t q_row = shape.heads * shape.key_width, out_row = shape.heads * shape.value_width;
    std::vector<float> q = random_values(length * q_row, 79);
    const SequenceRows whole{.first_row = 0, .rows = length, .first_position = 0, .pages = cache.pages(0)};
    for (const Isa isa : isas()) {
      const std::vector<float> all = attend(backend(isa, 1), shape, cache, std::span(&whole, 1), q);
      for (const int64_t chunk : {1, 7, 33}) {
        for (int64_t first = 0; first < length; first += chunk) {
          const int64_t count = std::min(chunk, length - first);
          // A row of the other sequence comes first.
          std::vector<float> some(q.begin(), q.begin() + q_row);
          some.insert(some.end(), q.begin() + first * q_row, q.begin() + (first + count) * q_row);
          const SequenceRows both[] = {
              {.first_row = 0, .rows = 1, .first_position = 49, .pages = cache.pages(1)},
              {.first_row = 1, .rows = count, .first_position = first, .pages = cache.pages(0)}};
          const std::vector<float> got = attend(backend(isa, 2), shape, cache, both, some);
          ASSERT_TRUE(same_bits(std::span(got).subspan(static_cast<size_t>(out_row)),
                                std::span(all).subspan(static_cast<size_t>(first * out_row),
                                                       static_cast<size_t>(count * out_row))))
              << name(isa) << ", rows " << first << " to " << first + count;
        }
      }
    }
  }
}

/// The same over several chunks: all rows at once, or some, however many threads share them out.
TEST(Attend, ARowDependsOnNothingElseAcrossChunks) {
  for (const Shape& shape : kShapes) {
    const int64_t length = 1040;
    const Cache cache(shape, {length});
    const int64_t q_row = shape.heads * shape.key_width, out_row = shape.heads * shape.value_width;
    const std::vector<float> q = random_values(length * q_row, 79);
    const auto some = [&](Backend& backend, int64_t first, int64_t count) {
      std::vector<float> rows(q.begin() + first * q_row, q.begin() + (first + count) * q_row);
      const SequenceRows sequence{
          .first_row = 0, .rows = count, .first_position = first, .pages = cache.pages(0)};
      return attend(backend, shape, cache, std::span(&sequence, 1), rows);
    };
    const std::vector<float> all = some(backend(isas().back(), 1), 0, length);
    for (const Isa isa : isas())
      for (const int threads : {1, 2, 8})
        for (const auto& [first, count] : {std::pair<int64_t, int64_t>{511, 1},
                                           {512, 1},
                                           {500, 30},
                                           {1023, 1},
                                           {1024, 1},
                                           {1039, 1},
                                           {1000, 40}})
          ASSERT_TRUE(same_bits(some(backend(isa, threads), first, count),
                                std::span(all).subspan(static_cast<size_t>(first * out_row),
                                                       static_cast<size_t>(count * out_row))))
              << name(isa) << ", " << threads << " threads, rows " << first << " to " << first + count;
  }
}

TEST(Attend, LaterEntriesDoNotReachEarlierRows) {
  for (const Shape& shape : {kExplicit, kGqaInt8}) {
    std::vector<float> q = random_values(20 * shape.heads * shape.key_width, 83);
    const Cache clean(shape, {20});
    Cache poisoned(shape, {20});
    std::vector<float> nan(static_cast<size_t>(shape.kv_heads * shape.value_width),
                           std::numeric_limits<float>::quiet_NaN());
    const SequenceRows last{.first_row = 0, .rows = 1, .first_position = 19, .pages = poisoned.pages(0)};
    reference().kv_write({.x = Tensor::dense(nan.data(), 1, static_cast<int64_t>(nan.size())),
                          .stream = poisoned.args().values,
                          .sequences = std::span(&last, 1)});
    for (const Isa isa : isas()) {
      const SequenceRows a{.first_row = 0, .rows = 20, .first_position = 0, .pages = clean.pages(0)};
      const SequenceRows b{.first_row = 0, .rows = 20, .first_position = 0, .pages = poisoned.pages(0)};
      const std::vector<float> want = attend(backend(isa, 1), shape, clean, std::span(&a, 1), q);
      const std::vector<float> got = attend(backend(isa, 1), shape, poisoned, std::span(&b, 1), q);
      const auto before = static_cast<size_t>(19 * shape.heads * shape.value_width);
      EXPECT_TRUE(same_bits(std::span(got).first(before), std::span(want).first(before)));
      for (size_t i = before; i < got.size(); ++i) EXPECT_TRUE(std::isnan(got[i]));
    }
  }
}

TEST(Attend, DifficultValuesGiveEqualBits) {
  for (const Values kind : {Values::kDifficult, Values::kNonFinite})
    for (const Shape& shape : {kMla, kGqa, kMlaInt8, kGqaInt8}) {
      const Cache cache(shape, {40}, kind);
      std::vector<float> q = random_values(40 * shape.heads * shape.key_width, 89, kind);
      const SequenceRows rows{.first_row = 0, .rows = 40, .first_position = 0, .pages = cache.pages(0)};
      const std::vector<float> first =
          attend(backend(isas().front(), 1), shape, cache, std::span(&rows, 1), q);
      for (const Isa isa : isas())
        EXPECT_TRUE(same_bits(attend(backend(isa, 3), shape, cache, std::span(&rows, 1), q), first))
            << name(isa);
    }
}

TEST(KvCache, WritesRoundAndReadsWiden) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kI8})
    for (int64_t width = 1; width <= 35; ++width) {
      Shape shape{.key_width = width,
                  .value_width = width,
                  .dtype = dtype,
                  .page_tokens = dtype == DType::kI8 ? 16 : 4};
      const Cache cache(shape, {11, 6});
      std::vector<float> x = random_values(5 * width, 97, Values::kNonFinite);
      const SequenceRows rows[] = {{.first_row = 3, .rows = 2, .first_position = 1, .pages = cache.pages(1)},
                                   {.first_row = 0, .rows = 3, .first_position = 7, .pages = cache.pages(0)}};
      const auto run = [&](Backend& backend) {
        const KvStream stream = cache.args().keys;
        backend.kv_write({.x = Tensor::dense(x.data(), 5, width), .stream = stream, .sequences = rows});
        GuardedOutput first(10 * width, 1), second(6 * width);
        backend.kv_read(
            {.stream = stream, .pages = cache.pages(0), .y = Tensor::dense(first.data(), 10, width)});
        backend.kv_read(
            {.stream = stream, .pages = cache.pages(1), .y = Tensor::dense(second.data(), 6, width)});
        std::vector<float> both = first.take();
        const std::vector<float> more = second.take();
        both.insert(both.end(), more.begin(), more.end());
        return both;
      };
      const std::vector<float> expected = run(reference());
      for (int64_t i = 0; i < width; ++i) {
        const float value = x[static_cast<size_t>(i)];
        if (dtype != DType::kI8) {
          EXPECT_TRUE(same(expected[static_cast<size_t>(7 * width + i)],
                           dtype == DType::kF32 ? value : round_to_bf16(value)));
        }
      }
      expect_conformance(run, {.values = expected, .allowed = std::vector<double>(expected.size(), 0)});
    }
}

/// A value is off by half a step at most: 1/254 of the largest magnitude among the 64 that share its scale.
/// What is not finite makes its own group NaN; what is tiny becomes 0.
TEST(KvCache, Int8EntriesAreWithinHalfAStep) {
  const int64_t width = 2 * (150 + 6);
  std::vector<float> x = random_values(width, 101);
  x[3] = std::numeric_limits<float>::infinity();
  for (size_t i = 64; i < 128; ++i) x[i] *= 1e-37f;
  x[140] = 1000;
  KvStream stream{.dtype = DType::kI8, .width = width, .page_tokens = 16, .parts = 2, .plain = 6};
  std::vector<std::byte> memory(static_cast<size_t>(page_bytes(stream)));
  stream.data = memory.data();
  const int32_t page = 0;
  const SequenceRows row{.first_row = 0, .rows = 1, .first_position = 0, .pages = &page};
  Backend& back = backend(isas().back(), 1);
  back.kv_write({.x = Tensor::dense(x.data(), 1, width), .stream = stream, .sequences = std::span(&row, 1)});
  std::vector<float> y(x.size());
  back.kv_read({.stream = stream, .pages = &page, .y = Tensor::dense(y.data(), 1, width)});
  for (size_t part = 0; part < 2; ++part)
    for (size_t c = 0; c < 156; ++c) {
      const size_t i = part * 156 + c;
      if (c >= 150) {
        EXPECT_EQ(y[i], round_to_bf16(x[i]));
        continue;
      }
      const size_t begin = part * 156 + c / 64 * 64, end = std::min(begin + 64, part * 156 + 150);
      float largest = 0;
      bool finite = true;
      for (size_t j = begin; j < end; ++j) {
        finite &= std::isfinite(x[j]);
        largest = std::max(largest, std::abs(x[j]));
      }
      if (!finite)
        EXPECT_TRUE(std::isnan(y[i])) << i;
      else if (largest < 1e-35f)
        EXPECT_EQ(y[i], 0) << i;
      else
        EXPECT_LE(std::abs(y[i] - x[i]), largest / 254 * 1.0001f) << i;
    }
}

/// Pages whose bytes begin beyond 2^31.
TEST(KvCache, PagesLieBeyondTwoGigabytes) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kI8}) {
    KvStream stream{.dtype = dtype, .width = 128, .page_tokens = 64};
    const auto far_page = static_cast<int32_t>((int64_t{5} << 30) / page_bytes(stream));
    Arena memory = Arena::reserve((far_page + int64_t{2}) * page_bytes(stream)).value();
    stream.data = memory.allocate<std::byte>((far_page + int64_t{1}) * page_bytes(stream));
    const int32_t pages[] = {far_page};
    std::vector<float> x(128, 1.0f), q(128, 1.0f), y(128), out(128);
    const SequenceRows row{.first_row = 0, .rows = 1, .first_position = 0, .pages = pages};
    for (const Isa isa : isas()) {
      Backend& back = backend(isa, 1);
      back.kv_write(
          {.x = Tensor::dense(x.data(), 1, 128), .stream = stream, .sequences = std::span(&row, 1)});
      back.kv_read({.stream = stream, .pages = pages, .y = Tensor::dense(y.data(), 1, 128)});
      back.attend({.q = Tensor::dense(q.data(), 1, 1, 128),
                   .keys = stream,
                   .values = stream,
                   .key_stride = 128,
                   .value_stride = 128,
                   .sequences = std::span(&row, 1),
                   .out = Tensor::dense(out.data(), 1, 1, 128)});
      for (size_t i = 0; i < 128; ++i) {
        EXPECT_FLOAT_EQ(y[i], 1.0f);
        EXPECT_FLOAT_EQ(out[i], 1.0f);
      }
    }
  }
}

}  // namespace
}  // namespace cadre
