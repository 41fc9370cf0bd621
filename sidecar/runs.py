"""Training runs from Python: what training code logs goes into the catalogue, in three lines.

    from sidecar import start_run

    with start_run("fraud", name="xgb-7") as run:
        run.log({"max_depth": 6})
        run.metric("auc", 0.93, step=3)
        run.register(artefact="s3://models/fraud/7")

Training comes first. A catalogue that does not answer costs a warning and, once a minute, five seconds; what is logged
meanwhile waits, within bounds. Only who asks for certainty, by `flush` or `register`, is told by an exception.
"""

import atexit
import getpass
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self, SupportsFloat, Unpack

from sidecar.catalog.bounds import check_group, check_log, check_words
from sidecar.catalog.drafts import Said, draft_of
from sidecar.catalog.opening import open_catalog
from sidecar.catalog.waiting import FLUSH_POINTS, WAITING_POINTS, Waiting
from sidecar.entries import Draft, Link, Point, Run, RunStatus, Version
from sidecar.errors import ConfigError, ConflictError, DeliveryError, SidecarError, UnknownError

log = logging.getLogger(__name__)

FLUSH_S = 5.0
"""What waits is written after so long: a page of curves is no older."""
PAUSE_S = 60.0
"""Until a catalogue that did not answer is asked again."""


class Book(Protocol):
    """What a training run needs of a catalogue."""

    def register(self, group: str, draft: Draft, *, by: str, now_s: float) -> Version:
        """Add a version."""
        ...

    def begin(self, group: str, name: str, *, now_s: float) -> Run:
        """Begin a run."""
        ...

    def log(
        self, run: str, *, parameters: Mapping[str, str], points: Sequence[Point], artefacts: Mapping[str, str]
    ) -> None:
        """Add to it."""
        ...

    def end(self, run: str, status: RunStatus, *, now_s: float) -> None:
        """End it."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


def start_run(group: str, *, name: str = "", catalog: str | None = None) -> "Training":
    """Begin a training run of this model; to be used with `with`, or ended by `end`.

    Args:
        name: For people.
        catalog: Path of the catalogue's SQLite file, address of a sidecar's admin side, or of an MLflow server with
            `mlflow+` before it; by default what the environment variable SIDECAR_TRACKING says. The token of the admin
            side is in SIDECAR_ADMIN_TOKEN, or in the file that SIDECAR_ADMIN_TOKEN_FILE names.

    Raises:
        ConfigError: There can be no such catalogue, or no model or run of this name. A catalogue that merely does not
            answer raises nothing.
    """
    check_group(group)
    check_words(name=name)
    return Training(open_catalog(catalog, os.environ), group, name)


class Training:
    """A training run that goes on; may be told by any thread of the process that began it.

    A process that was forked from that one logs nothing: there is one run, and its file must not be shared so.

    Args:
        now_s: Unix time.
        clock: Monotonic, in seconds.

    Attributes:
        id: Of the run in the catalogue; empty before the catalogue has answered.
    """

    def __init__(
        self,
        catalog: Book,
        group: str,
        name: str,
        *,
        now_s: Callable[[], float] = lambda: time.time_ns() / 1e9,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.id = ""
        self._catalog = catalog
        self._begun = Run(id="", group=group, name=name, started_s=now_s())
        self._now_s, self._clock = now_s, clock
        self._waiting = Waiting()
        self._writing = threading.RLock()
        self._due_s = clock()
        self._process = os.getpid()
        self._told: set[str] = set()
        atexit.register(self._at_exit)
        self._flush_if_due(0)

    @property
    def dropped(self) -> int:
        """Points that were not written: the catalogue did not answer for too long, or refused them."""
        return self._waiting.dropped

    def log(self, parameters: Mapping[str, object]) -> None:
        """Log parameters, as texts; one that was logged before gets the new value.

        Raises:
            ConfigError: No catalogue could take them, as in the next two.
        """
        texts = {name: str(value) for name, value in parameters.items()}
        check_log(texts, [], {})
        self._add_texts(texts, {})

    def artefact(self, name: str, place: str | os.PathLike[str]) -> None:
        """Log where something is that the run made; one called `model` is what `register` means by default."""
        texts = {name: os.fspath(place)}
        check_log({}, [], texts)
        self._add_texts({}, texts)

    def metric(self, name: str, value: SupportsFloat, step: int | None = None) -> None:
        """Log a metric.

        Args:
            value: NaN and infinities are kept: that a loss diverged is worth knowing.
            step: By default the one behind the metric's last, from 0.
        """
        if self._goes_on():
            waiting = self._waiting.add(name, float(value), None if step is None else int(step), self._now_s())
            self._flush_if_due(waiting)

    def register(self, **said: Unpack[Said]) -> Version:
        """Register what the run made as a version; it gets the next number, and is linked to this run.

        What was logged is written first, and fills what is not said here. Of an artefact, or data, that is a file or
        folder here the digest is taken.

        Raises:
            DeliveryError: The catalogue does not answer; whether it has the version is not known.
            UnknownError: The version it derives from is not there.
            ConfigError: No catalogue could take it.
            OSError: The artefact is here, and cannot be read.
        """
        self.flush()
        draft = draft_of({"artefact": self._waiting.model, **said}, Link("produced_by", self.id))
        return self._catalog.register(self._begun.group, draft, by=_user(), now_s=self._now_s())

    def flush(self) -> None:
        """Write all that waits.

        Raises:
            DeliveryError: The catalogue does not answer; it waits on.
            SidecarError: The catalogue refused a part of it, which is dropped: the run is not there, or has ended.
        """
        if not self._goes_on():
            raise ConflictError("the run has ended, or another process began it")
        with self._writing:
            self._write()

    def end(self, status: RunStatus = "finished") -> None:
        """Write all that waits, and that the run has ended; what cannot be written is told in the log, and lost."""
        if self._process != os.getpid() or "ended" in self._told:
            return
        atexit.unregister(self._at_exit)
        with self._writing:
            if self._tried(self._write) and self.id:
                self._tried(lambda: self._catalog.end(self.id, status, now_s=self._now_s()))
            self._told.add("ended")
            self._catalog.close()
        if lost := self.dropped + len(self._waiting.points):
            log.warning("run %s of %s: %d points are not in the catalogue", self._name, self._begun.group, lost)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        left = isinstance(error, SystemExit) and not error.code
        self.end("finished" if error is None or left else "failed")

    def _at_exit(self) -> None:
        """A run that nobody has ended by then has not come to its end."""
        self.end("failed")

    @property
    def _name(self) -> str:
        return self._begun.name or self.id

    def _goes_on(self) -> bool:
        if self._process == os.getpid() and "ended" not in self._told:
            return True
        self._say("over", "it has ended, or another process began it: nothing more is logged")
        return False

    def _add_texts(self, parameters: Mapping[str, str], artefacts: Mapping[str, str]) -> None:
        if self._goes_on():
            self._waiting.add_texts(parameters, artefacts)
            self._flush_if_due(FLUSH_POINTS)

    def _flush_if_due(self, waiting: int) -> None:
        """Write, if it is time, and no other thread is at it."""
        full = waiting >= FLUSH_POINTS and "silent" not in self._told
        if not (full or self._clock() >= self._due_s) or not self._writing.acquire(blocking=False):
            return
        try:
            answered = self._tried(self._write)
            self._due_s = self._clock() + (FLUSH_S if answered else PAUSE_S)
        finally:
            self._writing.release()

    def _tried(self, work: Callable[[], None]) -> bool:
        """Whether the catalogue answered; the first time that it does not, or refuses something, it is said."""
        try:
            work()
        except DeliveryError as error:
            self._say("silent", f"{error}; what is logged waits, the latest {WAITING_POINTS} points of it")
            return False
        except SidecarError as error:
            self._say("refused", f"{error}; what was refused is not in the catalogue")
        self._told.discard("silent")
        return True

    def _say(self, what: str, text: str) -> None:
        if what not in self._told:
            self._told.add(what)
            log.warning("run %s of %s: %s", self._name, self._begun.group, text)

    def _write(self) -> None:
        """All that waits, piece by piece; a piece that is refused is dropped, and told when the others are written."""
        if not self.id:
            begun = self._begun
            self.id = self._catalog.begin(begun.group, begun.name, now_s=begun.started_s).id
        refused: SidecarError | None = None
        while taken := self._waiting.take():
            try:
                self._catalog.log(self.id, **taken._asdict())
            except (UnknownError, ConflictError, ConfigError) as error:
                refused = error
                self._waiting.lose(taken)
            except BaseException:
                self._waiting.give_back(taken)
                raise
        if refused:
            raise refused


def _user() -> str:
    """Who we are; a container's user often has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return f"user {os.getuid()}"
