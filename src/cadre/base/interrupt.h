#pragma once
/// Ctrl-C as a question that long work asks itself. The first SIGINT or SIGTERM sets a flag; a second one
/// removes unfinished files and leaves at once with 130.

#include "cadre/base/result.h"

namespace cadre {

/// Installs the handlers; entry points call it once.
void install_interrupt_handlers();

/// True since the first signal, until `clear_interrupt`.
bool interrupted() noexcept;
void clear_interrupt() noexcept;

/// `CADRE_CHECK_OK(check_interrupt());` in loops that may run for long. Errors: kInterrupt.
Status check_interrupt();

}  // namespace cadre
