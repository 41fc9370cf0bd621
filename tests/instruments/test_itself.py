from sidecar.instruments.itself import Itself, itself_metrics
from sidecar.records import Buckets
from sidecar.stats.lag import LAG_SECONDS, SLICE_SECONDS, count
from sidecar.stats.traffic import Histogram
from tests.instruments.rig import by_name


def test_the_sidecar_tells_of_itself() -> None:
    lag, slices = Histogram(LAG_SECONDS), Histogram(SLICE_SECONDS)
    count(lag, 0.003)
    count(slices, 0.0004)
    told = by_name(itself_metrics(Itself(lag, slices, 0.25, 7, 2, 3, 4, 5)))
    assert {name: metric.points for name, metric in told.items()} == {
        "sidecar.loop.lag": [({}, Buckets(LAG_SECONDS, (0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0), 0.003))],
        "sidecar.pipeline.slice.duration": [({}, Buckets(SLICE_SECONDS, (0, 0, 0, 1, *[0] * 8), 0.0004))],
        "sidecar.capture.percent": [({}, 25.0)],
        "sidecar.configuration.revision": [({}, 7)],
        "sidecar.configuration.refused": [({}, 2)],
        "sidecar.exchange.untold": [({}, 3)],
        "sidecar.log.dropped": [({"sidecar.log.output": "stderr"}, 4), ({"sidecar.log.output": "otlp"}, 5)],
    }


def test_what_is_told_does_not_change_when_counting_goes_on() -> None:
    lag = Histogram(LAG_SECONDS)
    told = by_name(itself_metrics(Itself(lag, Histogram(SLICE_SECONDS), 1.0, 1, 0)))
    count(lag, 0.003)
    (point,) = told["sidecar.loop.lag"].points
    assert point[1] == Buckets(LAG_SECONDS, (0,) * 14, 0.0)
