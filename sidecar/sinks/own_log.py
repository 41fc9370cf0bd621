"""Our own log and our events: lines on stderr, and log records on their way to the collector.

What is logged goes to stderr at once, and to the collector when it can; whoever logs waits for neither. What happens
once is an event: a line of its own where lines are JSON; where they are text, whoever tells it has said so in the log.
A line of the log that says what is told as an event too names that (`extra={"event_name": "sidecar.alert"}`), and then
only lines of text have it.

What is said while events are exported, by the exporter or by a library that it uses, stays on stderr: exported, it
would be the next thing to export.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from traceback import format_exception
from typing import Literal, TextIO

from sidecar.records import Event, Level
from sidecar.sinks.line_writer import LineWriter, writing
from sidecar.sinks.log_lines import STACKTRACE, line
from sidecar.sinks.otlp_sending import THREAD
from sidecar.sinks.strays import Strays
from sidecar.trace_context import current

_FORMATTER = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")

CLOSE_S = 1.0
"""For lines that wait for whoever reads stderr, at the end."""

MAX_TEXT = 16 * 1024
"""Characters of a message, and of a trace of calls: the queue of events is bounded by their number."""

HELD = 256
"""Events of the start, before there is an exporter; of more the oldest go."""

EXPORTERS = frozenset({"opentelemetry", "urllib3", "requests", "charset_normalizer", "grpc"})
"""Loggers, by their first name, of what exports use."""

_LEVELS: tuple[tuple[int, Level], ...] = (
    (logging.CRITICAL, "critical"),
    (logging.ERROR, "error"),
    (logging.WARNING, "warning"),
    (logging.INFO, "info"),
)
_NUMBERS: dict[Level, int] = {"debug": logging.DEBUG, **{word: number for number, word in _LEVELS}}


class OwnLog:
    """Where all goes that is logged, and told as an event; from any thread, and nobody waits.

    Nothing is held while something is handed over: whatever is collected as garbage meanwhile may log, on any thread.

    Args:
        lines: Writes to stderr.
        level: The least that is a line. Events go to the collector whatever their severity.
        json: Whether lines are JSON.

    Attributes:
        dropped_events: Those that were lost before there was an exporter.
    """

    def __init__(self, lines: LineWriter, level: int, *, json: bool) -> None:
        self.dropped_events = 0
        self._lines = lines
        self._level = level
        self._json = json
        self._emit: Callable[[Event], None] | None = None
        self._held: deque[Event] | None = deque(maxlen=HELD)
        # Entered again by whoever is collected as garbage while it is held, and says so.
        self._turn = threading.RLock()
        self._records = _Records(self._take_up)
        self._root = logging.getLogger()
        self._before_level = self._root.level
        self._root.setLevel(level)
        self._root.addHandler(self._records)
        self._strays = Strays()

    @property
    def dropped_lines(self) -> int:
        """Those that stderr did not take."""
        return self._lines.dropped

    def tell(self, event: Event) -> None:
        """Export an event under the trace that it happens in; a line too, where lines are JSON."""
        told = event if event.trace else replace(event, trace=current())
        if self._json and _NUMBERS[told.severity] >= self._level:
            self._lines.put(line(told))
        self._put(told)

    def export(self, emit: Callable[[Event], None] | None) -> None:
        """Hand all over that comes from now on, after what came before; None for nobody.

        Args:
            emit: Never waits, and logs nothing.
        """
        while held := self._release(emit):
            if emit is not None:
                for event in held:
                    emit(event)

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Take nothing any more; lines that are not written within `timeout_s` are given up."""
        self._strays.close()
        self.export(None)
        self._root.removeHandler(self._records)
        self._root.setLevel(self._before_level)
        self._lines.close(timeout_s)

    def _take_up(self, record: logging.LogRecord) -> None:
        only_here = not hasattr(record, "event_name")
        exported = only_here and not _of_exports(record) and (self._emit or self._held is not None)
        if not self._json:
            self._lines.put(text(record))
        if exported or (self._json and only_here):
            event = as_event(record)
            if self._json:
                self._lines.put(line(event))
            if exported:
                self._put(event)

    def _put(self, event: Event) -> None:
        with self._turn:
            held, emit = self._held, self._emit
            if held is not None:
                self.dropped_events += len(held) == HELD
                held.append(event)
        if held is None and emit is not None:
            emit(event)

    def _release(self, emit: Callable[[Event], None] | None) -> Sequence[Event]:
        """What came before; where there is nothing any more, what comes goes there."""
        with self._turn:
            if not self._held:
                self._held, self._emit = None, emit
                return ()
            held, self._held = self._held, deque(maxlen=HELD)
            return tuple(held)


def configure(*, format: Literal["text", "json"], level: str, stream: TextIO | None) -> OwnLog:
    """Have the log written from now on.

    Args:
        format: Of the lines.
        level: `debug`, `info`, `warning` or `error`: the least severity that is logged.
        stream: Where the lines go; None where there is no stderr.
    """
    as_line = _as_json if format == "json" else text

    def missing(lines: int) -> str:
        told = "lines missing here, as stderr did not take them: %d"
        return as_line(logging.LogRecord(__name__, logging.WARNING, __file__, 0, told, (lines,), None))

    lines = LineWriter(writing(stream), missing)
    return OwnLog(lines, logging.getLevelNamesMapping()[level.upper()], json=format == "json")


def configuration_event(revision: int, now_s: float, refusal: str = "") -> Event:
    """A configuration that is in force now; or one that was refused, and the one of this revision stays.

    Args:
        refusal: Why it was; empty where it was taken up.
    """
    attributes: dict[str, str | int | float | bool] = {"sidecar.configuration.revision": revision}
    if not refusal:
        attributes["sidecar.configuration.state"] = "in_force"
        return Event("sidecar.configuration", now_s, "info", f"configuration {revision} in force", attributes)
    told = "; ".join(refusal.splitlines())[:MAX_TEXT]
    attributes |= {"sidecar.configuration.state": "refused", "sidecar.reason": told}
    return Event(
        "sidecar.configuration", now_s, "error", f"configuration refused, {revision} stays: {told}", attributes
    )


def text(record: logging.LogRecord) -> str:
    """A line of the log as people read it, whatever is wrong with it."""
    try:
        return _FORMATTER.format(record)
    except Exception:  # noqa: BLE001 - arguments that do not fit, or cannot be told; the line is worth more than they
        plain = logging.LogRecord(record.name, record.levelno, record.pathname, 0, _message(record), None, None)
        return "\n".join([_FORMATTER.format(plain), *_exception(record).get(STACKTRACE, "").splitlines()])


def _as_json(record: logging.LogRecord) -> str:
    return line(as_event(record))


def as_event(record: logging.LogRecord) -> Event:
    """A line of the log, whatever is wrong with it."""
    attributes: dict[str, str | int | float | bool] = {
        "code.file.path": record.pathname,
        "code.function.name": record.funcName or "",
        "code.line.number": record.lineno,
        "thread.name": record.threadName or "",
        **_exception(record),
    }
    level: Level = next((word for number, word in _LEVELS if record.levelno >= number), "debug")
    known = {name: value for name, value in attributes.items() if value}
    return Event("", record.created, level, _message(record), known, record.name, current())


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()[:MAX_TEXT]
    except Exception:  # noqa: BLE001 - arguments that do not fit, or cannot be told; the line is worth more than they
        return str(record.msg)[:MAX_TEXT] if isinstance(record.msg, str) else type(record.msg).__name__


def _exception(record: logging.LogRecord) -> dict[str, str]:
    kind, error, trace = record.exc_info or (None, None, None)
    if kind is None or error is None:
        return {}
    told = {"exception.type": kind.__qualname__ if kind.__module__ == "builtins" else _qualified(kind)}
    try:
        # Its end says what happened.
        told[STACKTRACE] = "".join(format_exception(kind, error, trace))[-MAX_TEXT:]
        told["exception.message"] = str(error)[:MAX_TEXT]
    except Exception:  # noqa: BLE001, S110 - of an error that cannot be told its kind is what there is
        pass
    return told


def _qualified(kind: type[BaseException]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


class _Records(logging.Handler):
    """Passes records on."""

    def __init__(self, take_up: Callable[[logging.LogRecord], None]) -> None:
        super().__init__()
        self._take_up = take_up

    def createLock(self) -> None:
        """None: there is nothing to take turns for, and whoever logs as garbage could wait for another in vain."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        self._take_up(record)


def _of_exports(record: logging.LogRecord) -> bool:
    return record.threadName == f"{THREAD}events" or record.name.partition(".")[0] in EXPORTERS
