"""Files of decoded rows: gathered by variant and hour in bounded memory, and there whole or not at all.

A file is written under a name that no reader looks for, in a folder beside the table's, brought to the disk, and moved
to its place. What a killed process leaves there is deleted by the next one: the lock of the file tells that nobody
writes it any more.
"""

import contextlib
import fcntl
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.sinks.rows import Items, Place, placed, union

if TYPE_CHECKING:
    import pyarrow as arrow

CELL_BYTES = 8
SMALL_TABLES = 64
"""So many of what came together are made one: a table takes some 400 bytes for each column, however few its rows."""

IDS = frozenset({"event_id", "request_id", "inference_id"})
"""Texts that differ from row to row: no dictionary makes them shorter."""


@dataclass(slots=True)
class _Waiting:
    """What waits for one file.

    Args:
        since_s: When the first of it came, or when it could not be written last.
        large: Tables that were made of `SMALL_TABLES` others.
        small: Tables as they came.
        names: The columns of all, in lower case.
        first_s: Unix time of the first row.
    """

    since_s: float
    first_s: float
    large: "list[arrow.Table]" = field(default_factory=list)
    small: "list[arrow.Table]" = field(default_factory=list)
    names: frozenset[str] = frozenset()
    rows: int = 0
    exchanges: int = 0
    table_bytes: int = 0

    def size_bytes(self, rows: int = 0, names: frozenset[str] = frozenset(), more_bytes: int = 0) -> int:
        """In memory, with so much more, and all of it in one table: a cell that is not there takes room, too."""
        return max(self.table_bytes + more_bytes, CELL_BYTES * (self.rows + rows) * len(self.names | names))

    def add(self, exchanges: int, table: "arrow.Table", names: frozenset[str]) -> None:
        """Take these, too."""
        self.small.append(table)
        if len(self.small) >= SMALL_TABLES:
            self.large.append(union(self.small).combine_chunks())
            self.small = []
        self.names |= names
        self.rows += table.num_rows
        self.exchanges += exchanges
        self.table_bytes += table.nbytes


class RowFiles:
    """Writes rows under a folder, as `variant=champion/hour=2026-11-23T19/{name}.parquet`; files 0600, folders 0700.

    Nothing is touched before there is something to write.

    Args:
        root: The table's folder.
        hidden: Where files are while they are written; on the same file system, and outside of the other.
        max_bytes: Of what waits in memory; beyond that the largest part of it becomes a file.
        name: What a file is called, without its end, by the Unix time of the first row.
        announce: Is told of a file and its bytes before it is there.

    Attributes:
        written: Exchanges whose rows are in files.
        lost: Exchanges whose rows could not be written, and had to make room.
    """

    def __init__(
        self,
        root: Path,
        hidden: Path,
        *,
        max_bytes: int,
        name: Callable[[float], str],
        announce: Callable[[Path, int], None],
    ) -> None:
        self._root = root
        self._hidden = hidden
        self._max_bytes = max_bytes
        self._name = name
        self._announce = announce
        self._waiting: dict[Place, _Waiting] = {}
        self._tidy = False
        self.written = 0
        self.lost = 0

    @property
    def waiting(self) -> int:
        """Exchanges whose rows wait to be written."""
        return sum(each.exchanges for each in list(self._waiting.values()))

    @property
    def waiting_bytes(self) -> int:
        """What waits, in memory."""
        return sum(each.size_bytes() for each in list(self._waiting.values()))

    def add(self, items: Items, now_s: float) -> None:
        """Gather the rows of these; what has no room beside them is written.

        Raises:
            OSError: It could not be written, and is lost; these are gathered.
        """
        failed: list[OSError] = []
        for place, exchanges, table in placed(items):
            names = frozenset(map(str.lower, table.column_names))
            failed += self._fit(place, table, names)
            waiting = self._waiting.get(place)
            if waiting is None:
                waiting = self._waiting[place] = _Waiting(now_s, table["time"][0].value / 1e6)
            waiting.add(exchanges, table, names)
        if failed:
            raise failed[0]

    def write(self, now_s: float, rest_s: float = 0.0) -> None:
        """Write what has waited for so long.

        Raises:
            OSError: Some could not be written; it waits as long again.
        """
        failed: list[OSError] = []
        for place, waiting in list(self._waiting.items()):
            if now_s - waiting.since_s >= rest_s:
                waiting.since_s = now_s
                try:
                    self._write(place)
                except OSError as error:
                    failed.append(error)
        if failed:
            raise failed[0]

    def give_up(self) -> None:
        """Forget what waits: it is lost."""
        for place in list(self._waiting):
            self.lost += self._waiting.pop(place).exchanges

    def _fit(self, place: Place, table: "arrow.Table", names: frozenset[str]) -> list[OSError]:
        """Write what has no room beside the table: first its own place's, whose columns it would share."""
        failed: list[OSError] = []
        waiting = self._waiting.get(place)
        if waiting and waiting.size_bytes(table.num_rows, names, table.nbytes) > self._max_bytes:
            failed += self._evict(place)
        sizes = {each: waiting.size_bytes() for each, waiting in self._waiting.items()}
        while sizes and sum(sizes.values()) + table.nbytes > self._max_bytes:
            largest = max(sizes, key=sizes.__getitem__)
            failed += self._evict(largest)
            del sizes[largest]
        return failed

    def _evict(self, place: Place) -> list[OSError]:
        try:
            self._write(place)
        except OSError as error:
            self.lost += self._waiting.pop(place).exchanges
            return [error]
        return []

    def _write(self, place: Place) -> None:
        waiting = self._waiting[place]
        table = union([*waiting.large, *waiting.small])
        folder = self._root / place.folder
        with self._hidden_file() as (hidden, descriptor):
            _write_table(table, hidden)
            os.fsync(descriptor)  # else a power cut could leave a file that is there and empty
            path = folder / f"{self._name(waiting.first_s)}.parquet"
            self._announce(path, os.fstat(descriptor).st_size)
            make_folder(folder)
            hidden.rename(path)
        self.written += self._waiting.pop(place).exchanges

    @contextmanager
    def _hidden_file(self) -> Iterator[tuple[Path, int]]:
        """An empty file of ours, deleted in the end if it is still there."""
        if not self._tidy:
            _tidy(self._hidden)
            self._tidy = True
        make_folder(self._hidden)
        path = self._hidden / uuid.uuid4().hex
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield path, descriptor
        finally:
            path.unlink(missing_ok=True)
            os.close(descriptor)


def _write_table(table: "arrow.Table", path: Path) -> None:
    import pyarrow as arrow
    from pyarrow import parquet

    texts = [each.name for each in table.schema if each.type == arrow.string() and each.name not in IDS]
    try:
        parquet.write_table(table, str(path), compression="zstd", use_dictionary=texts or False)
    except arrow.ArrowException as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def _tidy(hidden: Path) -> None:
    """Delete what killed processes have left of files that they wrote."""
    for path in hidden.glob("*"):
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(descriptor)


def make_folder(folder: Path) -> None:
    """`makedirs` would give its mode to the last folder only."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(0o700, exist_ok=True)
