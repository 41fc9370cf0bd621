import sqlite3
from contextlib import closing
from math import inf
from pathlib import Path

import pytest

from sidecar.store import sqlite_index
from sidecar.store import sqlite_tables as tables
from sidecar.store.documents import digest
from sidecar.store.sqlite import FILE, Sqlite
from sidecar.store.sqlite_index import Index
from sidecar.store.sqlite_layouts import Layouts
from sidecar.store.sqlite_tables import Work
from tests.store.contract import NOW_S, label, prediction


@pytest.fixture
def connection(tmp_path: Path) -> sqlite3.Connection:
    with closing(Sqlite(str(tmp_path))) as store:
        store.keep([prediction(f"e{n}", f"r{n}") for n in range(100)], NOW_S)
        store.add([label(f"r{n}") for n in range(50)], NOW_S)
    return sqlite3.connect(tmp_path / FILE, isolation_level=None)


STATEMENTS = {
    "known": tables._KNOWN,
    "waiting": tables._WAITING,
    "joined": tables._JOINED,
    "surplus": tables._SURPLUS,
    "old": tables._OLD,
    "forget": tables._FORGET,
    "give up": tables._GIVE_UP,
    "mark": tables._MARK,
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_statement_goes_through_a_whole_table(connection: sqlite3.Connection, name: str) -> None:
    """What one costs must not grow with what is kept: a scan is of what was asked, or in order up to a limit."""
    with closing(connection):
        values = ("[]",) if name in {"known", "waiting"} else (0, 1)
        named = {"most": 1, "until_s": 0.0, "read": 0, "upto": 1}
        told = connection.execute(
            f"EXPLAIN QUERY PLAN {STATEMENTS[name]}", named if ":" in STATEMENTS[name] else values
        )
        steps = [step for *_, step in told]
    bounded = ("SCAN json_each", "SCAN (subquery-", "SCAN waiting")
    assert [step for step in steps if step.startswith("SCAN") and not step.startswith(bounded)] == []
    assert any("SEARCH" in step for step in steps)


def test_counts_are_kept_as_they_are(connection: sqlite3.Connection) -> None:
    with closing(connection):
        counts = tables.load_counts(connection)
        assert (counts.predictions, counts.present, counts.awaiting, counts.joined, counts.pairs) == (
            100,
            100,
            50,
            50,
            50,
        )
        counts.gone = 7
        tables.store_counts(connection, counts)
        assert tables.load_counts(connection) == counts


def work(connection: sqlite3.Connection) -> Work:
    index = Index(connection.execute("SELECT number, ids FROM predictions"), 1)
    return Work(connection, tables.load_counts(connection), Layouts(connection, 0), index)


def sizes(connection: sqlite3.Connection) -> list[int]:
    names = ("predictions", "documents", "pairs")
    return [connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names]


def test_what_is_counted_is_what_is_there(connection: sqlite3.Connection) -> None:
    with closing(connection):
        found = work(connection)
        tables.let_go_of_surplus(found, 30)
        tables.forget(found, inf, 10)
        states = dict(connection.execute("SELECT state, count(*) FROM predictions GROUP BY state"))
        tables.let_go_of_surplus(found, 25)
        left = sizes(connection)
    counts = found.counts
    assert states == {tables.QUIET: 20, tables.UNREAD: 50, tables.GONE: 20}
    assert (counts.present, counts.gone, counts.awaiting, counts.missing) == (45, 45, 0, 50)
    assert left == [90, 45, 45]


def test_what_is_forgotten_leaves_memory_too(connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_index, "DEAD", 0)
    with closing(connection):
        found = work(connection)
        tables.let_go_of_surplus(found, 60)
        tables.forget(found, inf, 30)
    found.index.settle(done=True)
    known = [len(found.index.find(digest(f"{kind}{n}"))) for kind in "er" for n in range(100)]
    assert sum(known) == 140


def test_so_many_pairs_are_marked_as_read_at_once(connection: sqlite3.Connection) -> None:
    with closing(connection):
        found = work(connection)
        connection.execute("INSERT INTO saved VALUES ('quality', 45, '')")
        marked = []
        for _ in range(3):
            tables.mark(found, 20)
            marked.append(connection.execute("SELECT count(*) FROM predictions WHERE state = 0").fetchone()[0])
    assert (marked, found.counts.read) == ([20, 40, 45], 45)


def test_ids_that_look_alike_are_told_apart(connection: sqlite3.Connection) -> None:
    """The index says where to look; here it says everything of everything."""

    class Everywhere(Index):
        def find(self, ids: bytes) -> list[int]:
            return [*range(200)] if ids else []

    with closing(connection):
        found = work(connection)
        found = Work(connection, found.counts, found.layouts, Everywhere((), 1))
        names = [digest(name).hex() for name in ("r7", "e8", "nobody")]
        board = tables.load_board(found, names, room=0)
    assert {name: [*known] for name, known in board.known.items()} == {names[0]: [8], names[1]: [9]}
