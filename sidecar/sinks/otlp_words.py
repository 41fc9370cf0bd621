"""What opentelemetry's exporters say of an export that failed, and whether another attempt may mend it.

An exporter's own result is that it failed. Why, it says to the log only, after as many attempts as its time allows: a
status, a gRPC code, an exception, in words that change from release to release, and as arguments that do not. Where
neither tells, what failed counts as refused: nothing is to wait behind what nobody will ever take.
"""

import logging
import re
import threading
from enum import Enum

# https://opentelemetry.io/docs/specs/otlp/#failures; 408 is ours: a request that came too slowly may come faster.
AWAY_STATUSES = frozenset({408, 429, 502, 503, 504})
AWAY_CODES = frozenset(
    {"CANCELLED", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"}
)

_TOO_LARGE = re.compile("message (?:larger than max|exceeds maximum size|length too large)")

GAVE_UP = ("timeout, max retries or shutdown", "Transient error", "Shutdown in progress")
"""Of messages whose arguments do not tell: that an exporter's time was over before its attempts."""


class Words(logging.Handler):
    """Takes what opentelemetry says, every retry of every export, off the log; keeps what is to be known of one export.

    Each thread that exports enters one of its own, and keeps what is said in that thread.

    Attributes:
        first: The first words of an export, which say best what is wrong.
        away: Whether by its last words another attempt may mend it.
    """

    _last = threading.Lock()

    def __init__(self) -> None:
        super().__init__()
        self.first = ""
        self.away = False
        self._from = logging.getLogger("opentelemetry")
        self._thread = threading.get_ident()

    def forget(self) -> None:
        """Begin another export."""
        self.first, self.away = "", False

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it, if it is of this thread, and no word on how the exporter goes about it."""
        if threading.get_ident() == self._thread and record.levelno >= logging.WARNING:
            self.first = self.first or record.getMessage()
            self.away = _away(record)

    def __enter__(self) -> "Words":
        with self._last:
            self._from.addHandler(self)
            self._from.propagate = False
        return self

    def __exit__(self, *_: object) -> None:
        with self._last:
            self._from.removeHandler(self)
            self._from.propagate = not any(isinstance(each, Words) for each in self._from.handlers)


def unmuted() -> None:
    """Have exporters say everything: some keep what they, or one of another signal, said a moment ago to themselves."""
    for name, found in list(logging.root.manager.loggerDict.items()):
        if name.startswith("opentelemetry.exporter.") and isinstance(found, logging.Logger):
            found.filters.clear()


def mends(reason: object) -> bool:
    """Whether what failed for this reason may be taken later: an HTTP status, a gRPC code or an exception.

    Example:
        >>> [mends(503), mends(400), mends(ConnectionRefusedError()), mends(ValueError())]
        [True, False, True, False]
    """
    if isinstance(reason, Enum):
        return reason.name in AWAY_CODES
    # Those of `requests` are OSErrors; what no URL and no header can be is a ValueError besides.
    return reason in AWAY_STATUSES if isinstance(reason, int) else _of_network(reason)


def _of_network(reason: object) -> bool:
    return isinstance(reason, OSError) and not isinstance(reason, ValueError)


def _away(record: logging.LogRecord) -> bool:
    reasons = record.args if isinstance(record.args, tuple) else ()
    if any(isinstance(each, str) and _too_large(each) for each in reasons):
        return False
    return any(map(mends, reasons)) or any(words in str(record.msg) for words in GAVE_UP)


def _too_large(details: str) -> bool:
    """Over gRPC this has the code of one that has too much to do, or none of its own: so Go, C++, Java, Rust say it."""
    return _TOO_LARGE.search(details) is not None
