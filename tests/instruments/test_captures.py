from sidecar.instruments.captures import capture_metrics
from tests.instruments.rig import COUNTS, by_name


def test_captures_are_told() -> None:
    assert {name: metric.points for name, metric in by_name(capture_metrics(COUNTS)).items()} == {
        "sidecar.capture.offered": [({}, 5)],
        "sidecar.capture.captured": [({}, 4)],
        "sidecar.capture.dropped": [({"sidecar.reason": "buffer_full"}, 1)],
        "sidecar.capture.held": [({}, 2048)],
        "sidecar.capture.waiting": [({}, 2)],
        "sidecar.payload.rows": [({"feature_flag.result.variant": "champion"}, 40)],
        "sidecar.payload.failures": [({"sidecar.reason": "json"}, 3)],
    }
