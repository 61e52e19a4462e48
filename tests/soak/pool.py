"""The valid requests of the soak test. Each has one right answer, which is learnt by asking it alone."""

import json

# What requests begin with alike is longer than a page of the KV cache (64 tokens), so that the prefix cache and the
# folder of snapshots have something to keep. All fits the 256 tokens of the smallest model.
STORY = (
    "Once upon a time there was a little bear who lived in a small house near the river. Every morning the bear went "
    "to the river to look for fish, and every evening he came home and told his mother what he had seen. One day he "
    "saw a red boat on the water, and in the boat there was a cat with a green hat."
)
QUESTIONS = ["What did the cat say?", "Where did the boat go?", "Was the bear happy?", "Tell me more about the hat."]
SCHEMA = {
    "type": "object",
    "properties": {"name": {"enum": ["bear", "cat"]}, "age": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
TOOL = {
    "name": "look",
    "description": "Looks at a place.",
    "parameters": {
        "type": "object",
        "properties": {"place": {"enum": ["river", "house"]}},
        "required": ["place"],
        "additionalProperties": False,
    },
}
# Beginnings of three pages each that share nothing: together more than the cache or the folder of snapshots holds.
TALES = 12
SAMPLING = [{"temperature": 0}, {"temperature": 0.9, "top_p": 0.95, "seed": 7}]


def _kinds():
    """(name, path, body without sampling and stream)"""
    chat, text = "/v1/chat/completions", "/v1/completions"
    for i, question in enumerate(QUESTIONS):
        user = [{"role": "user", "content": f"{STORY} {question}"}]
        yield f"chat-{i}", chat, {"messages": user, "max_tokens": 10 + 6 * i}
    yield "chat-n", chat, {"messages": user, "max_tokens": 8, "n": 3}
    yield "chat-logprobs", chat, {"messages": user, "max_tokens": 8, "logprobs": True, "top_logprobs": 4}
    yield "chat-stop", chat, {"messages": user, "max_tokens": 32, "stop": [".", "the"]}
    yield "chat-routing", chat, {"messages": user, "max_tokens": 6, "cadre": {"experts": 2, "routing": True}}
    yield "chat-penalties", chat, {
        "messages": user, "max_tokens": 12, "presence_penalty": 1, "repetition_penalty": 1.2, "logit_bias": {"300": 5}}
    yield "chat-schema", chat, {
        "messages": user, "max_tokens": 48,
        "response_format": {"type": "json_schema", "json_schema": {"name": "animal", "schema": SCHEMA}}}
    yield "chat-tool", chat, {
        "messages": [{"role": "user", "content": "Look at the river."}], "max_tokens": 64,
        "tools": [{"type": "function", "function": TOOL}], "tool_choice": "required"}
    yield "text", text, {"prompt": STORY, "max_tokens": 24}
    yield "text-short", text, {"prompt": "The cat", "max_tokens": 40}
    yield "text-many", text, {"prompt": ["One day", STORY, [400, 401, 402]], "max_tokens": 6, "n": 2, "logprobs": 2}
    yield "text-echo", text, {"prompt": "A red ball", "max_tokens": 5, "echo": True}
    yield "text-whole", text, {"prompt": STORY + " " + STORY, "max_tokens": 8, "cadre": {"prefix_cache": False}}
    yield "text-long", text, {"prompt": STORY, "max_tokens": 90, "logit_bias": {"1": -100}, "cadre": {"priority": 1}}
    for i in range(TALES):
        yield f"tale-{i}", text, {"prompt": f"Tale {i}. {STORY} {STORY}", "max_tokens": 6}
    yield "responses", "/v1/responses", {"input": f"{STORY} What next?", "max_output_tokens": 16}
    yield "responses-schema", "/v1/responses", {
        "input": "Who is it?", "max_output_tokens": 48,
        "text": {"format": {"type": "json_schema", "name": "animal", "schema": SCHEMA}}}
    yield "messages", "/v1/messages", {
        "system": STORY, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 16}
    yield "messages-stop", "/v1/messages", {
        "messages": [{"role": "user", "content": STORY}], "max_tokens": 24, "stop_sequences": ["a"]}


def valid_requests(everything):
    """[(name, path, body)]: each kind whole and streamed, greedy and seeded; one of the four if not `everything`."""
    requests = []
    for i, (name, path, body) in enumerate(_kinds()):
        variants = [(stream, sampling) for stream in (False, True) for sampling in SAMPLING]
        for stream, sampling in variants if everything else [variants[i % 4]]:
            label = f"{name}{'-stream' if stream else ''}{'-seeded' if 'seed' in sampling else ''}"
            requests.append((label, path, {**body, **sampling, "stream": stream}))
    for form in ("float", "base64"):
        requests.append((f"embed-{form}", "/v1/embeddings", {"input": [STORY, "Hi"], "encoding_format": form}))
    requests.append(("count", "/v1/messages/count_tokens", {"messages": [{"role": "user", "content": STORY}]}))
    return requests


# What differs between two answers to the same request: ids, clocks, numbers of events, and what the prefix cache had.
_CHANGING = {"id", "item_id", "call_id", "created", "created_at", "completed_at", "sequence_number"}

# Texts and lists of which an event of a stream has the next part. How an answer is cut into events is chance: tokens
# that come soon after one another share one.
_PARTS = {"text", "content", "reasoning_content", "arguments", "delta", "thinking", "partial_json", "routing",
          "tokens", "token_logprobs", "top_logprobs", "text_offset", "tool_calls"}  # fmt: skip


def _unchanging(value):
    if isinstance(value, list):
        return [_unchanging(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _unchanging(item) for key, item in value.items() if key not in _CHANGING}
    if isinstance(kept.get("usage"), dict):
        kept["usage"] = {key: kept["usage"].get(key) for key in ("completion_tokens", "output_tokens")}
    return kept


class _Apart(Exception):
    """Two events that are not one cut in two."""


def _joined(first, then, key=None):
    """Two values of consecutive events as one event would have them."""
    if then is None:
        return first
    if isinstance(first, dict) and isinstance(then, dict):
        return first | {k: _joined(first[k], value, k) if k in first else value for k, value in then.items()}
    if key == "tool_calls":
        calls = {call["index"]: call for call in first}
        for call in then:
            calls[call["index"]] = _joined(calls[call["index"]], call) if call["index"] in calls else call
        return list(calls.values())
    if key in _PARTS and type(first) is type(then) and isinstance(first, (str, list)):
        return first + then
    if key == "choices" and len(first) == len(then) == 1:
        return [_joined(first[0], then[0])]
    if first != then:
        raise _Apart
    return first


def essence(answer):
    """What must be equal, bit for bit, in every answer to the same request."""
    if not answer.events:
        return _unchanging(answer.json())
    events = [data if data == "[DONE]" else _unchanging(json.loads(data)) for _, data in answer.events]
    # The answers of one request (n, several prompts) take turns as the scheduler likes; each has its own order.
    choice = lambda event: event["choices"][0]["index"] if isinstance(event, dict) and event.get("choices") else 1 << 30
    whole = []
    for event in sorted(events, key=choice):
        try:
            whole[-1:] = [_joined(whole[-1], event)] if whole else [event]
        except _Apart:
            whole.append(event)
    return whole
