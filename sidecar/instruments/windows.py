"""The current windows, column by column, and all numbers since the start."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol, TypeVar

import numpy as np

from sidecar.instruments.table import SUBJECTS, Points, metric
from sidecar.records import Attributes, ExponentialBuckets, Metric
from sidecar.stats.buckets import Exponential
from sidecar.stats.moments import Counts
from sidecar.stats.summary import QUANTILES, Summary
from sidecar.stats.window import Snapshot
from sidecar.texts import encodable

SHOWN_QUANTILES = (0.05, 0.5, 0.95)
"""Of QUANTILES: what a gauge each is worth; `/v1/features` has all of them."""


class Columned(Protocol):
    """What has columns."""

    @property
    def names(self) -> tuple[str, ...]:
        """What they are called."""
        ...


C = TypeVar("C", bound=Columned)


def window_metrics(summaries: Mapping[tuple[str, str], Summary], *, max_series: int) -> list[Metric]:
    """Gauges of the current windows; what is not a number is left out, never 0.

    Args:
        summaries: By variant and kind, a key of SUBJECTS.
        max_series: Columns that are told, of each kind; the rest is counted.
    """
    metrics = []
    omitted: Points = []
    for kind, subject in SUBJECTS.items():
        points: dict[str, Points] = {}
        for variant, summary, shown in _shown(summaries, kind, max_series):
            omitted.append(({"feature_flag.result.variant": variant, "sidecar.kind": kind}, len(summary.names) - shown))
            points.setdefault("rows", []).append(({"feature_flag.result.variant": variant}, summary.rows))
            for gauge, column, attributes, value in _columns(summary, shown):
                at = {
                    "feature_flag.result.variant": variant,
                    f"sidecar.{subject}.name": encodable(summary.names[column]),
                }
                points.setdefault(gauge, []).append(({**at, **attributes}, value))
        metrics += [metric(f"sidecar.{subject}.{gauge}", each) for gauge, each in points.items()]
    return [*metrics, metric("sidecar.window.omitted", omitted)]


def value_metrics(snapshots: Mapping[tuple[str, str], Snapshot], *, max_series: int) -> list[Metric]:
    """Exponential histograms of all numbers since the start, of the columns that `window_metrics` tells.

    What has no number has no histogram. May be called from any thread: 1,000 columns take milliseconds.

    Args:
        snapshots: By variant and kind, a key of SUBJECTS.
        max_series: Columns that are told, of each kind.
    """
    metrics = []
    for kind, subject in SUBJECTS.items():
        points: list[tuple[Attributes, ExponentialBuckets]] = []
        for variant, snapshot, shown in _shown(snapshots, kind, max_series):
            if not shown:
                continue
            spread = snapshot.spread()
            totals = spread.total.tolist()
            for column in np.flatnonzero(spread.buckets.total()[:shown]).tolist():
                at = {
                    "feature_flag.result.variant": variant,
                    f"sidecar.{subject}.name": encodable(spread.names[column]),
                }
                points.append((at, _exponential(spread.buckets, column, totals[column])))
        metrics.append(metric(f"sidecar.{subject}.value", points))
    return metrics


def _shown(named: Mapping[tuple[str, str], C], kind: str, max_series: int) -> Iterator[tuple[str, C, int]]:
    """Those of one kind by variant, and how many of their columns are told."""
    left = max_series
    for (variant, of), each in named.items():
        if of == kind:
            shown = min(left, len(each.names))
            left -= shown
            yield variant, each, shown


def _exponential(buckets: Exponential, column: int, total: float) -> ExponentialBuckets:
    positive, negative = (
        _run(int(first), counts)
        for first, counts in zip(buckets.offsets[:, column], buckets.counts[:, column], strict=True)
    )
    return ExponentialBuckets(
        int(buckets.scale[column]),
        int(buckets.zeros[column]),
        positive,
        negative,
        total,
        float(buckets.minimum[column]),
        float(buckets.maximum[column]),
    )


def _run(first: int, counts: Counts) -> tuple[int, list[int]]:
    """The counts without the empty ones at the end; at the beginning there are none."""
    used = np.flatnonzero(counts)
    return (first, counts[: used[-1] + 1].tolist()) if used.size else (0, [])


def _columns(summary: Summary, shown: int) -> Iterable[tuple[str, int, Attributes, float]]:
    """The gauges of the first `shown` columns: which gauge, of which column, with what further attributes, how much."""
    for column, missing in enumerate(summary.missing[:shown].tolist()):
        yield "missing", column, {}, missing
    numbers = {"mean": summary.mean, "std": summary.std, "min": summary.minimum, "max": summary.maximum}
    for gauge, values in numbers.items():
        for column in np.flatnonzero(np.isfinite(values[:shown])).tolist():
            yield gauge, column, {}, float(values[column])
    for share in SHOWN_QUANTILES:
        quantiles = summary.quantiles[:shown, QUANTILES.index(share)]
        for column in np.flatnonzero(np.isfinite(quantiles)).tolist():
            yield "quantile", column, {"sidecar.quantile": f"{share:g}"}, float(quantiles[column])
    for column, texts in summary.texts.items():
        if column < shown:
            yield "distinct", column, {}, texts.distinct
