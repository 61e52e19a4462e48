#include "cadre/train/report.h"

#include <fmt/format.h>

#include <numeric>

#include "cadre/train/run_log.h"
#include "cadre/train/samples.h"
#include "cadre/train/svg_chart.h"

namespace cadre::train {
namespace {

constexpr const char* kStyle = R"(<style>
:root { color-scheme: light dark; --line: #d5d8de; --text: #24292f; --quiet: #667; }
@media (prefers-color-scheme: dark) { :root { --line: #3a3f47; --text: #e4e6ea; --quiet: #99a; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); max-width: 820px; margin: 2rem auto; padding: 0 1rem; }
svg { width: 100%; margin: .6rem 0 1.4rem; }
svg text { font: 11px system-ui, sans-serif; fill: var(--quiet); }
svg .title { font-size: 13px; font-weight: 600; fill: var(--text); }
.end { text-anchor: end; } .middle { text-anchor: middle; }
.grid { stroke: var(--line); stroke-width: .7; }
polyline { fill: none; stroke-width: 1.6; }
polyline.series-0 { stroke: #3b7dd8; } text.series-0 { fill: #3b7dd8; }
polyline.series-1 { stroke: #d9662c; } text.series-1 { fill: #d9662c; }
dl { display: grid; grid-template-columns: minmax(auto, 16rem) 1fr; gap: .2rem 1.2rem; } dt { color: var(--quiet); } dd { margin: 0; }
</style>
)";

ChartLine line_of(const std::vector<LoggedStep>& steps, std::string name,
                  std::optional<double> (*value)(const LoggedStep&)) {
  ChartLine line{.name = std::move(name)};
  for (const LoggedStep& step : steps)
    if (const std::optional<double> y = value(step))
      line.points.push_back({static_cast<double>(step.step), *y});
  return line;
}

/// Tokens of each step over its seconds.
ChartLine speed_of(const std::vector<LoggedStep>& steps) {
  ChartLine line{.name = "tokens/s"};
  int64_t before = 0;
  for (const LoggedStep& step : steps) {
    line.points.push_back(
        {static_cast<double>(step.step), static_cast<double>(step.tokens - before) / step.seconds});
    before = step.tokens;
  }
  return line;
}

/// One row an expert, one column a step whose loads were logged: loads over their layer's mean.
std::string loads_map(const std::vector<LoggedStep>& steps) {
  std::vector<std::string> names;
  std::vector<std::vector<double>> rows;
  for (const LoggedStep& step : steps) {
    size_t row = 0;
    for (const LayerLoads& layer : step.loads) {
      const auto sum =
          static_cast<double>(std::accumulate(layer.tokens.begin(), layer.tokens.end(), int64_t{0}));
      const double mean = sum / static_cast<double>(std::max<size_t>(1, layer.tokens.size()));
      for (size_t e = 0; e < layer.tokens.size(); ++e, ++row) {
        if (row == rows.size()) {
          rows.emplace_back();
          names.push_back(e == 0 ? fmt::format("layer {}", layer.layer) : std::string());
        }
        rows[row].push_back(mean == 0 ? 1 : static_cast<double>(layer.tokens[e]) / mean);
      }
    }
  }
  if (rows.empty()) return {};
  return heat_map(
      "Load of every expert, over the mean of its layer (white: equal; blue: idle; red: twice and more)",
      "step", names, rows);
}

std::string facts(const std::vector<LoggedStep>& steps) {
  double seconds = 0;
  for (const LoggedStep& step : steps) seconds += step.seconds;
  std::string html = fmt::format(
      "<dl><dt>steps</dt><dd>{}</dd><dt>tokens</dt><dd>{:.2f} M</dd><dt>time</dt><dd>{:.1f} min</dd>"
      "<dt>last loss</dt><dd>{:.4f}</dd>",
      steps.back().step, static_cast<double>(steps.back().tokens) * 1e-6, seconds / 60, steps.back().loss);
  for (size_t i = steps.size(); i-- > 0;)
    if (steps[i].held_out_loss) {
      html += fmt::format("<dt>held-out loss</dt><dd>{:.4f} after step {}</dd>", *steps[i].held_out_loss,
                          steps[i].step);
      break;
    }
  return html + "</dl>\n";
}

/// What the last checkpoint said.
std::string samples_list(const std::vector<Sample>& samples) {
  if (samples.empty()) return {};
  std::string html = fmt::format("<h2>Samples of step {}</h2>\n<dl>", samples.back().step);
  for (const Sample& sample : samples)
    if (sample.step == samples.back().step)
      html += fmt::format("<dt>{}</dt><dd>{}</dd>\n", escape_html(sample.prompt), escape_html(sample.text));
  return html + "</dl>\n";
}

}  // namespace

Status write_run_report(const std::filesystem::path& run) {
  CADRE_TRY(const std::vector<LoggedStep> steps, read_run_log(run / "log.jsonl"));
  if (steps.empty()) return {};
  const std::string name = escape_html(run.filename().string());
  std::string html = fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
      "content=\"width=device-width\">\n<title>{0}</title>\n{1}<h1>{0}</h1>\n{2}",
      name, kStyle, facts(steps));
  const std::vector losses = {
      line_of(steps, "training", [](const LoggedStep& s) { return std::optional(s.loss); }),
      line_of(steps, "held out", [](const LoggedStep& s) { return s.held_out_loss; })};
  html += line_chart("Loss, nats per token", "step", losses);
  const std::vector balance = {line_of(steps, "MaxVio", [](const LoggedStep& s) { return s.max_violation; })};
  if (!balance[0].points.empty())
    html += line_chart("Balance: MaxVio of each step, mean of the layers", "step", balance);
  html += loads_map(steps);
  const std::vector speed = {speed_of(steps)};
  html += line_chart("Speed, tokens/s", "step", speed);
  CADRE_TRY(const std::vector<Sample> samples, read_samples(run / "samples.jsonl"));
  html += samples_list(samples);
  return write_text_file(run / "report.html", html + "</html>\n");
}

}  // namespace cadre::train
