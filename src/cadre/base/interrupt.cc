#include "cadre/base/interrupt.h"

#include <unistd.h>

#include <atomic>
#include <csignal>

#include "cadre/base/file.h"

namespace cadre {
namespace {

constexpr int kInterruptedExitCode = 130;

std::atomic<bool> g_interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free, "the signal handler writes it");

void on_signal(int) {
  if (g_interrupted.exchange(true)) {
    remove_unfinished_files();
    ::_exit(kInterruptedExitCode);
  }
}

}  // namespace

void install_interrupt_handlers() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  ::sigemptyset(&action.sa_mask);
  // Without SA_RESTART a blocked read returns, so that a prompt waiting for input notices too.
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  // A reader that went away and a full file size limit are errors of the write, not the end of the program.
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);
}

bool interrupted() noexcept { return g_interrupted.load(std::memory_order_relaxed); }
void clear_interrupt() noexcept { g_interrupted.store(false); }

Status check_interrupt() {
  if (interrupted()) return fail(ErrorKind::kInterrupt, "interrupted");
  return {};
}

}  // namespace cadre
