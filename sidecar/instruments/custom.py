"""Metrics of the user's own, as they were read from captured exchanges."""

from sidecar.instruments.table import metric, whose
from sidecar.payload.custom import Custom, Tally, buckets
from sidecar.records import Attributes, Kind, Metric, Value
from sidecar.texts import encodable

KINDS: dict[str, Kind] = {"value": "gauge", "counter": "counter", "histogram": "histogram"}
"""What the configuration calls them, and what they are."""


def custom_metrics(custom: Custom | None) -> list[Metric]:
    """All of them, and how many values are in none. May be called from any thread."""
    if custom is None:
        return []
    failures = [(_named(each), each.failures) for each in custom.tallies]
    omitted = [(_named(each), each.omitted) for each in custom.tallies]
    return [
        *map(_metric, custom.tallies),
        metric("sidecar.custom.failures", failures),
        metric("sidecar.custom.omitted", omitted),
    ]


def _named(tally: Tally) -> Attributes:
    return {"sidecar.metric": tally.spec.name}


def _metric(tally: Tally) -> Metric:
    spec = tally.spec
    names = [each.name for each in spec.attributes]
    points: list[tuple[Attributes, Value]] = []
    # While others may come: the copy is made in one step.
    for (variant, version, *values), series in list(tally.series.items()):
        told = {name: encodable(value) for name, value in zip(names, values, strict=True) if value is not None}
        value = buckets(series, spec.bounds) if spec.kind == "histogram" else series.total
        points.append(({**whose(variant or "", version or ""), **told}, value))
    return Metric(spec.name, encodable(spec.unit), encodable(spec.description), KINDS[spec.kind], points)
