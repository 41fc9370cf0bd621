"""What became of predictions and labels, and what came of exchanges besides their labels."""

from typing import get_args

from sidecar.instruments.table import Points, bounded, metric, whose
from sidecar.quality.outcomes import Outcomes
from sidecar.records import LabelCounts, LabelStatus, Metric
from sidecar.texts import encodable


def label_metrics(counts: LabelCounts, dropped: int, outcomes: Outcomes, *, max_series: int) -> list[Metric]:
    """What became of predictions, labels and outcomes. May be called from any thread.

    Args:
        dropped: Predictions that never reached the store.
        max_series: Outcomes that are told; the rest is counted.
    """
    posted: Points = [
        ({"sidecar.outcome": each}, counts.labels.get(each, 0)) for each in get_args(LabelStatus) if each != "waiting"
    ]
    return [
        metric("sidecar.predictions", [({}, counts.predictions)]),
        metric("sidecar.predictions.awaiting", [({}, counts.awaiting)]),
        metric("sidecar.predictions.missing", [({}, counts.missing)]),
        metric("sidecar.predictions.dropped", [({}, dropped)]),
        metric("sidecar.labels", posted),
        metric("sidecar.labels.waiting", [({}, counts.waiting)]),
        *_outcome_metrics(outcomes, max_series),
    ]


def _outcome_metrics(outcomes: Outcomes, max_series: int) -> list[Metric]:
    values: Points = []
    means: Points = []
    # While others may come: the copy is made in one step.
    known = list(outcomes.by.items())
    for (variant, version, name), each in known:
        at = {**whose(variant, version), "sidecar.metric": encodable(name)}
        values.append((at, each.values))
        means.append((at, each.mean))
    told, _ = bounded({"sidecar.outcome.values": values, "sidecar.outcome.mean": means}, max_series)
    return [
        *told,
        metric("sidecar.outcome.dropped", [({}, outcomes.omitted)]),
        metric("sidecar.outcome.omitted", [({}, max(0, len(known) - max_series))]),
    ]
