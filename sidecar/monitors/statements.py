"""Scores in the shapes of Model Monitor's files of model quality."""

from collections.abc import Mapping
from math import isfinite

import msgspec

from sidecar.monitors.grades import Grade
from sidecar.monitors.scored import Scores
from sidecar.quality.reading import Task
from sidecar.records import JSON
from sidecar.reference.quality_files import Limit, Meta, quality_statistics, write_quality_violations

STATISTICS, VIOLATIONS = "statistics.json", "constraint_violations.json"


def statistics(task: Task, scores: Scores, evaluated_s: float | None = None) -> JSON:
    """What is in statistics.json.

    Args:
        evaluated_s: Unix time at which they were made.
    """
    names = scores.classes
    confusion = {
        actual: dict(zip(names, row, strict=True)) for actual, row in zip(names, scores.confusion.tolist(), strict=True)
    }
    return quality_statistics(
        task,
        {name: (each.value, each.deviation) for name, each in scores.scores.items()},
        confusion,
        _curves(scores),
        Meta(scores.rows, _finite(scores.first_s), _finite(scores.last_s), evaluated_s),
    )


def files(task: Task, variant: str, grade: Grade, limits: Mapping[str, Limit]) -> dict[str, bytes]:
    """The files of a variant, by name."""
    told = msgspec.json.encode(statistics(task, grade.window, grade.made_s))
    return {
        STATISTICS: msgspec.json.format(told, indent=2) + b"\n",
        VIOLATIONS: write_quality_violations((variant, each) for each in grade.violations(limits)),
    }


def _curves(scores: Scores) -> Mapping[str, Mapping[str, list[float]]]:
    found: dict[str, dict[str, list[float]]] = {}
    if (curves := scores.curves) is not None:
        found["receiver_operating_characteristic_curve"] = {
            "false_positive_rates": curves.false_positive_rates.tolist(),
            "true_positive_rates": curves.true_positive_rates.tolist(),
        }
        found["precision_recall_curve"] = {"precisions": curves.precisions.tolist(), "recalls": curves.recalls.tolist()}
    if (told := scores.reliability) is not None:
        found["reliability_curve"] = {
            "probabilities": told.probabilities.tolist(),
            "shares": told.shares.tolist(),
            "rows": told.weights.tolist(),
        }
    return found


def _finite(number: float) -> float | None:
    return float(number) if isfinite(number) else None
