// Any bytes as JSONL and as text: the readers report an error that names the line, or give documents whose
// texts are valid UTF-8.
#include <span>
#include <string_view>

#include "cadre/base/check.h"
#include "cadre/data/documents.h"
#include "cadre/text/utf8.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto check = [](const cadre::Document& document) -> cadre::Status {
    CADRE_CHECK(document.is_chat() != !document.text.empty());
    CADRE_CHECK(cadre::is_valid_utf8(document.text));
    for (const cadre::ChatTurn& turn : document.turns) CADRE_CHECK(cadre::is_valid_utf8(turn.content));
    static_cast<void>(document.fingerprint());
    return {};
  };
  for (const bool lossy : {false, true}) {
    const auto read = cadre::read_jsonl_documents(input, "fuzz", lossy, check);
    if (!read) CADRE_CHECK(read.error().message.starts_with("fuzz:"), "{}", read.error().message);
  }
  if (cadre::is_valid_utf8(input)) {
    CADRE_CHECK(cadre::read_text_documents(input, "fuzz", "---", check).has_value());
    size_t taken = 0;
    for (std::string_view rest = input; !rest.empty();) taken += cadre::take_stretch(rest).size();
    CADRE_CHECK(taken == input.size());
  }
  return 0;
}
