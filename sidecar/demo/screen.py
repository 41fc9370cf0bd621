"""What the demo shows: a table that is written over on a terminal, a line now and then elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sidecar.demo.captures import Tally
from sidecar.demo.figures import Figures

TERMINAL_EVERY_S = 1.0
LINES_EVERY_S = 2.0
NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Progress:
    """The demo at one moment.

    Args:
        elapsed_s: Since the first request.
        requests: Sent and answered since then.
        errors: Those of them that were not answered with 200.
        rate: Requests per second since the last look.
    """

    elapsed_s: float
    requests: int
    errors: int
    rate: float
    figures: Figures


class Screen:
    """Where the demo is told.

    Args:
        console: Where to write.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self.every_s = TERMINAL_EVERY_S if console.is_terminal else LINES_EVERY_S

    def say(self, *lines: str) -> None:
        """Write lines that stay."""
        for line in lines:
            self._console.print(line, soft_wrap=True, markup=False, highlight=False)

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """Tell what is being waited for, until it is there."""
        if not self._console.is_terminal:
            self.say(text)
            yield
            return
        with self._console.status(Text(text)):
            yield

    @contextmanager
    def live(self) -> Iterator[Callable[[Progress], None]]:
        """A place for the moments that follow each other."""
        if not self._console.is_terminal:
            yield lambda progress: self.say(line(progress))
            return
        with Live(console=self._console, auto_refresh=False) as place:
            yield lambda progress: place.update(table(progress), refresh=True)


def summary(last: Progress, written: Tally, captures: Path) -> tuple[str, ...]:
    """What came of the demo."""
    figures = last.figures
    dropped = f", {figures.dropped} dropped" if figures.dropped else ""
    return (
        "",
        f"requests    {last.requests} in {last.elapsed_s:.1f} s ({last.rate:.1f}/s), {last.errors} errors",
        f"duration    p50 {duration(figures.p50_s)}, p99 {duration(figures.p99_s)}",
        f"of it ours  p50 {duration(figures.overhead_p50_s)}, p99 {duration(figures.overhead_p99_s)} in the sidecar",
        f"statistics  of {figures.rows} rows",
        f"captures    {written.lines} lines in {written.files} files{dropped}, kept in {captures}",
    )


def line(progress: Progress) -> str:
    """The moment in one line, with the first feature's mean for all of them."""
    first = next((f"{column.name}: mean {number(column.mean)}" for column in progress.figures.columns), "")
    return " | ".join(filter(None, (*headline(progress), first)))


def table(progress: Progress) -> Group:
    """The moment as a table."""
    shown = Table("current window")
    for heading in ("rows", "mean", "std", "median", "missing"):
        shown.add_column(heading, justify="right")
    for column in progress.figures.columns:
        numbers = map(number, (column.mean, column.std, column.median))
        shown.add_row(Text(column.name), str(column.rows), *numbers, str(column.missing))
    return Group(Text(" | ".join(headline(progress))), shown)


def headline(progress: Progress) -> tuple[str, ...]:
    """How the traffic is doing."""
    figures = progress.figures
    return (
        f"{progress.elapsed_s:.0f} s",
        f"{progress.requests} requests",
        f"{progress.rate:.0f}/s",
        f"{progress.errors} errors",
        f"p50 {duration(figures.p50_s)}, p99 {duration(figures.p99_s)}",
        f"of it the sidecar's {duration(figures.overhead_p50_s)}, {duration(figures.overhead_p99_s)}",
    )


def duration(seconds: float | None) -> str:
    """A duration for people.

    Example:
        >>> duration(0.00523), duration(0.0000846), duration(1.5), duration(None)
        ('5.2 ms', '85 µs', '1500.0 ms', '-')
    """
    if seconds is None:
        return NOTHING
    return f"{seconds * 1e6:.0f} µs" if seconds < 0.001 else f"{seconds * 1e3:.1f} ms"


def number(value: float | None) -> str:
    """A number for people, of four digits.

    Example:
        >>> number(14.12729), number(0.0), number(None)
        ('14.13', '0', '-')
    """
    return NOTHING if value is None else f"{value:.4g}"
