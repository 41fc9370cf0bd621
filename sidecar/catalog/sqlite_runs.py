"""What is done to the tables of training runs within a transaction."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from sidecar.catalog.bounds import check_number
from sidecar.entries import Point, Run, RunStatus
from sidecar.errors import ConflictError, UnknownError

POINTS = 50_000
"""Of a run; of more, every second one of each metric goes: its curve stays whole, and ends where it does."""
LISTED = 1000
"""Runs that a list shows: the latest."""

_STATUSES: Mapping[str, RunStatus] = {"running": "running", "finished": "finished", "failed": "failed"}
_RUN = "SELECT id, key, model, name, started_s, ended_s, status, thinned FROM runs WHERE"
_LISTED = f"{_RUN} model = ? ORDER BY id DESC LIMIT {LISTED}"
_POINTS = """SELECT run, name, step, value, time_s FROM series JOIN points ON {} WHERE run IN (SELECT value
    FROM json_each(?)) ORDER BY points.id"""
_ALL_POINTS = _POINTS.format("series = series.id")
_LAST_POINTS = _POINTS.format("points.id = last")
_TEXTS = "SELECT run, name, value FROM texts WHERE kind = ? AND run IN (SELECT value FROM json_each(?)) ORDER BY id"
_POINT = """INSERT OR IGNORE INTO points (series, step, time_s, value)
    SELECT id, ?, ?, ? FROM series WHERE run = ? AND name = ?"""
_THIN = """DELETE FROM points WHERE id IN (SELECT id FROM (
        SELECT points.id, row_number() OVER (PARTITION BY series ORDER BY points.id DESC) AS place
        FROM points JOIN series ON series = series.id WHERE run = ?
    ) WHERE place % 2 = 0)"""

_Row = tuple[int, str, str, str, float, float | None, str, int]


def add_run(connection: sqlite3.Connection, run: Run) -> None:
    """Write down a run that begins."""
    row = (run.id, run.group, run.name, run.started_s, run.status)
    connection.execute("INSERT INTO runs (key, model, name, started_s, status) VALUES (?, ?, ?, ?, ?)", row)


def add_to_run(
    connection: sqlite3.Connection,
    key: str,
    parameters: Mapping[str, str],
    points: Sequence[Point],
    artefacts: Mapping[str, str],
) -> None:
    """Write down what a run says.

    Raises:
        UnknownError: There is no such run.
        ConflictError: It has ended.
        ConfigError: It would have too many of them.
    """
    run = _running(connection, key)
    _add_texts(connection, run, "parameter", parameters)
    _add_texts(connection, run, "artefact", artefacts)
    _add_points(connection, run, points)


def end_run(connection: sqlite3.Connection, key: str, status: RunStatus, now_s: float) -> None:
    """Write down that a run has ended; that it has so already, somebody may say again.

    Raises:
        UnknownError: There is no such run.
        ConflictError: It has ended otherwise.
    """
    row = connection.execute("SELECT status FROM runs WHERE key = ?", (key,)).fetchone()
    if row == (status,):
        return
    run = _running(connection, key)
    query = "UPDATE runs SET status = ?, ended_s = max(started_s, ?) WHERE id = ?"
    connection.execute(query, (status, now_s, run))


def load_run(connection: sqlite3.Connection, key: str) -> Run:
    """A run with all of its points.

    Raises:
        UnknownError: There is no such run.
    """
    rows = connection.execute(f"{_RUN} key = ?", (key,)).fetchall()
    if not rows:
        raise UnknownError(f"there is no run {key!r}")
    return _runs(connection, rows, _ALL_POINTS)[0]


def load_runs(connection: sqlite3.Connection, group: str) -> list[Run]:
    """The latest runs of a model, of their points the last of each metric."""
    return _runs(connection, connection.execute(_LISTED, (group,)).fetchall(), _LAST_POINTS)


def _running(connection: sqlite3.Connection, key: str) -> int:
    row = connection.execute("SELECT id, status FROM runs WHERE key = ?", (key,)).fetchone()
    if row is None:
        raise UnknownError(f"there is no run {key!r}")
    if row[1] != "running":
        raise ConflictError(f"run {key} has {row[1]}")
    return int(row[0])


def _add_texts(connection: sqlite3.Connection, run: int, kind: str, texts: Mapping[str, str]) -> None:
    connection.executemany(
        "INSERT INTO texts (run, kind, name, value) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (run, kind, name) DO UPDATE SET value = excluded.value",
        [(run, kind, name, value) for name, value in texts.items()],
    )
    query = "SELECT count(*) FROM texts WHERE run = ? AND kind = ?"
    check_number(f"{kind}s", connection.execute(query, (run, kind)).fetchone()[0])


def _add_points(connection: sqlite3.Connection, run: int, points: Sequence[Point]) -> None:
    names = dict.fromkeys(point.name for point in points)
    series = [(run, name) for name in names]
    connection.executemany("INSERT OR IGNORE INTO series (run, name) VALUES (?, ?)", series)
    check_number("metrics", connection.execute("SELECT count(*) FROM series WHERE run = ?", (run,)).fetchone()[0])
    rows = [(int(each.step), float(each.time_s), float(each.value), run, each.name) for each in points]
    added = connection.executemany(_POINT, rows).rowcount if rows else 0
    query = "UPDATE runs SET points = points + ? WHERE id = ? RETURNING points"
    [(number,)] = connection.execute(query, (added, run)).fetchall()
    if number > POINTS:
        gone = connection.execute(_THIN, (run,)).rowcount
        connection.execute("UPDATE runs SET points = points - ?, thinned = thinned + ? WHERE id = ?", (gone, gone, run))


def _runs(connection: sqlite3.Connection, rows: Sequence[_Row], query: str) -> list[Run]:
    ids = str([row[0] for row in rows])
    points: dict[int, list[Point]] = {row[0]: [] for row in rows}
    for run, name, step, value, time_s in connection.execute(query, (ids,)):
        points[run].append(Point(name, step, float("nan") if value is None else value, time_s))
    parameters, artefacts = (_by_run(connection.execute(_TEXTS, (kind, ids))) for kind in ("parameter", "artefact"))
    return [
        Run(
            id=key,
            group=model,
            name=name,
            started_s=started_s,
            ended_s=ended_s,
            status=_STATUSES[status],
            parameters=parameters.get(run, {}),
            points=tuple(points[run]),
            artefacts=artefacts.get(run, {}),
            thinned=thinned,
        )
        for run, key, model, name, started_s, ended_s, status, thinned in rows
    ]


def _by_run(rows: Iterable[tuple[int, str, str]]) -> dict[int, dict[str, str]]:
    found: dict[int, dict[str, str]] = {}
    for run, name, value in rows:
        found.setdefault(run, {})[name] = value
    return found
