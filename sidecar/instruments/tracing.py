"""What became of traces on the request path; what became of them beyond it, their exporter tells as others do."""

from sidecar.instruments.table import counted_by, metric
from sidecar.records import Metric
from sidecar.stats.traced import Tracing


def trace_metrics(tracing: Tracing | None) -> list[Metric]:
    """How many were kept, and dropped; none of it where there are no traces."""
    if tracing is None:
        return []
    return [
        metric("sidecar.traces", counted_by("sidecar.sampled_by", dict(tracing.kept))),
        metric("sidecar.traces.dropped", counted_by("sidecar.reason", dict(tracing.dropped))),
    ]
