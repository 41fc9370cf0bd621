import re

import pytest

from sidecar.instruments import (
    INSTRUMENTS,
    Itself,
    Monitors,
    alert_metrics,
    attribution_metrics,
    bias_metrics,
    capture_metrics,
    cloudwatch_metrics,
    custom_metrics,
    experiment_metrics,
    export_metrics,
    info_metrics,
    infrastructure_metrics,
    itself_metrics,
    label_metrics,
    quality_metrics,
    routing_metrics,
    scrape_metrics,
    shadow_metrics,
    sink_metrics,
    trace_metrics,
    traffic_metrics,
    value_metrics,
    watch_metrics,
    window_metrics,
)
from sidecar.instruments.table import bounded, whose
from sidecar.instruments.table import metric as made
from sidecar.payload.custom import Custom
from sidecar.quality.outcomes import Outcomes
from sidecar.records import Attributes, Buckets, ExponentialBuckets, LabelCounts, Metric
from sidecar.stats.lag import LAG_SECONDS, SLICE_SECONDS
from sidecar.stats.traced import Sampler, Tracing
from sidecar.stats.traffic import Histogram
from tests.instruments.rig import (
    BROKEN,
    COUNTS,
    OK,
    UPSTREAMS,
    Way,
    alert,
    attributing,
    by_name,
    comparing,
    drifted,
    grading,
    labelled,
    snapshot_of,
    summary_of,
    traffic_of,
)
from tests.instruments.test_experiments import standing
from tests.instruments.test_infrastructure import READINGS
from tests.instruments.test_routing import ARMS, Sent
from tests.instruments.test_scraped import failed


def traced() -> Tracing:
    found = Tracing(Sampler(), None, bits=lambda _: 1)
    found.kept["sampled"] = found.dropped["queue_full"] = 1
    return found


def every_metric() -> list[Metric]:
    way = Way("jsonl", 1, 2, 3)
    windows = {("champion", "features"): summary_of(), ("champion", "predictions"): summary_of()}
    return [
        *traffic_metrics(traffic_of((OK, 0.1)), scheme="http", upstreams=UPSTREAMS),
        *capture_metrics(COUNTS),
        *sink_metrics([way]),
        *export_metrics([way]),
        *watch_metrics(drifted(), {"champion": [BROKEN]}, max_series=100),
        *label_metrics(LabelCounts(1, 2, {"joined": 3}, 4, 5, 6), 7, Outcomes(), max_series=100),
        *quality_metrics(grading(labelled(300)), max_series=100),
        *bias_metrics(comparing(labelled(300)), max_series=100),
        *attribution_metrics(attributing(), {"made": 3, "failed": 1}),
        *routing_metrics(ARMS, {}, {}, traffic_of((OK, 0.1))),
        *shadow_metrics(Sent(1, 1)),
        *experiment_metrics({"rollout": standing(100)}, 1, 5.0),
        *alert_metrics([alert()], [way]),
        *window_metrics(windows, max_series=100),
        *itself_metrics(Itself(Histogram(LAG_SECONDS), Histogram(SLICE_SECONDS), 0.1, 2, 1)),
        *infrastructure_metrics(READINGS),
        *trace_metrics(traced()),
        *value_metrics({("champion", "features"): snapshot_of()}, max_series=100),
        *cloudwatch_metrics([], Monitors(), endpoint="scorer", max_series=100),
        *scrape_metrics([failed()], beside=[]),
        *custom_metrics(Custom([], max_series=1)),
        *info_metrics("1.2.3"),
    ]


def test_the_table_names_every_metric_and_no_other() -> None:
    metrics = by_name(every_metric())
    assert set(metrics) == set(INSTRUMENTS)
    for name, metric in metrics.items():
        assert (metric.kind, metric.unit, metric.description) == INSTRUMENTS[name]


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_names_and_units_survive_both_ways_to_prometheus(name: str) -> None:
    instrument = INSTRUMENTS[name]
    assert re.fullmatch(r"(container|http|hw|process|sidecar|system)(\.[a-z][a-z0-9_]*)+", name)
    assert re.fullmatch(r"s|By|Cel|J|W|\{[a-z_]+\}|", instrument.unit)
    # A sentence's part, not a sentence; the ending of a counter is the translation's.
    assert re.fullmatch(r"[A-Z1].*[^.\s]", instrument.description)
    assert not name.endswith(("_total", "_sum", "_bucket", "_seconds", "_bytes", "_ratio"))
    assert instrument.kind != "histogram" or instrument.unit in {"s", "By", ""}


def test_every_value_is_a_plain_number() -> None:
    kinds = {type(value) for metric in every_metric() for _, value in metric.points}
    assert kinds <= {int, float, Buckets, ExponentialBuckets}


def test_of_a_version_without_a_name_there_is_no_attribute() -> None:
    assert whose("champion", "3") == {"feature_flag.result.variant": "champion", "sidecar.version": "3"}
    assert whose("a\udc80", "") == {"feature_flag.result.variant": "a\\udc80"}


NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("limit", "means", "deviations", "omitted"),
    [(0, [], [], 5), (1, [1.0], [4.0], 3), (2, [1.0, 3.0], [4.0, 5.0], 1), (3, [1.0, 3.0], [4.0, 5.0, 6.0], 0)],
)
def test_what_is_undefined_is_left_out_and_what_is_beyond_the_limit_is_counted(
    limit: int, means: list[float], deviations: list[float], omitted: int
) -> None:
    at: Attributes = {}
    named = {
        "sidecar.feature.mean": [(at, 1.0), (at, NAN), (at, 3.0), (at, -INFINITE)],
        "sidecar.feature.std": [(at, INFINITE), (at, 4.0), (at, 5.0), (at, 6.0)],
    }

    told, left = bounded(named, limit)

    assert [[value for _, value in each.points] for each in told] == [means, deviations]
    assert left == omitted


@pytest.mark.parametrize(
    ("name", "foreign"),
    [
        ("process.cpu.time", True),
        ("container.paging.faults", True),
        ("system.network.io", True),
        ("hw.energy", True),
        ("sidecar.container.stalled", True),
        ("sidecar.labels", True),
        ("sidecar.predictions.dropped", False),
        ("sidecar.process.count", False),
        ("http.server.request.duration", False),
    ],
)
def test_what_began_without_us_says_so(name: str, foreign: bool) -> None:
    assert made(name, []).foreign == foreign
