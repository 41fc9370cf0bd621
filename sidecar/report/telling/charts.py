"""Distributions and courses as small pictures, drawn without a script; what a script draws better is handed to it.

A picture is SVG whose looks are the page's style's: it has no style of its own, which the page's policy would refuse.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from sidecar.records import JSON
from sidecar.report.telling.document import DriftColumn, Variant
from sidecar.report.telling.wording import moment, number, percent, ranked, titled

MAX_POINTS = 1000
"""Of a course on the page; of more slices each point is the greatest of some that follow each other."""

MAX_COLUMNS = 8
"""Whose courses are drawn, for each variant; all are in the JSON."""

SCORES = ("accuracy", "auc", "f1", "weighted_f1", "log_loss", "rmse", "mae", "r2")
"""Whose courses are drawn, the first MAX_SCORES that there are."""

MAX_SCORES = 4

WIDTH, HEIGHT = 600, 120
"""Of a course's picture, in units of its own."""

SPARK_WIDTH, SPARK_HEIGHT = 90, 22

Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Course:
    """A number in the course of time.

    Args:
        title: What it is.
        times_s: Unix times of the slices' beginnings.
        limit: What it may reach; None where nothing says.
        note: How the limit is called.
    """

    title: str
    times_s: Sequence[float]
    values: Values
    limit: float | None = None
    note: str = "limit"

    @property
    def told(self) -> str:
        """In words, for who cannot see it."""
        known = [(value, time_s) for value, time_s in zip(self.values, self.times_s, strict=True) if value is not None]
        if not known:
            return "no value"
        least, greatest = min(known), max(known)
        limit = f"; {self.note} {number(self.limit)}" if self.limit is not None else ""
        return (
            f"greatest {number(greatest[0])} on {moment(greatest[1])}; least {number(least[0])}; "
            f"last {number(known[-1][0])}{limit}"
        )


def courses(variant: Variant) -> list[Course]:
    """What is drawn of a variant: its rows, and the statistics and evidence of the columns that drifted most."""
    slices = variant["slices"]
    times, rows = thinned(slices["times_s"], [float(each) for each in slices["rows"]])
    found = [Course("Rows", times, rows)]
    for column in _moved(variant)[:MAX_COLUMNS]:
        name = column["name"]
        for kind, by_column in slices["statistics"].items():
            if name in by_column:
                found.append(_course(f"{name}: {kind}", slices["times_s"], by_column[name], _limit(column, kind)))
        if name in slices["evidence_nats"]:
            needed = column["drift"]["needed_nats"] if column["drift"] else None
            nats = slices["evidence_nats"][name]
            found.append(_course(f"{name}: evidence in nats", slices["times_s"], nats, needed, "alarm at"))
    return list(filter(_shows, found))


def _moved(variant: Variant) -> list[DriftColumn]:
    """The columns that drifted in the end, the most first; then those that did before."""
    columns = variant["drift"]["columns"]
    drifted = ranked(columns)
    before = {name for past in variant["past"] for name in past["columns"]} - {each["name"] for each in drifted}
    return [*drifted, *(each for each in columns if each["name"] in before)]


def scores(history: JSON, title: str) -> list[Course]:
    """The course of what a version's labels say, look by look.

    Args:
        history: As the document has it.
        title: The version's: its variant and its name.
    """
    for version in (history or {}).get("versions", []):
        if titled(version["name"], version["version"]) == title:
            known = [name for name in SCORES if name in version["scores"]]
            found = [_course(name, history["times_s"], version["scores"][name]) for name in known[:MAX_SCORES]]
            return list(filter(_shows, found))
    return []


def _shows(course: Course) -> bool:
    """Whether it goes from somewhere to somewhere: a single point is no course."""
    return sum(value is not None for value in course.values) > 1


def _course(
    title: str, times_s: Sequence[float], values: Values, limit: float | None = None, note: str = "limit"
) -> Course:
    times, kept = thinned(times_s, values)
    return Course(title, times, kept, limit, note)


def _limit(column: DriftColumn, kind: str) -> float | None:
    """What the statistic may reach in any slice; that of a test depends on the rows, and is of all rows together."""
    said = column["statistics"].get(kind)
    return said["limit"] if said and said["p_value"] is None else None


def thinned(times_s: Sequence[float], values: Values) -> tuple[list[float], list[float | None]]:
    """At most MAX_POINTS points: each the greatest of as many slices, at the first one's time.

    Example:
        >>> times, values = thinned(range(2500), [0.0] * 2499 + [7.0])
        >>> len(times), values[-1]
        (834, 7.0)
    """
    step = math.ceil(len(times_s) / MAX_POINTS) or 1
    groups = [values[place : place + step] for place in range(0, len(values), step)]
    return list(times_s[::step]), [max((each for each in group if each is not None), default=None) for group in groups]


def svg(course: Course) -> str:
    """The course as a picture, its limit as a dashed line."""
    known = [value for value in course.values if value is not None]
    top = max([*known, course.limit or 0.0])
    bottom = min([*known, 0.0])
    height = (top - bottom) or 1.0
    first, last = course.times_s[0], course.times_s[-1]
    span = (last - first) or 1.0

    def across(time_s: float) -> float:
        return WIDTH * (time_s - first) / span if last > first else WIDTH / 2

    def up(value: float) -> float:
        return HEIGHT - 4 - (HEIGHT - 8) * (value - bottom) / height

    lines = [
        " ".join(f"{across(time_s):.1f},{up(value):.1f}" for time_s, value in points) for points in _unbroken(course)
    ]
    drawn = "".join(f'<polyline points="{line}"/>' if " " in line else _dot(line) for line in lines)
    limit = ""
    if course.limit is not None:
        y = f"{up(course.limit):.1f}"
        limit = f'<line class="limit" x1="0" x2="{WIDTH}" y1="{y}" y2="{y}"/>'
    return (
        f'<svg class="course" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" aria-hidden="true">'
        f"{limit}{drawn}</svg>"
    )


def _dot(point: str) -> str:
    x, _, y = point.partition(",")
    return f'<circle cx="{x}" cy="{y}" r="3"/>'


def _unbroken(course: Course) -> Iterator[list[tuple[float, float]]]:
    """The stretches without a gap."""
    points = zip(course.times_s, course.values, strict=True)
    for known, group in groupby(points, key=lambda point: point[1] is not None):
        if known:
            yield [(time_s, value) for time_s, value in group if value is not None]


def bar(share: float | None, most: float, kind: str) -> str:
    """A bar of a share, as long as its part of the greatest one.

    Args:
        kind: `reference` or `current`.
    """
    wide = 100 * share / most if share is not None and most > 0 else 0.0
    return (
        f'<svg class="bar" width="100%" height="7" aria-hidden="true">'
        f'<rect class="{kind}" width="{wide:.2f}%" height="7" rx="1.5"/></svg>'
    )


def shares(column: DriftColumn) -> tuple[Sequence[float], Sequence[float]]:
    """The reference's of each bin, and the current ones; none of a column that has no value there."""
    # There is a place for every bin that a column can have, of which this one need not have all.
    count = len(column["bins"])
    before, now = ((given or [])[:count] for given in (column["reference"], column["current"]))
    return [share for share in before if share is not None], [share for share in now if share is not None]


def spark(column: DriftColumn) -> str:
    """The shares of all bins, side by side: the reference's as steps, the current ones as bars."""
    before, now = shares(column)
    most = max([*before, *now], default=0.0)
    if not before or most <= 0:
        return ""
    wide = SPARK_WIDTH / len(before)
    bars = "".join(_bar(place * wide, wide - 1, share / most, "current") for place, share in enumerate(now))
    steps = "".join(_step(place * wide, wide, share / most) for place, share in enumerate(before))
    return (
        f'<svg class="spark" width="{SPARK_WIDTH}" height="{SPARK_HEIGHT}" viewBox="0 0 {SPARK_WIDTH} {SPARK_HEIGHT}" '
        f'role="img" aria-label="{_spoken(column)}">{bars}{steps}</svg>'
    )


def _bar(x: float, wide: float, share: float, kind: str) -> str:
    high = (SPARK_HEIGHT - 2) * share
    return f'<rect class="{kind}" x="{x:.1f}" y="{SPARK_HEIGHT - high:.1f}" width="{wide:.1f}" height="{high:.1f}"/>'


def _step(x: float, wide: float, share: float) -> str:
    y = SPARK_HEIGHT - (SPARK_HEIGHT - 2) * share
    return f'<line class="reference" x1="{x:.1f}" x2="{x + wide - 1:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'


def _spoken(column: DriftColumn) -> str:
    """Where the most rows are, in numbers alone: a bin's name may hold anything."""
    before, now = shares(column)
    if not now:
        return "no rows"
    place = max(range(len(now)), key=now.__getitem__)
    was = before[place] if before else None
    return f"most rows in bin {place + 1} of {len(now)}: {percent(now[place])}, before {percent(was)}"
