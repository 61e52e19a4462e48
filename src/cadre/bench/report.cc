#include "cadre/bench/report.h"

#include <fmt/format.h>

#include <array>

#include "cadre/base/units.h"

namespace cadre {
namespace {

using Phase = BenchmarkResult::Phase;

const char* phase_name(Phase phase) { return phase == Phase::kPrefill ? "prefill" : "decode"; }

std::string_view compute_name(Compute compute) {
  constexpr std::string_view kNames[] = {"f32", "bf16", "int8"};
  return kNames[static_cast<size_t>(compute)];
}

std::string_view mla_name(MlaForm form) { return form == MlaForm::kAbsorbed ? "absorbed" : "auto"; }

/// "pp512 depth 4096 batch 1 threads 2"
std::string setting(const BenchmarkResult& r) {
  return fmt::format("{}{} depth {} batch {} threads {}", r.phase == Phase::kPrefill ? "pp" : "tg", r.tokens,
                     r.depth, r.batch, r.threads);
}

/// The columns of the tables.
constexpr std::array<const char*, 12> kColumns = {"test",     "depth",     "batch",   "threads",
                                                  "tokens/s", "min - max", "experts", "MB/token",
                                                  "GB/s",     "of read",   "Gop/s",   "of peak"};
constexpr std::array<int, 12> kWidths = {9, 7, 7, 9, 10, 20, 9, 10, 8, 9, 9, 9};

std::array<std::string, 12> cells(const BenchmarkResult& r, const MachineLimits& limits) {
  const Spread& speed = r.tokens_per_second;
  return {fmt::format("{}{}", r.phase == Phase::kPrefill ? "pp" : "tg", r.tokens),
          fmt::format("{}", r.depth),
          fmt::format("{}", r.batch),
          fmt::format("{}", r.threads),
          fmt::format("{:.2f}", speed.median),
          fmt::format("{:.2f} - {:.2f}", speed.lowest, speed.highest),
          fmt::format("{:.1f}", r.experts_per_step),
          fmt::format("{:.1f}", (r.weight_bytes_per_token + r.kv_bytes_per_token) / 1e6),
          fmt::format("{:.2f}", r.bytes_per_second / 1e9),
          fmt::format("{:.0f} %", 100 * r.read_fraction(limits)),
          fmt::format("{:.1f}", r.ops_per_second() / 1e9),
          fmt::format("{:.0f} %", 100 * r.compute_fraction(limits))};
}

/// What holds for all lines, one fact a line.
std::vector<std::string> facts(const BenchmarkReport& report) {
  const auto bytes = [](int64_t value) { return format_bytes(static_cast<double>(value)); };
  const EngineOptions& engine = report.options.engine;
  std::vector<std::string> lines = {
      fmt::format("{}: {}, {} parameters, {} active, {}", report.model, report.family,
                  format_count(report.size.parameters), format_count(report.size.active_parameters),
                  bytes(report.size.bytes)),
      fmt::format("{}, not pinned; compute {}, KV cache {}, MLA {}; {} repeats, taking turns", report.backend,
                  compute_name(engine.compute), name(engine.kv_type), mla_name(engine.mla_form),
                  report.options.repeat),
      fmt::format("ready in {:.2f} s; memory at the end {} of its own, {} mapped files", report.ready_seconds,
                  bytes(report.memory.anonymous_bytes), bytes(report.memory.mapped_bytes))};
  for (const auto& [threads, limit] : report.limits)
    lines.push_back(
        fmt::format("limits with {} thread{}: memory read {}/s, f32 {:.0f} GFLOP/s, int8 {:.0f} Gop/s",
                    threads, threads == 1 ? "" : "s", format_bytes(limit.read_bytes_per_second),
                    limit.f32_flops / 1e9, limit.int8_ops / 1e9));
  return lines;
}

constexpr const char* kNotes =
    "pp: prefill, tg: decode; median, lowest and highest of the repeats. experts: different ones used by a\n"
    "step, mean of the MoE layers. MB/token: weights and KV cache that a step must read, by its tokens; of\n"
    "read: of the memory's limit, which a model that fits the caches can exceed. Gop/s: two for each weight\n"
    "that a token is multiplied with; of peak: the time that these take at the peak of f32, or of int8 for\n"
    "packed weights with int8 inputs, as a part of the time taken.\n";

Json spread_json(const Spread& spread) {
  return {{"median", spread.median}, {"min", spread.lowest}, {"max", spread.highest}};
}

Json profile_json(const Profile& profile) {
  Json rows = Json::array();
  for (const ProfileRow& row : profile.rows)
    rows.push_back({{"operation", row.operation},
                    {"calls", row.calls},
                    {"seconds", row.seconds},
                    {"bytes", row.bytes},
                    {"operations", row.operations}});
  return {{"steps", profile.steps},
          {"wall_seconds", profile.wall_seconds},
          {"explained_seconds", profile.explained_seconds()},
          {"waited_seconds", profile.waited_seconds},
          {"operations", rows}};
}

Json result_json(const BenchmarkResult& r, const MachineLimits& limits, bool with_profile) {
  Json json = {{"phase", phase_name(r.phase)},
               {"tokens", r.tokens},
               {"depth", r.depth},
               {"batch", r.batch},
               {"threads", r.threads},
               {"tokens_per_second", spread_json(r.tokens_per_second)},
               {"weight_bytes_per_token", r.weight_bytes_per_token},
               {"kv_bytes_per_token", r.kv_bytes_per_token},
               {"bytes_per_second", r.bytes_per_second},
               {"fraction_of_read_limit", r.read_fraction(limits)},
               {"flops_per_token", r.flops_per_token},
               {"int8_ops_per_token", r.int8_ops_per_token},
               {"ops_per_second", r.ops_per_second()},
               {"fraction_of_compute_limit", r.compute_fraction(limits)},
               {"experts_per_step", r.experts_per_step}};
  if (with_profile) json["profile"] = profile_json(r.profile);
  return json;
}

}  // namespace

Json to_json(const BenchmarkReport& report) {
  Json limits = Json::array();
  for (const auto& [threads, limit] : report.limits)
    limits.push_back({{"threads", threads},
                      {"read_bytes_per_second", limit.read_bytes_per_second},
                      {"f32_flops", limit.f32_flops},
                      {"int8_ops", limit.int8_ops}});
  Json results = Json::array();
  for (const BenchmarkResult& result : report.results)
    results.push_back(result_json(result, report.limits.at(result.threads), report.options.profile));
  const EngineOptions& engine = report.options.engine;
  return {
      {"model", report.model},
      {"family", report.family},
      {"parameters", report.size.parameters},
      {"active_parameters", report.size.active_parameters},
      {"bytes", report.size.bytes},
      {"active_bytes", report.size.active_bytes},
      {"backend", report.backend},
      {"compute", compute_name(engine.compute)},
      {"kv_type", name(engine.kv_type)},
      {"mla", mla_name(engine.mla_form)},
      {"repeat", report.options.repeat},
      {"seed", report.options.seed},
      {"ready_seconds", report.ready_seconds},
      {"memory",
       {{"anonymous_bytes", report.memory.anonymous_bytes}, {"mapped_bytes", report.memory.mapped_bytes}}},
      {"limits", limits},
      {"results", results}};
}

std::string to_text(const BenchmarkReport& report) {
  std::string text;
  for (const std::string& fact : facts(report)) text += fact + '\n';
  text += '\n';
  const auto add_line = [&](const auto& line) {
    for (size_t i = 0; i < line.size(); ++i)
      text +=
          i == 0 ? fmt::format("{:<{}}", line[i], kWidths[i]) : fmt::format("{:>{}}", line[i], kWidths[i]);
    text += '\n';
  };
  add_line(kColumns);
  for (const BenchmarkResult& result : report.results)
    add_line(cells(result, report.limits.at(result.threads)));
  text += fmt::format("\n{}", kNotes);
  if (report.options.profile)
    for (const BenchmarkResult& result : report.results)
      text += fmt::format("\n{}\n{}", setting(result), to_text(result.profile));
  return text;
}

std::string to_markdown(const BenchmarkReport& report) {
  std::string text;
  for (const std::string& fact : facts(report)) text += fmt::format("- {}\n", fact);
  text += '\n';
  const auto add_line = [&](const auto& line) {
    for (const auto& cell : line) text += fmt::format("| {} ", cell);
    text += "|\n";
  };
  add_line(kColumns);
  text += "|---";
  for (size_t i = 1; i < kColumns.size(); ++i) text += "|---:";
  text += "|\n";
  for (const BenchmarkResult& result : report.results)
    add_line(cells(result, report.limits.at(result.threads)));
  if (report.options.profile)
    for (const BenchmarkResult& result : report.results)
      text += fmt::format("\n{}\n```\n{}```\n", setting(result), to_text(result.profile));
  return text;
}

}  // namespace cadre
