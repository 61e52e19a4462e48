#include "cadre/cli/commands.h"

#include <iterator>

namespace cadre::cli {
namespace {

/// A command of the plan that does not exist yet says so, whatever its arguments.
Action set_up_planned(CLI::App& app) {
  app.allow_extras();
  const std::string name = app.get_name();
  return [name] { return Status(fail(ErrorKind::kUsage, "this command is not there yet")); };
}

constexpr Command kCommands[] = {
    {"run", "chat with a model in the terminal, or answer once", set_up_run},
    {"bench", "measure tokens/s of prefill and decode", set_up_bench},
    {"inspect", "show a model's architecture, parameters and memory", set_up_inspect},
    {"init", "write a random-weight model of a real shape", set_up_init},
    {"tokenize", "turn text into token ids, or ids into text", set_up_tokenize},
    {"chat-template", "render messages to the model's exact prompt", set_up_chat_template},
    {"logits", "write logits and routing for verification", set_up_logits},
    {"perplexity", "measure perplexity on a text", set_up_perplexity},
    {"serve", "answer over HTTP: OpenAI and Anthropic APIs, metrics, a web page", set_up_serve},
    {"quantize", "write a model with packed weights of 2 to 8 bits", set_up_quantize},
    {"imatrix", "find out on a text which columns of the weights count", set_up_imatrix},
    {"calibrate", "find the thresholds of a model's fallback on a text", set_up_calibrate},
    {"convert", "convert between a model directory and GGUF", set_up_convert},
    {"grads", "write losses and gradients for verification", set_up_grads},
    {"data", "learn a tokenizer, and turn text into token shards", set_up_data},
    {"train", "train a model from a configuration", set_up_train},
    {"completion", "print completions of the command line for a shell", set_up_completion},
    {"man", "print the manual page", set_up_man},
    {"eval", "run benchmarks of quality (not there yet)", set_up_planned},
    {"plan", "plan memory and speed of a model (not there yet)", set_up_planned},
    {"experts", "study the experts of a model (not there yet)", set_up_planned},
    {"redteam", "attack the routing of a model (not there yet)", set_up_planned},
};

}  // namespace

std::span<const Command> commands() { return kCommands; }

}  // namespace cadre::cli
