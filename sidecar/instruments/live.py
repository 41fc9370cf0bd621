"""What is measured of the versions that serve, as plain numbers: to stand beside what was measured in training."""

from collections import defaultdict
from math import isfinite

from sidecar.monitors.quality import Grading
from sidecar.stats.traffic import Labels, Series, Traffic

Version = tuple[str, str]
"""A variant and its version."""


def live_measures(traffic: Traffic, grading: Grading | None) -> dict[Version, dict[str, float]]:
    """By variant and version: requests and their latencies since the process began, quality of all labelled rows."""
    sums: defaultdict[Version, list[tuple[Labels, Series]]] = defaultdict(list)
    for labels, series in traffic:
        if labels.variant:
            sums[labels.variant, labels.version].append((labels, series))
    found = {key: _served(those) for key, those in sums.items()}
    for (variant, version), grade in grading.grades.items() if grading is not None else ():
        scores = {f"quality.{name}": each.value for name, each in grade.lifetime.scores.items()}
        found.setdefault((variant, version), {}).update(scores, labelled_rows=float(grade.lifetime.rows))
    return {key: {name: value for name, value in told.items() if isfinite(value)} for key, told in found.items()}


def _served(those: list[tuple[Labels, Series]]) -> dict[str, float]:
    total, failed = Series(), 0
    for labels, series in those:
        total.merge(series)
        failed += 0 if 0 < labels.status < 500 else sum(series.duration_s.counts)
    requests = sum(total.duration_s.counts)
    return {
        "requests": float(requests),
        "error_ratio": failed / requests if requests else float("nan"),
        "duration_p50_s": total.duration_s.quantile(0.5),
        "duration_p99_s": total.duration_s.quantile(0.99),
    }
