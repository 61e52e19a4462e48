#!/usr/bin/env python3
"""Loads an OpenAI-compatible server (/v1/completions) and times it: the same requests for cadre and for its peers.

Without a mode: for each number of clients, tokens/s of all answers together, time to the first token (TTFT) and the
gaps between the pieces of text that follow. Each client asks one request after the other, each on a connection of its
own, since not every server says when it ends one.

  --long-prompt N    TTFT of short requests, alone and while a prompt of about N tokens is read in
  --repeat-prompt N  TTFT of a prompt of about N tokens, new and asked again; a second run with the same --seed after a
                     restart of the server shows what its cache on disk saves

All prompts differ from their first word, so that no prefix cache helps unless one is asked for. Answers are streamed,
greedy, and go on past the end of the text (`ignore_eos`, and a bias of -100 on the --eos ids for servers that do not
know it), so that all have --output-tokens tokens; tokens are counted by the server's `usage`. A prompt's length is
brought to what is asked with the words per token of a first request. Repeat with another --seed: what was asked before
is in the server's cache.
"""

import argparse
import asyncio
import json
import pathlib
import random
import statistics
import sys
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
from http_client import Connection, message, percentile  # noqa: E402

WORDS = (
    "the a little big red old happy cat dog bear girl boy bird fish house tree river boat ball hat saw found made took "
    "went ran said liked lost wanted to and but in on under with day night water sun"
).split()
PROBE_WORDS = 64


class Load:
    def __init__(self, options):
        self.options = options
        url = urllib.parse.urlsplit(options.url)
        self.host, self.port, self.prefix = url.hostname, url.port or 80, url.path.rstrip("/")
        self.headers = {"Content-Type": "application/json"}
        if options.api_key:
            self.headers["Authorization"] = f"Bearer {options.api_key}"
        self.tokens_per_word = 1.0
        self.asked = 0

    def prompt(self, tokens):
        """Words that no other prompt of this run, or of one with another seed, begins with."""
        self.asked += 1
        rng = random.Random(f"{self.options.seed}/{self.asked}")
        return " ".join(rng.choice(WORDS) for _ in range(max(1, round(tokens / self.tokens_per_word))))

    async def ask(self, prompt, output_tokens):
        """The answer and when it was complete; measured() reads it, later, so as not to keep others from their turn."""
        body = {
            "prompt": prompt, "max_tokens": output_tokens, "temperature": 0, "stream": True, "ignore_eos": True,
            "stream_options": {"include_usage": True}, "logit_bias": {str(id): -100 for id in self.options.eos},
        }  # fmt: skip
        if self.options.model:
            body["model"] = self.options.model
        connection = await Connection.open(self.host, self.port)
        await connection.send(message("POST", f"{self.prefix}/v1/completions", body, self.headers))
        answer = await connection.receive()
        end = time.monotonic()
        await connection.close()
        return answer, end

    def bears_text(self, choice):
        """Whether a piece is more than the beginning or the end of an answer."""
        if self.options.empty_text:
            return not choice.get("finish_reason")
        return choice.get("text")

    def measured(self, answer, end):
        if answer.status != 200:
            sys.exit(f"status {answer.status}: {answer.body[:1000].decode(errors='replace')}")
        chunks = [(at, json.loads(data)) for at, data in answer.events if data != "[DONE]"]
        usage = next((chunk["usage"] for _, chunk in reversed(chunks) if chunk.get("usage")), None)
        if usage is None:
            sys.exit("the stream has no usage: the server does not know stream_options.include_usage")
        times = [at for at, chunk in chunks if chunk.get("choices") and self.bears_text(chunk["choices"][0])]
        if not times:
            sys.exit("the stream has no text")
        return {
            "first": times[0],
            "gaps": [later - earlier for earlier, later in zip(times, times[1:])],
            "prompt": usage["prompt_tokens"],
            "output": usage["completion_tokens"],
            "end": end,
        }

    async def learn_words(self):
        """Tokens per word of this server's tokenizer; warms it up as well."""
        for _ in range(2):
            self.tokens_per_word = 1.0
            answer = self.measured(*await self.ask(self.prompt(PROBE_WORDS), 4))
            self.tokens_per_word = answer["prompt"] / PROBE_WORDS

    async def clients(self, count):
        per_client = max(1, self.options.requests // count)
        prompts = [[self.prompt(self.options.prompt_tokens) for _ in range(per_client)] for _ in range(count)]

        async def client(mine):
            return [await self.ask(prompt, self.options.output_tokens) for prompt in mine]

        begin = time.monotonic()
        answers = [self.measured(*raw) for raw in sum(await asyncio.gather(*map(client, prompts)), [])]
        seconds = max(answer["end"] for answer in answers) - begin
        first = [answer["first"] for answer in answers]
        gaps = sum((answer["gaps"] for answer in answers), [])
        output = sum(answer["output"] for answer in answers)
        return {
            "clients": count, "requests": len(answers), "seconds": seconds,
            "prompt_tokens": statistics.mean(answer["prompt"] for answer in answers), "output_tokens": output,
            "tokens_per_second": output / seconds,
            "ttft_ms": {"median": 1e3 * statistics.median(first), "p90": 1e3 * percentile(first, 0.9),
                        "most": 1e3 * max(first)},
            "inter_token_ms": {"mean": 1e3 * statistics.mean(gaps), "p90": 1e3 * percentile(gaps, 0.9)}
            if gaps else None,
        }  # fmt: skip

    async def short_firsts(self, until):
        """TTFT of short requests one after the other, until the task is done or the number is reached."""
        firsts = []
        while len(firsts) < self.options.requests and not (until and until.done()):
            answer = self.measured(*await self.ask(self.prompt(self.options.prompt_tokens), 1))
            # One that ended after the long prompt was not wholly beside it.
            if not (until and until.done()):
                firsts.append(answer["first"])
        return firsts

    async def beside_long_prompt(self):
        alone = await self.short_firsts(None)
        long_prompt = asyncio.create_task(self.ask(self.prompt(self.options.long_prompt), 1))
        await asyncio.sleep(self.options.head_start)
        beside = await self.short_firsts(long_prompt)
        answer = self.measured(*await long_prompt)
        if not beside:
            sys.exit("the long prompt was over before a short request was: ask for a longer one")
        return {
            "long_prompt_tokens": answer["prompt"], "long_ttft_ms": 1e3 * answer["first"],
            "requests_alone": len(alone), "ttft_alone_ms": 1e3 * statistics.median(alone),
            "requests_beside": len(beside), "ttft_beside_ms": 1e3 * statistics.median(beside),
            "ttft_beside_p90_ms": 1e3 * percentile(beside, 0.9),
        }  # fmt: skip

    async def repeated_prompt(self):
        prompt = self.prompt(self.options.repeat_prompt)
        asked = [self.measured(*await self.ask(prompt, 1)) for _ in range(self.options.repeats + 1)]
        new, again = asked[0], [answer["first"] for answer in asked[1:]]
        median = statistics.median(again)
        return {
            "prompt_tokens": new["prompt"], "ttft_new_ms": 1e3 * new["first"], "ttft_again_ms": 1e3 * median,
            "times_shorter": new["first"] / median,
        }  # fmt: skip

    async def run(self):
        await self.learn_words()
        if self.options.long_prompt:
            return [await self.beside_long_prompt()]
        if self.options.repeat_prompt:
            return [await self.repeated_prompt()]
        return [await self.clients(count) for count in self.options.clients]


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    integers = lambda text: [int(part) for part in text.split(",") if part]
    parser.add_argument("--url", required=True, help="of the server, without /v1")
    parser.add_argument("--model", help="its name, for servers that want one")
    parser.add_argument("--api-key", help="for servers that want one")
    parser.add_argument("--clients", type=integers, default=[1, 4, 16], help="numbers of clients (1,4,16)")
    parser.add_argument("--requests", type=int, default=32, help="in all, for each number of clients (%(default)s)")
    parser.add_argument("--prompt-tokens", type=int, default=64, help="about so many (%(default)s)")
    parser.add_argument("--output-tokens", type=int, default=24, help="of each answer (%(default)s)")
    parser.add_argument("--long-prompt", type=int, metavar="N", help="TTFT beside a prompt of N tokens")
    parser.add_argument("--head-start", type=float, default=0.1, help="seconds of the long prompt (%(default)s)")
    parser.add_argument("--repeat-prompt", type=int, metavar="N", help="TTFT of a prompt of N tokens, asked again")
    parser.add_argument("--repeats", type=int, default=5, help="times it is asked again (%(default)s)")
    parser.add_argument("--eos", type=integers, default=[1], help="ids that end a text (1: the bundled model's)")
    parser.add_argument("--empty-text", action="store_true", help="pieces without text are tokens too: for peers "
                        "that send one for each token, and random models, whose tokens are often no text")
    parser.add_argument("--seed", type=int, default=1, help="of the prompts (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON, one object a line")
    return parser.parse_args()


def line(result):
    def shown(value):
        if isinstance(value, dict):
            return " ".join(f"{key} {shown(item)}" for key, item in value.items())
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    return "; ".join(f"{key} {shown(value)}" for key, value in result.items())


def main():
    options = parse()
    try:
        results = asyncio.run(Load(options).run())
    except OSError as error:
        sys.exit(f"serve_load.py: {options.url}: {error}")
    for result in results:
        print(json.dumps(result) if options.json else line(result), flush=True)


if __name__ == "__main__":
    main()
