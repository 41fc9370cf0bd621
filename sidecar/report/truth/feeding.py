"""Decoded rows and their labels → the monitors, in the order of requests."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import TYPE_CHECKING

import numpy as np

from sidecar.monitors.bias import Bias
from sidecar.monitors.grades import EVERY_S, MOST_CELLS
from sidecar.monitors.pieces import MAX_FEATURES
from sidecar.monitors.quality import Grading, Quality
from sidecar.ports import Grader
from sidecar.quality.reading import MAX_CLASSES
from sidecar.records import Table
from sidecar.report.truth.assembling import (
    GROUP,
    GROUP_TEXT,
    KINDS,
    Column,
    Layout,
    columns_of,
    labelled,
    table,
    times_of,
)
from sidecar.report.truth.joining import Pairs
from sidecar.sinks.rows import HEADER

if TYPE_CHECKING:
    import pyarrow
    from ibis import Table as Lines

LOOKS = 50
"""At what the monitors say, at most: each takes up to half a second for every version."""

Layouts = Mapping[tuple[str, str], Layout]
"""By variant and version."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What monitors read.

    Args:
        features: Their names; None for all.
        groups: What of headers and labels says of whom an exchange is about.
    """

    features: frozenset[str] | None
    groups: Sequence[str]


def wanted(grades: Quality | None, compares: Bias | None) -> Wanted:
    """What these monitors read."""
    if compares is None:
        return Wanted(None, ())
    strata = (compares.strata,) if compares.strata else ()
    groups = [facet.name for facet in compares.facets if not facet.feature]
    neighbours = compares.reference is not None or "FT" in (compares.allowed or {})
    named = frozenset([*strata, *(facet.feature for facet in compares.facets)])
    return Wanted(None if grades is not None or neighbours else named, tuple(dict.fromkeys([*groups, *strata])))


def layout_of(names: Iterable[str], wants: Wanted) -> Layout:
    """What there is of that among the columns of a table."""
    known = list(names)
    features = [each for each in columns_of(known, *KINDS[0]) if wants.features is None or each.name in wants.features]
    headers = [Column(name, text=HEADER + name if HEADER + name in known else "") for name in wants.groups]
    labels = [Column(name, GROUP + name, GROUP_TEXT + name) for name in wants.groups]
    groups = list(zip(headers, labels, strict=True))
    return Layout(features[:MAX_FEATURES], columns_of(known, *KINDS[1]), groups)


def layouts_of(rows: "Lines", layout: Layout) -> Layouts:
    """By version those columns that it has ever had a value in: others are of other versions."""
    asked = [*layout.features, *layout.predictions]
    held = {name: rows[name].notnull().any() for column in asked for name in column.held}
    found = rows.group_by("variant", "version").agg(**held).order_by("variant", "version")
    return {
        (each["variant"], each["version"]): layout.only(name for name in held if each[name])
        for each in found.to_pyarrow().to_pylist()
    }


def look_times(first_s: float, last_s: float, every_s: float, rest_s: float) -> list[float]:
    """Whole multiples of `every_s` between two moments, or of a multiple of it where those would be too many.

    Args:
        rest_s: Before the last moment, without any.

    Example:
        >>> look_times(3000.0, 14000.0, 3600.0, rest_s=10.0)
        [3600.0, 7200.0, 10800.0]
    """
    step_s = every_s * max(1, ceil((last_s - first_s) / every_s / LOOKS))
    first, last = floor(first_s / step_s) + 1, floor((last_s - rest_s) / step_s)
    return [number * step_s for number in range(first, last + 1)]


def rest_s(grades: Quality | None) -> float:
    """After which monitors surely work out anew what has changed."""
    rows = grades.rows if grades is not None else 0
    return EVERY_S * max(1.0, rows * MAX_CLASSES / MOST_CELLS)


def feed(
    pairs: Pairs, layouts: Layouts, graders: Sequence[Grader], looks: Iterable[float], look: Callable[[float], None]
) -> None:
    """Hand over all pairs.

    Args:
        looks: Unix times; at each `look` is called, between the rows before it and the others.
    """
    coming = deque(looks)
    for batch in pairs.batches():
        times_s, begin = times_of(batch), 0
        while coming and len(times_s) and times_s[-1] >= coming[0]:
            stop = int(np.searchsorted(times_s, coming[0]))
            _take(batch.slice(begin, stop - begin), layouts, graders)
            look(coming.popleft())
            begin = stop
        _take(batch.slice(begin), layouts, graders)
    for moment_s in coming:
        look(moment_s)


def _take(batch: "pyarrow.RecordBatch", layouts: Layouts, graders: Sequence[Grader]) -> None:
    for rows in labelled(batch, layouts):
        for grader in graders:
            grader.take(rows)


def predict(rows: "Lines", layouts: Layouts, grading: Grading, options: Quality) -> None:
    """Hand over the latest predictions of each version, labels or not: of these quality is estimated."""
    import ibis

    for (variant, version), layout in layouts.items():
        held = [name for column in layout.predictions for name in column.held]
        those = rows.filter((rows.variant == variant) & (rows.version == version) & rows.answered)
        latest = those.order_by(ibis.desc("time")).limit(options.rows).select("time", *held).to_pyarrow()
        for batch in latest.combine_chunks().to_batches():
            times_s = times_of(batch)
            kept = int((times_s >= times_s[0] - options.window_s).sum())
            answers = table(batch.slice(0, kept), layout.predictions)
            grading.count(variant, version, Table((), np.empty((kept, 0))), answers)
            grading.judge(float(times_s[0]))
