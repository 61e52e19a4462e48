"""A small HTTP/1.1 client on asyncio that shows what a library would hide: when each piece of an answer came, and a
connection that can be cut off anywhere. For the soak test of the server and for timing servers.
"""

import asyncio
import contextlib
import dataclasses
import json
import math
import time


class BrokenAnswer(Exception):
    """The connection ended, or what came is not HTTP."""


@dataclasses.dataclass
class Answer:
    status: int = 0
    headers: dict = dataclasses.field(default_factory=dict)
    body: bytes = b""
    events: list = dataclasses.field(default_factory=list)  # of a stream: (seconds since the request, data)

    def json(self):
        return json.loads(self.body)


def message(method, path, body=None, headers=None):
    """The bytes of a request. A body that is not bytes is sent as JSON."""
    if body is None:
        body = b""
    elif not isinstance(body, bytes):
        body = json.dumps(body).encode()
    fields = {"Host": "localhost", "Content-Length": str(len(body)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body


class Connection:
    """One connection; requests follow each other on it."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.sent = 0.0  # when the last request was sent
        self.reusable = True

    @classmethod
    async def open(cls, host, port):
        return cls(*await asyncio.open_connection(host, port, limit=1 << 24))

    async def send(self, data):
        self.sent = time.monotonic()
        self.writer.write(data)
        await self.writer.drain()

    async def receive(self, slowness=0.0):
        """The next answer, whole. `slowness`: seconds of pause after each piece of the body."""
        try:
            answer = Answer()
            while answer.status in (0, 100):
                await self._read_head(answer)
            decoder = EventDecoder() if "event-stream" in answer.headers.get("content-type", "") else None
            async for piece in self._pieces(answer):
                answer.body += piece
                if decoder:
                    now = time.monotonic() - self.sent
                    answer.events += [(now, data) for data in decoder.push(piece)]
                if slowness:
                    await asyncio.sleep(slowness)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, ValueError) as error:
            raise BrokenAnswer(f"{type(error).__name__}: {error}") from error
        if answer.headers.get("connection", "").lower() == "close":
            self.reusable = False
        return answer

    async def ask(self, method, path, body=None, headers=None):
        await self.send(message(method, path, body, headers))
        return await self.receive()

    async def _read_head(self, answer):
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        answer.status = int(lines[0].split(" ")[1])
        answer.headers = {}
        for line in filter(None, lines[1:]):
            name, _, value = line.partition(":")
            answer.headers[name.lower()] = value.strip()

    async def _pieces(self, answer):
        if answer.headers.get("transfer-encoding") == "chunked":
            while size := int(await self.reader.readuntil(b"\r\n"), 16):
                yield (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readexactly(2)
        elif "content-length" in answer.headers:
            yield await self.reader.readexactly(int(answer.headers["content-length"]))
        elif answer.status != 204:
            self.reusable = False
            while piece := await self.reader.read(1 << 16):
                yield piece

    def abort(self):
        """Cuts the connection off with a reset."""
        self.reusable = False
        self.writer.transport.abort()

    async def close(self):
        self.reusable = False
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


class EventDecoder:
    """Server-sent events from pieces of bytes that may end anywhere."""

    def __init__(self):
        self.rest = b""

    def push(self, piece):
        *blocks, self.rest = (self.rest + piece).replace(b"\r\n", b"\n").split(b"\n\n")
        for block in blocks:
            data = [line[5:].strip() for line in block.split(b"\n") if line.startswith(b"data:")]
            if data:
                yield b"\n".join(data).decode()


def percentile(values, share):
    """The smallest value with at least `share` of all at or below it."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
