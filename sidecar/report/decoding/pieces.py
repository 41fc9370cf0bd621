"""What of the captures is decoded already: pieces of some files each, written down once their rows are in the table.

A piece counts for as long as each of its files is what it was. What the table has that is of no such piece, of a
process that was killed or of other captures, is deleted.
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import md5
from pathlib import Path
from typing import NamedTuple

import msgspec

from sidecar.errors import ConfigError, Fault
from sidecar.report.decoding.inputs import Input

PIECE_BYTES = 32 << 20
"""Of files, unless one is larger: a second or less of work, which an interruption costs."""

TABLE, MANIFEST, LOCK = "rows", "pieces.jsonl", "lock"

_OWN = re.compile(r"variant=[^/]+/hour=[^/]+/[0-9a-f]{32}(-\d{4,})?\.parquet")
"""Files of a piece's rows: the only ones that are ever deleted, and counted."""


class Piece(NamedTuple):
    """Files that are decoded together.

    Args:
        id: Of these files as they are and of how they are decoded; what their rows' files are called.
    """

    id: str
    inputs: tuple[Input, ...]


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """A piece whose rows are in the table.

    Args:
        piece: Its id.
        inputs: Name, bytes and mark of each of its files.
        files: Where its rows are, under the table's folder.
        captures: Those that were decoded.
        rows: Theirs.
        skipped: Lines and files that were not, by reason.
        faults: Captures without predictions, by reason.
        told: The first lines that were passed over, for people.
        whole: No file of it was unreadable; otherwise it is tried again the next time.
    """

    piece: str
    inputs: list[tuple[str, int, str]]
    files: list[str]
    captures: int
    rows: int
    skipped: dict[str, int]
    faults: dict[str, int]
    told: list[str]
    whole: bool = True


class Pieces:
    """The pieces that are decoded.

    Args:
        work: The folder of the table and of what is known of it.
        how: What else than the files decides what comes of them.
    """

    def __init__(self, work: Path, how: Sequence[str]) -> None:
        self.table = work / TABLE
        self._manifest = work / MANIFEST
        self._how = how

    def left(self, inputs: Sequence[Input]) -> tuple[list[Done], list[Piece]]:
        """The pieces of these files that are decoded already, and new ones of the others; deletes all other rows.

        A piece stays as it was cut, whatever comes later beside its files.

        Raises:
            ConfigError: There are rows of somebody else, as of a Parquet sink.
        """
        there = self._there()
        rest = {_told(each): each for each in inputs}
        kept = []
        for done in self._read():
            mine = [rest[each] for each in done.inputs if each in rest]
            if len(mine) == len(done.inputs) and self._piece(mine).id == done.piece and self._is_there(done):
                kept.append(done)
                for each in done.inputs:
                    del rest[each]
        self._write(kept)
        self._sweep(there - {each for done in kept for each in done.files})
        return kept, list(self._cut(list(rest.values())))

    def add(self, done: Done) -> None:
        """Write down that a piece is decoded, unless it should be tried again."""
        if done.whole:
            with self._manifest.open("ab") as file:
                file.write(msgspec.json.encode(done) + b"\n")

    def _cut(self, inputs: Sequence[Input]) -> Iterator[Piece]:
        """The files in pieces; one of rows, which is not decoded, is one by itself."""
        piece: list[Input] = []
        size_bytes = 0
        for each in inputs:
            rows = each.name.endswith(".parquet")
            if piece and (rows or size_bytes + each.size_bytes > PIECE_BYTES):
                yield self._piece(piece)
                piece, size_bytes = [], 0
            piece.append(each)
            size_bytes += PIECE_BYTES if rows else each.size_bytes
        if piece:
            yield self._piece(piece)

    def _piece(self, inputs: Sequence[Input]) -> Piece:
        told = msgspec.json.encode([self._how, list(map(_told, inputs))])
        return Piece(md5(told, usedforsecurity=False).hexdigest(), tuple(inputs))

    def _read(self) -> list[Done]:
        """What was written down; a line that a killed process has left unfinished is nothing."""
        found = []
        with contextlib.suppress(FileNotFoundError):
            for line in self._manifest.read_bytes().splitlines():
                with contextlib.suppress(msgspec.DecodeError):
                    found.append(msgspec.json.decode(line, type=Done))
        return found

    def _is_there(self, done: Done) -> bool:
        return all((self.table / each).exists() for each in done.files)

    def _write(self, dones: Sequence[Done]) -> None:
        beside = self._manifest.with_suffix(".new")
        beside.write_bytes(b"".join(msgspec.json.encode(done) + b"\n" for done in dones))
        beside.rename(self._manifest)

    def _there(self) -> set[str]:
        """The files of rows in the table."""
        found = {path.relative_to(self.table).as_posix() for path in self.table.rglob("*.parquet")}
        for name in sorted(found):
            if not _OWN.fullmatch(name):
                told = "no report has written it, expected a folder for work that has nothing else in it"
                raise ConfigError(Fault(str(self.table / name), told))
        return found

    def _sweep(self, names: set[str]) -> None:
        for name in names:
            path = self.table / name
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                for folder in path.parents[:2]:
                    folder.rmdir()


def _told(each: Input) -> tuple[str, int, str]:
    return each.name, each.size_bytes, each.mark


@contextmanager
def alone(work: Path) -> Iterator[None]:
    """Around work in the folder, which is made where it is missing: nobody else works there meanwhile.

    Raises:
        ConfigError: Somebody does, or it cannot be made.
    """
    try:
        work.mkdir(0o700, parents=True, exist_ok=True)
        descriptor = os.open(work / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(Fault(str(work), f"{error.strerror}, expected a folder to work in")) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(Fault(str(work), "another report works here, expected a folder of its own")) from None
        yield
    finally:
        os.close(descriptor)
