// Any request that the HTTP library may hand over: "METHOD TARGET", lines "name: value", an empty line, the
// body. Exactly one answer comes, in the shape of its API.
#include "instant_service.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto next_line = [&] {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return line;
  };
  cadre::server::HttpRequest request;
  const std::string_view first = next_line();
  request.method = std::string(first.substr(0, first.find(' ')));
  request.path = cadre::server::path_of_target(first.substr(std::min(first.find(' '), first.size() - 1) + 1));
  for (std::string_view line = next_line(); !line.empty(); line = next_line()) {
    const size_t colon = std::min(line.find(": "), line.size());
    request.headers.push_back(
        {std::string(line.substr(0, colon)), std::string(line.substr(std::min(colon + 2, line.size())))});
  }
  request.body = std::string(text);
  cadre::server::answer_instantly(std::move(request));
  return 0;
}
