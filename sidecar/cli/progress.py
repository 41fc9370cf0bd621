"""How far a command is: a bar on a terminal, once it takes long."""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

PATIENCE_S = 1.0
"""Before there is a bar: what is quick needs none."""


class Bar:
    """What has been read of so many bytes, how fast, and how long the rest takes; nothing where stderr is no terminal.

    Args:
        label: What is done.
        size_bytes: Of all that there is to read.
        now_s: A clock that does not go back.
    """

    def __init__(self, label: str, size_bytes: int, now_s: Callable[[], float] = time.monotonic) -> None:
        self._label = label
        self._size_bytes = size_bytes
        self._now_s = now_s
        self._from_s = now_s() + PATIENCE_S if sys.stderr.isatty() else float("inf")
        self._done_bytes = 0
        self._shown: Progress | None = None

    def advance(self, read_bytes: int) -> None:
        """So many more have been read."""
        self._done_bytes += read_bytes
        if self._shown is None and self._now_s() > self._from_s:
            self._shown = _progress()
            self._shown.add_task(self._label, total=self._size_bytes)
            self._shown.start()
        if self._shown is not None:
            self._shown.update(self._shown.task_ids[0], completed=self._done_bytes)

    def close(self) -> None:
        """Take it away."""
        if self._shown is not None:
            self._shown.stop()


def _progress() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)
