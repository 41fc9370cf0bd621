"""Predictions and labels in one SQLite file, the default: for one sidecar, without a server."""

import logging
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field, replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from sidecar.config.values import Seconds
from sidecar.errors import ConfigError, DeliveryError
from sidecar.records import Joined, Label, LabelCounts, LabelStatus, Prediction
from sidecar.sqlite_file import open_file, transaction
from sidecar.store import sqlite_tables as tables
from sidecar.store.documents import (
    Layout,
    decode_body,
    decode_label,
    decode_prediction,
    digest,
    encode_body,
    encode_label,
    encode_prediction,
    layout_of,
    rows_of,
)
from sidecar.store.joining import TRUTH, Known, Told
from sidecar.store.sqlite_layouts import Layouts
from sidecar.store.sqlite_tables import SCHEMA, Kept, Work

if TYPE_CHECKING:
    # The options are checked before numpy need be there.
    from sidecar.store.sqlite_index import Index

log = logging.getLogger(__name__)

FILE = "labels.sqlite"
BUSY_S = 5.0
"""For the process before us to let go of the file."""
TIDY_S = 0.005
"""After so long `tidy` leaves the rest to its next call; a step of it takes some milliseconds."""
STEP = 64
"""Of each kind that one transaction of `tidy` lets go of at most."""
ROOM = 500
"""That is made at once, at most, where there are too many: to make some for each batch costs more."""
MARKED = 20_000
"""Pairs that one call of `save` marks as read at most: 0.1 s of them; `tidy` does the rest."""

_STATUSES: tuple[LabelStatus, ...] = ("joined", "duplicate", "unknown", "expired", "malformed")


@dataclass(slots=True)
class Sqlite:
    """Keeps them in the file `labels.sqlite`, mode 0600, that one process has open.

    What `add` has written when it returns is on the disk; what the other calls have, survives the process, and is on
    the disk before any later `add` returns. Nothing is touched before the first call.

    There are never more than `rows` predictions: those that are labelled and read leave first, then the oldest, where
    one that is still to be read is as old as its last label. By age none leaves that is still to be read: that is, by
    any name that has ever saved; nothing is read before one has. The ids of what left are remembered until twice
    `keep_s` after it came, at most `rows` of them: labels of it are `expired`, and itself, coming again, is `repeated`.

    Args:
        folder: Of the file; made where it is missing, mode 0700.
        busy_s: How long another process that has the file open is waited for.
        clock: In seconds, from any moment on; bounds a call of `tidy`.
        key: Random and odd: keeps those who choose ids from choosing slow ones.
        keep_s: For so long a prediction awaits its label.
        rows: Predictions kept, and labels kept waiting, at most.
        wait_s: For so long a label awaits its prediction; 0: not at all.
    """

    folder: str = ""
    busy_s: float = BUSY_S
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    key: int = field(default_factory=lambda: secrets.randbits(64) | 1, repr=False)
    _: KW_ONLY
    # A chargeback takes weeks, a click seconds; a week holds what most feedback takes.
    keep_s: Seconds = 604_800.0
    rows: Annotated[int, Meta(ge=1)] = 200_000
    wait_s: Annotated[float, Meta(ge=0)] = 3600.0
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _connection: sqlite3.Connection | None = field(default=None, init=False, repr=False)
    _index: "Index | None" = field(default=None, init=False, repr=False)
    _layouts: Layouts | None = field(default=None, init=False, repr=False)
    _synchronous: str = field(default="", init=False, repr=False)
    _closed: bool = field(default=False, init=False, repr=False)

    def open(self) -> None:
        """Open the file, if it is not: what any call does, but one may want to know at once that it cannot be.

        Raises:
            ConfigError: There can be no such file, it is not ours, of a later version, or another process's.
        """
        with self._lock:
            self._opened()

    def keep(self, predictions: Sequence[Prediction], now_s: float) -> None:
        """Keep these until their labels come; those whose label is there already are joined."""
        found = [(each, [_key(name) for name in dict.fromkeys(each.ids)]) for each in predictions]
        with self._transaction("NORMAL") as work:
            board = tables.load_board(work, [name for _, ids in found for name in ids], room=0)
            kept: list[Kept] = []
            for prediction, ids in found:
                number = work.counts.predictions + len(kept) + 1
                known = Known(number, prediction.variant.encode("utf-8", "surrogatepass"), rows_of(prediction))
                if board.keep(ids, known):
                    kept.append(_kept(prediction, known, ids, work.layouts))
            work.counts.repeated += len(predictions) - len(kept)
            tables.store_board(work, board, now_s)
            tables.keep(work, kept, now_s)
            # After a restart with fewer `rows` there may be far too many: a part of them with every call.
            most = len(kept) + ROOM
            tables.let_go_of_surplus(work, min(self._surplus(work.counts.present), most))
            tables.forget(work, inf, min(self._surplus(work.counts.gone), most))

    def add(self, labels: Sequence[Label], now_s: float) -> list[LabelStatus]:
        """Join these with their predictions, or let them wait; what became of each, in order."""
        told = [_told(label) for label in labels]
        with self._transaction("FULL") as work:
            room = self.rows - work.counts.waiting if self.wait_s > 0 else 0
            board = tables.load_board(work, [each.id for each in told], room)
            statuses = [board.add(each) for each in told]
            tables.store_board(work, board, now_s)
        return statuses

    def joined(self, after: int, limit: int) -> list[Joined]:
        """What was joined behind the place `after`, the oldest first, `limit` at most.

        What was read by everybody may be gone. A pair that cannot be read any more is left out.
        """
        with self._transaction("NORMAL") as work:
            rows = tables.read_joined(work.connection, after, max(0, limit))
            shared = {number: work.layouts.get(number) for number in {row[1] for row in rows} if number is not None}
        found = [_pair(row, shared) for row in rows]
        pairs = [pair for pair in found if pair is not None]
        return pairs if pairs or not rows else self.joined(rows[-1][0], limit)

    def tidy(self, now_s: float) -> None:
        """Let go of what is too old, or too much, for some milliseconds; to be called every second or so."""
        end_s = self.clock() + TIDY_S
        while self._tidy(now_s) and self.clock() < end_s:
            pass

    def _tidy(self, now_s: float) -> bool:
        """Whether there was something."""
        with self._transaction("NORMAL") as work:
            before = replace(work.counts)
            tables.mark(work, STEP)
            tables.let_go_of_old(work, now_s - self.keep_s, STEP)
            tables.let_go_of_surplus(work, min(self._surplus(work.counts.present), STEP))
            tables.forget(work, now_s - 2 * self.keep_s, STEP)
            tables.forget(work, inf, min(self._surplus(work.counts.gone), STEP))
            tables.give_up(work, now_s - self.wait_s, STEP)
            work.layouts.make_room(tables.oldest(work.connection))
            return work.counts != before

    def save(self, name: str, data: bytes, upto: int) -> None:
        """Keep what a monitor remembers, and that it has read all that was joined up to this place."""
        with self._transaction("NORMAL") as work:
            values = (name, upto, data)
            work.connection.execute("INSERT OR REPLACE INTO saved (name, upto, data) VALUES (?, ?, ?)", values)
            tables.mark(work, MARKED)

    def read(self, name: str) -> tuple[bytes, int] | None:
        """What was saved last under this name, and up to which place it had read; None before the first."""
        with self._transaction("NORMAL") as work:
            row = work.connection.execute("SELECT data, upto FROM saved WHERE name = ?", (name,)).fetchone()
        return (bytes(row[0]), int(row[1])) if row else None

    def leads(self, now_s: float) -> bool:  # noqa: ARG002 - always
        """Nobody shares the file."""
        return True

    @property
    def counts(self) -> LabelCounts:
        """What became of everything since the file was made."""
        with self._transaction("NORMAL") as work:
            counts = work.counts
            return LabelCounts(
                awaiting=counts.awaiting,
                waiting=counts.waiting,
                labels={status: getattr(counts, status) for status in _STATUSES},
                predictions=counts.predictions,
                missing=counts.missing,
                repeated=counts.repeated,
            )

    def close(self) -> None:
        """Let go of the file; further calls fail."""
        with self._lock:
            self._closed = True
            if self._connection:
                self._connection.close()

    def _surplus(self, number: int) -> int:
        """Of this number; where there is any, with some more, so that there is not again some at once."""
        return 0 if number <= self.rows else number - self.rows + min(self.rows // 64, ROOM)

    def _opened(self) -> tuple[sqlite3.Connection, "Index"]:
        from sidecar.store.sqlite_index import Index

        if self._closed:
            raise DeliveryError(f"{self._file}: the store is closed")
        if self._connection is None or self._index is None:
            self._connection = open_file(self._file, SCHEMA, self.busy_s)
            self._index = Index(self._connection.execute("SELECT number, ids FROM predictions"), self.key)
        return self._connection, self._index

    @property
    def _file(self) -> Path:
        return Path(self.folder, FILE)

    def _be(self, synchronous: str, connection: sqlite3.Connection) -> None:
        if self._synchronous != synchronous:
            connection.execute(f"PRAGMA synchronous = {synchronous}")
            self._synchronous = synchronous

    @contextmanager
    def _transaction(self, synchronous: Literal["NORMAL", "FULL"]) -> Iterator[Work]:
        """All or nothing, one at a time; what is counted is written with it."""
        with self._lock:
            done = False
            try:
                connection, index = self._opened()
                self._be(synchronous, connection)
                with transaction(connection):
                    before = tables.load_counts(connection)
                    self._layouts = self._layouts or Layouts(connection, before.predictions)
                    yield (work := Work(connection, replace(before), self._layouts, index))
                    if work.counts != before:
                        tables.store_counts(connection, work.counts)
                done = True
            except sqlite3.Error as error:
                raise DeliveryError(f"{self._file}: {error}, expected a whole file on a disk with room") from error
            except ConfigError as error:
                raise DeliveryError(str(error)) from error
            finally:
                self._settle(done=done)

    def _settle(self, *, done: bool) -> None:
        if self._index:
            self._index.settle(done=done)
        if not done:
            self._layouts = None  # they may be those of a transaction that never was


def _kept(prediction: Prediction, known: Known, ids: Sequence[str], layouts: Layouts) -> Kept:
    layout = layouts.number(layout_of(prediction), known.number)
    document = encode_prediction(prediction) if layout is None else encode_body(prediction)
    return Kept(known, ids, layout, document)


def _pair(row: tuple[int, int | None, bytes, bytes], shared: Mapping[int, Layout | None]) -> Joined | None:
    number, layout, prediction, label = row
    try:
        if layout is None:
            return Joined(number, decode_prediction(prediction), decode_label(label))
        if names := shared[layout]:
            return Joined(number, decode_body(prediction, names), decode_label(label))
    except ValueError as error:
        log.warning("%s: pair %d is no document (%s), and left out", FILE, number, error)
    return None


def _told(label: Label) -> Told:
    metric = _key(label.metric) if label.metric else TRUTH
    return Told(_key(label.id), metric, len(label.values), encode_label(label))


def _key(text: str) -> str:
    """What stands for an id or a metric in the tables: a text, for the sake of JSON."""
    return digest(text).hex()
