"""Files of captures, line by line: captures with their rows. What cannot be read is passed over, told and counted."""

import gzip
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from io import BufferedReader, RawIOBase
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import zstandard

from sidecar.datasets.captures import capture_of
from sidecar.errors import PayloadError
from sidecar.payload.decoding import Decoding
from sidecar.records import Capture, Rows
from sidecar.report.decoding.inputs import CHUNK_BYTES, Input, fetched

if TYPE_CHECKING:
    from typing_extensions import Buffer

LINES_BYTES = 1 << 19
"""Of lines that are decoded together."""

MAX_LINE_BYTES = 64 << 20
"""More than any capture has: two bodies of 8 MiB, inflated, in base64, are 22 MiB."""

PACKED_BYTES = 4096
"""Unpacked at once: at worst they hold ten thousand times as much."""

MAX_TOLD = 20
"""Lines of a piece that are told, of those that are passed over."""

MAX_SECONDS = 100_000
"""Of a file, whose lines are kept apart; a capture file is of one hour."""

ONLY_VARIANT = "AllTraffic"
"""What SageMaker calls a variant that has no name, and we one of a file that does not say whose it is."""

_HOUR = re.compile(r"([^/]+)/\d{4}/\d\d/\d\d/\d\d/[^/]+")
_BROKEN = (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError)

Items = list[tuple[Capture, Rows]]
Progress = Callable[[int], None]


@dataclass(slots=True)
class Tally:
    """What became of the lines of a piece."""

    captures: int = 0
    rows: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)
    whole: bool = True

    def take(self, rows: Rows) -> None:
        """Count a capture that was decoded."""
        self.captures += 1
        self.rows += len(rows.asked)
        if rows.fault:
            self.faults[rows.fault] += 1

    def skip(self, reason: str, message: str = "") -> None:
        """Count something that is passed over, and tell of it if there is something to tell."""
        self.skipped[reason] += 1
        if message and len(self.told) < MAX_TOLD:
            self.told.append(message)


class _Seconds:
    """Keeps the order of lines whose times are whole seconds: each comes a microsecond behind the one before."""

    def __init__(self) -> None:
        self._seen: Counter[float] = Counter()

    def placed(self, capture: Capture) -> Capture:
        """The capture at its place within its second."""
        second = capture.started_s
        if not second.is_integer():
            return capture
        if len(self._seen) > MAX_SECONDS:
            self._seen.clear()
        place = self._seen[second]
        self._seen[second] = min(place + 1, 999_999)
        return capture._replace(started_s=second + place / 1e6) if place else capture


def items_of(source: Input, work: Path, decoding: Decoding, tally: Tally, progress: Progress) -> Iterator[Items]:
    """The captures of a file with their rows, some at a time; a file that cannot be read to its end costs its rest."""
    reading = _Reading(source, decoding, tally)
    read_bytes = 0
    try:
        with fetched(source, work) as path, path.open("rb") as raw, closing(_inflated(source, raw)) as file:
            for lines in _lines(file):
                if items := reading.items(lines):
                    yield items
                at = raw.tell()
                progress(at - read_bytes)
                read_bytes = at
    except (OSError, *_BROKEN) as error:
        tally.skip("file", f"{source.name}: {error}")
        tally.whole = False
    progress(source.size_bytes - read_bytes)


class _Reading:
    """Reads the lines of a file, one after the other."""

    def __init__(self, source: Input, decoding: Decoding, tally: Tally) -> None:
        self._name = source.name
        self._decoding = decoding
        self._tally = tally
        folder = _HOUR.search(source.name)
        self._variant = folder[1] if folder else ONLY_VARIANT
        self._seconds = _Seconds()
        self._line = 0

    def items(self, lines: Sequence[bytes]) -> Items:
        """Those of these lines, in order, that have rows."""
        found = []
        for line in lines:
            self._line += 1
            if line.isspace():
                continue
            capture = self._capture(line)
            if capture is not None and (rows := self._rows(capture)) is not None:
                found.append((capture, rows))
                self._tally.take(rows)
        return found

    def _capture(self, line: bytes) -> Capture | None:
        place = f"{self._name}:{self._line}"
        if len(line) > MAX_LINE_BYTES:
            self._tally.skip("large", f"{place}: longer than {MAX_LINE_BYTES} bytes, expected a capture")
            return None
        try:
            capture = capture_of(line, self._variant)
        except PayloadError as error:
            self._tally.skip("line", f"{place}: {error}")
            return None
        if isnan(capture.started_s):
            self._tally.skip("time", f"{place}: no time, expected eventMetadata.inferenceTime")
            return None
        return self._seconds.placed(capture)

    def _rows(self, capture: Capture) -> Rows | None:
        try:
            return self._decoding.decode(capture)
        except PayloadError as error:
            self._tally.skip(error.reason)
            return None


def _inflated(source: Input, raw: BinaryIO) -> BinaryIO:
    """What the file holds."""
    if source.name.endswith(".gz"):
        return cast("BinaryIO", gzip.open(raw))
    if source.name.endswith(".zst"):
        return cast("BinaryIO", BufferedReader(_Frames(raw), CHUNK_BYTES))
    return raw


class _Frames(RawIOBase):
    """What the frames of a zstandard file hold; the library's own reader takes a file that is cut off for a whole one.

    Args:
        raw: The file.
    """

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._packed = b""
        self._unpacked = memoryview(b"")

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: "Buffer") -> int:
        """As `RawIOBase` has it.

        Raises:
            EOFError: The file ends within a frame.
        """
        while not self._unpacked:
            self._packed = self._packed or self._raw.read(PACKED_BYTES)
            if not self._packed:
                if self._frame is not None:
                    raise EOFError("the file is cut off")
                return 0
            self._unpacked = memoryview(self._next())
        into = memoryview(buffer).cast("B")
        count = min(len(into), len(self._unpacked))
        into[:count], self._unpacked = self._unpacked[:count], self._unpacked[count:]
        return count

    def _next(self) -> bytes:
        frame = self._frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
        found = frame.decompress(self._packed)
        self._packed = frame.unused_data
        if frame.eof:
            self._frame = None
        return found


def _lines(file: BinaryIO) -> Iterator[list[bytes]]:
    """The lines, some at a time; of one that is too long only so much that it shows."""
    lines: list[bytes] = []
    size_bytes = 0
    try:
        while line := file.readline(MAX_LINE_BYTES + 1):
            lines.append(line)
            size_bytes += len(line)
            rest = line
            while len(rest) > MAX_LINE_BYTES and not rest.endswith(b"\n"):
                rest = file.readline(MAX_LINE_BYTES + 1)
            if size_bytes >= LINES_BYTES:
                yield lines
                lines, size_bytes = [], 0
    except (OSError, *_BROKEN):
        yield lines  # whole, whatever comes behind them
        raise
    yield lines
