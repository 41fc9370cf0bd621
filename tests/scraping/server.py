"""A server of expositions: a real one, that says what it is told to, byte by byte."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

Talk = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
"""Answers one request, whose head it is given; the connection is closed behind it."""


def page(body: bytes, *, status: str = "200 OK", fields: str = "Content-Type: text/plain") -> Talk:
    """One answer for all requests."""

    async def talk(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{fields}\r\n\r\n".encode() + body)
        await writer.drain()

    return talk


def raw(answer: bytes) -> Talk:
    """These bytes, and no more."""

    async def talk(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    return talk


async def endless(_head: bytes, writer: asyncio.StreamWriter) -> None:
    """Goes on for as long as somebody listens."""
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b'a{b="c"} 1\n' * 10_000)
        await writer.drain()


async def silent(_head: bytes, _writer: asyncio.StreamWriter) -> None:
    """Says nothing."""
    await asyncio.Event().wait()


@asynccontextmanager
async def serving(talk: Talk, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """The address of a server that talks so."""

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await talk(await reader.readuntil(b"\r\n\r\n"), writer)
            writer.close()
            await writer.wait_closed()

    tasks = set[asyncio.Task[None]]()
    writers: list[asyncio.StreamWriter] = []

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        task = asyncio.get_running_loop().create_task(meet(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        # What has connected meanwhile is accepted in the next round.
        await asyncio.sleep(0)
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # Also of those whose task had no time to begin.
        for writer in writers:
            writer.transport.abort()
        # A transport is gone one round after it is aborted.
        await asyncio.sleep(0)
