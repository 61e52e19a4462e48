#include "cadre/bench/process_memory.h"

#include <fstream>
#include <iterator>
#include <string>

#include "cadre/base/system_memory.h"

namespace cadre {

ProcessMemory process_memory() {
  std::ifstream file("/proc/self/status");
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  return {.anonymous_bytes = memory_field_bytes(text, "RssAnon:"),
          .mapped_bytes = memory_field_bytes(text, "RssFile:") + memory_field_bytes(text, "RssShmem:")};
}

}  // namespace cadre
