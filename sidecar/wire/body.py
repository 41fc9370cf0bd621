"""Bodies of HTTP/1 messages: where they end, and what is in them (RFC 9112, sections 6 and 7).

A reader is fed what the socket gave and returns the body's bytes among it, transfer coding removed. When it is
`done`, `rest` holds what came after the body.
"""

import re
from collections.abc import Callable
from typing import Protocol

from sidecar.wire.http1 import parse_trailers
from sidecar.wire.message import CHUNKED

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t\x20-\x7e\x80-\xff]*)?")

EXTENSIONS_LIMIT_BYTES = 16 * 1024
"""Chunk extensions of a whole body. Nobody uses them; without a bound they are an endless head (CVE-2023-39326)."""

TRAILERS_LIMIT_BYTES = 16 * 1024
"""Trailers of a body; gRPC-Web and checksums need some hundred bytes."""


class Reader(Protocol):
    """What every body reader has: see the module's text."""

    done: bool
    rest: bytes
    trailers: bytes

    def feed(self, data: bytes) -> bytes:
        """The body's bytes in `data`.

        Raises:
            ValueError: The coding is malformed.
        """
        ...


def reader_for(length: int) -> Reader:
    """The reader of a body of this length; see `wire.message` for the lengths that are no numbers."""
    if length >= 0:
        return LengthReader(length)
    return ChunkedReader() if length == CHUNKED else CloseReader()


class LengthReader:
    """A body of known length."""

    __slots__ = ("_left", "done", "rest")

    trailers = b""

    def __init__(self, length: int) -> None:
        self._left = length
        self.done = length == 0
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """The body's bytes in `data`."""
        left = self._left = self._left - len(data)
        if left > 0:
            return data
        self.done = True
        if left == 0:
            return data
        self._left = 0
        self.rest = data[left:]
        return data[:left]


class CloseReader:
    """A body that ends with its connection: whoever owns that says when it is done."""

    __slots__ = ("done", "rest")

    trailers = b""

    def __init__(self) -> None:
        self.done = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """All of it."""
        return data


class ChunkedReader:
    """A chunked body. Extensions are checked and dropped, as RFC 9112, section 7.1.1 has a recipient do."""

    __slots__ = ("_extensions_bytes", "_held", "_left", "_step", "done", "rest", "trailers")

    def __init__(self) -> None:
        self._held = b""
        self._left = 0
        self._extensions_bytes = 0
        self._step: Callable[[ChunkedReader, bytes, int, list[bytes]], int] = ChunkedReader._size
        self.done = False
        self.rest = b""
        self.trailers = b""

    def feed(self, data: bytes) -> bytes:
        """The body's bytes in `data`.

        Raises:
            ValueError: A chunk's size, its end, or a trailer is malformed, or extensions or trailers are too long.
        """
        if self._held:
            data = self._held + data
            self._held = b""
        pieces: list[bytes] = []
        at = 0
        while not self.done:
            step = self._step(self, data, at, pieces)
            if step < 0:
                self._held = data[at:]
                break
            at = step
        else:
            self.rest = data[at:]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    # Each step reads one element at `at` and returns where the next begins, or -1 where it is not complete yet.
    # `_step` holds the plain function, not a bound method: that would be a cycle for the garbage collector.

    def _size(self, data: bytes, at: int, _pieces: list[bytes]) -> int:
        end = data.find(b"\r\n", at)
        line = data[at:end] if end >= 0 else data[at:].removesuffix(b"\r")
        if end < 0 and not line:
            return -1
        # What cannot become a size line any more is refused now, not when the line ends.
        match = _SIZE.fullmatch(line)
        if match is None:
            raise ValueError("malformed chunk size")
        extensions_bytes = self._extensions_bytes + len(line) - match.end(1)
        if extensions_bytes > EXTENSIONS_LIMIT_BYTES:
            raise ValueError("chunk extensions are too long")
        if end < 0:
            return -1
        self._extensions_bytes = extensions_bytes
        self._left = int(match[1], 16)
        self._step = ChunkedReader._data if self._left else ChunkedReader._trailers
        return end + 2

    def _data(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        piece = data[at : at + self._left]
        if not piece:
            return -1
        pieces.append(piece)
        self._left -= len(piece)
        if not self._left:
            self._step = ChunkedReader._data_end
        return at + len(piece)

    def _data_end(self, data: bytes, at: int, _pieces: list[bytes]) -> int:
        end = data[at : at + 2]
        if not b"\r\n".startswith(end):
            raise ValueError("a chunk is longer than its size")
        if len(end) < 2:
            return -1
        self._step = ChunkedReader._size
        return at + 2

    def _trailers(self, data: bytes, at: int, _pieces: list[bytes]) -> int:
        if data.startswith(b"\r\n", at):
            self.done = True
            return at + 2
        end = data.find(b"\r\n\r\n", at)
        # Where the end is not here yet, three of its four bytes may be.
        if (end if end >= 0 else len(data) - 3) - at > TRAILERS_LIMIT_BYTES:
            raise ValueError("trailers are too long")
        if end < 0:
            return -1
        self.trailers = parse_trailers(data[at : end + 2])
        self.done = True
        return end + 4


def write_chunk(data: bytes) -> bytes:
    """`data` as one chunk; nothing for nothing, since an empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def write_last_chunk(trailers: bytes = b"") -> bytes:
    """The end of a chunked body.

    Args:
        trailers: Lines, each with its CRLF.
    """
    return b"0\r\n%b\r\n" % trailers
