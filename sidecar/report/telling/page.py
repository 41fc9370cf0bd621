"""The report as one HTML file that needs nothing else: no network, and for reading it no script.

Whatever comes from payloads is escaped. The page's policy lets nothing run but the scripts that it was made with, by
their digests, and nothing be fetched at all.
"""

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from hashlib import sha256
from itertools import count, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

import sidecar.admin
from sidecar.errors import ConfigError, Fault
from sidecar.records import JSON
from sidecar.report.telling.charts import Course, bar, courses, scores, shares, spark, svg
from sidecar.report.telling.document import Document, DriftColumn, Past, Variant, breaches
from sidecar.report.telling.labelled import biases, qualities, what_became
from sidecar.report.telling.wording import (
    CAUSES,
    TITLES,
    UNKNOWN,
    length,
    moment,
    number,
    percent,
    ranked,
    span,
    standing,
    titled,
    verdict,
)
from sidecar.texts import shown

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

MAX_CARDS = 20
"""Columns that have drifted and are shown whole, for each variant."""

MAX_ROWS = 200
"""Of the tables of findings and of violations; the JSON has all."""

NAME, SENTENCE = 80, 2000
"""Characters of a name and of a sentence that are shown."""

TEMPLATES = Path(__file__).with_name("templates")
VENDOR = Path(sidecar.admin.__file__).parent / "page" / "vendor"
"""uPlot, as the dashboard has it."""

EXTRA = "pip install 'sidecar[report]'"


class BinRow(NamedTuple):
    """A bin of a distribution.

    Args:
        now: None where no row has come.
        bars: Its pictures.
    """

    name: str
    before: float | None
    now: float | None
    bars: "Markup"


class Card(NamedTuple):
    """A column that has drifted; `change` is what the sequential detector says of it."""

    name: str
    subject: str
    change: Mapping[str, JSON] | None
    statistics: Mapping[str, Mapping[str, JSON]]
    bins: Sequence[BinRow]


class Row(NamedTuple):
    """A column among all of them."""

    name: str
    subject: str
    kind: str
    drifted: bool
    missing: float | None
    facts: Mapping[str, JSON]
    spark: "Markup"
    statistics: Sequence[float | None]


class Drawn(NamedTuple):
    """A course, and its place among all of the page."""

    place: int
    course: Course
    picture: "Markup"


class Shown(NamedTuple):
    """A variant, as the page shows it; `more` columns have drifted beside those with a card."""

    title: str
    cards: Sequence[Card]
    more: int
    past: Sequence[Past]
    courses: Sequence[Drawn]
    kinds: Sequence[str]
    columns: Sequence[Row]


def page(document: Document) -> str:
    """The file's text.

    Raises:
        ConfigError: What it is made with is not installed.
    """
    environment = _environment()
    scripts = [_vendored("uPlot.iife.min.js"), _own("report.js")]
    style = _vendored("uPlot.min.css") + _own("report.css")
    found = list(breaches(document["variants"], document["quality"], document["bias"]))
    graded = list(qualities(document["quality"], _markup))
    drawn = _drawn(
        [
            *(courses(variant) for variant in document["variants"]),
            *(scores(document["history"], each.title) for each in graded),
        ]
    )
    of_variants, of_versions = drawn[: len(document["variants"])], drawn[len(document["variants"]) :]
    times = [each[edge] for each in document["variants"] for edge in ("first_s", "last_s")]
    known = [time_s for time_s in times if time_s is not None]
    made = environment.get_template("report.html").render(
        document=document,
        policy=_policy(scripts, style),
        style=_markup(style),
        scripts=[_markup(script) for script in scripts],
        courses=_data(drawn),
        verdict=verdict(document),
        standing=standing(document),
        titles=TITLES,
        span=span,
        parts=_parts(document),
        causes=CAUSES,
        first=min(known, default=None),
        last=max(known, default=None),
        variants=list(_shown(document["variants"], of_variants)),
        labels=what_became(document["quality"]),
        qualities=list(zip(graded, of_versions, strict=True)),
        biases=list(biases(document["bias"])),
        breaches=found,
        settings=msgspec.json.format(msgspec.json.encode(document["settings"]), indent=2).decode(),
        most=MAX_ROWS,
    )
    return made.lstrip()


def check_installed() -> None:
    """See that what a page is made with is there.

    Raises:
        ConfigError: It is not.
    """
    _environment()


def _environment() -> "Environment":
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError:
        raise ConfigError(Fault("-o", f"a page needs jinja2, expected {EXTRA}")) from None
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "number": _number,
        "percent": percent,
        "moment": moment,
        "length_of_time": length,
        "name": lambda text: shown(str(text), NAME),
        "sentence": lambda text: shown(str(text), SENTENCE),
    }
    return made


def _number(value: JSON) -> str:
    """SageMaker writes in words what is no number."""
    return number(value) if isinstance(value, int | float) else UNKNOWN


def _markup(text: str) -> "Markup":
    """A text of our own making, which is not to be escaped."""
    from markupsafe import Markup

    return Markup(text)


@cache
def _vendored(name: str) -> str:
    return (VENDOR / name).read_text(encoding="utf-8")


@cache
def _own(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _policy(scripts: Sequence[str], style: str) -> str:
    allowed = " ".join(map(_source, scripts))
    return f"default-src 'none'; script-src {allowed}; style-src {_source(style)}; base-uri 'none'; form-action 'none'"


def _source(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _data(drawn: Sequence[Sequence[Drawn]]) -> "Markup":
    """The courses for the script; no `<` in it, which could end the element."""
    found = [
        {
            "group": group,
            "label": shown(each.course.title.rpartition(": ")[2].lower(), NAME),
            "times": each.course.times_s,
            "values": each.course.values,
            "limit": each.course.limit,
            "note": each.course.note,
        }
        for group, those in enumerate(drawn)
        for each in those
    ]
    return _markup(msgspec.json.encode(found).decode().replace("<", "\\u003c"))


def _parts(document: Document) -> list[tuple[str, str]]:
    """The page's parts, by the names of their places."""
    found = [("verdict", "Verdict")]
    found += [("findings", "Findings")] if document["findings"] else []
    found += [("drifted", "What drifted"), ("time", "In the course of time")]
    found += [("quality", "Quality")] if document["quality"] else []
    found += [("bias", "Bias")] if document["bias"] else []
    return [*found, ("constraints", "Constraints"), ("columns", "All columns"), ("made", "How this was made")]


def _drawn(found: Sequence[Sequence[Course]]) -> list[list[Drawn]]:
    """Courses in groups, each with its place among all of them."""
    places = count()
    return [[Drawn(next(places), each, _markup(svg(each))) for each in group] for group in found]


def _shown(variants: Sequence[Variant], drawn: Sequence[Sequence[Drawn]]) -> Iterator[Shown]:
    for variant, pictures in zip(variants, drawn, strict=True):
        columns = ranked(variant["drift"]["columns"])
        kinds = list(dict.fromkeys(kind for each in variant["drift"]["columns"] for kind in each["statistics"]))
        yield Shown(
            titled(variant["name"], *variant["versions"]),
            [_card(each) for each in columns[:MAX_CARDS]],
            max(0, len(columns) - MAX_CARDS),
            variant["past"][:MAX_ROWS],
            pictures,
            kinds,
            list(_rows(variant, kinds)),
        )


def _card(column: DriftColumn) -> Card:
    known = shares(column)
    most = max([*known[0], *known[1]], default=0.0)
    bins = [
        BinRow(name, before, after, _markup(bar(before, most, "reference") + bar(after, most, "current")))
        for name, before, after in zip_longest(column["bins"], *known)
    ]
    change: Mapping[str, JSON] | None = dict(column["drift"]) if column["drift"] else None
    return Card(
        column["name"],
        column["subject"],
        change,
        {kind: dict(said) for kind, said in column["statistics"].items()},
        bins,
    )


def _rows(variant: Variant, kinds: Sequence[str]) -> Iterator[Row]:
    """Every column that came, and every one of the reference that did not."""
    compared = {each["name"]: each for each in variant["drift"]["columns"]}
    drifted = {each["name"] for each in ranked(variant["drift"]["columns"])}
    facts = {each["name"]: each for each in variant["columns"]}
    for name in dict.fromkeys([*compared, *facts]):
        column, known = compared.get(name), facts.get(name, {})
        rows = known.get("rows")
        said = column["statistics"] if column else {}
        yield Row(
            name,
            column["subject"] if column else known.get("subject", ""),
            known.get("kind", ""),
            name in drifted,
            known["missing"] / rows if rows else None,
            {key: known.get(key) for key in ("mean", "std", "minimum", "maximum")},
            _markup(spark(column) if column else ""),
            [said[kind]["statistic"] if kind in said else None for kind in kinds],
        )
