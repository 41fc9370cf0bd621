"""`sidecar top`: a running sidecar, live, in a terminal."""

import io
import os
import sys
import termios
import tty
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from select import select
from typing import TYPE_CHECKING

import click

from sidecar.cli.admin import Admin, asked
from sidecar.cli.asking import told_refusals
from sidecar.cli.looking import Drifts, Look, drifting, look
from sidecar.cli.status import COLOURS, HEADER, MARKS, cells
from sidecar.cli.telling import spelled
from sidecar.errors import DeliveryError

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

COLUMNS = 12
"""Of features and predictions, those with the most evidence."""

KEPT = 40
"""Looks whose rates are drawn."""

BARS = "▁▂▃▄▅▆▇█"

History = Mapping[str, Sequence[float]]


@click.command()
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(0.5, 60),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="Between two looks.",
)
@asked
@told_refusals
def top(admin: Admin, *, every_s: float) -> int:
    """Watch a sidecar live: verdicts, traffic, what drifts, alerts. Ends with q or Ctrl-C.

    \b
      sidecar top
      sidecar top --to http://10.0.3.7:9901 --every 5

    A sidecar that stops answering is asked again until it does. The exit code is 0 at the end, 64 if the command line
    cannot be used or there is no terminal, and 69 if nobody answered at the beginning.
    """  # noqa: D301  # click's mark of what is not to be wrapped
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("a terminal is needed; expected `sidecar status` elsewhere.")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that is not of UTF-8 has no bars and marks
    with suppress(KeyboardInterrupt):
        _watch(admin, every_s)
    return 0


def _watch(admin: Admin, every_s: float) -> None:
    """Look again and again, until somebody has seen enough."""
    from rich.console import Console
    from rich.live import Live

    history, silent = Rates(), ""
    found, columns = look(admin), drifting(admin)
    with _keys() as pressed, Live(console=Console(), screen=True, auto_refresh=False) as live:
        while True:
            history.add(found)
            live.update(page(found, columns, history.kept, silent), refresh=True)
            if pressed(every_s) in {"q", "Q"}:
                return
            found, columns, silent = _again(admin, found, columns)


class Rates:
    """Requests per second of each variant at the latest looks."""

    def __init__(self) -> None:
        self._of: dict[str, deque[float]] = {}

    def add(self, found: Look) -> None:
        """Keep those of this look; of variants that are no more, none."""
        self._of = {each.name: self._of.get(each.name, deque(maxlen=KEPT)) for each in found.status.variants}
        for each in found.status.variants:
            self._of[each.name].append(each.rate.requests_per_s or 0.0)

    @property
    def kept(self) -> History:
        """By variant, the latest last."""
        return {name: list(rates) for name, rates in self._of.items()}


def page(found: Look, drifts: Drifts, history: History, silent: str) -> "RenderableType":
    """All of it.

    Args:
        silent: Why there was no answer at the latest look; empty where there was one.
    """
    from rich.console import Group
    from rich.text import Text

    overview, status = found.overview, found.status
    head = Text(
        f"sidecar {status.version}, up {_age(status.uptime_s)}, configuration {status.config.revision}   q quits"
    )
    parts: list[RenderableType] = [head, _line(overview.headline.state, overview.headline.sentence)]
    if silent:
        parts.insert(0, _line("bad", f"no answer, what follows is of before: {silent}"))
    parts += [_line(each.state, each.sentence) for each in found.of_variants]
    if status.captures.undecoded:
        parts.append(_line("warn", status.captures.undecoded))
    parts += [Text(), _traffic(found, history), Text(), _columns(drifts), Text()]
    parts += [_line("bad", f"{alert.severity}: {alert.title}") for alert in found.firing]
    lost = sum(each.dropped + each.failed for each in (*status.sinks, *status.exporters))
    if lost:
        parts.append(_line("warn", f"{lost} captures or reports were dropped on their way out"))
    return Group(*parts)


def sparkline(values: Sequence[float]) -> str:
    """Values as bars of eight heights, the greatest of them the highest.

    Example:
        >>> sparkline([0, 1, 2, 4])
        '▁▃▅█'
    """
    most = max(values, default=0.0)
    return "".join(BARS[min(7, int(8 * value / most))] if most > 0 else BARS[0] for value in values)


def _line(state: str, sentence: str) -> "Text":
    from rich.text import Text

    return Text(f"{MARKS.get(state, '○')} ", style=COLOURS.get(state, "dim")).append(
        Text(spelled(sentence), style="none")
    )


def _traffic(found: Look, history: History) -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    made = Table(*HEADER, "of late", box=None, pad_edge=False, header_style="bold")
    for each in found.status.variants:
        made.add_row(*map(Text, (*cells(each), sparkline(history.get(each.name, [])))))
    return made


def _columns(drifts: Drifts) -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    ranked = sorted(
        ((each.evidence_nats or 0.0, of.name, each) for of in drifts.variants for each in of.columns),
        key=lambda item: (item[2].drift is None, -item[0]),
    )
    made = Table("column", "variant", "evidence", "", box=None, pad_edge=False, header_style="bold")
    for nats, variant, column in ranked[:COLUMNS]:
        told = _line("bad", column.drift.text) if column.drift else Text()
        made.add_row(Text(spelled(column.name)), Text(spelled(variant)), Text(f"{nats:.1f} nats"), told)
    return made


def _again(admin: Admin, found: Look, columns: Drifts) -> tuple[Look, Drifts, str]:
    """What it says now; what it said before, and why there is no more, where it does not answer."""
    try:
        return look(admin), drifting(admin), ""
    except DeliveryError as error:
        return found, columns, str(error)


def _age(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if days else f"{hours}:{rest // 60:02}:{rest % 60:02}"


@contextmanager
def _keys() -> "Iterator[Callable[[float], str]]":
    """Keys as they are pressed: a function that waits for one for so many seconds, and gives it or nothing."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def pressed(timeout_s: float) -> str:
        return os.read(descriptor, 1).decode("latin-1") if select([descriptor], [], [], timeout_s)[0] else ""

    try:
        tty.setcbreak(descriptor)
        yield pressed
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
