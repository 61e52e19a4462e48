#pragma once
/// The conversation on a terminal: line editing, history, slash commands, Ctrl-C stops the answer.

#include "cadre/base/result.h"
#include "cadre/cli/chat_session.h"

namespace cadre::cli {

/// Until /quit or the end of input. Errors of single turns are printed and the conversation goes on.
Status run_repl(ChatSession& session);

}  // namespace cadre::cli
