"""What `/v1/features` answers: the statistics of every feature and prediction, since the start and of late."""

from sidecar.records import JSON
from sidecar.stats.categories import Texts
from sidecar.stats.summary import QUANTILES, Summary
from sidecar.stats.window import Snapshot
from sidecar.texts import encodable

TOP = 20
"""Categories that are shown; all of them are counted."""


def columns(window: Snapshot, now_s: float) -> list[JSON]:
    """Every column of one window; NaN where there is nothing to tell."""
    lifetime, current = window.lifetime(), window.current(now_s)
    return [
        {"name": encodable(name), "lifetime": _column(lifetime, column), "window": _column(current, column)}
        for column, name in enumerate(lifetime.names)
    ]


def _column(summary: Summary, column: int) -> JSON:
    count = int(summary.count[column])
    texts = summary.texts.get(column)
    return {
        "rows": summary.rows,
        "missing": int(summary.missing[column]),
        "infinite": int(summary.infinite[column]),
        "count": count,
        "mean": float(summary.mean[column]),
        "std": float(summary.std[column]),
        "min": float(summary.minimum[column]),
        "max": float(summary.maximum[column]),
        "zero_ratio": float(summary.zero_ratio[column]),
        "negative_ratio": float(summary.negative_ratio[column]),
        "quantiles": {f"{q:g}": value for q, value in zip(QUANTILES, summary.quantiles[column].tolist(), strict=True)},
        "histogram": _histogram(summary, column) if count else None,
        "texts": None if texts is None else _texts(texts),
    }


def _histogram(summary: Summary, column: int) -> JSON:
    return {"edges": summary.edges[column].tolist(), "counts": summary.histogram[column].tolist()}


def _texts(texts: Texts) -> JSON:
    return {
        "rows": texts.rows,
        "distinct": texts.distinct,
        "top": [{"value": encodable(value), "count": count} for value, count in texts.top[:TOP]],
        "other": texts.other + sum(count for _, count in texts.top[TOP:]),
        "length": {"min": texts.length_min, "mean": texts.length_mean, "max": texts.length_max},
    }
