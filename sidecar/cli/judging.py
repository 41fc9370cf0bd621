"""`sidecar versions experiment`: which variant is better, as a running sidecar has found out."""

import re
from collections.abc import Iterator, Sequence
from math import isfinite, nan

import click
from msgspec import Struct

from sidecar.cli.admin import Admin, asked
from sidecar.cli.asking import json_option
from sidecar.cli.telling import Cell, document, moment, spelled, table, tell
from sidecar.errors import UnknownError
from sidecar.records import JSON

HEADER = ("measure", "challenger", "verdict", "difference", "from", "to", "rows", "to go", "first decided")

_SINCE = re.compile(r", since ([0-9]+(?:\.[0-9]+)?)\Z")


class Decided(Struct):
    """The first decision."""

    word: str
    at_s: float


class Verdict(Struct):
    """What is known of a challenger by one measure, as a sidecar tells it; of its answer, what is told here."""

    measure: str
    challenger: str
    word: str
    sentence: str
    relative: bool
    rows: dict[str, int]
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    rows_to_go: float | None = None
    decided: Decided | None = None


class Guard(Struct):
    """What is known of a guardrail, for people."""

    sentence: str


class Seen(Struct):
    """Users who were first seen with a variant, and the share of them that should have been."""

    variant: str
    count: int
    share: float | None = None


class Mismatch(Struct):
    """Whether the split keeps its shares."""

    p_value: float
    alarm: bool
    users: list[Seen]


class Sides(Struct):
    """Whether users stay on theirs."""

    users: int
    crossed: float | None = None
    moved: float | None = None


class Experiment(Struct):
    """How an experiment stands, or a rollout's guardrails."""

    kind: str
    name: str
    rows: dict[str, int]
    late: int
    verdicts: list[Verdict]
    mismatch: Mismatch
    sides: Sides
    guards: list[Guard] = []
    cautions: list[str] = []
    since_s: float | None = None
    epoch_s: float | None = None
    wrong: float | None = None
    min_rows: int = 0

    @property
    def title(self) -> str:
        """Its name for people: that of a rollout ends with a Unix time, 0 before it was begun."""
        if self.kind != "rollout":
            return self.name
        return _SINCE.sub(lambda found: f", since {moment(float(found[1]))}" if float(found[1]) else "", self.name)

    def is_called(self, name: str) -> bool:
        """By what it is for, by its whole name, or by that of the configuration, which its variants follow."""
        return name in {self.kind, self.name, self.title, self.name.partition(":")[0]}


class _Read(Struct):
    experiments: list[Experiment]


class _Documents(Struct):
    experiments: list[JSON]


@click.command()
@click.argument("name", required=False)
@json_option
@asked
def experiment(admin: Admin, *, name: str | None, as_json: bool) -> None:
    """Show which variant is better, by what measure, and how sure that is.

    NAME is an experiment's, or rollout for the rollout's guardrails; by default all are shown. Of each measure: by how
    much the challenger differs from the champion, from where to where that may be, the rows of champion and
    challenger, how many more it takes until there is a verdict, and the first one. It may be looked at as often as
    one likes.

    \b
      sidecar versions experiment
      sidecar versions experiment fraud-4 --json
    """  # noqa: D301  # click's mark of what is not to be wrapped
    data = admin.ask("GET", "/v1/experiments")
    documents = admin.read(data, _Documents).experiments
    read = admin.read(data, _Read).experiments
    places = [place for place, each in enumerate(read) if name is None or each.is_called(name)]
    if not read:
        raise UnknownError("no experiment: expected one, or a rollout, in the configuration")
    if not places:
        known = ", ".join(each.name if each.kind == "experiment" else each.kind for each in read)
        raise UnknownError(f"no experiment is called {name!r}; expected one of {known}")
    if as_json:
        document({"experiments": [documents[place] for place in places]})
        return
    for count, place in enumerate(places):
        if count:
            tell()
        _told(read[place])


def _told(each: Experiment) -> None:
    tell(f"{each.kind} {spelled(each.title)}")
    for what, text in _facts(each):
        tell(f"{what:<9} {spelled(text)}")
    if each.verdicts:
        tell()
        table(HEADER, [_row(verdict) for verdict in each.verdicts])
    # Of a rollout its guardrails count: whether the challenger is no worse, not whether it is better.
    _lines([one.sentence for one in (each.guards if each.kind == "rollout" else each.verdicts)])
    _lines([f"caution: {caution}" for caution in each.cautions])


def _lines(lines: Sequence[str]) -> None:
    if lines:
        tell()
    for line in lines:
        tell(spelled(line))


def _facts(each: Experiment) -> Iterator[tuple[str, str]]:
    """What is one line each."""
    began = f"{moment(each.since_s)}, weights changed {moment(each.epoch_s)}" if each.epoch_s != each.since_s else ""
    yield "began", began or moment(each.since_s) or "not yet"
    if each.wrong is not None:
        what = "rollback" if each.kind == "rollout" else "verdict"
        yield "budget", f"a wrong {what}, ever, in {_percent(each.wrong)} of such {each.kind}s at most"
    late = f"; {each.late:,} left out, as nobody knows by which weights they were dealt" if each.late else ""
    told = ", ".join(f"{variant} {count:,}" for variant, count in each.rows.items())
    yield "requests", f"{told}{late}; no verdict below {each.min_rows:,} rows"
    yield "users", _shares(each.mismatch)
    yield "sides", _sides(each.sides)


def _shares(mismatch: Mismatch) -> str:
    """Whether the split keeps them, of users: one with many requests is one."""
    users = sum(seen.count for seen in mismatch.users)
    if not users:
        return "nobody was seen"
    told = ", ".join(
        f"{seen.variant} {_percent(seen.count / users)} ({_percent(nan if seen.share is None else seen.share)} due)"
        for seen in mismatch.users
    )
    word = "not kept" if mismatch.alarm else "kept"
    return f"shares {word}: {told}; p = {mismatch.p_value:.3g}"


def _sides(sides: Sides) -> str:
    """Whether users stay on theirs."""
    if not sides.users:
        return "nobody was seen"
    crossed, moved = (_percent(nan if share is None else share) for share in (sides.crossed, sides.moved))
    return f"{sides.users:,} users in the sample: {crossed} seen on several sides, {moved} moved by changed weights"


def _row(verdict: Verdict) -> Sequence[Cell]:
    decided = verdict.decided
    ends = (_difference(number, relative=verdict.relative) for number in (verdict.estimate, verdict.low, verdict.high))
    return [
        verdict.measure,
        verdict.challenger,
        verdict.word.replace("_", " "),
        *ends,
        f"{verdict.rows.get('champion', 0)} + {verdict.rows.get('challenger', 0)}",
        None if verdict.rows_to_go is None else f"{verdict.rows_to_go:.0f}",
        f"{decided.word} {moment(decided.at_s)}" if decided else None,
    ]


def _difference(number: float | None, *, relative: bool) -> Cell:
    """Of parts of the champion's value in percent; empty for what is not known."""
    if number is None or not isfinite(number):
        return None
    return f"{100 * number:+.4g} %" if relative else f"{number:+.4g}"


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"
