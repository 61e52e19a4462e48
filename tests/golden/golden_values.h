#pragma once
/// What the golden files hold.

#include <cstring>
#include <string>
#include <vector>

#include "cadre/formats/safetensors.h"

namespace cadre::fixtures {

/// A tensor's values; none if the file has no such tensor.
template <typename T>
std::vector<T> values(const SafetensorsFile& file, const std::string& name) {
  const StoredTensor* tensor = file.find(name);
  if (tensor == nullptr) return {};
  std::vector<T> result(tensor->bytes.size() / sizeof(T));
  std::memcpy(result.data(), tensor->bytes.data(), tensor->bytes.size());
  return result;
}

}  // namespace cadre::fixtures
