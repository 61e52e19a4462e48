"""One `cadre serve`: started, killed, started again on the same folder of snapshots, looked at from outside."""

import asyncio
import os
import pathlib
import re
import shutil
import signal
import struct

from http_client import Connection

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
START_SECONDS = 120
# One line of each report: the one that says where.
SANITIZER_REPORT = re.compile(r"SUMMARY: \w+Sanitizer|runtime error:")
# Freed memory that AddressSanitizer keeps looks like growth: little of it, so that growth is ours.
SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "quarantine_size_mb=4:thread_local_quarantine_size_kb=64:detect_leaks=1",
    "TSAN_OPTIONS": "history_size=4",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


class ServerProcess:
    def __init__(self, program, model, scratch, log, flags):
        self.program, self.flags = program, flags
        self.model = self._with_tools(pathlib.Path(model), scratch / "model")
        self.snapshots = scratch / "snapshots"
        self.log_path = log
        log.unlink(missing_ok=True)
        self.process = None
        self.port = 0
        self.lives = 0
        self.ready = asyncio.Event()

    @staticmethod
    def _with_tools(model, folder):
        """The model with a chat template that knows tools."""
        shutil.copytree(model, folder, ignore=shutil.ignore_patterns("*.safetensors"))
        for weights in model.glob("*.safetensors"):
            (folder / weights.name).symlink_to(weights.resolve())
        shutil.copy(ROOT / "tests/clients/tools.jinja", folder / "chat_template.jinja")
        return folder

    async def start(self):
        environment = dict(os.environ)
        for name, options in SANITIZER_OPTIONS.items():
            environment[name] = f"{options}:{environment.get(name, '')}"
        with open(self.log_path, "ab") as log:
            begin = log.tell()
            self.process = await asyncio.create_subprocess_exec(
                self.program, "serve", str(self.model), "--port", "0", "--kv-disk-dir", str(self.snapshots),
                *self.flags, stdin=asyncio.subprocess.DEVNULL, stderr=log, env=environment)  # fmt: skip
        for _ in range(START_SECONDS * 20):
            await asyncio.sleep(0.05)
            text = self.log()[begin:]
            if self.process.returncode is not None:
                raise RuntimeError(f"the server ended with {self.process.returncode}:\n{text[-3000:]}")
            if found := re.search(r"listening on http://[^:]+:(\d+)", text):
                self.port = int(found[1])
                if (await self.get("/health")).status == 200:
                    self.lives += 1
                    self.ready.set()
                    return
        raise RuntimeError(f"the server was not ready after {START_SECONDS} s:\n{self.log()[begin:]}")

    def log(self):
        return self.log_path.read_text(errors="replace")

    async def connect(self):
        return await Connection.open("127.0.0.1", self.port)

    async def get(self, path):
        connection = await self.connect()
        try:
            return await connection.ask("GET", path)
        finally:
            await connection.close()

    async def stats(self):
        return (await self.get("/cadre/stats")).json()

    async def kill(self):
        self.ready.clear()
        self.process.kill()
        await self.process.wait()

    async def terminate(self, seconds):
        """-> the exit code; None: it had to be killed."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(self.process.wait(), seconds)
        except asyncio.TimeoutError:
            await self.kill()
            return None

    def resident_bytes(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0

    def sanitizer_reports(self):
        return [line for line in self.log().splitlines() if SANITIZER_REPORT.search(line)]


def unfinished_snapshots(folder):
    return [path for path in folder.iterdir() if path.suffix != ".kv"]


def incomplete_snapshots(folder):
    """Finished files whose size is not what their header says (docs/serving-internals.md has the layout)."""
    bad = []
    for path in folder.glob("*.kv"):
        try:
            data = path.read_bytes()
        except FileNotFoundError:  # removed meanwhile, to keep the folder small
            continue
        tokens, page_bytes = struct.unpack_from("<qq", data, 24) if len(data) >= 48 else (0, -1)
        if data[:8] != b"cadreKV1" or len(data) != 48 + 4 * tokens + page_bytes:
            bad.append(path)
    return bad


def damage(path, random):
    """Flips one bit, writes over a stretch, or cuts the file."""
    data = bytearray(path.read_bytes())
    at = random.randrange(len(data))
    way = random.choice(["bit", "stretch", "cut"])
    if way == "bit":
        data[at] ^= 1 << random.randrange(8)
    elif way == "stretch":
        data[at : at + 16384] = random.randbytes(len(data[at : at + 16384]))
    else:
        del data[at:]
    path.write_bytes(data)
