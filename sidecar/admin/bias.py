"""What `/v1/bias` answers: per version Clarify's analysis, of the window and of all rows so far, and what it breaks."""

import math
from collections.abc import Mapping, Sequence

from sidecar.admin.quality import labels
from sidecar.admin.view import Settled
from sidecar.monitors.bias import Comparing
from sidecar.monitors.compared import PRE_TRAINING, Compared, Group
from sidecar.quality.bias import MEANING
from sidecar.quality.ranges import Measured, Violation
from sidecar.records import JSON
from sidecar.reference.bias_files import Analysis, BiasMetric, BiasReport, GroupBias, analysis_document
from sidecar.texts import encodable

_CHECK = "bias_drift_check"


def bias(truth: Settled, comparing: Comparing) -> JSON:
    """By variant and version.

    Args:
        comparing: The truth's.
    """
    return {
        "labels": labels(truth.counts, truth.dropped),
        "variants": [_version(compared, key) for key, compared in comparing.versions],
    }


def _version(compared: Compared, key: tuple[str, str]) -> JSON:
    # In a thread, while groups may be compared anew: each is read once.
    groups, violations = list(compared.groups), list(compared.violations)
    outcome = encodable(compared.judging.outcome)
    return {
        "name": encodable(key[0]),
        "version": encodable(key[1]),
        "labelled": compared.labelled,
        "window": _analysis(outcome, [(group, _values(group.window)) for group in groups]),
        "lifetime": _analysis(outcome, [(group, group.lifetime) for group in groups]),
        "groups": [_group(group, compared.judging.limits(group.facet)) for group in groups],
        "violations": [_violation(each) for each in violations],
    }


def _analysis(outcome: str, groups: Sequence[tuple[Group, Mapping[str, float]]]) -> JSON:
    """Metrics in the shape of Clarify's analysis.json."""
    before = tuple(_metrics(group, values, pre=True) for group, values in groups)
    after = tuple(_metrics(group, values, pre=False) for group, values in groups)
    return analysis_document(Analysis(BiasReport("label", outcome, before), BiasReport("label", outcome, after)))


def _values(window: Mapping[str, Measured]) -> dict[str, float]:
    return {name: each.value for name, each in window.items()}


def _metrics(group: Group, values: Mapping[str, float], *, pre: bool) -> GroupBias:
    names = [name for name in values if (name in PRE_TRAINING) == pre]
    metrics = tuple(BiasMetric(name, MEANING[name], float(values[name])) for name in names)
    return GroupBias(encodable(group.facet.name), encodable(group.facet.value), metrics)


def _group(group: Group, limits: Mapping[str, tuple[float, float]]) -> JSON:
    """What Clarify's file has no place for: rows, intervals, and the ranges that are allowed."""
    return {
        "facet": encodable(group.facet.name),
        "value_or_threshold": encodable(group.facet.value),
        "rows": group.rows[0],
        "other_rows": group.rows[1],
        "intervals": {
            name: [float(each.low), float(each.high)]
            for name, each in group.window.items()
            if math.isfinite(each.low) and math.isfinite(each.high)
        },
        "allowed": {name: [_finite(low), _finite(high)] for name, (low, high) in limits.items()},
    }


def _finite(end: float) -> float | None:
    """The end of a range; None of one that is open there."""
    return float(end) if math.isfinite(end) else None


def _violation(violation: Violation) -> JSON:
    """In the shape of an entry of Clarify's constraint_violations.json."""
    return {
        "facet": encodable(violation.facet),
        "facet_value": encodable(violation.facet_value),
        "metric_name": violation.metric,
        "constraint_check_type": _CHECK,
        "description": encodable(violation.description),
    }
