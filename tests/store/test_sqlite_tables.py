import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sidecar.store import sqlite_tables as tables
from sidecar.store.sqlite import FILE, Sqlite
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


def test_what_is_counted_is_what_is_there(connection: sqlite3.Connection) -> None:
    with closing(connection):
        counts = tables.load_counts(connection)
        tables.let_go_of_surplus(connection, counts, 30)
        tables.forget(connection, counts, float("inf"), 10)
        states = dict(connection.execute("SELECT state, count(*) FROM predictions GROUP BY state"))
        sizes = {
            name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ("documents", "ids")
        }
    assert (counts.present, counts.gone, counts.awaiting, counts.missing) == (70, 20, 20, 30)
    assert states == {tables.QUIET: 20, tables.UNREAD: 50, tables.GONE: 20}
    assert sizes == {"documents": 70, "ids": 180}
