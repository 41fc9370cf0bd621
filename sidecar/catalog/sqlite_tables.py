"""The tables of the catalogue in SQLite, and what is done to those of versions within a transaction."""

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeVar

from sidecar.catalog.bounds import NAMED
from sidecar.catalog.documents import decode, encode
from sidecar.entries import Approval, Decision, Deployment, Draft, Version
from sidecar.errors import UnknownError
from sidecar.ports import Serving
from sidecar.sqlite_file import Schema

T = TypeVar("T")

HISTORY = 100
"""Decisions of a version that are kept, and deployments that have ended: the latest."""

APPROVALS: Mapping[str, Approval] = {"pending": "pending", "approved": "approved", "rejected": "rejected"}

SCHEMA = Schema(
    application_id=0x53444356,  # SDCV
    version=1,
    shared=True,
    # Whoever asks us to keep something must find it after the power has failed.
    settings=("synchronous = FULL", "foreign_keys = ON", "journal_size_limit = 8192000"),
    statements=(
        "CREATE TABLE changes (model TEXT PRIMARY KEY, number INTEGER NOT NULL)",
        """CREATE TABLE versions (
            id INTEGER PRIMARY KEY, model TEXT NOT NULL, number INTEGER NOT NULL, registered_s REAL NOT NULL,
            by TEXT NOT NULL, draft TEXT NOT NULL, live TEXT NOT NULL DEFAULT '{}', live_s REAL, UNIQUE (model, number)
        )""",
        """CREATE TABLE parents (
            parent INTEGER NOT NULL REFERENCES versions, child INTEGER NOT NULL REFERENCES versions,
            PRIMARY KEY (parent, child)
        ) WITHOUT ROWID""",
        """CREATE TABLE decisions (
            id INTEGER PRIMARY KEY, version INTEGER NOT NULL REFERENCES versions, approval TEXT NOT NULL,
            time_s REAL NOT NULL, by TEXT NOT NULL, why TEXT NOT NULL
        )""",
        "CREATE INDEX decisions_version ON decisions (version)",
        """CREATE TABLE deployments (
            id INTEGER PRIMARY KEY, version INTEGER NOT NULL REFERENCES versions, model TEXT NOT NULL,
            variant TEXT NOT NULL, since_s REAL NOT NULL, until_s REAL, by TEXT NOT NULL, why TEXT NOT NULL,
            replaced TEXT NOT NULL, weight REAL NOT NULL, ended_by TEXT NOT NULL, ended_why TEXT NOT NULL
        )""",
        "CREATE INDEX deployments_version ON deployments (version)",
        "CREATE INDEX deployments_variant ON deployments (model, variant)",
        # Whatever is done by how many at once: one version is behind a variant.
        "CREATE UNIQUE INDEX deployments_open ON deployments (model, variant) WHERE until_s IS NULL",
        """CREATE TABLE runs (
            id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, model TEXT NOT NULL, name TEXT NOT NULL,
            started_s REAL NOT NULL, ended_s REAL, status TEXT NOT NULL, points INTEGER NOT NULL DEFAULT 0,
            thinned INTEGER NOT NULL DEFAULT 0
        )""",
        "CREATE INDEX runs_model ON runs (model)",
        """CREATE TABLE texts (
            id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES runs, kind TEXT NOT NULL, name TEXT NOT NULL,
            value TEXT NOT NULL, UNIQUE (run, kind, name)
        )""",
        # A metric of a run; `last` is its latest point, which lists show without going through all.
        """CREATE TABLE series (
            id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES runs, name TEXT NOT NULL, last INTEGER,
            UNIQUE (run, name)
        )""",
        # A value of NULL is NaN.
        """CREATE TABLE points (
            id INTEGER PRIMARY KEY, series INTEGER NOT NULL REFERENCES series, step INTEGER NOT NULL,
            time_s REAL NOT NULL, value REAL
        )""",
        # Whoever got no answer says it again: the same point counts once.
        "CREATE UNIQUE INDEX points_once ON points (series, step, time_s, ifnull(value, 'NaN'))",
        """CREATE TRIGGER lasting AFTER INSERT ON points BEGIN
            UPDATE series SET last = new.id WHERE id = new.series;
        END""",
    ),
)

_WHOSE = "versions.model = :model AND (:number IS NULL OR versions.number = :number)"
_VERSIONS = f"""SELECT id, number, registered_s, by, draft, live, live_s FROM versions
    WHERE {_WHOSE} ORDER BY number DESC"""
_DECISIONS = f"""SELECT versions.id, approval, time_s, decisions.by, why
    FROM versions JOIN decisions ON version = versions.id WHERE {_WHOSE} ORDER BY versions.id, decisions.id"""
_DEPLOYMENTS = f"""SELECT versions.id, variant, since_s, until_s, deployments.by, why, replaced, weight,
        ended_by, ended_why
    FROM versions JOIN deployments ON version = versions.id WHERE {_WHOSE} ORDER BY versions.id, deployments.id"""
_CHILDREN = f"""SELECT versions.id, child.model || '/' || child.number
    FROM versions JOIN parents ON parent = versions.id JOIN versions AS child ON child.id = parents.child
    WHERE {_WHOSE} ORDER BY versions.id, child.id"""
_FORGET = """DELETE FROM {table} WHERE version = :version AND {ended} AND id NOT IN
    (SELECT id FROM {table} WHERE version = :version AND {ended} ORDER BY id DESC LIMIT {most})"""
_FORGET_DECISIONS = _FORGET.format(table="decisions", ended="TRUE", most=HISTORY)
_FORGET_DEPLOYMENTS = _FORGET.format(table="deployments", ended="until_s IS NOT NULL", most=HISTORY)
_BEFORE = """SELECT versions.id, versions.number FROM deployments JOIN versions ON versions.id = version
    WHERE deployments.model = ? AND variant = ? ORDER BY deployments.id DESC LIMIT 1"""


class _Open(NamedTuple):
    """A deployment that has not ended."""

    id: int
    version: int
    weight: float


def changes(connection: sqlite3.Connection, group: str) -> int:
    """How often versions of a model, decisions or deployments have changed."""
    row = connection.execute("SELECT number FROM changes WHERE model = ?", (group,)).fetchone()
    return int(row[0]) if row else 0


def _changed(connection: sqlite3.Connection, group: str) -> None:
    query = "INSERT INTO changes VALUES (?, 1) ON CONFLICT (model) DO UPDATE SET number = number + 1"
    connection.execute(query, (group,))


def number_of(name: str) -> int | None:
    """The number of a version that is called so; None where no version can be."""
    return int(name) if name.isascii() and name.isdecimal() and name[0] != "0" and len(name) < 10 else None


def find(connection: sqlite3.Connection, group: str, name: str) -> int:
    """The row of a version.

    Raises:
        UnknownError: There is none.
    """
    query = "SELECT id FROM versions WHERE model = ? AND number = ?"
    row = connection.execute(query, (group, number_of(name))).fetchone()
    if row is None:
        raise UnknownError(f"{group} has no version {name!r}")
    return int(row[0])


def load_versions(connection: sqlite3.Connection, group: str, number: int | None = None) -> list[Version]:
    """All versions of a model, or the one of this number; the latest first."""
    whose = {"model": group, "number": number}
    decisions = _by_version(connection.execute(_DECISIONS, whose), lambda word, *rest: Decision(APPROVALS[word], *rest))
    deployments = _by_version(connection.execute(_DEPLOYMENTS, whose), Deployment)
    children = _by_version(connection.execute(_CHILDREN, whose), str)
    return [
        Version(
            group=group,
            number=own,
            draft=decode(draft, Draft),
            registered_s=registered_s,
            by=by,
            decisions=decisions.get(row, ()),
            deployments=deployments.get(row, ()),
            live=decode(live, dict[str, float]),
            live_s=live_s,
            children=children.get(row, ()),
        )
        for row, own, registered_s, by, draft, live, live_s in connection.execute(_VERSIONS, whose)
    ]


def add_version(connection: sqlite3.Connection, group: str, draft: Draft, by: str, now_s: float) -> int:
    """Write down a version under the next number; that number.

    Raises:
        UnknownError: What it derives from is not there.
    """
    parents = [_parent(connection, link.target) for link in draft.links if link.relation == "derived_from"]
    cursor = connection.execute(
        "INSERT INTO versions (model, number, registered_s, by, draft)"
        " SELECT :model, 1 + ifnull(max(number), 0), :now_s, :by, :draft FROM versions WHERE model = :model"
        " RETURNING id, number",
        {"model": group, "now_s": now_s, "by": by, "draft": encode(draft).decode()},
    )
    [(child, number)] = cursor.fetchall()
    connection.executemany("INSERT OR IGNORE INTO parents VALUES (?, ?)", [(parent, child) for parent in parents])
    _changed(connection, group)
    return int(number)


def add_decision(connection: sqlite3.Connection, group: str, name: str, decision: Decision) -> None:
    """Write down a decision; who says again what was said last has got no answer, and it stands already.

    Raises:
        UnknownError: There is no such version.
    """
    version = find(connection, group, name)
    query = "SELECT approval, by, why FROM decisions WHERE version = ? ORDER BY id DESC LIMIT 1"
    approval, time_s, by, why = decision
    if connection.execute(query, (version,)).fetchone() == (approval, by, why):
        return
    row = (version, approval, time_s, by, why)
    connection.execute("INSERT INTO decisions (version, approval, time_s, by, why) VALUES (?, ?, ?, ?, ?)", row)
    connection.execute(_FORGET_DECISIONS, {"version": version})
    _changed(connection, group)


def add_live(connection: sqlite3.Connection, group: str, name: str, live: Mapping[str, float], now_s: float) -> None:
    """Write down what is measured of a version, beside what was of other names.

    Raises:
        UnknownError: There is no such version.
    """
    version = find(connection, group, name)
    before = connection.execute("SELECT live FROM versions WHERE id = ?", (version,)).fetchone()[0]
    kept = {known: value for known, value in decode(before, dict[str, float]).items() if known not in live}
    latest = list({**kept, **live}.items())[-NAMED:]
    values = (encode(dict(latest)).decode(), now_s, version)
    connection.execute("UPDATE versions SET live = ?, live_s = ? WHERE id = ?", values)


def deploy(connection: sqlite3.Connection, group: str, serving: Iterable[Serving], since: Deployment) -> None:
    """Bring the deployments that have not ended in line with who serves.

    Args:
        since: What those that begin have in common.
    """
    wanted = _wanted(connection, group, serving)
    query = "SELECT variant, id, version, weight FROM deployments WHERE model = ? AND until_s IS NULL"
    now = {variant: _Open(*row) for variant, *row in connection.execute(query, (group,))}
    ended = [each for variant, each in now.items() if wanted.get(variant, (None,))[0] != each.version]
    begun = [(variant, *want) for variant, want in wanted.items() if variant not in now or now[variant] in ended]
    moved = [
        (want[1], now[variant].id)
        for variant, want in wanted.items()
        if variant in now and now[variant] not in ended and now[variant].weight != want[1]
    ]
    connection.executemany(
        # The clock may have been set back.
        "UPDATE deployments SET until_s = max(since_s, ?), ended_by = ?, ended_why = ? WHERE id = ?",
        [(since.since_s, since.by, since.why, each.id) for each in ended],
    )
    connection.executemany("UPDATE deployments SET weight = ? WHERE id = ?", moved)
    for variant, version, weight in begun:
        _begin(connection, group, version, since._replace(variant=variant, weight=weight))
    if ended or begun or moved:
        _changed(connection, group)


def _wanted(connection: sqlite3.Connection, group: str, serving: Iterable[Serving]) -> dict[str, tuple[int, float]]:
    """The row of the version and the weight of each variant that has some, where we know the version."""
    rows: dict[int | None, int] = dict(
        connection.execute("SELECT number, id FROM versions WHERE model = ?", (group,)).fetchall()
    )
    known = [(each.variant, rows.get(number_of(each.version)), each.weight) for each in serving if each.weight > 0]
    return {variant: (row, weight) for variant, row, weight in known if row is not None}


def _begin(connection: sqlite3.Connection, group: str, version: int, deployment: Deployment) -> None:
    before = connection.execute(_BEFORE, (group, deployment.variant)).fetchone()
    replaced = str(before[1]) if before and before[0] != version else ""
    connection.execute(
        "INSERT INTO deployments (version, model, variant, since_s, until_s, by, why, replaced, weight, ended_by,"
        " ended_why) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (version, group, *deployment._replace(replaced=replaced)),
    )
    connection.execute(_FORGET_DEPLOYMENTS, {"version": version})


def _parent(connection: sqlite3.Connection, target: str) -> int:
    group, _, name = target.rpartition("/")
    return find(connection, group, name)


def _by_version(rows: sqlite3.Cursor, made: Callable[..., T]) -> dict[int, tuple[T, ...]]:
    """What is made of the rows' other cells, by their first; in their order."""
    found: dict[int, list[T]] = defaultdict(list)
    for version, *cells in rows:
        found[version].append(made(*cells))
    return {version: tuple(each) for version, each in found.items()}
