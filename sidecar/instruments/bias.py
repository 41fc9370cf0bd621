"""What labels say of groups."""

from sidecar.instruments.table import Points, bounded, metric, whose
from sidecar.monitors.bias import Comparing
from sidecar.records import Metric
from sidecar.texts import encodable


def bias_metrics(comparing: Comparing | None, *, max_series: int) -> list[Metric]:
    """The bias metrics of every version and group; what is undefined is left out. May be called from any thread.

    Args:
        comparing: The monitor; None where there is none.
        max_series: Points that are told, those of the version that came last first; the rest is counted.
    """
    points: Points = []
    for key, compared in reversed(list(comparing.versions)) if comparing else ():
        for group in compared.groups:
            facet = {"sidecar.facet": encodable(group.facet.name), "sidecar.facet.value": encodable(group.facet.value)}
            at = {**whose(*key), **facet}
            points += [({**at, "sidecar.metric": name}, float(each.value)) for name, each in group.window.items()]
    told, omitted = bounded({"sidecar.bias.metric": points}, max_series)
    return [*told, metric("sidecar.bias.omitted", [({}, omitted)] if comparing else [])]
