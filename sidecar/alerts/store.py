"""What survives a restart: alerts, the notices that channels are still to be told, and what monitors remember.

One SQLite file that one process has open. What a call has written when it returns is on the disk, and every call
writes all or nothing. A call that fails (the disk is full, the file was broken from outside) raises DeliveryError, and
leaves everything as it was before.

Alerts and notices stand there as JSON, with what JSON has no spelling for as Python reads and writes it: NaN, infinity
and lone surrogates, which statistics and the names of columns may have, come back as they were.
"""

import json
import logging
import sqlite3
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from sidecar.errors import DeliveryError
from sidecar.records import Alert, Notice
from sidecar.scalars import plain
from sidecar.sqlite_file import Schema, open_file, transaction

log = logging.getLogger(__name__)

FILE = "sidecar.sqlite"
OUTBOX = 1000
"""Notices that wait for one channel; on overflow the oldest go, counted."""
MAX_AGE_S = 86_400.0
"""A notice that nobody took for a day is given up: what it tells is no news any more."""
RETRY_MAX_S = 300.0
"""The longest that a notice waits for its next attempt."""
SET_BACK_S = 2 * RETRY_MAX_S
"""Nothing waits for so long, not even if the caller's moment is some minutes old: who does had another clock."""
BUSY_S = 5.0
"""For the process before us to let go of the file."""

SCHEMA = 1

_TABLES = Schema(
    application_id=0x53444352,  # SDCR
    version=SCHEMA,
    settings=("synchronous = FULL",),
    statements=(
        "CREATE TABLE alerts (id TEXT PRIMARY KEY, document TEXT NOT NULL)",
        # `document` is last: SQLite reads the columns before it without the pages of a large one.
        """CREATE TABLE outbox (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            channel TEXT NOT NULL,
            notice TEXT NOT NULL,
            alert TEXT NOT NULL,
            added_s REAL NOT NULL,
            due_s REAL NOT NULL,
            attempts INTEGER NOT NULL DEFAULT 0,
            document TEXT NOT NULL,
            UNIQUE (channel, notice)
        )""",
        "CREATE INDEX outbox_alerts ON outbox (channel, alert, number)",
        "CREATE TABLE states (name TEXT PRIMARY KEY, data BLOB NOT NULL)",
    ),
)

# Of each alert only the first notice may be sent. `due_s` is that of the same row: SQLite says so of min().
_FIRST = "(SELECT min(number) AS number, due_s FROM outbox WHERE channel = :channel GROUP BY alert)"
_DUE = f"""SELECT number, attempts, document FROM outbox WHERE number = (
    SELECT number FROM {_FIRST} WHERE due_s <= :now_s OR due_s > :now_s + {SET_BACK_S} ORDER BY due_s, number LIMIT 1
)"""
_OVERFLOW = f"""DELETE FROM outbox WHERE channel = :channel AND number <= (
    SELECT number FROM outbox WHERE channel = :channel ORDER BY number DESC LIMIT 1 OFFSET {OUTBOX}
)"""

T = TypeVar("T")


class Pending(NamedTuple):
    """A notice that is due.

    Args:
        number: Its place in the outbox.
        attempts: That have failed.
    """

    number: int
    notice: Notice
    attempts: int


class Store:
    """Keeps what is to survive a restart. May be called from any thread; every call is short.

    Args:
        path: The folder of the file, made where it is missing, mode 0700; None keeps everything in memory.
        busy_s: How long another process that has the file open is waited for.

    Attributes:
        unreadable: Alerts that were left out because this version cannot read them.
        dropped: Notices that nobody will be told, by channel: its outbox was full, they were too old or unreadable, or
            there is no such channel any more.

    Raises:
        ConfigError: There can be no such file, it is broken, not ours, of a later version, or another process's.
    """

    def __init__(self, path: Path | None, *, busy_s: float = BUSY_S) -> None:
        self.unreadable = 0
        self.dropped: dict[str, int] = {}
        self._lock = threading.Lock()
        self._file = "memory" if path is None else str(path / FILE)
        self._connection = open_file(None if path is None else path / FILE, _TABLES, busy_s)
        # A broken text is one record lost, not all that is read with it.
        self._connection.text_factory = partial(str, encoding="utf-8", errors="replace")

    def load(self) -> list[Alert]:
        """The alerts as they were at the last commit, in the order in which they first came."""
        with self._transaction() as connection:
            rows = connection.execute("SELECT document FROM alerts ORDER BY rowid").fetchall()
        alerts = [_decoded(document, Alert) for (document,) in rows]
        readable = [alert for alert in alerts if alert is not None]
        self.unreadable += len(alerts) - len(readable)
        return readable

    def commit(self, alerts: Sequence[Alert], notices: Sequence[Notice], channels: Sequence[str], now_s: float) -> int:
        """Keep these alerts and no others, and put the notices into the outboxes of their channels, all or nothing.

        A notice that an outbox still has is not put there twice: what failed may be committed again.

        Args:
            now_s: Unix time; from it the notices are due, and age.

        Returns:
            How many older notices had no room any more.
        """
        kept = {alert.id: _encoded(alert) for alert in alerts}
        posted = [(notice, (notice.id, notice.alert.id, now_s, now_s, _encoded(notice))) for notice in notices]
        dropped = {}
        with self._transaction() as connection:
            _keep(connection, kept)
            for channel in channels:
                connection.executemany(
                    "INSERT INTO outbox (channel, notice, alert, added_s, due_s, document) VALUES (?, ?, ?, ?, ?, ?)"
                    " ON CONFLICT (channel, notice) DO NOTHING",
                    [(channel, *row) for notice, row in posted if notice.is_for(channel)],
                )
                dropped[channel] = connection.execute(_OVERFLOW, {"channel": channel}).rowcount
        for channel, count in dropped.items():
            self._drop(channel, count)
        return sum(dropped.values())

    def due(self, channel: str, now_s: float) -> Pending | None:
        """The notice that has been due for longest, if any is; what is too old or unreadable is dropped on the way.

        A notice that waits for its next attempt holds back later ones of its alert, not those of others. One that
        is to wait for longer than anything does is due: the clock was set back.
        """
        where = {"channel": channel, "now_s": now_s}
        pending = None
        with self._transaction() as connection:
            dropped = connection.execute(
                f"DELETE FROM outbox WHERE channel = :channel AND added_s < :now_s - {MAX_AGE_S}", where
            ).rowcount
            while pending is None and (row := connection.execute(_DUE, where).fetchone()):
                number, attempts, document = row
                if notice := _decoded(document, Notice):
                    pending = Pending(number, notice, attempts)
                else:
                    dropped += _delete(connection, number)
        self._drop(channel, dropped)
        return pending

    def next_due_s(self, channel: str) -> float | None:
        """Unix time at which the next notice is due, past or future; None where none waits."""
        with self._transaction() as connection:
            row = connection.execute(f"SELECT min(due_s) FROM {_FIRST}", {"channel": channel}).fetchone()
        due_s: float | None = row[0]
        return due_s

    def waiting(self, channel: str) -> int:
        """How many notices the channel is still to be told."""
        with self._transaction() as connection:
            row = connection.execute("SELECT count(*) FROM outbox WHERE channel = ?", (channel,)).fetchone()
        return int(row[0])

    def sent(self, pending: Pending) -> None:
        """The channel took it."""
        with self._transaction() as connection:
            _delete(connection, pending.number)

    def failed(self, pending: Pending, due_s: float) -> None:
        """The channel did not take it; at `due_s`, at most RETRY_MAX_S from now, it is due again."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE outbox SET attempts = ?, due_s = ? WHERE number = ?",
                (pending.attempts + 1, due_s, pending.number),
            )

    def hasten(self, channel: str) -> None:
        """What waits is due at once, in the order in which it came, as if nothing had failed: the channel is new."""
        with self._transaction() as connection:
            connection.execute("UPDATE outbox SET attempts = 0, due_s = 0 WHERE channel = ?", (channel,))

    def retain(self, channels: Collection[str]) -> int:
        """Drop the notices of all other channels; returns how many there were."""
        with self._transaction() as connection:
            rows = connection.execute("SELECT channel, count(*) FROM outbox GROUP BY channel").fetchall()
            gone = {channel: count for channel, count in rows if channel not in channels}
            connection.executemany("DELETE FROM outbox WHERE channel = ?", [(channel,) for channel in gone])
        for channel, count in gone.items():
            self._drop(channel, count)
        return sum(gone.values())

    def save(self, name: str, data: bytes) -> None:
        """Keep what a monitor remembers, in place of what it had saved before."""
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO states (name, data) VALUES (?, ?)", (name, data))

    def read(self, name: str) -> bytes | None:
        """What was saved last under this name; None where nothing was."""
        with self._transaction() as connection:
            row = connection.execute("SELECT data FROM states WHERE name = ?", (name,)).fetchone()
        return bytes(row[0]) if row else None

    def close(self) -> None:
        """Let go of the file; further calls fail."""
        with self._lock:
            self._connection.close()

    def _drop(self, channel: str, count: int) -> None:
        with self._lock:
            self.dropped[channel] = self.dropped.get(channel, 0) + count

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, one at a time."""
        try:
            with self._lock, transaction(self._connection):
                yield self._connection
        except sqlite3.Error as error:
            raise DeliveryError(f"{self._file}: {error}, expected a whole file on a disk with room") from error


def _keep(connection: sqlite3.Connection, alerts: dict[str, str]) -> None:
    """Write what has changed: most alerts of most commits are as they were."""
    before = connection.execute("SELECT rowid, id FROM alerts").fetchall()
    gone = [(rowid,) for rowid, alert_id in before if alert_id not in alerts]
    connection.executemany("DELETE FROM alerts WHERE rowid = ?", gone)
    connection.executemany(
        "INSERT INTO alerts (id, document) VALUES (?, ?)"
        " ON CONFLICT (id) DO UPDATE SET document = excluded.document WHERE document != excluded.document",
        list(alerts.items()),
    )


def _delete(connection: sqlite3.Connection, number: int) -> int:
    return connection.execute("DELETE FROM outbox WHERE number = ?", (number,)).rowcount


def _encoded(record: Alert | Notice) -> str:
    return json.dumps(msgspec.to_builtins(record, enc_hook=plain))


def _decoded(document: str, record: type[T]) -> T | None:
    """The record; None where this version cannot read it."""
    try:
        return msgspec.convert(json.loads(document), record)
    except ValueError:
        return None
