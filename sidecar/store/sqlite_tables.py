"""The tables of predictions and labels in SQLite, and what is done to them within a transaction.

Whenever a statement runs for longer than it takes another of Python's threads to wake up, that thread may have taken
the interpreter, and keeps it for 5 ms. So there are few statements, however many rows they are for: numbers go in as
one JSON text, rows side by side, and what follows from a row is done by triggers.
"""

import json
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from functools import lru_cache
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from sidecar.sqlite_file import STATEMENTS, Schema
from sidecar.store.documents import DIGEST_BYTES
from sidecar.store.joining import TRUTH, Board, Known, Pair, Told
from sidecar.store.sqlite_layouts import Layouts

if TYPE_CHECKING:
    # The options are checked before numpy need be there.
    from sidecar.store.sqlite_index import Index

CACHE_KIB = 8192
"""For pages; those of random ids are read from the system's cache where there is no room."""

CHECKPOINT_PAGES = 1000
"""Of the log beside the file, when they are written into it: 4 MB, some 10 ms."""

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
    settings=(
        f"cache_size = -{CACHE_KIB}",
        f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
        f"journal_size_limit = {2 * CHECKPOINT_PAGES * 4096}",
        "secure_delete = FAST",  # what is let go of is overwritten where that costs no page of its own
    ),
    statements=(
        # What joining asks for, of those that are there and those that are remembered; `ids` are digests, one behind
        # the other. The READ leave first, then the others by `place`: the number of each, or for the UNREAD that of the
        # prediction that came next after they were joined last.
        """CREATE TABLE predictions (
            number INTEGER PRIMARY KEY, state INTEGER NOT NULL, place INTEGER NOT NULL, labelled INTEGER NOT NULL,
            kept_s REAL NOT NULL, rows INTEGER NOT NULL, variant BLOB NOT NULL, ids BLOB NOT NULL
        )""",
        "CREATE INDEX predictions_place ON predictions (state, place)",
        # What readers get, apart: a prediction changes its state twice, its document never.
        "CREATE TABLE documents (number INTEGER PRIMARY KEY, layout INTEGER, document BLOB NOT NULL)",
        "CREATE TABLE layouts (number INTEGER PRIMARY KEY, document BLOB NOT NULL)",
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
    ),
)

_COUNT = f"UPDATE counts SET ({', '.join(_COLUMNS)}) = ({', '.join('?' for _ in _COLUMNS)})"
_KNOWN = f"""SELECT predictions.number, variant, rows, state = {GONE}, ids,
        pairs.number, pairs.id, metric, size, document
    FROM predictions LEFT JOIN pairs ON pairs.prediction = predictions.number
    WHERE predictions.number IN (SELECT value FROM json_each(?)) ORDER BY predictions.number"""
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
    (SELECT number FROM ({_HEAD.format(GONE)}) WHERE kept_s <= :until_s) RETURNING number"""
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


@dataclass(frozen=True, slots=True)
class Work:
    """What a transaction works on."""

    connection: sqlite3.Connection
    counts: Counts
    layouts: Layouts
    index: "Index"


def load_counts(connection: sqlite3.Connection) -> Counts:
    """As of the last transaction, or within this one."""
    return Counts(*connection.execute("SELECT * FROM counts").fetchone())


def store_counts(connection: sqlite3.Connection, counts: Counts) -> None:
    """In place of what they were."""
    connection.execute(_COUNT, astuple(counts))


def load_board(work: Work, ids: Iterable[str], room: int) -> Board:
    """What is known of these ids; `room` is for labels to wait."""
    asked = set(ids)
    board = Board(work.counts.pairs, room)
    predictions: dict[int, Known] = {}
    numbers = work.index.find(_digests(asked))
    for number, variant, rows, gone, names, *pair in (
        work.connection.execute(_KNOWN, (_json(numbers),)) if numbers else ()
    ):
        if number not in predictions:
            predictions[number] = Known(number, variant, rows, gone=bool(gone))
            for name in asked.intersection(_names(names)):
                board.meet(name, predictions[number])
        if pair[0] is not None:
            told = Told(*pair[1:])
            predictions[number].pairs[told.metric] = Pair(pair[0], number, told)
    if work.counts.waiting:
        for number, *label in work.connection.execute(_WAITING, (_json(asked),)):
            told = Told(*label)
            board.waiting.setdefault(told.id, {})[told.metric] = (number, told)
    return board


def store_board(work: Work, board: Board, now_s: float) -> None:
    """What came of it; predictions that are new are to be written after it."""
    _insert(work.connection, "pairs", [(pair.number, pair.prediction, *pair.told) for pair in board.joined])
    _insert(work.connection, "waiting", [(None, now_s, *told) for told in board.begun])
    if board.resolved:
        resolved = _json(board.resolved)
        work.connection.execute("DELETE FROM waiting WHERE number IN (SELECT value FROM json_each(?))", (resolved,))
    work.counts.waiting += len(board.begun) - len(board.resolved)
    work.counts.awaiting -= sum(
        pair.told.metric == TRUTH and pair.prediction <= work.counts.predictions for pair in board.joined
    )
    work.counts.pairs = board.last
    for status, number in board.labels.items():
        setattr(work.counts, status, getattr(work.counts, status) + number)


def keep(work: Work, kept: Sequence[Kept], now_s: float) -> None:
    """Write these predictions."""
    rows: list[tuple[Cell, ...]] = []
    for known, ids, layout, document in kept:
        state, place = (UNREAD, known.number + 1) if known.pairs else (QUIET, known.number)
        digests = _digests(ids)
        work.index.add(known.number, digests)
        told = (known.labelled, now_s, known.rows, known.variant, digests)
        rows.append((known.number, state, place, *told, layout, document))
    _insert(work.connection, "kept", rows)
    work.counts.predictions += len(kept)
    work.counts.present += len(kept)
    work.counts.awaiting += sum(not each.known.labelled for each in kept)


def read_joined(connection: sqlite3.Connection, after: int, limit: int) -> list[tuple[int, int | None, bytes, bytes]]:
    """Number, layout, prediction and label of the pairs behind this place."""
    return connection.execute(_JOINED, (after, limit)).fetchall()


def oldest(connection: sqlite3.Connection) -> float:
    """The number of the oldest prediction that is there; beyond all numbers where there is none."""
    (number,) = connection.execute("SELECT min(number) FROM documents").fetchone()
    return inf if number is None else number


def mark(work: Work, most: int) -> None:
    """Mark the predictions of which all has been read, as far as everybody has; of so many pairs at most."""
    (upto,) = work.connection.execute("SELECT min(upto) FROM saved").fetchone()
    upto = min(upto or 0, work.counts.read + most, work.counts.pairs)
    if upto > work.counts.read:
        work.connection.execute(_MARK, {"read": work.counts.read, "upto": upto})
        work.counts.read = upto


def let_go_of_surplus(work: Work, most: int) -> None:
    """Of so many."""
    if most > 0:
        _left(work.counts, work.connection.execute(_SURPLUS, {"most": most}).fetchall())


def let_go_of_old(work: Work, until_s: float, most: int) -> None:
    """Of what was kept before that moment; not of what is still to be read."""
    _left(work.counts, work.connection.execute(_OLD, {"most": most, "until_s": until_s}).fetchall())


def _left(counts: Counts, gone: Sequence[tuple[int]]) -> None:
    missing = sum(not labelled for (labelled,) in gone)
    counts.present -= len(gone)
    counts.gone += len(gone)
    counts.awaiting -= missing
    counts.missing += missing


def forget(work: Work, until_s: float, most: int) -> None:
    """What is gone and was kept before that moment."""
    if most > 0:
        gone = work.connection.execute(_FORGET, {"most": most, "until_s": until_s}).fetchall()
        work.index.forget(number for (number,) in gone)
        work.counts.gone -= len(gone)


def give_up(work: Work, until_s: float, most: int) -> None:
    """Labels that began to wait before that moment."""
    unknown = work.connection.execute(_GIVE_UP, {"most": most, "until_s": until_s}).rowcount
    work.counts.waiting -= unknown
    work.counts.unknown += unknown


def _insert(connection: sqlite3.Connection, table: str, rows: Sequence[tuple[Cell, ...]]) -> None:
    for begin in range(0, len(rows), BULK):
        part = rows[begin : begin + BULK]
        connection.execute(_insertion(table, len(part), len(part[0])), [cell for row in part for cell in row])


@lru_cache(maxsize=STATEMENTS)
def _insertion(table: str, rows: int, cells: int) -> str:
    row = f"({', '.join('?' * cells)})"
    return f"INSERT INTO {table} VALUES {', '.join([row] * rows)}"


def _digests(names: Iterable[str]) -> bytes:
    return bytes.fromhex("".join(names))


def _names(digests: bytes) -> list[str]:
    return [digests[begin : begin + DIGEST_BYTES].hex() for begin in range(0, len(digests), DIGEST_BYTES)]


def _json(values: Collection[int | str]) -> str:
    return json.dumps(list(values))
