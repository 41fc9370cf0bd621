"""The catalogue in one SQLite file, the default: without a server, shared by the sidecar, the CLI and training jobs."""

import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from sidecar.catalog import sqlite_runs as runs
from sidecar.catalog import sqlite_tables as tables
from sidecar.catalog.bounds import check_draft, check_group, check_live, check_log, check_words
from sidecar.entries import Approval, Decision, Deployment, Draft, Point, Run, RunStatus, Version
from sidecar.errors import ConfigError, DeliveryError, Fault, UnknownError
from sidecar.ports import Serving
from sidecar.sqlite_file import open_file, snapshot, transaction

FILE = "catalog.sqlite"
BUSY_S = 5.0
"""For our turn to write: others take some milliseconds each."""

_Begin = Callable[[sqlite3.Connection], AbstractContextManager[None]]


@dataclass(slots=True)
class Sqlite:
    """Keeps it in a file, mode 0600, that several processes may share.

    What a call has written when it returns is on the disk. Nothing is touched before the first call. A file that was
    put aside because it was broken, or taken away, is noticed at the next call, which begins another. Of a version
    the latest 100 decisions and ended deployments are kept; of a run 50,000 points, thinned out where there are more.

    Args:
        folder: Of the file `catalog.sqlite`; made where it is missing, mode 0700. In memory where it is empty.
        busy_s: How long the others are waited for.
        new_id: Makes the ids of runs.
        path: File of the catalogue; by default catalog.sqlite in the state folder.
    """

    folder: str = ""
    busy_s: float = BUSY_S
    new_id: Callable[[], str] = field(default=lambda: secrets.token_hex(16), repr=False)
    _: KW_ONLY
    # Beside the alerts and the labels.
    path: Annotated[str, Meta(min_length=1)] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _connection: sqlite3.Connection | None = field(default=None, init=False, repr=False)
    _inode: tuple[int, int] = field(default=(0, 0), init=False, repr=False)
    _closed: bool = field(default=False, init=False, repr=False)

    def open(self) -> None:
        """Open the file, if it is not: what any call does, but one may want to know at once that it cannot be.

        Raises:
            ConfigError: There can be no such file, it is not ours, or of a later version.
        """
        with self._lock:
            self._opened()

    def groups(self) -> list[str]:
        """All models that have a version or a run, by name."""
        with self._within(snapshot) as connection:
            rows = connection.execute("SELECT model FROM versions UNION SELECT model FROM runs ORDER BY model")
            return [model for (model,) in rows]

    def versions(self, group: str) -> list[Version]:
        """All versions of a model, the latest first; none of one that has only runs."""
        with self._within(snapshot) as connection:
            self._require(connection, group)
            return tables.load_versions(connection, group)

    def version(self, group: str, name: str) -> Version:
        """The version of this number: there are no aliases."""
        with self._within(snapshot) as connection:
            return self._version(connection, group, name)

    def register(self, group: str, draft: Draft, *, by: str, now_s: float) -> Version:
        """Add a version; what the run that produced it says fills the draft where it says nothing."""
        check_group(group)
        check_draft(draft)
        check_words(by=by)
        with self._within(transaction) as connection:
            whole = _filled(connection, draft)
            number = tables.add_version(connection, group, whole, by, now_s)
            return self._version(connection, group, str(number))

    def decide(self, group: str, name: str, approval: Approval, *, by: str, why: str, now_s: float) -> Version:
        """Say whether a version may serve; to say what was said last changes nothing."""
        check_words(by=by, why=why)
        if approval not in tables.APPROVALS:
            raise ConfigError(Fault("approval", f"expected one of {', '.join(tables.APPROVALS)}"))
        with self._within(transaction) as connection:
            tables.add_decision(connection, group, name, Decision(approval, now_s, by, why))
            return self._version(connection, group, name)

    def deploy(self, group: str, serving: Sequence[Serving], *, by: str, why: str, now_s: float) -> None:
        """Note who serves from now on; without weight none does."""
        check_words(by=by, why=why)
        with self._within(transaction) as connection:
            tables.deploy(connection, group, serving, Deployment("", now_s, None, by, why, "", 0.0))

    def report(self, group: str, name: str, live: Mapping[str, float], *, now_s: float) -> None:
        """Note what is measured of a version while it serves; of all names the 1,000 that came last are kept."""
        check_live(live)
        with self._within(transaction) as connection:
            tables.add_live(connection, group, name, live, now_s)

    def begin(self, group: str, name: str, *, now_s: float) -> Run:
        """Begin a training run."""
        check_group(group)
        check_words(name=name)
        run = Run(id=self.new_id(), group=group, name=name, started_s=now_s)
        with self._within(transaction) as connection:
            runs.add_run(connection, run)
        return run

    def log(
        self, run: str, *, parameters: Mapping[str, str], points: Sequence[Point], artefacts: Mapping[str, str]
    ) -> None:
        """Add to a run; a point that it has already, the same value at the same step and time, is left."""
        check_log(parameters, points, artefacts)
        with self._within(transaction) as connection:
            runs.add_to_run(connection, run, parameters, points, artefacts)

    def end(self, run: str, status: RunStatus, *, now_s: float) -> None:
        """End it."""
        if status not in ("finished", "failed"):
            raise ConfigError(Fault("status", "expected finished or failed"))
        with self._within(transaction) as connection:
            runs.end_run(connection, run, status, now_s)

    def run(self, run: str) -> Run:
        """A run."""
        with self._within(snapshot) as connection:
            return runs.load_run(connection, run)

    def runs(self, group: str) -> list[Run]:
        """The latest 1,000 runs of a model, of their points only the last of each metric."""
        with self._within(snapshot) as connection:
            self._require(connection, group)
            return runs.load_runs(connection, group)

    def mark(self, group: str) -> str:
        """Another one whenever versions of a model, decisions or deployments have changed."""
        with self._within(snapshot) as connection:
            return f"{self._inode[1]}-{tables.changes(connection, group)}"

    def close(self) -> None:
        """Let go of the file; further calls fail."""
        with self._lock:
            self._closed = True
            self._let_go()

    @property
    def _file(self) -> Path | None:
        if self.path is not None:
            return Path(self.path)
        return Path(self.folder, FILE) if self.folder else None

    def _require(self, connection: sqlite3.Connection, group: str) -> None:
        query = "SELECT 1 WHERE EXISTS (SELECT 1 FROM {} WHERE model = ?)"
        if not any(connection.execute(query.format(table), (group,)).fetchone() for table in ("versions", "runs")):
            raise UnknownError(f"there is no model {group!r}")

    def _version(self, connection: sqlite3.Connection, group: str, name: str) -> Version:
        tables.find(connection, group, name)
        return tables.load_versions(connection, group, tables.number_of(name))[0]

    @contextmanager
    def _within(self, begin: _Begin) -> Iterator[sqlite3.Connection]:
        """All or nothing, one at a time."""
        with self._lock:
            try:
                connection = self._opened()
            except ConfigError as error:
                raise DeliveryError(str(error)) from error
            try:
                with begin(connection):
                    yield connection
            except UnicodeEncodeError as error:  # JSON and addresses can spell what SQLite cannot
                raise UnknownError("there is nothing of a name that is no UTF-8") from error
            except (sqlite3.Error, ValueError) as error:  # a document that is none has been damaged
                raise DeliveryError(f"{self._file}: {error}, expected a whole file on a disk with room") from error

    def _opened(self) -> sqlite3.Connection:
        if self._closed:
            raise DeliveryError(f"{self._file}: the catalogue is closed")
        if self._connection and self._inode != _inode(self._file):
            self._let_go()
        if self._connection is None:
            self._connection = open_file(self._file, tables.SCHEMA, self.busy_s)
            self._inode = _inode(self._file)
        return self._connection

    def _let_go(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None


def _inode(file: Path | None) -> tuple[int, int]:
    """Which file it is, whatever it is called; zeros where there is none."""
    try:
        found = file.stat() if file else None
    except OSError:
        return (0, 0)
    return (found.st_dev, found.st_ino) if found else (0, 0)


def _filled(connection: sqlite3.Connection, draft: Draft) -> Draft:
    """With what the runs that produced it say; they may be known elsewhere."""
    for link in draft.links:
        if link.relation != "produced_by":
            continue
        try:
            run = runs.load_run(connection, link.target)
        except UnknownError:
            continue
        draft = replace(
            draft, parameters={**run.parameters, **draft.parameters}, metrics={**run.metrics, **draft.metrics}
        )
    return draft
