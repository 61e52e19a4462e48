// `cadre tokenize`: text to token ids, and back.
#include <charconv>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <memory>

#include "cadre/base/json.h"
#include "cadre/cli/commands.h"
#include "cadre/cli/io.h"
#include "cadre/runtime/text_assets.h"

namespace cadre::cli {
namespace {

struct TokenizeFlags {
  ModelFlags model;
  std::optional<std::string> text;
  bool json = false;
  bool no_bos = false;
  bool decode = false;
};

/// Ids separated by blanks or commas, or a JSON array, or {"ids": [...]} as this command prints.
Result<std::vector<int32_t>> parse_ids(std::string_view text) {
  const size_t start = text.find_first_not_of(" \t\r\n");
  std::vector<int32_t> ids;
  if (start != std::string_view::npos && (text[start] == '[' || text[start] == '{')) {
    CADRE_TRY(const Json document, parse_json(text, "input"));
    const Json* list = document.is_object() && document.contains("ids") ? &document["ids"] : &document;
    if (!list->is_array())
      return invalid("input: expected an array of token ids, found {}", describe_json(*list));
    for (size_t i = 0; i < list->size(); ++i) {
      const Json& item = (*list)[i];
      if (!item.is_number_integer() || item.get<int64_t>() < 0 || item.get<int64_t>() > INT32_MAX)
        return invalid("input[{}]: expected a token id, found {}", i, describe_json(item));
      ids.push_back(item.get<int32_t>());
    }
    return ids;
  }
  for (size_t at = start; at < text.size();) {
    int32_t id = 0;
    const auto [end, error] = std::from_chars(text.data() + at, text.data() + text.size(), id);
    if (error != std::errc() || id < 0)
      return invalid("input: expected a token id, found '{}'", text.substr(at, 20));
    ids.push_back(id);
    at = text.find_first_not_of(" \t\r\n,", static_cast<size_t>(end - text.data()));
  }
  return ids;
}

Status print_decoded(const Tokenizer& tokenizer, std::string_view input, bool json) {
  CADRE_TRY(const std::vector<int32_t> ids, parse_ids(input));
  CADRE_TRY(const std::string bytes, tokenizer.decode(ids));
  return write_stdout(json ? dump_json(Json{{"text", bytes}}) + "\n" : bytes);
}

Status print_ids(const Tokenizer& tokenizer, std::string_view input, const TokenizeFlags& flags) {
  const bool add_bos = !flags.no_bos && tokenizer.adds_bos() && tokenizer.bos().has_value();
  CADRE_TRY(const std::vector<int32_t> ids, tokenizer.encode(input, {.add_bos = add_bos}));
  if (flags.json) {
    std::string text = "{\"ids\": [";
    for (size_t i = 0; i < ids.size(); ++i) text += fmt::format("{}{}", i > 0 ? ", " : "", ids[i]);
    return write_stdout(text + "]}\n");
  }
  std::string text;
  for (const int32_t id : ids) {
    CADRE_TRY(const std::string_view bytes, tokenizer.token_bytes(id));
    text += fmt::format("{:>8} {}\n", id, Json(bytes).dump(-1, ' ', false, Json::error_handler_t::replace));
  }
  return write_stdout(text);
}

Status run(const TokenizeFlags& flags) {
  CADRE_TRY(const std::filesystem::path path, flags.model.path());
  CADRE_TRY(const TextAssets assets, load_text_assets(path));
  std::string input;
  if (flags.text) {
    input = *flags.text;
  } else {
    CADRE_TRY(input, read_stdin());
  }
  return flags.decode ? print_decoded(assets.tokenizer, input, flags.json)
                      : print_ids(assets.tokenizer, input, flags);
}

}  // namespace

Action set_up_tokenize(CLI::App& app) {
  auto flags = std::make_shared<TokenizeFlags>();
  flags->model.add_to(app);
  add_flag(app, "--text", flags->text, "the text; default: standard input, as raw bytes");
  add_switch(app, "--no-bos", flags->no_bos, "no BOS token, even if the tokenizer adds one");
  add_switch(app, "--decode", flags->decode,
             "the input is ids (JSON, or separated by blanks or commas); print their bytes");
  add_json_flag(app, flags->json);
  return [flags] { return run(*flags); };
}

}  // namespace cadre::cli
