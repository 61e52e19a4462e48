#pragma once
/// The set-up function of each sub-command, one file each.

#include "cadre/cli/command.h"

namespace cadre::cli {

Action set_up_run(CLI::App& app);
Action set_up_serve(CLI::App& app);
Action set_up_bench(CLI::App& app);
Action set_up_inspect(CLI::App& app);
Action set_up_init(CLI::App& app);
Action set_up_tokenize(CLI::App& app);
Action set_up_chat_template(CLI::App& app);
Action set_up_logits(CLI::App& app);
Action set_up_grads(CLI::App& app);
Action set_up_perplexity(CLI::App& app);
Action set_up_convert(CLI::App& app);
Action set_up_quantize(CLI::App& app);
Action set_up_imatrix(CLI::App& app);
Action set_up_calibrate(CLI::App& app);
Action set_up_train(CLI::App& app);
Action set_up_data(CLI::App& app);
Action set_up_completion(CLI::App& app);
Action set_up_man(CLI::App& app);

}  // namespace cadre::cli
