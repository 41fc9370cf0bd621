"""`sidecar versions shadow`: what became of copies, and how a shadow's answers differ from those that clients got."""

from collections.abc import Iterator, Mapping, Sequence

import click
from msgspec import Struct

from sidecar.cli.admin import Admin, asked
from sidecar.cli.asking import json_option
from sidecar.cli.telling import Cell, document, spelled, table, tell
from sidecar.records import JSON

AGREEMENT = ("pairs", "both 2xx", "only original", "only shadow", "neither", "rows", "equal")
SECONDS = ("seconds of", "mean", "p50", "p90", "p99")
DISTANCES = ("prediction", "rows", "mean distance", "greatest")
EXAMPLES = ("request", "row", "texts", "distance")


class Version(Struct):
    """A variant and the version behind it; empty where it has none."""

    variant: str
    version: str = ""


class Statuses(Struct):
    """Shares of pairs, by who answered 2xx; None of none, as for the next ones."""

    both_ok_ratio: float | None = None
    only_original_ok_ratio: float | None = None
    only_shadow_ok_ratio: float | None = None
    neither_ok_ratio: float | None = None


class Column(Struct):
    """How far the numbers of a prediction are apart."""

    name: str
    rows: int
    mean_distance: float | None = None
    greatest_distance: float | None = None


class Example(Struct):
    """A row that was answered differently."""

    request_id: str
    row: int
    texts: int
    distance: float | None = None


class Agreement(Struct):
    """How alike answers are."""

    pairs: int
    statuses: Statuses
    seconds: dict[str, dict[str, float | None]]
    rows: int
    columns: list[Column]
    examples: list[Example] = []
    incomparable_rows: int = 0
    unread_pairs: int = 0
    equal_ratio: float | None = None


class Comparison(Struct):
    """One version of a shadow beside one of whoever served the originals."""

    variant: str
    version: str
    original: Version
    lifetime: Agreement

    @property
    def title(self) -> str:
        """Who is compared with whom."""
        mine, theirs = f"{self.variant} {self.version}", f"{self.original.variant} {self.original.version}"
        return f"{mine.rstrip()} beside {theirs.rstrip()}"


class Shadow(Struct):
    """What became of copies, as a sidecar tells it; of its answer, what is told here."""

    variant: str
    sent: int
    in_flight: int
    shed: dict[str, int]
    failed: dict[str, int]
    waiting: int
    unpaired: dict[str, int]
    unanswered: int
    dropped: int
    comparisons: list[Comparison]


@click.command()
@json_option
@asked
def shadow(admin: Admin, *, as_json: bool) -> None:
    """Show what became of copies, and how a shadow's answers differ from those that clients got.

    Of all pairs of a version and an original: how often either answered 2xx, which part of the predictions is equal,
    the seconds of either and their difference, how far numbers are apart, and the rows that differ most.

    \b
      sidecar versions shadow
    """  # noqa: D301  # click's mark of what is not to be wrapped
    data = admin.ask("GET", "/v1/shadow")
    if as_json:
        document(admin.read(data, dict[str, JSON]))
        return
    found = admin.read(data, Shadow)
    tell(f"shadow {spelled(found.variant)}")
    for what, text in _facts(found):
        tell(f"{what:<9} {spelled(text)}")
    if not found.comparisons:
        tell()
        tell("no pair of answers yet")
    for each in found.comparisons:
        _compared(each)


def _facts(found: Shadow) -> Iterator[tuple[str, str]]:
    """What became of copies and of answers, a line each."""
    yield "copies", f"{found.sent:,} sent, {found.in_flight:,} in flight"
    yield "shed", _counts(found.shed)
    yield "failed", _counts(found.failed)
    alone = f"; alone {_counts(found.unpaired)}; {found.unanswered:,} of clients who left; {found.dropped:,} dropped"
    yield "answers", f"{found.waiting:,} wait for their counterparts{alone}"


def _counts(counts: Mapping[str, int]) -> str:
    """How many, and why."""
    told = ", ".join(f"{why} {count:,}" for why, count in counts.items() if count)
    return f"{sum(counts.values()):,}" + (f" ({told})" if told else "")


def _compared(each: Comparison) -> None:
    found = each.lifetime
    statuses = found.statuses
    told = (statuses.both_ok_ratio, statuses.only_original_ok_ratio, statuses.only_shadow_ok_ratio)
    tell()
    tell(spelled(each.title))
    agreement: Sequence[Cell] = [
        found.pairs,
        *map(_percent, (*told, statuses.neither_ok_ratio)),
        found.rows,
        _percent(found.equal_ratio),
    ]
    table(AGREEMENT, [agreement])
    seconds = [[whose, *(numbers.get(name) for name in SECONDS[1:])] for whose, numbers in found.seconds.items()]
    _tabled(SECONDS, seconds)
    _tabled(DISTANCES, [[one.name, one.rows, one.mean_distance, one.greatest_distance] for one in found.columns])
    _tabled(EXAMPLES, [[one.request_id, one.row, one.texts, one.distance] for one in found.examples])
    if found.incomparable_rows or found.unread_pairs:
        tell()
        tell(f"{found.incomparable_rows:,} rows cannot be compared, {found.unread_pairs:,} pairs cannot be read")


def _tabled(header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    if rows:
        tell()
        table(header, rows)


def _percent(share: float | None) -> Cell:
    return None if share is None else f"{100 * share:.4g} %"
