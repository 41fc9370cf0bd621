"""What the demo shows: a table that is written over on a terminal, a line now and then elsewhere."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sidecar.demo.captures import Tally
from sidecar.demo.figures import Column, Drift, Figures
from sidecar.demo.fraud.figures import Quality
from sidecar.demo.fraud.panel import brief, evidence, lines
from sidecar.texts import counted

TERMINAL_EVERY_S = 1.0
LINES_EVERY_S = 2.0
NOTHING = "-"

WATCHED_EVERY_S = 0.9
"""Between two lines where there are more moments than that: evidence grows within a second or two."""

SUSPECTS = 5
"""Features that may drift and are shown; and lines of the table above them, for a terminal of 24 lines to hold both."""


class Scene(NamedTuple):
    """What goes on at one moment, besides traffic.

    Args:
        phase: What is sent; empty without a plot.
        drift: None where nothing is watched for it.
        quality: None where no labels are posted.
    """

    phase: str = ""
    drift: Drift | None = None
    quality: Quality | None = None


NO_SCENE = Scene()


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
    scene: Scene = NO_SCENE


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
        if lines:
            self._console.print("\n".join(lines), soft_wrap=True, markup=False, highlight=False)

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
            yield self._line_by_line()
            return
        with Live(console=self._console, auto_refresh=False) as place:
            yield lambda progress: place.update(table(progress), refresh=True)

    def _line_by_line(self) -> Callable[[Progress], None]:
        told_s = float("-inf")

        def show(progress: Progress) -> None:
            nonlocal told_s
            if progress.elapsed_s - told_s >= WATCHED_EVERY_S:
                self.say(line(progress))
                told_s = progress.elapsed_s

        return show


def summary(last: Progress, written: Tally, captures: Path) -> tuple[str, ...]:
    """What came of the demo."""
    figures = last.figures
    dropped = f", {figures.dropped} dropped" if figures.dropped else ""
    kept = f"{counted(written.lines, 'line')} in {counted(written.files, 'file')}{dropped}"
    return (
        "",
        f"requests    {last.requests} in {last.elapsed_s:.1f} s ({last.rate:.1f}/s), {last.errors} errors",
        f"duration    p50 {duration(figures.p50_s)}, p99 {duration(figures.p99_s)}",
        f"of it ours  p50 {duration(figures.overhead_p50_s)}, p99 {duration(figures.overhead_p99_s)} in the sidecar",
        f"statistics  of {figures.rows} rows",
        f"captures    {kept}, kept in {captures}",
    )


def line(progress: Progress) -> str:
    """The moment in one line, with the first feature's mean for all of them; or with what is watched."""
    phase, drift, quality = progress.scene
    if drift is None:
        first = next((f"{column.name}: mean {number(column.mean)}" for column in progress.figures.columns), "")
        return " | ".join(filter(None, (*headline(progress), first)))
    if quality is None:
        return " | ".join((*sent(progress), phase, told(drift)))
    inputs = f"drift in {', '.join(drift.drifting)}" if drift.drifting else "no drift"
    return " | ".join((*sent(progress), phase, *brief(quality), f"inputs: {inputs}"))


def table(progress: Progress) -> Group:
    """The moment as a table."""
    phase, drift, quality = progress.scene
    columns = progress.figures.columns
    if drift is None:
        return Group(Text(" | ".join(headline(progress))), window(columns))
    head, shown = Text(" | ".join((*sent(progress), phase))), window(columns[:SUSPECTS])
    if quality is None:
        return Group(head, shown, suspects(drift))
    return Group(head, shown, Text(f"inputs: {told(drift)}"), *map(Text, lines(quality)), evidence(quality))


def window(columns: Sequence[Column]) -> Table:
    """What the current window says of some columns."""
    shown = Table("current window")
    for heading in ("rows", "mean", "std", "median", "missing"):
        shown.add_column(heading, justify="right")
    for column in columns:
        numbers = map(number, (column.mean, column.std, column.median))
        shown.add_row(Text(column.name), str(column.rows), *numbers, str(column.missing))
    return shown


def suspects(drift: Drift) -> Table:
    """The features that drift, and those with the most evidence of it."""
    shown = Table("evidence of drift")
    shown.add_column("nats", justify="right")
    shown.add_column("needed", justify="right")
    shown.add_column("what happened")
    for each in drift.suspects[: max(SUSPECTS, len(drift.drifting))]:
        shown.add_row(Text(each.name), f"{each.nats:.1f}", f"{each.needed:.1f}", Text(each.text or NOTHING))
    return shown


def told(drift: Drift) -> str:
    """What drifts, or whatever has the most evidence of it, in some words."""
    if drift.drifting:
        return f"drift in {', '.join(drift.drifting)}"
    most = ", ".join(f"{each.name} {each.nats:.1f}" for each in drift.suspects[:3])
    needed = f" of {drift.suspects[0].needed:.1f} nats" if drift.suspects else ""
    return f"no drift; most evidence: {most or NOTHING}{needed}"


def headline(progress: Progress) -> tuple[str, ...]:
    """How the traffic is doing."""
    figures = progress.figures
    return (
        *sent(progress),
        f"p50 {duration(figures.p50_s)}, p99 {duration(figures.p99_s)}",
        f"of it the sidecar's {duration(figures.overhead_p50_s)}, {duration(figures.overhead_p99_s)}",
    )


def sent(progress: Progress) -> tuple[str, ...]:
    """For how long, how many requests, how fast, and how many of them failed."""
    return (
        f"{progress.elapsed_s:.0f} s",
        f"{progress.requests} requests",
        f"{progress.rate:.0f}/s",
        f"{progress.errors} errors",
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
