"""Labels in files, folders or standard input: what there is to send of them, and what comes while one follows them.

Lines are taken as they are, since who gets them says what is wrong with them: only CSV, and JSON that is one document,
are read here.
"""

import csv
import os
import select
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import orjson

from sidecar.config.fingerprints import fingerprints
from sidecar.errors import PayloadError
from sidecar.payload.csv import cell
from sidecar.payload.document import dump, parse
from sidecar.texts import shown

ENDS = (".csv", ".json", ".jsonl", ".ndjson")
"""Of the files of a folder; any other file that is named itself is read as JSON Lines."""

MAX_LINE_BYTES = 1 << 20
MAX_DOCUMENT_BYTES = 64 << 20
"""Of JSON that is one document, which has to be read whole."""

POLL_S = 1.0
"""Between two looks for new lines, and before lines that came slowly are sent."""

RESTED = 5
"""Looks at a file that has not changed, after which its last line is whole though it has no end."""

_TOO_LONG = f"longer than {MAX_LINE_BYTES} bytes, expected a label"
_BOM = b"\xef\xbb\xbf"
_CUT = "unexpected end of data"
"""What `csv` says of a row whose quoted cell has no end."""


class Entry(NamedTuple):
    """A line to send.

    Args:
        place: Where it stands, for people: `labels.csv:7`.
        error: Why there is nothing to send; empty where there is.
        read_bytes: Of its file, since the entry before.
    """

    place: str
    data: bytes
    error: str = ""
    read_bytes: int = 0


class Columns(NamedTuple):
    """The names of a CSV file's columns."""

    id: str
    label: str


def from_pipe(descriptor: int, rest_s: float = POLL_S) -> Iterator[Entry | None]:
    """The lines of standard input, as they come, with a pause where none does for so long."""
    kept, number = b"", 0
    while True:
        if not select.select([descriptor], [], [], rest_s)[0]:
            yield None
            continue
        data = os.read(descriptor, 1 << 16)
        *lines, kept = (kept + data).split(b"\n") if data else (kept, b"")
        for line in lines:
            number += 1
            yield Entry(f"line {number}", line.strip())
        if not data:
            return
        if len(kept) > MAX_LINE_BYTES:
            yield Entry(f"line {number + 1}", b"", _TOO_LONG)
            kept = b""


@dataclass(slots=True)
class _File:
    """A file, and how far it has been read.

    Args:
        seen: Its fingerprint when it was looked at last.
        rested: Looks since it has changed.
        names: Of a CSV file's columns, once they are known; none where it has not those that are wanted.
        document: It is one JSON document, which is read again as a whole.
    """

    path: Path
    seen: tuple[int, ...] = ()
    rested: int = 0
    offset: int = 0
    line: int = 0
    names: Sequence[str] | None = None
    document: bool = False

    @property
    def place(self) -> str:
        """Of the line read last."""
        return f"{self.path}:{self.line}"

    def look(self) -> bool:
        """Whether there is something new, or something old that has rested."""
        [now] = fingerprints([str(self.path)])
        if not now:
            return False
        if now == self.seen:
            self.rested += 1
            return self.rested == RESTED and self.offset < now[2]
        if self.seen and (self.document or now[1] != self.seen[1] or now[2] < self.offset):
            self.offset, self.line, self.names, self.document = 0, 0, None, False
        self.seen, self.rested = now, 0
        return True


def from_files(
    sources: Sequence[Path], columns: Columns, *, follow: bool, pause: Callable[[float], None]
) -> Iterator[Entry | None]:
    """The labels of files and folders; with `follow` also of those that come, for ever.

    Args:
        columns: Of CSV files.
        pause: Waits for so many seconds, between two looks.
    """
    known: dict[Path, _File] = {}
    while True:
        known = {path: known.get(path) or _File(path) for path in files_of(sources)}
        for file in known.values():
            if file.look():
                yield from _read(file, columns, whole=not follow or file.rested == RESTED)
        yield None
        if not follow:
            return
        pause(POLL_S)


def files_of(sources: Iterable[Path]) -> Iterator[Path]:
    """The files, and those of the folders in the order of their names."""
    for source in sources:
        if not source.is_dir():
            yield source
            continue
        found = sorted(source.rglob("*"))
        yield from (path for path in found if path.suffix in ENDS and path.is_file() and not path.name.startswith("."))


def _read(file: _File, columns: Columns, *, whole: bool) -> Iterator[Entry]:
    try:
        with file.path.open("rb") as opened:
            if file.path.suffix == ".json" and not file.offset and not _begins_with_an_object(opened):
                yield from _document(file, opened, whole=whole)
            elif file.path.suffix == ".csv":
                yield from _csv(file, _Lines(file, opened, whole=whole), columns)
            else:
                yield from _json_lines(file, _Lines(file, opened, whole=whole))
    except OSError as error:
        yield Entry(str(file.path), b"", error.strerror or str(error))


class _Lines:
    """The lines of a file that are not yet read, as far as they have an end; or the last one too, if it is `whole`."""

    def __init__(self, file: _File, opened: BinaryIO, *, whole: bool) -> None:
        self._file = file
        self._opened = opened
        self.whole = whole
        opened.seek(file.offset)

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> bytes:
        """The next line.

        Raises:
            PayloadError: It is too long, and passed over; the one behind it can be read.
        """
        file = self._file
        line = self._opened.readline(MAX_LINE_BYTES)
        too_long = len(line) == MAX_LINE_BYTES and not line.endswith(b"\n")
        if not line or not (line.endswith(b"\n") or self.whole or too_long):
            raise StopIteration
        start, file.offset = file.offset, file.offset + len(line)
        file.line += 1
        if not too_long:
            return line if start else line.removeprefix(_BOM)
        while line and not line.endswith(b"\n"):
            line = self._opened.readline(MAX_LINE_BYTES)
            file.offset += len(line)
        raise PayloadError("too_large", _TOO_LONG)


def _json_lines(file: _File, lines: _Lines) -> Iterator[Entry]:
    while True:
        start = file.offset
        try:
            data, error = next(lines).strip(), ""
        except StopIteration:
            return
        except PayloadError as wrong:
            data, error = b"", str(wrong)
        yield Entry(file.place, data, error, file.offset - start)


def _csv(file: _File, lines: _Lines, columns: Columns) -> Iterator[Entry]:
    rows = csv.reader(map(bytes.decode, lines), strict=True)
    while True:
        start, line = file.offset, file.line
        try:
            data, error = _row(file, next(rows), columns), ""
        except StopIteration:
            return
        except PayloadError as wrong:
            data, error = b"", str(wrong)
        except (UnicodeDecodeError, csv.Error) as wrong:
            if str(wrong) == _CUT and not lines.whole:
                file.offset, file.line = start, line  # the rest of the row is still to come
                return
            data, error = b"", f"{wrong}, expected CSV in UTF-8"
        yield Entry(file.place, data, error, file.offset - start)


def _row(file: _File, row: list[str], columns: Columns) -> bytes:
    """A row as a line of JSON; nothing for the header, and for an empty one."""
    if not row or file.names == ():
        return b""
    if file.names is None:
        file.names = tuple(row) if set(columns) <= set(row) else ()
        if not file.names:
            told = ", ".join(shown(name, 40) for name in row[:20])
            raise PayloadError("format", f"columns {told}; expected {' and '.join(columns)} among them")
        return b""
    if len(row) != len(file.names):
        raise PayloadError("format", f"{len(row)} cells, expected {len(file.names)} as there are names")
    cells = dict(zip(file.names, row, strict=True))
    return orjson.dumps({"id": cells[columns.id], "label": cell(cells[columns.label])})


def _begins_with_an_object(opened: BinaryIO) -> bool:
    """Whether the first line is one, so that the file is JSON Lines whatever its name says."""
    try:
        return isinstance(parse(opened.readline(MAX_LINE_BYTES).removeprefix(_BOM)), dict)
    except PayloadError:
        return False


def _document(file: _File, opened: BinaryIO, *, whole: bool) -> Iterator[Entry]:
    """The entries of a file that is one JSON document."""
    opened.seek(0)
    data = opened.read(MAX_DOCUMENT_BYTES + 1)
    try:
        found = _entries(data.removeprefix(_BOM))
    except PayloadError as error:
        if not whole:
            return
        file.document, file.offset = True, file.seen[2]
        yield Entry(str(file.path), b"", str(error).removeprefix("body: "), len(data))
        return
    file.document, file.offset = True, len(data)
    for number, line in enumerate(found):
        yield Entry(f"{file.path}[{number}]", line, "", 0 if number else len(data))


def _entries(data: bytes) -> list[bytes]:
    if len(data) > MAX_DOCUMENT_BYTES:
        raise PayloadError("too_large", f"more than {MAX_DOCUMENT_BYTES} bytes of one document, expected JSON Lines")
    document = parse(data)
    entries = document if isinstance(document, list) else [document]
    return [dump(entry, b"NaN") for entry in entries]  # as if there were one, which lines may hold
