#pragma once
/// From a parsed request to answers: the part that all APIs share. Choices become requests of the scheduler;
/// their tokens become text, text is searched for stop strings, and what may be shown goes to the
/// AnswerWriter of the API and on to the client, piece by piece or as one body.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cadre/server/answer.h"
#include "cadre/server/api_error.h"
#include "cadre/server/service.h"

namespace cadre::server {

/// How to answer, in whatever API it was asked.
struct GenerationSettings {
  int64_t max_tokens = 0;  ///< 0: until the context is full
  SamplingParams sampling;
  std::vector<std::string> stop_strings;
  int64_t choices = 1;    ///< answers to each prompt; choice i has the seed of the request plus i
  int top_logprobs = -1;  ///< -1: no log-probabilities
  bool stream = false;
  int64_t experts = 0;
  bool routing = false;
  bool use_prefix_cache = true;
  int priority = 0;
};

/// How the text of an answer is taken apart: see AnswerParser.
struct AnswerReading {
  AnswerFormat format;
  bool in_reasoning = false;
};

struct GenerationTask {
  ApiStyle style = ApiStyle::kOpenAi;
  std::vector<std::vector<int32_t>> prompts;
  GenerationSettings settings;
  std::optional<AnswerReading> reading;                       ///< nullopt: all text is content
  std::vector<std::unique_ptr<TokenConstraint>> constraints;  ///< one per answer, or none at all
  std::unique_ptr<AnswerWriter> writer;
};

/// Submits the task and answers `exchange` as the tokens come. A client that leaves, or fails to read,
/// cancels its requests. Errors, when nothing was sent yet: those of Scheduler::submit.
Status start_generation(Service& service, const std::shared_ptr<HttpExchange>& exchange, GenerationTask task);

}  // namespace cadre::server
