"""What became of the exchanges that were to be captured and decoded."""

from collections.abc import Mapping
from typing import NamedTuple

from sidecar.instruments.table import counted_by, metric
from sidecar.records import Metric


class CaptureCounts(NamedTuple):
    """What became of exchanges so far.

    Args:
        offered: To the tap.
        captured: By the pipeline.
        dropped: By reason.
        held_bytes: Now, in flight and waiting.
        waiting: Exchanges, now.
        rows: Decoded, by variant.
        failures: Bodies not decoded, by reason.
    """

    offered: int
    captured: int
    dropped: Mapping[str, int]
    held_bytes: int
    waiting: int
    rows: Mapping[str, int]
    failures: Mapping[str, int]


def capture_metrics(counts: CaptureCounts) -> list[Metric]:
    """What became of the exchanges that were to be captured and decoded."""
    return [
        metric("sidecar.capture.offered", [({}, counts.offered)]),
        metric("sidecar.capture.captured", [({}, counts.captured)]),
        metric("sidecar.capture.dropped", counted_by("sidecar.reason", counts.dropped)),
        metric("sidecar.capture.held", [({}, counts.held_bytes)]),
        metric("sidecar.capture.waiting", [({}, counts.waiting)]),
        metric("sidecar.payload.rows", counted_by("feature_flag.result.variant", counts.rows)),
        metric("sidecar.payload.failures", counted_by("sidecar.reason", counts.failures)),
    ]
