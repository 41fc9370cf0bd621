from sidecar.instruments.outlets import export_metrics, sink_metrics
from tests.instruments.rig import Way, by_name


def test_sinks_and_exports_are_told() -> None:
    sinks = by_name(sink_metrics([Way("jsonl", 1, 2, 3, waiting=8, waiting_bytes=9), Way("other", 4, 5, 6, 7)]))
    assert sinks["sidecar.sink.dropped"].points == [({"sidecar.sink": "jsonl"}, 2), ({"sidecar.sink": "other"}, 5)]
    assert sinks["sidecar.sink.deleted"].points == [({"sidecar.sink": "jsonl"}, 0), ({"sidecar.sink": "other"}, 7)]
    assert sinks["sidecar.sink.waiting"].points == [({"sidecar.sink": "jsonl"}, 8), ({"sidecar.sink": "other"}, 0)]
    assert sinks["sidecar.sink.held"].points == [({"sidecar.sink": "jsonl"}, 9), ({"sidecar.sink": "other"}, 0)]
    exports = by_name(export_metrics([Way("otlp", 1, 2, 3), Way("otlp_logs", 4, 5, 6, waiting=7)]))
    one, other = {"sidecar.exporter": "otlp"}, {"sidecar.exporter": "otlp_logs"}
    assert {name: metric.points for name, metric in exports.items()} == {
        "sidecar.export.delivered": [(one, 1), (other, 4)],
        "sidecar.export.dropped": [(one, 2), (other, 5)],
        "sidecar.export.failed": [(one, 3), (other, 6)],
        "sidecar.export.waiting": [(one, 0), (other, 7)],
    }


def test_where_nobody_asked_for_exports_there_are_none() -> None:
    assert all(metric.points == [] for metric in export_metrics([]))
