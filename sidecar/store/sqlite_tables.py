"""The tables of predictions and labels in SQLite, and what is done to them within a transaction.

Whenever a statement runs for longer than it takes another of Python's threads to wake up, that thread may have taken
the interpreter, and keeps it for 5 ms. So there are few statements, however many rows they are for: ids and numbers go
in as one JSON text, rows side by side, and what follows from a row is done by triggers.
"""

import json
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from functools import lru_cache
from math import inf
from typing import NamedTuple

from sidecar.store.joining import TRUTH, Board, Known, Pair, Told
from sidecar.store.sqlite_file import STATEMENTS, Schema

BULK = 256
"""Rows that one statement writes at most: compiled it takes 1 kB for each."""

READ = 0
"""Of a prediction: labelled, and all that joined it has been read."""
QUIET = 1
"""Not labelled, and nothing to be read."""
UNREAD = 2
"""Something that joined it has not been read by all."""
GONE = 3
"""Let go of: no document, no pairs, only ids."""

Cell = bytes | str | float | int | None


@dataclass(slots=True)
class Counts:
    """What became of everything: the columns of the one row of `counts`.

    Args:
        present: Predictions that are there.
        gone: Those that are remembered.
        pairs: The number of the last pair.
        read: Pairs up to this number have been marked as read.
    """

    predictions: int
    repeated: int
    awaiting: int
    missing: int
    present: int
    gone: int
    waiting: int
    joined: int
    duplicate: int
    unknown: int
    expired: int
    malformed: int
    pairs: int
    read: int


_COLUMNS = tuple(field.name for field in fields(Counts))
_LABEL = "id TEXT NOT NULL, metric TEXT NOT NULL, size INTEGER NOT NULL, document BLOB NOT NULL"

SCHEMA = Schema(
    application_id=0x5344434C,  # SDCL
    version=1,
    statements=(
        # What joining asks for, of those that are there and those that are remembered; `ids` is a JSON list. The READ
        # leave first, the others by `place`: its number, or while it is UNREAD that of the next after its last label.
        """CREATE TABLE predictions (
            number INTEGER PRIMARY KEY, state INTEGER NOT NULL, place INTEGER NOT NULL, labelled INTEGER NOT NULL,
            kept_s REAL NOT NULL, rows INTEGER NOT NULL, variant BLOB NOT NULL, ids TEXT NOT NULL
        )""",
        "CREATE INDEX predictions_place ON predictions (state, place)",
        # What readers get, apart: a prediction changes its state twice, its document never.
        "CREATE TABLE documents (number INTEGER PRIMARY KEY, layout INTEGER, document BLOB NOT NULL)",
        "CREATE TABLE layouts (number INTEGER PRIMARY KEY, document BLOB NOT NULL)",
        "CREATE TABLE ids (id TEXT, prediction INTEGER, PRIMARY KEY (id, prediction)) WITHOUT ROWID",
        # What was joined, in order, until the prediction leaves.
        f"""CREATE TABLE pairs (
            number INTEGER PRIMARY KEY, prediction INTEGER NOT NULL, {_LABEL}, UNIQUE (prediction, metric)
        )""",
        f"CREATE TABLE waiting (number INTEGER PRIMARY KEY, added_s REAL NOT NULL, {_LABEL}, UNIQUE (id, metric))",
        "CREATE TABLE saved (name TEXT PRIMARY KEY, upto INTEGER NOT NULL, data BLOB NOT NULL)",
        f"CREATE TABLE counts ({', '.join(f'{name} INTEGER NOT NULL' for name in _COLUMNS)})",
        f"INSERT INTO counts VALUES ({', '.join('0' for _ in _COLUMNS)})",
        "CREATE VIEW kept AS SELECT predictions.*, layout, document FROM predictions JOIN documents USING (number)",
        """CREATE TRIGGER keeping INSTEAD OF INSERT ON kept BEGIN
            INSERT INTO predictions VALUES (
                new.number, new.state, new.place, new.labelled, new.kept_s, new.rows, new.variant, new.ids
            );
            INSERT INTO documents VALUES (new.number, new.layout, new.document);
            INSERT INTO ids SELECT value, new.number FROM json_each(new.ids);
        END""",
        # A prediction that is written after its pairs says itself what it is.
        f"""CREATE TRIGGER joining AFTER INSERT ON pairs BEGIN
            UPDATE predictions SET state = {UNREAD}, place = 1 + (SELECT predictions FROM counts),
                labelled = labelled OR new.metric = '{TRUTH}' WHERE number = new.prediction;
        END""",
        f"""CREATE TRIGGER leaving AFTER UPDATE OF state ON predictions WHEN new.state = {GONE} BEGIN
            DELETE FROM documents WHERE number = new.number;
            DELETE FROM pairs WHERE prediction = new.number;
        END""",
        """CREATE TRIGGER forgetting AFTER DELETE ON predictions BEGIN
            DELETE FROM ids WHERE id IN (SELECT value FROM json_each(old.ids)) AND prediction = old.number;
        END""",
    ),
)

_COUNT = f"UPDATE counts SET ({', '.join(_COLUMNS)}) = ({', '.join('?' for _ in _COLUMNS)})"
_KNOWN = f"""SELECT ids.id, predictions.number, variant, rows, state = {GONE},
        pairs.number, pairs.id, metric, size, document
    FROM ids JOIN predictions ON predictions.number = ids.prediction
    LEFT JOIN pairs ON pairs.prediction = predictions.number WHERE ids.id IN (SELECT value FROM json_each(?))"""
_WAITING = "SELECT number, id, metric, size, document FROM waiting WHERE id IN (SELECT value FROM json_each(?))"
_JOINED = """SELECT pairs.number, layout, documents.document, pairs.document FROM pairs
    JOIN documents ON documents.number = prediction WHERE pairs.number > ? ORDER BY pairs.number LIMIT ?"""

_HEAD = "SELECT * FROM (SELECT * FROM predictions WHERE state = {} ORDER BY place, number LIMIT :most)"
_LEAVE = f"UPDATE predictions SET state = {GONE}, place = number WHERE number IN ({{}}) RETURNING labelled"
_SURPLUS = _LEAVE.format(
    f"SELECT number FROM ({' UNION ALL '.join(map(_HEAD.format, (READ, QUIET, UNREAD)))})"
    f" ORDER BY state > {READ}, place, number LIMIT :most"
)
_OLD = _LEAVE.format(
    f"SELECT number FROM ({' UNION ALL '.join(map(_HEAD.format, (READ, QUIET)))}) WHERE kept_s <= :until_s LIMIT :most"
)
_FORGET = f"""DELETE FROM predictions WHERE number IN
    (SELECT number FROM ({_HEAD.format(GONE)}) WHERE kept_s <= :until_s)"""
_GIVE_UP = """DELETE FROM waiting WHERE number IN
    (SELECT number FROM (SELECT number, added_s FROM waiting ORDER BY number LIMIT :most) WHERE added_s <= :until_s)"""
# The plus keeps SQLite from going through all that are UNREAD.
_MARK = f"""UPDATE predictions SET state = CASE labelled WHEN 1 THEN {READ} ELSE {QUIET} END, place = number
    WHERE +state = {UNREAD} AND number IN (SELECT prediction FROM pairs WHERE number > :read AND number <= :upto)
    AND NOT EXISTS (SELECT 1 FROM pairs WHERE prediction = predictions.number AND pairs.number > :upto)"""


class Kept(NamedTuple):
    """A prediction to be written: as joining knows it, its ids, and its document in the layout of this number."""

    known: Known
    ids: Sequence[str]
    layout: int | None
    document: bytes


def load_counts(connection: sqlite3.Connection) -> Counts:
    """As of the last transaction, or within this one."""
    return Counts(*connection.execute("SELECT * FROM counts").fetchone())


def store_counts(connection: sqlite3.Connection, counts: Counts) -> None:
    """In place of what they were."""
    connection.execute(_COUNT, astuple(counts))


def load_board(connection: sqlite3.Connection, counts: Counts, ids: Iterable[str], room: int) -> Board:
    """What is known of these ids; `room` is for labels to wait."""
    asked = _json(set(ids))
    board = Board(counts.pairs, room)
    predictions: dict[int, Known] = {}
    for name, number, variant, rows, gone, *pair in connection.execute(_KNOWN, (asked,)):
        if number not in predictions:
            predictions[number] = Known(number, variant, rows, gone=bool(gone))
        known = predictions[number]
        board.meet(name, known)
        if pair[0] is not None:
            told = Told(*pair[1:])
            known.pairs[told.metric] = Pair(pair[0], number, told)
    for number, *label in connection.execute(_WAITING, (asked,)) if counts.waiting else ():
        told = Told(*label)
        board.waiting.setdefault(told.id, {})[told.metric] = (number, told)
    return board


def store_board(connection: sqlite3.Connection, counts: Counts, board: Board, now_s: float) -> None:
    """What came of it; predictions that are new are to be written after it."""
    _insert(connection, "pairs", [(pair.number, pair.prediction, *pair.told) for pair in board.joined])
    _insert(connection, "waiting", [(None, now_s, *told) for told in board.begun])
    if board.resolved:
        resolved = _json(board.resolved)
        connection.execute("DELETE FROM waiting WHERE number IN (SELECT value FROM json_each(?))", (resolved,))
    counts.waiting += len(board.begun) - len(board.resolved)
    counts.awaiting -= sum(pair.told.metric == TRUTH and pair.prediction <= counts.predictions for pair in board.joined)
    counts.pairs = board.last
    for status, number in board.labels.items():
        setattr(counts, status, getattr(counts, status) + number)


def keep(connection: sqlite3.Connection, counts: Counts, kept: Sequence[Kept], now_s: float) -> None:
    """Write these predictions."""
    rows: list[tuple[Cell, ...]] = []
    for known, ids, layout, document in kept:
        state, place = (UNREAD, known.number + 1) if known.pairs else (QUIET, known.number)
        told = (known.labelled, now_s, known.rows, known.variant, _json(ids))
        rows.append((known.number, state, place, *told, layout, document))
    _insert(connection, "kept", rows)
    counts.predictions += len(kept)
    counts.present += len(kept)
    counts.awaiting += sum(not each.known.labelled for each in kept)


def read_joined(connection: sqlite3.Connection, after: int, limit: int) -> list[tuple[int, int | None, bytes, bytes]]:
    """Number, layout, prediction and label of the pairs behind this place."""
    return connection.execute(_JOINED, (after, limit)).fetchall()


def oldest(connection: sqlite3.Connection) -> float:
    """The number of the oldest prediction that is there; beyond all numbers where there is none."""
    (number,) = connection.execute("SELECT min(number) FROM documents").fetchone()
    return inf if number is None else number


def mark(connection: sqlite3.Connection, counts: Counts, most: int) -> None:
    """Mark the predictions of which all has been read, as far as everybody has; of so many pairs at most."""
    (upto,) = connection.execute("SELECT min(upto) FROM saved").fetchone()
    upto = min(upto or 0, counts.read + most, counts.pairs)
    if upto > counts.read:
        connection.execute(_MARK, {"read": counts.read, "upto": upto})
        counts.read = upto


def let_go_of_surplus(connection: sqlite3.Connection, counts: Counts, most: int) -> None:
    """Of so many."""
    if most > 0:
        _left(counts, connection.execute(_SURPLUS, {"most": most}).fetchall())


def let_go_of_old(connection: sqlite3.Connection, counts: Counts, until_s: float, most: int) -> None:
    """Of what was kept before that moment; not of what is still to be read."""
    _left(counts, connection.execute(_OLD, {"most": most, "until_s": until_s}).fetchall())


def _left(counts: Counts, gone: Sequence[tuple[int]]) -> None:
    missing = sum(not labelled for (labelled,) in gone)
    counts.present -= len(gone)
    counts.gone += len(gone)
    counts.awaiting -= missing
    counts.missing += missing


def forget(connection: sqlite3.Connection, counts: Counts, until_s: float, most: int) -> None:
    """The ids of what is gone and was kept before that moment."""
    if most > 0:
        counts.gone -= connection.execute(_FORGET, {"most": most, "until_s": until_s}).rowcount


def give_up(connection: sqlite3.Connection, counts: Counts, until_s: float, most: int) -> None:
    """Labels that began to wait before that moment."""
    unknown = connection.execute(_GIVE_UP, {"most": most, "until_s": until_s}).rowcount
    counts.waiting -= unknown
    counts.unknown += unknown


def _insert(connection: sqlite3.Connection, table: str, rows: Sequence[tuple[Cell, ...]]) -> None:
    for begin in range(0, len(rows), BULK):
        part = rows[begin : begin + BULK]
        connection.execute(_insertion(table, len(part), len(part[0])), [cell for row in part for cell in row])


@lru_cache(maxsize=STATEMENTS)
def _insertion(table: str, rows: int, cells: int) -> str:
    row = f"({', '.join('?' * cells)})"
    return f"INSERT INTO {table} VALUES {', '.join([row] * rows)}"


def _json(values: Collection[int | str]) -> str:
    return json.dumps(list(values))
