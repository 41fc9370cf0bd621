import random

from sidecar.instruments.tracing import trace_metrics
from sidecar.stats.traced import FAILED, SAMPLED, Sampler, Tail, Tracing
from tests.instruments.rig import by_name
from tests.stats.test_traced import traced


def test_traces_are_told_by_why_they_were_kept_or_dropped() -> None:
    tracing = Tracing(Sampler(), Tail(per_minute=1), max_waiting=3, bits=random.Random(1).getrandbits)
    for reason in (SAMPLED, FAILED, FAILED, SAMPLED, SAMPLED):
        if tracing.admits(reason, 0.0):
            tracing.take(traced(reason))
    found = by_name(trace_metrics(tracing))
    assert {name: metric.points for name, metric in found.items()} == {
        "sidecar.traces": [({"sidecar.sampled_by": "sampled"}, 2), ({"sidecar.sampled_by": "error"}, 1)],
        "sidecar.traces.dropped": [({"sidecar.reason": "tail_limit"}, 1), ({"sidecar.reason": "queue_full"}, 1)],
    }


def test_where_nobody_asked_for_traces_none_are_told() -> None:
    assert trace_metrics(None) == []
