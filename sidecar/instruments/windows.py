"""The current windows, column by column."""

from collections.abc import Iterable, Mapping

import numpy as np

from sidecar.instruments.table import SUBJECTS, Points, metric
from sidecar.records import Attributes, Metric
from sidecar.stats.summary import QUANTILES, Summary
from sidecar.texts import encodable

SHOWN_QUANTILES = (0.05, 0.5, 0.95)
"""Of QUANTILES: what a gauge each is worth; `/v1/features` has all of them."""


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
        left = max_series
        for variant, summary in ((variant, each) for (variant, of), each in summaries.items() if of == kind):
            shown = min(left, len(summary.names))
            left -= shown
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
