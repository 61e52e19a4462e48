#pragma once
/// The chat formats that are built in, and how to tell which one a model uses.

#include <optional>
#include <string>
#include <string_view>

#include "cadre/base/function_ref.h"
#include "cadre/base/result.h"

namespace cadre {

enum class ChatFormat {
  kDeepseekV2,
  kDeepseekV3,
  kDeepseekR1,
  kDeepseekV31,
  kDeepseekV32,
  kDeepseekV4,
  kDeepseekV4Flash0731,
};

/// "deepseek-v4" and so on: what users write and messages show.
std::string_view chat_format_name(ChatFormat format);
/// Errors: kNotFound, with the names there are.
Result<ChatFormat> chat_format_named(std::string_view name);

/// What is known about a model without its chat template.
struct ModelTraits {
  std::string_view model_type;                    ///< of config.json, "" when unknown
  std::string_view name;                          ///< of its folder or of the model, "" when unknown
  FunctionRef<bool(std::string_view)> has_token;  ///< whether the vocabulary has a token of this text
};

/// Tells the format from the special tokens, then the model type, then the name: the tokens of V4 and V2 are
/// their own; V3, R1 and V3.1 share a model type and most tokens, and V4 Flash 0731 shares all with V4, so
/// there the name decides. Errors: kNotFound, for models of other makers and for DeepSeek-V4.1, whose format
/// is not public in full.
Result<ChatFormat> detect_chat_format(const ModelTraits& model);

}  // namespace cadre
