"""What Python itself would write to stderr, as records of the log: warnings, and exceptions that nobody catches.

Written by Python it would wait for whoever reads stderr, and be text where lines are JSON.
"""

import logging
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TextIO

log = logging.getLogger(__name__)

_warnings = logging.getLogger("py.warnings")
"""As `logging.captureWarnings` calls it."""


class Strays:
    """Has them logged until it is closed.

    What goes astray while such a thing is logged is not: it would be the next thing to log.
    """

    def __init__(self) -> None:
        self._here = threading.local()
        self._before = warnings.showwarning, sys.excepthook, threading.excepthook, sys.unraisablehook
        self._ours = self._warned, self._uncaught, self._ended, self._unraisable
        warnings.showwarning, sys.excepthook, threading.excepthook, sys.unraisablehook = self._ours

    def close(self) -> None:
        """Leave them to whom they were left before; what others have put in our place stays."""
        warned, uncaught, ended, unraisable = self._before
        if warnings.showwarning == self._warned:
            warnings.showwarning = warned
        if sys.excepthook == self._uncaught:
            sys.excepthook = uncaught
        if threading.excepthook == self._ended:
            threading.excepthook = ended
        if sys.unraisablehook == self._unraisable:
            sys.unraisablehook = unraisable

    def _warned(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if file is not None:
            self._before[0](message, category, filename, lineno, file, line)
            return
        told = "%s: %s (%s:%d)", category.__name__, message, filename, lineno
        self._once(lambda: _warnings.warning(*told))

    def _uncaught(self, _: type[BaseException], error: BaseException, __: TracebackType | None) -> None:
        self._once(lambda: log.critical("a fault that nobody caught", exc_info=error))

    def _ended(self, args: threading.ExceptHookArgs) -> None:
        if args.exc_type is SystemExit:  # the way of a thread to end itself
            return
        name = args.thread.name if args.thread is not None else ""
        self._once(lambda: log.error("a fault that ended thread %s", name, exc_info=args.exc_value))

    def _unraisable(self, args: "sys.UnraisableHookArgs") -> None:
        what = args.err_msg or "Exception ignored in"
        self._once(lambda: log.error("%s %s", what, _named(args.object), exc_info=args.exc_value))

    def _once(self, say: Callable[[], None]) -> None:
        if getattr(self._here, "speaking", False):
            return
        self._here.speaking = True
        try:
            say()
        finally:
            self._here.speaking = False


def _named(subject: object) -> str:
    """What it is called; never how it shows itself, which may fail, and may tell what is in it."""
    name: object = None
    with suppress(Exception):
        name = getattr(subject, "__qualname__", None)
    return name if isinstance(name, str) else type(subject).__qualname__
