"""A file in SQLite that is ours: made for nobody else to read, put aside where it is broken.

One process holds it, or several share it: then whoever opens it does so alone, since to make a file, or to find it
broken and put it aside, is not one step.
"""

import errno
import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from sidecar.errors import ConfigError, Fault

log = logging.getLogger(__name__)

BROKEN = ".broken"
"""What the name of a damaged file that was put aside ends with."""
STATEMENTS = 48
"""Kept compiled, at most; those that write many rows come in as many sizes as batches do, and take up to 250 kB."""

TURN_S = 0.01
"""Between two looks at whether it is our turn to open a file that is shared."""

ROOM = "on a disk with room"


class _BrokenError(ValueError):
    """The file is ours, and damaged."""


@dataclass(frozen=True, slots=True)
class Schema:
    """What is in a file.

    Args:
        application_id: By which it is ours.
        version: Of its tables.
        statements: That make them.
        settings: Pragmas of every connection, beside those that make the file one process's.
        shared: Several processes may have the file open at once; otherwise one.
    """

    application_id: int
    version: int
    statements: Sequence[str]
    settings: Sequence[str] = ()
    shared: bool = False


def open_file(path: Path | None, schema: Schema, busy_s: float) -> sqlite3.Connection:
    """A connection to the file, made where there is none; one of ours that is broken is put aside first.

    Args:
        path: None for one in memory.
        busy_s: For the process before us to let go of it, or for each of our transactions' turn.

    Raises:
        ConfigError: There can be no such file, it is not ours, of a later version, or another process's.
    """
    if path is None:
        return _connected(":memory:", schema, busy_s)
    try:
        return _opened(path, schema, busy_s)
    except OSError as error:
        room = f", {ROOM}" if error.errno in {errno.ENOSPC, errno.EDQUOT} else ""
        raise _fault(path.parent, f"{error.strerror}, expected a folder to write in{room}") from error
    except sqlite3.Error as error:
        raise _fault(path, f"{error}, expected {_expected(error, schema)}") from error
    except ValueError as error:
        raise _fault(path, str(error)) from None


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing."""
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """What is read within is of one moment; whoever writes meanwhile is not held up."""
    with connection:
        connection.execute("BEGIN")
        yield


def _expected(error: sqlite3.Error, schema: Schema) -> str:
    """What would have to be for it not to be refused like this."""
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:  # less than that is told by few (sqlite.org/rescode.html)
        case sqlite3.SQLITE_FULL:
            return f"a file {ROOM}"
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return f"a whole file that can be read and written, {ROOM}"
    return f"a whole file {'and others to let go of it in time' if schema.shared else 'that no other process has open'}"


def _fault(where: object, text: str) -> ConfigError:
    return ConfigError(Fault("state", f"{where}: {text}"))


def _opened(path: Path, schema: Schema, busy_s: float) -> sqlite3.Connection:
    path.parent.mkdir(0o700, parents=True, exist_ok=True)
    with _alone(path.parent, busy_s) if schema.shared else nullcontext():
        return _whole(path, schema, busy_s)


@contextmanager
def _alone(folder: Path, busy_s: float) -> Iterator[None]:
    """No other process is in here with this folder; the lock of one that dies is gone."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        until_s = time.monotonic() + busy_s
        while not _locked(lock):
            if time.monotonic() >= until_s:
                raise sqlite3.OperationalError("another process is still opening it")
            time.sleep(TURN_S)
        yield
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)  # a child that was forked meanwhile holds it open too
        os.close(lock)


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _whole(path: Path, schema: Schema, busy_s: float) -> sqlite3.Connection:
    _make(path)
    try:
        return _connected(path, schema, busy_s)
    except sqlite3.OperationalError:  # locked, or no room: nothing is wrong with what it says
        raise
    except (sqlite3.DatabaseError, _BrokenError) as error:
        aside = path.with_name(path.name + BROKEN)
        log.error("%s: %s; it is %s now, and another is begun: what it held is not known", path, error, aside.name)  # noqa: TRY400  (no fault of ours)
        path.replace(aside)
        for end in ("-wal", "-shm"):
            path.with_name(path.name + end).unlink(missing_ok=True)
        _make(path)
        return _connected(path, schema, busy_s)


def _connected(path: Path | str, schema: Schema, busy_s: float) -> sqlite3.Connection:
    with ExitStack() as stack:
        connection = sqlite3.connect(
            path, timeout=busy_s, isolation_level=None, check_same_thread=False, cached_statements=STATEMENTS
        )
        stack.callback(connection.close)
        _claim(connection, schema)
        stack.pop_all()
    return connection


def _make(path: Path) -> None:
    """SQLite would leave the mode to the umask; it gives the log beside the file the file's."""
    # Only a new file is touched: to close one that this process has open elsewhere would end SQLite's lock on it.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _claim(connection: sqlite3.Connection, schema: Schema) -> None:
    """See that the file is whole and ours, and nobody else's from now on if not shared; make its tables."""
    connection.execute(f"PRAGMA locking_mode = {'NORMAL' if schema.shared else 'EXCLUSIVE'}")
    version = _version(connection, schema)  # before anything that would change a file of somebody else's
    for setting in ("journal_mode = WAL", *schema.settings):
        connection.execute(f"PRAGMA {setting}")
    if (report := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise _BrokenError(f"the file is broken ({report})")
    if version == 0:
        with transaction(connection):
            for statement in schema.statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {schema.application_id}")
            connection.execute(f"PRAGMA user_version = {schema.version}")


def _version(connection: sqlite3.Connection, schema: Schema) -> int:
    """Of our tables in the file; 0 where there are none yet."""
    owner, version, tables = (
        connection.execute(query).fetchone()[0]
        for query in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
    )
    if owner != schema.application_id and (owner or version or tables):
        raise ValueError("another application's file, expected one of ours or none")
    if version > schema.version:
        raise ValueError(f"schema {version}, expected at most {schema.version}: a later sidecar wrote it")
    return int(version)
