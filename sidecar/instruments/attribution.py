"""What attributions say, and what became of calls for them."""

from collections.abc import Mapping

from sidecar.instruments.table import Points, bounded, counted_by, metric, whose
from sidecar.monitors.attribution import Attributing
from sidecar.monitors.versions import MAX_VERSIONS
from sidecar.records import Metric


def attribution_metrics(monitor: Attributing, calls: Mapping[str, int]) -> list[Metric]:
    """How alike the rankings of every version are; what is undefined is left out. May be called from any thread.

    Args:
        calls: Of ours to the model, by what became of them.
    """
    known = [(key, attributed.ranking) for key, attributed in monitor.versions]
    points: Points = [(whose(*key), ranking.ndcg) for key, ranking in known if ranking is not None]
    told, _ = bounded({"sidecar.attribution.ndcg": points}, MAX_VERSIONS)
    return [*told, metric("sidecar.attribution.calls", counted_by("sidecar.outcome", calls))]
