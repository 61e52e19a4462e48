// Any text as a chat request: an error with its origin, or a conversation that every built-in format renders
// or refuses with a reason.
#include "cadre/base/check.h"
#include "cadre/text/chat_template.h"
#include "cadre/text/utf8.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto json = cadre::parse_json({reinterpret_cast<const char*>(data), size}, "fuzz");
  if (!json) return 0;
  const auto request = cadre::parse_chat_request(*json, "fuzz");
  if (!request) {
    CADRE_CHECK(request.error().message.starts_with("fuzz: "), "{}", request.error().message);
    return 0;
  }
  using cadre::ChatFormat;
  for (const ChatFormat format : {ChatFormat::kDeepseekV4, ChatFormat::kDeepseekV4Flash0731,
                                  ChatFormat::kDeepseekV32, ChatFormat::kDeepseekV31, ChatFormat::kDeepseekR1,
                                  ChatFormat::kDeepseekV3, ChatFormat::kDeepseekV2}) {
    const auto text = cadre::ChatTemplate::built_in(format).render(*request, "<s>", "</s>");
    if (text)
      CADRE_CHECK(text->starts_with("<s>") && cadre::is_valid_utf8(*text), "{}", *text);
    else
      CADRE_CHECK(!text.error().message.empty());
  }
  return 0;
}
