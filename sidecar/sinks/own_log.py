"""Our own log and our events: lines on stderr, and log records on their way to the collector.

What is logged reaches stderr at once, and the collector when it can. What happens once is an event: a line of its own
where lines are JSON; where they are text, whoever tells it has said so in the log. A line of the log that says what is
told as an event too names that (`extra={"event_name": "sidecar.alert"}`), and then only lines of text have it.

What is said while events are exported, by the exporter or by a library that it uses, stays on stderr: exported, it
would be the next thing to export.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from traceback import format_exception
from typing import Literal, TextIO

from sidecar.records import Event, Level
from sidecar.sinks.log_lines import line
from sidecar.sinks.otlp_sending import THREAD
from sidecar.trace_context import current

TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

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

    Args:
        lines: Write to stderr.
        level: The least that is a line. Events go to the collector whatever their severity.

    Attributes:
        dropped: Events that were lost before there was an exporter.
    """

    def __init__(self, lines: logging.Handler, level: int) -> None:
        self.dropped = 0
        self._lines = lines
        self._level = level
        self._emit: Callable[[Event], None] | None = None
        self._held: deque[Event] | None = deque(maxlen=HELD)
        # Entered again by whoever is collected as garbage while it is held, and says so.
        self._turn = threading.RLock()
        self._records = _Records(self._put)
        self._root = logging.getLogger()
        self._before_level = self._root.level
        self._root.setLevel(level)
        for each in (lines, self._records):
            self._root.addHandler(each)

    def tell(self, event: Event) -> None:
        """Export an event under the trace that it happens in; a line too, where lines are JSON."""
        told = event if event.trace else replace(event, trace=current())
        if isinstance(self._lines, _JsonLines) and _NUMBERS[told.severity] >= self._level:
            self._lines.handle(_Told(told))
        self._put(told)

    def export(self, emit: Callable[[Event], None] | None) -> None:
        """Hand all over that comes from now on, after what came before; None for nobody.

        Args:
            emit: Never waits, and logs nothing.
        """
        with self._turn:
            held, self._held, self._emit = self._held or (), None, emit
            if emit is not None:
                for event in held:
                    emit(event)

    def close(self) -> None:
        """Take nothing any more."""
        self.export(None)
        for each in (self._lines, self._records):
            self._root.removeHandler(each)
        self._root.setLevel(self._before_level)

    def _put(self, event: Event) -> None:
        with self._turn:
            if self._emit is not None:
                self._emit(event)
            elif self._held is not None:
                self.dropped += len(self._held) == HELD
                self._held.append(event)


def configure(*, format: Literal["text", "json"], level: str, stream: TextIO) -> OwnLog:
    """Have the log written from now on.

    Args:
        format: Of the lines.
        level: `debug`, `info`, `warning` or `error`: the least severity that is logged.
        stream: Where the lines go.
    """
    lines: logging.Handler
    if format == "json":
        lines = _JsonLines(stream)
        lines.addFilter(_only_here)
    else:
        lines = logging.StreamHandler(stream)
        lines.setFormatter(logging.Formatter(TEXT))
    return OwnLog(lines, logging.getLevelNamesMapping()[level.upper()])


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
        told["exception.stacktrace"] = "".join(format_exception(kind, error, trace))[-MAX_TEXT:]
        told["exception.message"] = str(error)[:MAX_TEXT]
    except Exception:  # noqa: BLE001, S110 - of an error that cannot be told its kind is what there is
        pass
    return told


def _qualified(kind: type[BaseException]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


class _Told(logging.LogRecord):
    """An event on its way to be a line."""

    def __init__(self, event: Event) -> None:
        super().__init__(event.scope, _NUMBERS[event.severity], "", 0, event.body, None, None)
        self.event = event


class _JsonLines(logging.StreamHandler[TextIO]):
    """JSON Lines."""

    def format(self, record: logging.LogRecord) -> str:
        return line(record.event if isinstance(record, _Told) else as_event(record))

    def handleError(self, _: logging.LogRecord) -> None:
        """What cannot be written there cannot be told there either, least of all in other lines than JSON."""


class _Records(logging.Handler):
    """Makes events of lines."""

    def __init__(self, put: Callable[[Event], None]) -> None:
        super().__init__()
        self.addFilter(_only_here)
        self._put = put

    def emit(self, record: logging.LogRecord) -> None:
        exporting = record.threadName == f"{THREAD}events" or record.name.partition(".")[0] in EXPORTERS
        if not exporting:
            self._put(as_event(record))


def _only_here(record: logging.LogRecord) -> bool:
    """Whether it is not told as an event too."""
    return not hasattr(record, "event_name")
