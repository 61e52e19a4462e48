// `cadre inspect`: a model's architecture, parameters and memory, from its headers alone.
#include <memory>

#include "cadre/cli/commands.h"
#include "cadre/cli/io.h"
#include "cadre/cli/model_facts.h"
#include "cadre/model/shapes.h"

namespace cadre::cli {
namespace {

struct InspectFlags {
  ModelFlags model;
  std::string shape;
  bool json = false;
  bool tensors = false;
};

Result<ModelFacts> find_facts(const InspectFlags& flags) {
  if (!flags.shape.empty()) {
    CADRE_TRY(const Json config, find_shape(flags.shape));
    return shape_facts(config, flags.shape);
  }
  CADRE_TRY(const std::filesystem::path path, flags.model.path());
  CADRE_TRY(const Model model, Model::load(path));
  return checkpoint_facts(model);
}

Status run(const InspectFlags& flags) {
  if (!flags.shape.empty() && !flags.model.positional.empty())
    return fail(ErrorKind::kUsage, "either a model or --shape, not both");
  CADRE_TRY(const ModelFacts facts, find_facts(flags));
  if (flags.json) return write_stdout(dump_json(to_json(facts, flags.tensors), 2) + "\n");
  return write_stdout(to_text(facts) + (flags.tensors ? "\n" + tensor_table(facts) : ""));
}

}  // namespace

Action set_up_inspect(CLI::App& app) {
  auto flags = std::make_shared<InspectFlags>();
  flags->model.add_to(app);
  add_flag(app, "--shape", flags->shape,
           "a named shape or a config.json without weights, as for `cadre init`");
  add_switch(app, "--tensors", flags->tensors, "also list every tensor: name, shape, type, bytes");
  add_json_flag(app, flags->json);
  return [flags] { return run(*flags); };
}

}  // namespace cadre::cli
