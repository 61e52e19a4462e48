"""Requests that are wrong, each with the status that it must get: of HTTP, of JSON, of fields, over limits.

src/cadre/server/malformed_requests_test.cc says what the answers tell about them; here they go through sockets, among
others, to a server with `--max-body-mb 1`.
"""

import json

from http_client import message

CHAT, TEXT, RESPONSES, EMBED = "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings"
MESSAGES = "/v1/messages"
HELLO = [{"role": "user", "content": "Hello"}]
RIGHT = {
    CHAT: {"messages": HELLO, "max_tokens": 4},
    TEXT: {"prompt": "Hello", "max_tokens": 4},
    RESPONSES: {"input": "Hello", "max_output_tokens": 4},
    EMBED: {"input": "Hello"},
    MESSAGES: {"messages": HELLO, "max_tokens": 4},
}

# What is wrong everywhere.
SHARED = [
    {"model": 5}, {"model": []}, {"stream": "yes"}, {"stream": 1}, {"temperature": "hot"}, {"temperature": -0.1},
    {"temperature": 101}, {"temperature": []}, {"top_p": -0.5}, {"top_p": 1.5}, {"top_p": {}}, {"min_p": 2},
    {"min_p": "0"}, {"top_k": -2}, {"top_k": 1.5}, {"top_k": "all"}, {"presence_penalty": 3},
    {"frequency_penalty": -2.5}, {"repetition_penalty": 0}, {"repetition_penalty": "x"}, {"seed": 1.5}, {"seed": "1"},
    {"logit_bias": []}, {"logit_bias": {"a": 1}}, {"logit_bias": {"-1": 1}}, {"logit_bias": {"99999999": 1}},
    {"logit_bias": {"1": 101}}, {"cadre": 1}, {"cadre": {"unknown": 1}}, {"cadre": {"experts": 0}},
    {"cadre": {"experts": 999}}, {"cadre": {"priority": 1000}}, {"cadre": {"routing": 1}},
]  # fmt: skip

FIELDS = {
    CHAT: [
        {"messages": None}, {"messages": []}, {"messages": "Hi"}, {"messages": [5]}, {"messages": [{}]},
        {"messages": [{"role": 1, "content": "a"}]}, {"messages": [{"role": "king", "content": "a"}]},
        {"messages": [{"role": "user"}]}, {"messages": [{"role": "user", "content": 5}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, {"max_tokens": 0}, {"max_tokens": "5"},
        {"max_completion_tokens": -1}, {"n": 0}, {"n": 1000}, {"n": "1"}, {"stop": 5}, {"stop": ""}, {"stop": [""]},
        {"stop": ["a"] * 17}, {"logprobs": 1}, {"top_logprobs": 2}, {"logprobs": True, "top_logprobs": 21},
        {"stream_options": {}}, {"functions": [{"name": "f"}]}, {"modalities": ["audio"]}, {"tools": 5},
        {"tools": [{}]}, {"tool_choice": "required"}, {"response_format": 5}, {"response_format": {"type": "xml"}},
        {"response_format": {"type": "json_schema"}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "nothing"}}}},
        {"messages": [{"role": "user", "content": "word " * 60000}]},
    ],
    TEXT: [
        {"prompt": None}, {"prompt": 5}, {"prompt": []}, {"prompt": [[]]}, {"prompt": ["a", 5]}, {"prompt": [-1]},
        {"prompt": [99999999]}, {"prompt": [1.5]}, {"max_tokens": 0}, {"max_tokens": []}, {"suffix": "b"},
        {"logprobs": True}, {"logprobs": 21}, {"echo": "yes"}, {"echo": True, "logprobs": 1}, {"best_of": 3},
        {"prompt": ["a"] * 40, "n": 2}, {"n": -1}, {"stop": {}}, {"response_format": {"type": "json_object"}},
        {"prompt": [400] * 40000},
    ],
    RESPONSES: [
        {"input": None}, {"input": 5}, {"input": []}, {"input": [5]}, {"input": [{}]}, {"input": [{"role": "user"}]},
        {"input": [{"role": "user", "content": 1}]}, {"input": [{"type": "web_search_call"}]}, {"instructions": 5},
        {"max_output_tokens": 0}, {"previous_response_id": "resp_1"}, {"conversation": "c"}, {"background": True},
        {"reasoning": 1}, {"reasoning": {"effort": 1}}, {"text": {"format": {"type": "xml"}}},
    ],
    EMBED: [
        {"input": None}, {"input": 5}, {"input": []}, {"input": [None]}, {"encoding_format": "int8"},
        {"encoding_format": 5}, {"dimensions": 1}, {"input": ["a"] * 300},
    ],
    MESSAGES: [
        {"messages": None}, {"messages": []}, {"messages": "Hi"}, {"messages": [5]}, {"messages": [{"content": "a"}]},
        {"messages": [{"role": "system", "content": "a"}]}, {"messages": [{"role": "user", "content": []}]},
        {"messages": [{"role": "user", "content": [{"type": "image"}]}]}, {"max_tokens": None}, {"max_tokens": 0},
        {"max_tokens": "5"}, {"system": 5}, {"stop_sequences": [1]}, {"thinking": True}, {"thinking": {"type": "x"}},
        {"tools": 5}, {"tools": [{}]},
    ],
}  # fmt: skip

NOT_JSON = ["", "{", "[]", "null", "5", '"text"', '{"a": 1} {}', '{"a": 1, "a": 2}', '{"a": 1e999}', "{'a': 1}", "{]",
            '{"a": "\\ud800"}', '{"a": ' + "[" * 300 + "]" * 300 + "}"]  # fmt: skip

# (method, path, status)
PLACES = [
    ("GET", "/nowhere", 404), ("POST", "/v1/nothing", 404), ("GET", "/v1/models/nobody", 404), ("GET", "/%zz", 404),
    ("GET", CHAT, 405), ("PUT", TEXT, 405), ("DELETE", RESPONSES, 405), ("POST", "/health", 405),
    ("POST", "/metrics", 405), ("PATCH", MESSAGES, 405), ("POST", "/v1/models", 405),
]  # fmt: skip

_POST = b"POST /tokenize HTTP/1.1\r\nHost: a\r\n"
RAW = [
    (b"nonsense\r\n\r\n", 400), (b"GET\r\n\r\n", 400), (b"GET / HTTP/1.1 x\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400), (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400), (b"GET / HTTP/1.1\r\n: a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nA\x01: b\r\n\r\n", 400), (b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400), (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    (_POST + b"Content-Length: x\r\n\r\n", 400), (_POST + b"Content-Length: -1\r\n\r\n", 400),
    (_POST + b"Content-Length: 99999999999999999999999\r\n\r\n", 400),
    (_POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
    (_POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (_POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    (_POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}xx\r\n0\r\n\r\n", 400),
    (_POST + b"Content-Length: 1048577\r\n\r\n", 413),
    (_POST + b"Expect: 100-continue\r\nContent-Length: 9000000\r\n\r\n", 413),
    (_POST + b"A: " + b"a" * 20000 + b"\r\n\r\n", 431),
    (b"GET /health HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 4000 + b"\r\n", 431),
    (b"GET /v1/models HTTP/1.1\r\nHost: a\r\nOrigin: http://evil.example\r\n\r\n", 403),
    (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 404),
]  # fmt: skip


def malformed_requests():
    """[(name, bytes of the whole request, status)], all different."""
    cases = []
    for path, right in RIGHT.items():
        for wrong in SHARED + FIELDS[path]:
            body = {key: value for key, value in {**right, **wrong}.items() if value is not None}
            cases.append((f"{path} {json.dumps(wrong)[:70]}", message("POST", path, body), 400))
        body = {**right, "model": "nobody"}
        cases.append((f"{path} unknown model", message("POST", path, body), 404))
        for text in NOT_JSON:
            cases.append((f"{path} {text[:70]!r}", message("POST", path, text.encode()), 400))
        cases.append((f"{path} not UTF-8", message("POST", path, b'{"a": "\xff"}'), 400))
    for method, path, status in PLACES:
        cases.append((f"{method} {path}", message(method, path), status))
    for data, status in RAW:
        cases.append((repr(data[:70]), data, status))
    return cases
