#pragma once
/// For tests: where the data lies that the project's developers share and a checkout alone does not have.

#include <cstdlib>
#include <filesystem>

namespace cadre::fixtures {

/// $CADRE_SHARED, else ../shared beside the source tree. Tests skip where it is absent, and say so.
inline std::filesystem::path shared_folder() {
  const char* const folder = std::getenv("CADRE_SHARED");
  return folder != nullptr ? folder : CADRE_SOURCE_DIR "/../shared";
}

}  // namespace cadre::fixtures
