#!/usr/bin/env python3
"""Soak test of `cadre serve`: a random mix of right, wrong and broken requests, and what must hold meanwhile and after.

The server is started here, with few KV pages and a small folder of snapshots, so that requests are preempted, prefixes
evicted and snapshots replaced all the time. First every valid request is asked alone, and every malformed one once.
Then CONNECTIONS clients ask at random: valid requests, whole and streamed, on kept and on new connections, by slow
readers, and in pairs sent at once; malformed ones; messages that end half-way; clients that leave. With --kills the
server is killed (SIGKILL) and started again on the same folder, in which some snapshots were damaged meanwhile.

What must hold: every valid request gets 200 and bit for bit the answer that it got alone; every malformed one its
status; at the end nothing runs, waits or holds KV pages; memory does not grow; the folder holds no incomplete snapshot,
at most one unfinished file for each kill, and no more damaged ones are found than were damaged; SIGTERM ends the server
with 0; no sanitizer has reported anything. Exit code 0 if all of it holds, else 1.
"""

import argparse
import asyncio
import collections
import json
import pathlib
import random
import statistics
import sys
import tempfile
import time

# The client lies where bench/compare finds it too.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
from http_client import BrokenAnswer, message  # noqa: E402
from malformed import malformed_requests  # noqa: E402
from pool import essence, valid_requests  # noqa: E402
from server_process import ROOT, ServerProcess, damage, incomplete_snapshots, unfinished_snapshots  # noqa: E402

SHOWN_FAILURES = 20
# A life of the server shorter than this says nothing about memory: the first allocations of everything are in it.
JUDGED_LIFE_SECONDS = 60


class Soak:
    def __init__(self, options, server):
        self.options, self.server = options, server
        self.random = random.Random(options.seed)
        self.valid = valid_requests(everything=options.minutes >= 1)
        self.malformed = malformed_requests()
        self.references = {}
        self.counts = collections.Counter()
        self.failures = []
        self.kills = self.damaged = 0
        self.found_damaged = 0  # by lives that ended
        self.memory = []  # (seconds of this life, bytes)
        self.life_start = time.monotonic()

    def fail(self, text):
        self.failures.append(text)
        if len(self.failures) <= SHOWN_FAILURES:
            print(f"FAILED: {text[:2000]}", file=sys.stderr, flush=True)

    async def ask_alone(self, path, body):
        connection = await self.server.connect()
        try:
            return await connection.ask("POST", path, body)
        finally:
            await connection.close()

    def check(self, label, answer):
        self.counts["valid"] += 1
        if answer.status != 200:
            return self.fail(f"{label}: status {answer.status}: {answer.body[:500]!r}")
        found = essence(answer)
        if found != self.references[label]:
            alone, now = json.dumps(self.references[label])[:900], json.dumps(found)[:900]
            self.fail(f"{label}: another answer than alone\n  alone: {alone}\n  now:   {now}")

    # What a client does. `rng` is the client's own, so that a seed gives the same mix whatever the timing.

    async def valid_request(self, rng, connection):
        label, path, body = connection.asked = rng.choice(self.valid)
        slow = 0.02 if rng.random() < 0.1 else 0
        await connection.send(message("POST", path, body))
        self.check(label, await connection.receive(slow))

    async def pair_at_once(self, rng, connection):
        first, second = connection.asked = rng.choice(self.valid), rng.choice(self.valid)
        await connection.send(message("POST", *first[1:]) + message("POST", *second[1:]))
        self.check(first[0], await connection.receive())
        self.check(second[0], await connection.receive())

    async def malformed_request(self, rng, connection):
        await self.check_malformed(rng.choice(self.malformed), connection)

    async def check_malformed(self, case, connection):
        name, data, status = case
        await connection.send(data)
        answer = await connection.receive()
        self.counts["malformed"] += 1
        if answer.status != status:
            self.fail(f"{name}: status {status} expected, {answer.status} came: {answer.body[:300]!r}")
        connection.reusable = False

    async def leave(self, rng, connection):
        """Leaves before the answer, in the middle of it, or with what would be another request half sent."""
        _, path, body = rng.choice(self.valid)
        await connection.send(message("POST", path, body))
        wanted = rng.choice([0, 0, 1, 200, 2000])
        await asyncio.sleep(rng.random() * 0.05)
        if wanted:
            await connection.reader.read(wanted)
        if rng.random() < 0.3:
            connection.writer.write(b"POST /v1/compl")
        self.counts["left"] += 1
        await self.part(rng, connection)

    async def half_request(self, rng, connection):
        data = rng.choice(self.malformed)[1] if rng.random() < 0.3 else message("POST", *rng.choice(self.valid)[1:])
        await connection.send(data[: rng.randrange(1, len(data))])
        await asyncio.sleep(rng.random() * 0.1)
        self.counts["half sent"] += 1
        await self.part(rng, connection)

    async def part(self, rng, connection):
        if rng.random() < 0.5:
            connection.abort()
        elif rng.random() < 0.5 and not connection.writer.is_closing():
            connection.writer.write_eof()
            await connection.reader.read(1 << 20)
        await connection.close()

    async def look(self, rng, connection):
        path = rng.choice(["/health", "/live", "/metrics", "/cadre/stats", "/v1/models", "/version", "/"])
        answer = await connection.ask("GET", path)
        self.counts["looked"] += 1
        if answer.status != 200:
            self.fail(f"GET {path}: status {answer.status}")

    # Name and weight.
    ACTIONS = {
        "valid_request": 50, "pair_at_once": 4, "malformed_request": 18, "leave": 14, "half_request": 8, "look": 6,
    }  # fmt: skip

    async def client(self, number, end):
        rng = random.Random(f"{self.options.seed}/{number}")
        connection, life = None, 0
        while time.monotonic() < end:
            await self.server.ready.wait()
            action = rng.choices(list(self.ACTIONS), self.ACTIONS.values())[0]
            forgiving = action in ("leave", "half_request")  # what comes to one who leaves does not matter
            try:
                if connection is None or not connection.reusable or life != self.server.lives or rng.random() < 0.4:
                    if connection is not None:
                        await connection.close()
                    life = self.server.lives
                    connection = await self.server.connect()
                await asyncio.wait_for(getattr(self, action)(rng, connection), self.options.answer_seconds)
            except asyncio.TimeoutError:
                asked, stats = getattr(connection, "asked", None), await self.server.stats()
                self.fail(f"{action}: no answer within {self.options.answer_seconds} s to {asked}; {stats['requests']}")
                connection.abort()
            except (BrokenAnswer, OSError) as error:
                killed = life != self.server.lives or not self.server.ready.is_set()
                if not killed:  # the kill may be a moment away from being seen
                    await asyncio.sleep(0.2)
                    killed = life != self.server.lives or not self.server.ready.is_set()
                if killed:
                    self.counts["cut by a kill"] += 1
                elif not forgiving:
                    self.fail(f"{action}: the connection broke: {error}")
                connection = None
            except Exception as error:  # noqa: BLE001: a client that dies would hide what it found
                self.fail(f"{action}: {type(error).__name__}: {error}")
                connection = None
        if connection is not None:
            await connection.close()

    # What happens to the server meanwhile.

    async def killer(self, end):
        """Kills it now and then in the first two thirds; the rest shows whether memory is flat."""
        last = time.monotonic() + (end - time.monotonic()) * 2 / 3
        mean = max(2.0, (last - time.monotonic()) / 10)
        while True:
            await asyncio.sleep(self.random.uniform(0.5, 1.5) * mean)
            if time.monotonic() > last:
                return
            await self.kill_and_restart()

    async def kill_and_restart(self):
        self.found_damaged += (await self.server.stats())["disk"]["damaged"]
        await self.server.kill()
        self.kills += 1
        self.check_folder()
        files = sorted(self.server.snapshots.glob("*.kv"))
        for path in self.random.sample(files, len(files) // 3):
            damage(path, self.random)
            self.damaged += 1
        await self.server.start()
        self.memory, self.life_start = [], time.monotonic()

    async def watch_memory(self):
        while True:
            if self.server.ready.is_set():
                self.memory.append((time.monotonic() - self.life_start, self.server.resident_bytes()))
            await asyncio.sleep(max(1.0, self.options.minutes * 60 / 120))

    # What must hold at the end.

    def check_folder(self):
        unfinished = unfinished_snapshots(self.server.snapshots)
        if len(unfinished) > self.kills:
            self.fail(f"{len(unfinished)} unfinished snapshots after {self.kills} kills: {unfinished}")
        incomplete = incomplete_snapshots(self.server.snapshots)
        if len(incomplete) > self.damaged:  # those that were cut on purpose and not asked for since
            self.fail(f"incomplete snapshots: {incomplete}, {self.damaged} were damaged on purpose")

    async def check_quiet(self):
        for _ in range(200):  # 10 s: what was left by its client ends within a step
            stats = await self.server.stats()
            requests, pages = stats["requests"], stats["kv_cache"]
            if requests["running"] == requests["queued"] == 0 and stats["connections"] == 1:
                break
            await asyncio.sleep(0.05)
        else:
            self.fail(f"still busy: {requests}, {stats['connections']} connections")
        if pages["free"] + pages["cached"] != pages["pages"]:
            self.fail(f"KV pages did not come back: {pages}")
        metrics = (await self.server.get("/metrics")).body.decode()
        for gauge in ("cadre_requests_running 0", "cadre_requests_queued 0"):
            if f"\n{gauge}\n" not in metrics:
                self.fail(f"/metrics does not say {gauge}")
        if requests["failed"]:
            self.fail(f"{requests['failed']} answers ended in an error")
        if stats["disk"]["failures"]:
            self.fail(f"{stats['disk']['failures']} snapshots could not be written")
        if self.found_damaged + stats["disk"]["damaged"] > self.damaged:
            self.fail(f"damaged snapshots: {stats['disk']}, {self.damaged} were damaged on purpose")
        return stats

    def memory_growth(self):
        """Median of the last quarter less that of the second; None: the last life was too short to judge."""
        if not self.memory or self.memory[-1][0] < JUDGED_LIFE_SECONDS:
            return None
        sizes = [size for _, size in self.memory]
        quarter = len(sizes) // 4
        return int(statistics.median(sizes[-quarter:]) - statistics.median(sizes[quarter : 2 * quarter]))

    async def run(self):
        await self.server.start()
        for label, path, body in self.valid:
            answer = await self.ask_alone(path, body)
            if answer.status != 200:
                raise RuntimeError(f"{label}: alone it got {answer.status}: {answer.body!r}")
            self.references[label] = essence(answer)
        for case in self.malformed:
            connection = await self.server.connect()
            await self.check_malformed(case, connection)
            await connection.close()
        print(f"{len(self.valid)} valid requests asked alone, {len(self.malformed)} malformed ones", file=sys.stderr)

        end = time.monotonic() + self.options.minutes * 60
        self.life_start = time.monotonic()
        watch = asyncio.create_task(self.watch_memory())
        clients = [self.client(i, end) for i in range(self.options.connections)]
        await asyncio.gather(*clients, *([self.killer(end)] if self.options.kills else []))
        watch.cancel()

        await self.check_quiet()
        for label, path, body in self.valid:
            self.check(label, await self.ask_alone(path, body))
        stats = await self.check_quiet()
        growth = self.memory_growth()
        if growth is not None and growth > self.options.memory_growth_mb * 2**20:
            self.fail(f"memory grew by {growth / 2**20:.1f} MiB")
        code = await self.server.terminate(self.options.answer_seconds)
        if code != 0:
            self.fail(f"SIGTERM: exit code {code}")
        for line in self.server.sanitizer_reports():
            self.fail(f"the server's log: {line}")
        self.check_folder()
        return self.report(stats, growth)

    def report(self, stats, growth):
        every = max(1, len(self.memory) // 12)
        return {
            "failures": self.failures,
            "requests": dict(self.counts),
            "kills": self.kills,
            "snapshots_damaged": self.damaged,
            "server": {key: stats[key] for key in ("requests", "tokens", "steps", "kv_cache", "disk")},
            "memory_mb": [[round(at), round(size / 2**20, 1)] for at, size in self.memory[::every]],
            "memory_growth_mb": None if growth is None else round(growth / 2**20, 1),
        }


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cadre", required=True, help="the program")
    parser.add_argument("--model", default=str(ROOT / "models/cadre-s"), help="folder of a model (%(default)s)")
    parser.add_argument("--minutes", type=float, default=10, help="of random requests (%(default)s)")
    parser.add_argument("--connections", type=int, default=32, help="clients at the same time (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the random mix (%(default)s)")
    parser.add_argument("--kills", action="store_true", help="kill the server now and then, and start it again")
    parser.add_argument("--ctx", type=int, default=1024, help="tokens in the server's KV cache (%(default)s)")
    parser.add_argument("--disk-mb", type=int, default=2, help="MiB of its snapshots (%(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="of the server (%(default)s)")
    parser.add_argument("--answer-seconds", type=float, default=120, help="that an answer may take (%(default)s)")
    parser.add_argument("--memory-growth-mb", type=float, default=16,
                        help="of resident memory that may come after the warm-up: the allocator's arenas of threads "
                        "and, under sanitizers, their own tables still grow a little (%(default)s)")  # fmt: skip
    parser.add_argument("--log", type=pathlib.Path, help="file for the server's standard error")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser.parse_args()


def main():
    options = parse()
    with tempfile.TemporaryDirectory(prefix="cadre-soak-") as scratch:
        flags = ["--ctx", str(options.ctx), "--kv-disk-space-mb", str(options.disk_mb), "-t", str(options.threads),
                 "--max-body-mb", "1", "--log-format", "none"]  # fmt: skip
        log = options.log or pathlib.Path(scratch) / "log"

        async def run():
            server = ServerProcess(options.cadre, options.model, pathlib.Path(scratch), log, flags)
            try:
                return await Soak(options, server).run()
            finally:
                if server.process is not None and server.process.returncode is None:
                    await server.kill()

        report = asyncio.run(run())
        if report["failures"] and not options.log:
            print(log.read_text(errors="replace")[-20000:], file=sys.stderr)
    if options.json:
        print(json.dumps(report))
    else:
        for key, value in report.items():
            print(f"{key}: {value if key != 'failures' else len(value)}")
        print("soak: passed" if not report["failures"] else "soak: FAILED")
    return 1 if report["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
