from collections import Counter
from dataclasses import dataclass, field

from sidecar.config.schema import Variant
from sidecar.instruments import routing_metrics, shadow_metrics
from sidecar.stats.traffic import Traffic
from tests.instruments.rig import by_name

ARMS = {"a": Variant(url="http://a", version="3", weight=3), "b": Variant(url="http://b", weight=1)}


@dataclass
class Sent:
    """Copies, counted."""

    sent: int = 0
    in_flight: int = 0
    shed: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)


def test_parts_of_the_traffic_are_told_in_percent() -> None:
    told = by_name(routing_metrics(ARMS, {"a": 0.25}, {"b": 2}, Traffic(max_series=10)))
    a = {"feature_flag.result.variant": "a", "sidecar.version": "3"}
    b = {"feature_flag.result.variant": "b"}
    assert told["sidecar.variant.percent"].points == [(a, 75.0), (b, 25.0)]
    assert told["sidecar.variant.available"].points == [(a, 25.0), (b, 100.0)]
    assert told["sidecar.variant.ejections"].points == [(a, 0), (b, 2)]


def test_who_served_instead_of_whom_is_counted() -> None:
    traffic = Traffic(max_series=10)
    traffic.diverted["b", "a"] += 4
    traffic.unkeyed += 2
    told = by_name(routing_metrics(ARMS, {}, {}, traffic))
    where = {"feature_flag.result.variant": "a", "sidecar.instead_of": "b"}
    assert told["sidecar.requests.diverted"].points == [(where, 4)]
    assert told["sidecar.requests.unkeyed"].points == [({}, 2)]


def test_without_variants_or_weights_nothing_is_undefined() -> None:
    assert by_name(routing_metrics({}, {}, {}, Traffic(max_series=1)))["sidecar.variant.percent"].points == []
    none = {"a": Variant(url="http://a", weight=0)}
    told = by_name(routing_metrics(none, {}, {}, Traffic(max_series=1)))
    assert [value for _, value in told["sidecar.variant.percent"].points] == [0.0]


def test_what_became_of_copies_is_told_by_reason() -> None:
    told = by_name(shadow_metrics(Sent(5, 1, Counter(full=2), Counter(timeout=1))))
    assert {name: metric.points for name, metric in told.items()} == {
        "sidecar.shadow.sent": [({}, 5)],
        "sidecar.shadow.shed": [({"sidecar.reason": "full"}, 2)],
        "sidecar.shadow.failed": [({"error.type": "timeout"}, 1)],
        "sidecar.shadow.active_requests": [({}, 1)],
    }
