"""The sidecar observed by itself: what its event loop does, how much it captures, what it goes by."""

from typing import NamedTuple

from sidecar.instruments.table import metric
from sidecar.records import Buckets, Metric
from sidecar.stats.traffic import Histogram


class Itself(NamedTuple):
    """How the sidecar does.

    Args:
        lag: Of its event loop.
        slices: Of the pipeline.
        sample_ratio: Of exchanges that are to be captured, as the configuration in force has it.
        revision: Of the configuration in force.
        refused: Configurations that were refused.
        untold: Failed exchanges of which no event tells.
        lines: Of our own log that stderr did not take.
        records: Of the log and of events that were lost before there was an exporter.
    """

    lag: Histogram
    slices: Histogram
    sample_ratio: float
    revision: int
    refused: int
    untold: int = 0
    lines: int = 0
    records: int = 0


def itself_metrics(itself: Itself) -> list[Metric]:
    """How the sidecar does."""
    return [
        metric("sidecar.loop.lag", [({}, _buckets(itself.lag))]),
        metric("sidecar.pipeline.slice.duration", [({}, _buckets(itself.slices))]),
        metric("sidecar.capture.percent", [({}, 100 * itself.sample_ratio)]),
        metric("sidecar.configuration.revision", [({}, itself.revision)]),
        metric("sidecar.configuration.refused", [({}, itself.refused)]),
        metric("sidecar.exchange.untold", [({}, itself.untold)]),
        metric(
            "sidecar.log.dropped",
            [({"sidecar.log.output": "stderr"}, itself.lines), ({"sidecar.log.output": "otlp"}, itself.records)],
        ),
    ]


def _buckets(histogram: Histogram) -> Buckets:
    """As it is now: it goes on counting."""
    return Buckets(histogram.bounds, tuple(histogram.counts), histogram.total)
