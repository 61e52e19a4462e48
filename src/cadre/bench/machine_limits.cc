#include "cadre/bench/machine_limits.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "cadre/base/check.h"
#include "cadre/base/thread_pool.h"

namespace cadre {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kReadPasses = 5;
constexpr int kPeakPasses = 20;  // of some 5 ms: one of them is undisturbed
constexpr int64_t kMinReadBytes = int64_t{256} << 20;
constexpr int64_t kMaxReadBytes = int64_t{2} << 30;
constexpr int64_t kReadTaskBytes = int64_t{8} << 20;
constexpr int64_t kPeakIterations = 2'000'000;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Four times the last-level cache, within bounds.
int64_t read_buffer_bytes() {
  const int64_t cache = std::max<int64_t>(::sysconf(_SC_LEVEL3_CACHE_SIZE), 0);
  const int64_t memory = static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE);
  const int64_t wanted = std::clamp(4 * cache, kMinReadBytes, kMaxReadBytes);
  return std::min(wanted, memory / 8);
}

/// Memory for the read probe. Huge pages where the system gives them: small ones cost two threads a quarter.
class ProbeBuffer {
 public:
  explicit ProbeBuffer(int64_t bytes) : bytes_(bytes) {
    void* data = ::mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED) return;
    data_ = static_cast<uint64_t*>(data);
    ::madvise(data, static_cast<size_t>(bytes), MADV_HUGEPAGE);
  }
  ~ProbeBuffer() {
    if (data_ != nullptr) ::munmap(data_, static_cast<size_t>(bytes_));
  }
  ProbeBuffer(const ProbeBuffer&) = delete;
  ProbeBuffer& operator=(const ProbeBuffer&) = delete;

  uint64_t* data() const { return data_; }
  int64_t bytes() const { return bytes_; }

 private:
  uint64_t* data_ = nullptr;
  int64_t bytes_;
};

/// One value a cache line would do for the bus, but a real reader uses every byte.
uint64_t sum_words(const uint64_t* words, int64_t count) {
  uint64_t sums[8] = {};
  for (int64_t i = 0; i < count; i += 8)
    for (int lane = 0; lane < 8; ++lane) sums[lane] += words[i + lane];
  uint64_t total = 0;
  for (const uint64_t sum : sums) total += sum;
  return total;
}

double measure_read(ThreadPool& pool, int64_t bytes) {
  const ProbeBuffer buffer(std::max(bytes / kReadTaskBytes, int64_t{1}) * kReadTaskBytes);
  if (buffer.data() == nullptr) return 0;
  const int64_t words = kReadTaskBytes / 8;
  const int64_t tasks = buffer.bytes() / kReadTaskBytes;
  pool.run(tasks, [&](int64_t task, int) { std::fill_n(buffer.data() + task * words, words, uint64_t{1}); });
  std::vector<uint64_t> sums(static_cast<size_t>(tasks));
  double best = 0;
  for (int pass = 0; pass < kReadPasses; ++pass) {
    const Clock::time_point start = Clock::now();
    pool.run(tasks, [&](int64_t task, int) {
      sums[static_cast<size_t>(task)] = sum_words(buffer.data() + task * words, words);
    });
    best = std::max(best, static_cast<double>(buffer.bytes()) / seconds_since(start));
    uint64_t total = 0;
    for (const uint64_t sum : sums) total += sum;
    CADRE_CHECK(total == static_cast<uint64_t>(buffer.bytes()) / 8, "{}",
                total);  // and so nothing was left out
  }
  return best;
}

// Twelve independent chains: two units of four cycles' latency need eight. Written as instructions, because
// the build forbids the compiler to fuse a product and a sum; all in one statement, so that none of the sums
// goes through memory.
constexpr int kChains = 12;

using Vector128 = float __attribute__((vector_size(16)));
using Vector256 = float __attribute__((vector_size(32)));
using Vector512 = float __attribute__((vector_size(64)));
using Ints128 = uint32_t __attribute__((vector_size(16)));

/// A loop and the operations of one of its turns.
struct PeakProbe {
  void (*run)(int64_t iterations);
  double ops_per_iteration;
};

/// kChains instructions, each a product and a sum on every one of `lanes`.
constexpr double chain_ops(int64_t lanes) { return 2.0 * kChains * static_cast<double>(lanes); }

#if defined(__x86_64__)
#define CADRE_CHAINS(op, kind)                                                                   \
  asm volatile(op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11)         \
               : "+" kind(s[0]), "+" kind(s[1]), "+" kind(s[2]), "+" kind(s[3]), "+" kind(s[4]), \
                 "+" kind(s[5]), "+" kind(s[6]), "+" kind(s[7]), "+" kind(s[8]), "+" kind(s[9]), \
                 "+" kind(s[10]), "+" kind(s[11])                                                \
               : kind(factor))
#define CADRE_FMA(n) "vfmadd231ps %12, %12, %" #n "\n\t"
#define CADRE_DOT(n) "vpdpbusd %12, %12, %" #n "\n\t"
#define CADRE_DOT_VEX(n) "%{vex%} vpdpbusd %12, %12, %" #n "\n\t"

[[gnu::target("avx512f")]] void run_fma_avx512(int64_t iterations) {
  Vector512 s[kChains] = {};
  const Vector512 factor = {};
  for (int64_t i = 0; i < iterations; ++i) CADRE_CHAINS(CADRE_FMA, "v");
}

[[gnu::target("avx2,fma")]] void run_fma_avx2(int64_t iterations) {
  Vector256 s[kChains] = {};
  const Vector256 factor = {};
  for (int64_t i = 0; i < iterations; ++i) CADRE_CHAINS(CADRE_FMA, "x");
}

[[gnu::target("avx512f")]] void run_dot_avx512(int64_t iterations) {
  Vector512 s[kChains] = {};
  const Vector512 factor = {};
  for (int64_t i = 0; i < iterations; ++i) CADRE_CHAINS(CADRE_DOT, "v");
}

[[gnu::target("avx2")]] void run_dot_avxvnni(int64_t iterations) {
  Vector256 s[kChains] = {};
  const Vector256 factor = {};
  for (int64_t i = 0; i < iterations; ++i) CADRE_CHAINS(CADRE_DOT_VEX, "x");
}
#undef CADRE_DOT_VEX
#undef CADRE_DOT
#undef CADRE_FMA
#undef CADRE_CHAINS

/// Without dot products: bytes to pairs, pairs to fours, fours to the sums. Four chains and four registers
/// on the way, since a sum takes one cycle.
constexpr int kPairChains = 4;
[[gnu::target("avx2")]] void run_pairs_avx2(int64_t iterations) {
  Vector256 s[kPairChains] = {};
  Vector256 t[kPairChains];
  const Vector256 factor = {};
#define CADRE_PAIRS(sum, temporary)            \
  "vpmaddubsw %8, %8, %" #temporary            \
  "\n\t"                                       \
  "vpmaddwd %8, %" #temporary ", %" #temporary \
  "\n\t"                                       \
  "vpaddd %" #temporary ", %" #sum ", %" #sum "\n\t"
  for (int64_t i = 0; i < iterations; ++i)
    asm volatile(CADRE_PAIRS(0, 4) CADRE_PAIRS(1, 5) CADRE_PAIRS(2, 6) CADRE_PAIRS(3, 7)
                 : "+x"(s[0]), "+x"(s[1]), "+x"(s[2]), "+x"(s[3]), "=&x"(t[0]), "=&x"(t[1]), "=&x"(t[2]),
                   "=&x"(t[3])
                 : "x"(factor));
#undef CADRE_PAIRS
}
#endif

/// What any machine has: a product, then a sum.
void run_multiply_add(int64_t iterations) {
  Vector128 sums[kChains] = {};
  for (int64_t i = 0; i < iterations; ++i)
    for (Vector128& sum : sums) sum = sum * 0.5f + 1.0f;
  asm volatile("" : : "r"(sums) : "memory");  // the result is wanted
}

/// The same of 32-bit integers, which portable code widens bytes to; unsigned, for they wrap around.
void run_integer_multiply_add(int64_t iterations) {
  Ints128 sums[kChains] = {};
  Ints128 factor = {3, 3, 3, 3};
  asm volatile("" : "+m"(factor));  // not known to be 3: a compiler would add instead of multiplying
  for (int64_t i = 0; i < iterations; ++i)
    for (Ints128& sum : sums) sum = sum * factor + 1;
  asm volatile("" : : "r"(sums) : "memory");
}

PeakProbe f32_probe(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx512) return {run_fma_avx512, chain_ops(16)};
  if (isa == Isa::kAvx2) return {run_fma_avx2, chain_ops(8)};
#endif
  static_cast<void>(isa);
  return {run_multiply_add, chain_ops(4)};
}

/// What the packed products of `isa` (kernels/cpu) are made of on this machine.
PeakProbe int8_probe(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx512 && has_vnni(Isa::kAvx512)) return {run_dot_avx512, chain_ops(64)};
  if (isa >= Isa::kAvx2 && has_vnni(Isa::kAvx2)) return {run_dot_avxvnni, chain_ops(32)};
  if (isa >= Isa::kAvx2) return {run_pairs_avx2, 2.0 * kPairChains * 32};
#endif
  static_cast<void>(isa);
  return {run_integer_multiply_add, chain_ops(4)};
}

double measure_peak(ThreadPool& pool, const PeakProbe& probe) {
  // Many tasks, so that a thread that comes late does not leave the others waiting for its whole share.
  const int64_t tasks = int64_t{16} * pool.size();
  double best = 0;
  for (int pass = 0; pass < kPeakPasses; ++pass) {
    const Clock::time_point start = Clock::now();
    pool.run(tasks, [&](int64_t, int) { probe.run(kPeakIterations / 16); });
    const double ops = static_cast<double>(tasks) * (kPeakIterations / 16) * probe.ops_per_iteration;
    best = std::max(best, ops / seconds_since(start));
  }
  return best;
}

}  // namespace

MachineLimits measure_machine_limits(int threads, Isa isa, int64_t read_bytes) {
  ThreadPool pool(threads);
  return {.read_bytes_per_second = measure_read(pool, read_bytes == 0 ? read_buffer_bytes() : read_bytes),
          .f32_flops = measure_peak(pool, f32_probe(isa)),
          .int8_ops = measure_peak(pool, int8_probe(isa))};
}

}  // namespace cadre
