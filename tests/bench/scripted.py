"""A raw upstream that does what a path asks for, and counts; and a raw client.

Both live in the measurement's own loop, so that one clock times what passes between them.
"""

import asyncio
import contextlib
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sidecar.tasks import Tasks

WAITING_BYTES = 192 * 1024 * 1024
EVENTS = 200
EVENT_GAP_S = 0.005
LATE_S = 1.0
PIECE = bytes(64 * 1024)
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Upstream:
    """Answers by path: `/large` 192 MiB, `/events` server-sent events, `/late` late, `/silent` never, others at once.

    Attributes:
        asked: How often each path was asked for.
        accepted_bytes: What the kernel has taken of the last `/large`.
    """

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.accepted_bytes = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving = Tasks()
        self._answers: dict[str, Answer] = {
            "/large": self._large,
            "/events": _events,
            "/late": _late,
            "/silent": _never,
        }

    async def start(self) -> None:
        """Listen: on a free port first, on the same one ever after."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the listening socket and every connection."""
        if self._server:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.close()
        self._writers.clear()
        await self._serving.close()

    async def restart(self) -> None:
        """Be gone, and come back."""
        await self.stop()
        await self.start()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self._serving.start(self._serve(reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = LENGTH.search(head)
                await reader.readexactly(int(length[1]) if length else 0)
                path = head.split(b" ", 2)[1].decode()
                self.asked[path] += 1
                await self._answers.get(path, _at_once)(writer)
        self._writers.discard(writer)
        writer.close()

    async def _large(self, writer: asyncio.StreamWriter) -> None:
        writer.transport.set_write_buffer_limits(0)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % WAITING_BYTES)
        for sent in range(0, WAITING_BYTES, len(PIECE)):
            writer.write(PIECE)
            self.accepted_bytes = sent + len(PIECE) - writer.transport.get_write_buffer_size()
            await writer.drain()
            self.accepted_bytes = sent + len(PIECE)


async def _at_once(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok")
    await writer.drain()


async def _late(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(LATE_S)
    await _at_once(writer)


async def _never(writer: asyncio.StreamWriter) -> None:
    await writer.wait_closed()


async def _events(writer: asyncio.StreamWriter) -> None:
    """Events that say when they were sent; nginx, as is usual, is told not to hold them back."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Accel-Buffering: no\r\n")
    writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(EVENTS):
        await asyncio.sleep(EVENT_GAP_S)
        event = b"data: %d\n\n" % time.perf_counter_ns()
        writer.write(b"%x\r\n%b\r\n" % (len(event), event))
    writer.write(b"0\r\n\r\n")


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply with a Content-Length; status 0 where the connection ended before it was whole."""

    status: int
    closes: bool


class Client:
    """One kept connection through the proxy. Nothing is ever sent twice."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, path: str, method: str = "GET", body: bytes = b"") -> Reply:
        """Send one request and read its reply."""
        try:
            self.writer.write(request(path, method, body))
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = LENGTH.search(head)
            await self.reader.readexactly(int(length[1]) if length else 0)
        except (OSError, asyncio.IncompleteReadError):
            return Reply(0, closes=True)
        return Reply(int(head.split(b" ", 2)[1]), closes=b"connection: close" in head.lower())

    async def close(self) -> None:
        """Close the connection."""
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


async def connect(port: int) -> Client:
    """A new connection to the proxy."""
    return Client(*await asyncio.open_connection("127.0.0.1", port))


def request(path: str, method: str = "GET", body: bytes = b"") -> bytes:
    """The bytes of a request."""
    length = b"Content-Length: %d\r\n" % len(body) if method == "POST" else b""
    return f"{method} {path} HTTP/1.1\r\nHost: bench\r\n".encode() + length + b"\r\n" + body
