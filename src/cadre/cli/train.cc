// `cadre train`: runs the training that a configuration describes.
#include <fmt/format.h>

#include <cmath>

#include "cadre/bench/machine_limits.h"
#include "cadre/cli/commands.h"
#include "cadre/cli/io.h"
#include "cadre/cli/progress.h"
#include "cadre/train/operations.h"
#include "cadre/train/report.h"
#include "cadre/train/trainer.h"

namespace cadre::cli {
namespace {

struct TrainFlags {
  std::string config;
  bool resume = false;
  int threads = 0;
  std::string isa = "auto";
};

/// Follows a run on standard error. Rates are of the last steps, smoothed.
class Follow : public train::TrainListener {
 public:
  Follow(const train::Trainer& trainer, double peak_flops)
      : trainer_(trainer),
        peak_flops_(peak_flops),
        token_flops_(train::training_operations(trainer.model().config(), trainer.config().length)),
        progress_("training", Progress::Unit::kSteps) {}

  void on_step(const train::StepReport& report) override {
    constexpr double kKeep = 0.8;
    const double rate = static_cast<double>(report.tokens) / report.seconds;
    rate_ = rate_ == 0 ? rate : kKeep * rate_ + (1 - kKeep) * rate;
    if (report.held_out_loss) held_out_ = fmt::format(", held out {:.4f}", *report.held_out_loss);
    std::string note =
        fmt::format("loss {:.4f}{}, {:.0f} tokens/s, {:.0f} GFLOP/s ({:.0f} % of peak)", report.loss,
                    held_out_, rate_, rate_ * token_flops_ * 1e-9, 100 * rate_ * token_flops_ / peak_flops_);
    if (trainer_.model().config().moe)
      note += fmt::format(", MaxVio {:.2f} ({:.2f} global), {} dead", report.routing.max_violation,
                          report.routing.max_violation_global, report.routing.dead_experts);
    progress_.update(report.step, trainer_.config().steps, note);
  }
  void on_checkpoint(const std::filesystem::path& folder) override { last_ = folder; }
  void on_samples(std::span<const train::Sample> samples) override {
    for (const train::Sample& sample : samples)
      progress_.say(fmt::format("step {}: {} -> {}", sample.step, sample.prompt, sample.text));
  }
  const std::filesystem::path& last_checkpoint() const { return last_; }

 private:
  const train::Trainer& trainer_;
  double peak_flops_;
  double token_flops_;
  double rate_ = 0;
  std::string held_out_;
  std::filesystem::path last_;
  Progress progress_;
};

Status run(const TrainFlags& flags) {
  CADRE_TRY(train::TrainConfig config, train::read_train_config(flags.config));
  const std::filesystem::path out = config.out;
  const CpuOptions cpu{.threads = flags.threads, .isa = flags.isa};
  config.samples.cpu = cpu;
  CADRE_TRY(const std::unique_ptr<Backend> backend, make_cpu_backend(cpu));
  CADRE_TRY(const std::unique_ptr<train::Trainer> trainer,
            train::Trainer::create(std::move(config), *backend, flags.resume));
  fmt::print(stderr, "{}: {:.2f} M parameters, {} sequences of {} tokens a step, on {}{}\n", flags.config,
             static_cast<double>(trainer->model().parameter_count()) * 1e-6, trainer->config().sequences,
             trainer->config().length, backend->description(),
             trainer->config().compute == Compute::kBF16 ? ", bf16 products" : "");
  if (trainer->first_step() > 0) fmt::print(stderr, "going on after step {}\n", trainer->first_step());
  const Isa isa = isa_from_name(flags.isa).value_or(best_isa());
  const int threads = flags.threads == 0 ? available_cores() : flags.threads;
  std::filesystem::path checkpoint;
  Status status;
  {
    Follow follow(*trainer, measure_machine_limits(threads, isa).f32_flops);
    status = trainer->run(follow);
    checkpoint = follow.last_checkpoint();
  }
  if (!checkpoint.empty()) {
    fmt::print(stderr, "checkpoint: {}\n", checkpoint.string());
    CADRE_CHECK_OK(train::write_run_report(out));
    fmt::print(stderr, "report: {}\n", (out / "report.html").string());
  }
  return status;
}

}  // namespace

Action set_up_train(CLI::App& app) {
  auto flags = std::make_shared<TrainFlags>();
  app.add_option("CONFIG", flags->config, "JSON file that describes the run (docs/training.md)")->required();
  add_switch(app, "--resume", flags->resume, "go on from the run's last checkpoint");
  add_flag(app, "-t,--threads", flags->threads, "threads (0: one per core)")
      ->check(CLI::Range(0, kMaxThreads));
  add_flag(app, "--isa", flags->isa, "CPU code path: auto, generic, avx2 or avx512");
  return [flags] { return run(*flags); };
}

}  // namespace cadre::cli
