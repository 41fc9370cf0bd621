"""SageMaker's `baseline_drift_check`, by the methods and thresholds of constraints.json, and violations as findings."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import get_args

from sidecar.detectors.chi_squared import ChiSquared
from sidecar.detectors.distance import LInfinity
from sidecar.monitors.telling import MAX_TEXT, NAMED
from sidecar.ports import Detector
from sidecar.records import Carrier, Event, Finding, Key
from sidecar.reference.checks import Violation
from sidecar.reference.constraints import CategoricalMethod, Constraint, Constraints
from sidecar.stats.tally import Tally
from sidecar.texts import shown

MONITOR = "data"

METHODS: Mapping[str, Detector] = {
    "Simple": LInfinity(method="Simple"),
    "Robust": LInfinity(method="Robust"),
    "LInfinity": LInfinity(method="Simple"),
    "ChiSquared": ChiSquared(),
}
"""SageMaker's `comparison_method` of numbers and `categorical_drift_method`; what nobody asks for costs nothing."""


def drift_violations(
    constraints: Constraints, names: Sequence[str], reference: Tally, current: Tally
) -> list[Violation]:
    """The features whose distribution is farther from the reference's than their constraint allows.

    Args:
        names: Of the k features of both tallies.
        current: A whole window.
    """
    rows = (current.n + current.missing).tolist()
    found = (
        (_check(feature, method, value), rows[column])
        for feature, column, method, value in _measured(constraints, names, reference, current)
    )
    return [each._replace(rows=n) for each, n in found if each is not None]


def distances(constraints: Constraints, names: Sequence[str], reference: Tally, current: Tally) -> dict[str, float]:
    """What those constraints are held against, by feature; NaN where it is not defined. See `drift_violations`."""
    return {feature.name: value for feature, _, _, value in _measured(constraints, names, reference, current)}


def findings(violations: Iterable[Violation], *, variant: str, version: str) -> list[Finding]:
    """One finding for each check that some features of a variant break."""
    broken: dict[Key, list[Violation]] = {}
    for each in violations:
        broken.setdefault(Key(MONITOR, each.check, variant, each.subject), []).append(each)
    return [_finding(key, version, those) for key, those in broken.items()]


def violation_event(variant: str, violation: Violation, now_s: float) -> Event:
    """A violation as a log record."""
    name = shown(violation.feature, MAX_TEXT)
    attributes: dict[str, str | int | float | bool] = {
        "feature_flag.result.variant": variant,
        "sidecar.check": violation.check,
        "sidecar.column": name,
        "sidecar.value": violation.value,
        "sidecar.limit": violation.limit,
        "sidecar.rows": violation.rows,
    }
    body = f"{variant}: {name} breaks {violation.check}: {violation.description}"
    return Event("sidecar.violation", now_s, "warning", body, attributes)


def _finding(key: Key, version: str, those: Sequence[Violation]) -> Finding:
    told = [f"{shown(each.feature, MAX_TEXT)}: {each.description}" for each in those[:NAMED]]
    more = [f"{len(those) - NAMED} more"] if len(those) > NAMED else []
    return Finding(
        key,
        version,
        tuple(
            Carrier(each.feature, 1 / len(those), each.value, each.limit, each.description, rows=each.rows)
            for each in those
        ),
        rows=max(each.rows for each in those),
        reference_rows=0,
        sentence=f"{key.subject} of {key.variant} break {key.check}: {'; '.join(told + more)}",
    )


def _method(feature: Constraint, *, ordered: bool) -> str:
    return feature.monitoring.comparison_method if ordered else feature.monitoring.categorical_method


def _measured(
    constraints: Constraints, names: Sequence[str], reference: Tally, current: Tally
) -> Iterator[tuple[Constraint, int, str, float]]:
    """The features that are to be compared: column, method, and its number, which is a p-value of chi-squared."""
    columns = {name: column for column, name in enumerate(names)}
    asked = [
        (feature, columns[feature.name], _method(feature, ordered=bool(reference.ordered[columns[feature.name]])))
        for feature in constraints.features
        if feature.name in columns and feature.monitoring.evaluates and feature.monitoring.compares
    ]
    compared = {method: METHODS[method].check(reference, current) for method in {method for *_, method in asked}}
    for feature, column, method in asked:
        said = compared[method].p_value if method == "ChiSquared" else compared[method].statistic
        yield feature, column, method, float(said[column])


def _check(feature: Constraint, method: str, value: float) -> Violation | None:
    monitoring = feature.monitoring
    limit = monitoring.comparison_threshold
    if method in get_args(CategoricalMethod) and monitoring.categorical_threshold is not None:
        limit = monitoring.categorical_threshold
    if method == "ChiSquared":
        broken, told = value < limit, f"the p-value of chi-squared is {value:.3g}, expected at least {limit:g}"
    else:
        broken, told = value > limit, f"the distance ({method}) is {value:.3g}, expected at most {limit:g}"
    return Violation(feature.name, "baseline_drift_check", value, limit, told) if broken else None
