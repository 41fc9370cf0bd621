"""Tables of figures, and targets with what was reached."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table

CONSOLE = Console(width=160, highlight=False)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target: what was measured, what was to be reached, and whether it was (None: not measured)."""

    title: str
    figure: str
    target: str
    reached: bool | None


def at_most(title: str, figure: float | None, limit: float, unit: str) -> Verdict:
    """A figure that must not be above `limit`."""
    return Verdict(title, _text(figure, unit), f"≤ {limit:g} {unit}", None if figure is None else figure <= limit)


def at_least(title: str, figure: float | None, limit: float, unit: str) -> Verdict:
    """A figure that must not be below `limit`."""
    return Verdict(title, _text(figure, unit), f"≥ {limit:g} {unit}", None if figure is None else figure >= limit)


def _text(figure: float | None, unit: str) -> str:
    return "" if figure is None else f"{figure:.3g} {unit}"


def print_table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table that a README can take as it is; the first column holds names, the others figures."""
    table = Table(box=box.MARKDOWN)
    for index, head in enumerate(heads):
        table.add_column(head, justify="right" if index else "left")
    for row in rows:
        table.add_row(*row)
    CONSOLE.print(f"\n{title}:")
    CONSOLE.print(table)


def print_verdicts(verdicts: Sequence[Verdict]) -> None:
    """The targets, in order."""
    words = {True: "reached", False: "MISSED", None: "not measured"}
    rows = [(each.title, each.figure, each.target, words[each.reached]) for each in verdicts]
    print_table("targets", ("figure", "measured", "target", ""), rows)
