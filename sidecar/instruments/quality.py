"""What labels say of how good each version is, and what is estimated before they come."""

from collections.abc import Iterator
from typing import get_args

from sidecar.instruments.table import Points, bounded, metric, whose
from sidecar.monitors.graded import Graded, Test
from sidecar.monitors.grades import Grade
from sidecar.monitors.quality import Grading
from sidecar.records import Attributes, Metric

_TOLD = ("score", "deviation", "estimate", "evidence")


def quality_metrics(grading: Grading | None, *, max_series: int) -> list[Metric]:
    """What labels say of every version; what is undefined is left out. May be called from any thread.

    Args:
        grading: The monitor; None where there is none.
        max_series: Points of each metric, but for the rows; those of the version that came last go first.
    """
    rows: Points = []
    named: dict[str, Points] = {f"sidecar.quality.{name}": [] for name in _TOLD}
    grades = dict(grading.grades) if grading else {}
    for key, graded in reversed(list(grading.versions)) if grading else ():
        at = whose(*key)
        rows.append((at, graded.scored.labelled))
        for name, more, value in (*_scores(grades.get(key)), *_evidence(graded)):
            named[f"sidecar.quality.{name}"].append(({**at, **more}, float(value)))
    told, omitted = bounded(named, max_series)
    return [
        metric("sidecar.quality.rows", rows),
        *told,
        metric("sidecar.quality.omitted", [({}, omitted)] if grading else []),
    ]


def _scores(grade: Grade | None) -> Iterator[tuple[str, Attributes, float]]:
    """Of the window: which metric, with what further attributes, how much."""
    if grade is None:
        return
    for name, each in grade.window.scores.items():
        at = {"sidecar.metric": name}
        yield "score", at, each.value
        yield "deviation", at, each.deviation
    for name, expected in (grade.estimated.estimates if grade.estimated else {}).items():
        yield "estimate", {"sidecar.metric": name}, expected.value


def _evidence(graded: Graded) -> Iterator[tuple[str, Attributes, float]]:
    for test in get_args(Test):
        if said := graded.standing(test):
            yield "evidence", {"sidecar.test": test}, said.verdict.nats
