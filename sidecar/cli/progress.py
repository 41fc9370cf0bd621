"""How far a command is: a bar for each of its stages, on a terminal; nothing where nobody looks."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer
from typing import TYPE_CHECKING

from sidecar.report.progress import Advance, Progress, Unit

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import ProgressColumn, Task

PATIENCE_S = 1.0
"""Before there is a bar: what is quick needs none."""

WORDS = {"bytes": "MB/s", "rows": "rows/s", "steps": "/s"}
SCALE = {"bytes": 1e6, "rows": 1.0, "steps": 1.0}


class Silent:
    """Shows nothing."""

    @contextmanager
    def stage(self, name: str, total: int | None, unit: Unit) -> Iterator[Advance]:  # noqa: ARG002  # as the protocol
        """Around a stage."""
        yield lambda _done: None


class Bars:
    """A bar with the rate and the time left, once a stage takes long; gone when it is done.

    Args:
        console: Where; standard error by default.
    """

    def __init__(self, console: "Console | None" = None) -> None:
        self._console = console

    @contextmanager
    def stage(self, name: str, total: int | None, unit: Unit) -> Iterator[Advance]:
        """Around a stage."""
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Shown

        last = TimeElapsedColumn() if total is None else TimeRemainingColumn()
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), _rate(unit), last)
        console = self._console or _standard_error()
        shown = Shown(*columns, console=console, transient=True, refresh_per_second=4)
        task = shown.add_task(name, total=total)
        begin = Timer(PATIENCE_S, shown.start)
        begin.daemon = True
        begin.start()
        try:
            yield lambda done: shown.update(task, advance=done)
        finally:
            begin.cancel()
            begin.join()
            shown.stop()


def _standard_error() -> "Console":
    from rich.console import Console

    return Console(stderr=True)


def _rate(unit: Unit) -> "ProgressColumn":
    from rich.progress import ProgressColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        """So much in a second."""

        def render(self, task: "Task") -> Text:
            return Text(rate(task.finished_speed or task.speed, unit))

    return Rate()


def rate(speed: float | None, unit: Unit) -> str:
    """A speed for people.

    Example:
        >>> rate(2_500_000.0, "bytes"), rate(1_234_567.0, "rows"), rate(None, "rows")
        ('2.5 MB/s', '1,234,567 rows/s', '')
    """
    if speed is None:
        return ""
    value = speed / SCALE[unit]
    return f"{value:,.0f} {WORDS[unit]}" if value >= 100 else f"{value:.1f} {WORDS[unit]}"


def progress() -> Progress:
    """Bars where standard error is a terminal."""
    return Bars() if sys.stderr.isatty() else Silent()
