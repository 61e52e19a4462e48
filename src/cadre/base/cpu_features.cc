#include "cadre/base/cpu_features.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <sched.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <string>
#include <thread>

namespace cadre {
namespace {

constexpr std::array<std::string_view, kIsaCount> kNames = {"generic", "avx2", "avx512"};

/// Cores' worth of time in the control group's `cpu.max` ("max 100000" or "150000 100000"), 0 for no limit.
int control_group_cores() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return 0;
  const double granted = std::strtod(quota.c_str(), nullptr);
  return granted > 0 ? std::max(1, static_cast<int>(granted / period + 0.5)) : 0;
}

#if defined(__x86_64__)
/// Not among the names that clang's __builtin_cpu_supports knows. Its registers are those of AVX2.
bool has_f16c() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

/// Nor this; CPUID leaf 7, subleaf 1, EAX bit 4.
bool has_avx_vnni() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & (1u << 4)) != 0;
}
#endif

}  // namespace

std::string_view name(Isa isa) { return kNames[static_cast<size_t>(isa)]; }

std::optional<Isa> isa_from_name(std::string_view name) {
  for (size_t i = 0; i < kNames.size(); ++i)
    if (kNames[i] == name) return static_cast<Isa>(i);
  return std::nullopt;
}

bool has_isa(Isa isa) {
#if defined(__x86_64__)
  // The compiler's run-time support also asks whether the system saves the wide registers.
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
  switch (isa) {
    case Isa::kGeneric:
      return true;
    case Isa::kAvx2:
      return avx2;
    case Isa::kAvx512:
      return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  }
  return false;
#else
  return isa == Isa::kGeneric;
#endif
}

bool has_vnni(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx2) return has_isa(isa) && has_avx_vnni();
  if (isa == Isa::kAvx512) return has_isa(isa) && __builtin_cpu_supports("avx512vnni");
#endif
  return false;
}

Isa best_isa() {
  if (has_isa(Isa::kAvx512)) return Isa::kAvx512;
  return has_isa(Isa::kAvx2) ? Isa::kAvx2 : Isa::kGeneric;
}

int available_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int cores = sched_getaffinity(0, sizeof set, &set) == 0
                  ? CPU_COUNT(&set)
                  : static_cast<int>(std::thread::hardware_concurrency());
  if (const int granted = control_group_cores(); granted > 0) cores = std::min(cores, granted);
  return std::max(cores, 1);
}

}  // namespace cadre
