#include "cadre/train/run_log.h"

#include <limits>

namespace cadre::train {
namespace {

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

Json routing_json(const RoutingMetrics& routing) {
  return Json{{"max_vio", routing.max_violation},
              {"max_vio_worst", routing.max_violation_worst},
              {"max_vio_global", routing.max_violation_global},
              {"load_entropy", routing.load_entropy},
              {"gate_entropy", routing.gate_entropy},
              {"dead_experts", routing.dead_experts},
              {"drop_rate", routing.drop_rate},
              {"bias_range", routing.bias_range}};
}

Json loads_json(const std::vector<LayerLoads>& loads) {
  Json result = Json::array();
  for (const LayerLoads& layer : loads) result.push_back({{"layer", layer.layer}, {"tokens", layer.tokens}});
  return result;
}

Result<std::vector<LayerLoads>> loads_of(const JsonFields& fields) {
  std::vector<LayerLoads> result;
  const Json* loads = fields.find("loads");
  if (loads == nullptr) return result;
  if (!loads->is_array()) return fields.error("loads", "expected a list");
  for (size_t i = 0; i < loads->size(); ++i) {
    const JsonFields layer((*loads)[i], fields.origin(), fmt::format("loads[{}]", i));
    LayerLoads& read = result.emplace_back();
    CADRE_TRY(const int64_t number, layer.integer("layer", 0, std::numeric_limits<int>::max()));
    read.layer = static_cast<int>(number);
    const Json* tokens = layer.find("tokens");
    if (tokens == nullptr || !tokens->is_array()) return layer.error("tokens", "expected a list of counts");
    for (const Json& count : *tokens) {
      if (!count.is_number_integer() || count.get<int64_t>() < 0)
        return layer.error("tokens", fmt::format("expected a count, found {}", describe_json(count)));
      read.tokens.push_back(count.get<int64_t>());
    }
  }
  return result;
}

Result<LoggedStep> step_of(const Json& line, const std::string& origin) {
  if (!line.is_object()) return invalid("{}: expected an object, found {}", origin, describe_json(line));
  const JsonFields fields(line, origin);
  LoggedStep step;
  CADRE_TRY(step.step, fields.integer("step", 1, kMost));
  CADRE_TRY(step.tokens, fields.integer("tokens", 0, kMost));
  CADRE_TRY(step.loss, fields.number("loss"));
  CADRE_TRY(step.seconds, fields.number("seconds"));
  if (fields.has("held_out_loss")) {
    CADRE_TRY(step.held_out_loss, fields.number("held_out_loss"));
  }
  CADRE_TRY(const std::optional<JsonFields> routing, fields.object("routing"));
  if (routing) {
    CADRE_TRY(step.max_violation, routing->number("max_vio"));
  }
  CADRE_TRY(step.loads, loads_of(fields));
  return step;
}

}  // namespace

std::string log_line(const StepReport& report, bool moe) {
  Json line{{"step", report.step},
            {"loss", report.loss},
            {"auxiliary", report.auxiliary},
            {"gradient_norm", report.gradient_norm},
            {"learning_rate", report.learning_rate},
            {"tokens", report.total_tokens},
            {"seconds", report.seconds}};
  if (moe) line["routing"] = routing_json(report.routing);
  if (report.held_out_loss) line["held_out_loss"] = *report.held_out_loss;
  if (!report.loads.empty()) line["loads"] = loads_json(report.loads);
  return dump_json(line) + "\n";
}

Result<std::vector<LoggedStep>> read_run_log(const std::filesystem::path& path) {
  CADRE_TRY(const std::string text, read_text_file(path));
  std::vector<LoggedStep> steps;
  size_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string origin = fmt::format("{}:{}", path.string(), ++number);
    CADRE_TRY(const Json line, parse_json(std::string_view(text).substr(begin, end - begin), origin));
    CADRE_TRY(LoggedStep step, step_of(line, origin));
    steps.push_back(std::move(step));
    begin = end + 1;
  }
  return steps;
}

}  // namespace cadre::train
