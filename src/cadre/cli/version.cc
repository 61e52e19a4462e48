#include "cadre/cli/version.h"

#include <cstdio>

#include "cadre/base/json.h"
#include "cadre/kernels/backend.h"

#ifndef CADRE_VERSION
#error "CADRE_VERSION comes from CMake"
#endif

namespace cadre::cli {
namespace {

#ifdef __clang__
constexpr const char* kCompiler = "clang " __clang_version__;
#else
constexpr const char* kCompiler = "gcc " __VERSION__;
#endif

#ifdef NDEBUG
constexpr const char* kBuild = "release";
#else
constexpr const char* kBuild = "debug";
#endif

}  // namespace

void print_version(bool json) {
  std::string isas;
  Json list = Json::array();
  for (const char* isa : {"generic", "avx2", "avx512"}) {
    if (!make_cpu_backend({.threads = 1, .isa = isa})) continue;
    isas += fmt::format("{}{}", isas.empty() ? "" : ", ", isa);
    list.push_back(isa);
  }
  if (json) {
    const Json document = {{"version", CADRE_VERSION},
                           {"compiler", kCompiler},
                           {"build", kBuild},
                           {"isa", list},
                           {"devices", Json::array({"cpu"})}};
    std::printf("%s\n", dump_json(document).c_str());
    return;
  }
  std::printf("cadre %s (%s, %s)\ninstruction sets here: %s\n", CADRE_VERSION, kCompiler, kBuild,
              isas.c_str());
}

}  // namespace cadre::cli
