from fractions import Fraction
from math import ceil, log2, nextafter

import numpy as np
import pytest
from opentelemetry.sdk.metrics._internal.exponential_histogram.mapping.logarithm_mapping import LogarithmMapping

from sidecar.instruments.traffic import traffic_metrics
from sidecar.records import Attributes, Buckets, Metric
from sidecar.stats.traffic import BYTES, EXPONENTIAL_SECONDS, OVERHEAD_SECONDS, SECONDS, Labels, Traffic
from tests.instruments.rig import OK, UPSTREAMS, attributes, by_name, traffic_of


def told(traffic: Traffic) -> dict[str, Metric]:
    return by_name(traffic_metrics(traffic, scheme="http", upstreams=UPSTREAMS))


def one(metric: Metric) -> Buckets:
    (point,) = metric.points
    assert isinstance(point[1], Buckets)
    return point[1]


@pytest.mark.parametrize(
    ("name", "bounds", "total"),
    [
        ("http.server.request.duration", SECONDS, 0.25),
        ("http.client.request.duration", SECONDS, 0.225),
        ("sidecar.upstream.first_byte.duration", SECONDS, 0.125),
        ("sidecar.overhead.duration", OVERHEAD_SECONDS, 0.025),
        ("http.server.request.body.size", BYTES, 1400.0),
        ("http.server.response.body.size", BYTES, 180.0),
    ],
)
def test_histograms_have_the_advised_bounds_and_exact_sums(name: str, bounds: tuple[float, ...], total: float) -> None:
    buckets = one(told(traffic_of((OK, 0.05), (OK, 0.2)))[name])
    assert buckets.bounds == bounds
    assert (sum(buckets.counts), len(buckets.counts)) == (2, len(bounds) + 1)
    assert buckets.total == pytest.approx(total)


def test_a_value_on_a_bound_is_below_it() -> None:
    counts = one(told(traffic_of((OK, 0.1), (OK, 0.1001), (OK, 11.0)))["http.server.request.duration"]).counts
    expected = [0] * (len(SECONDS) + 1)
    expected[SECONDS.index(0.1)] = expected[SECONDS.index(0.25)] = expected[-1] = 1
    assert list(counts) == expected


Plain = dict[str, str | int | bool]

SERVED: Plain = {
    "http.request.method": "POST",
    "url.scheme": "http",
    "http.route": "/infer",
    "http.response.status_code": 200,
    "feature_flag.result.variant": "champion",
    "sidecar.version": "3",
}
SENT: Plain = {
    "http.request.method": "POST",
    "server.address": "model",
    "server.port": 8081,
    "http.route": "/infer",
    "http.response.status_code": 200,
    "feature_flag.result.variant": "champion",
    "sidecar.version": "3",
}


def without(given: Plain, *names: str, **more: str) -> Plain:
    kept: Plain = {name: value for name, value in given.items() if name not in names}
    return {**kept, **{name.replace("_", "."): value for name, value in more.items()}}


def with_(given: Plain, status: int, error: str = "") -> Plain:
    return {**given, "http.response.status_code": status} | ({"error.type": error} if error else {})


@pytest.mark.parametrize(
    ("labels", "server", "client"),
    [
        (OK, SERVED, SENT),
        (
            OK._replace(version="", route=""),
            without(SERVED, "sidecar.version", "http.route"),
            without(SENT, "sidecar.version", "http.route"),
        ),
        (OK._replace(status=404), with_(SERVED, 404), with_(SENT, 404, "404")),
        (OK._replace(status=500), with_(SERVED, 500, "500"), with_(SENT, 500, "500")),
        (
            OK._replace(status=502, error_type="reset"),
            with_(SERVED, 502, "reset"),
            without(SENT, "http.response.status_code", error_type="reset"),
        ),
        (
            OK._replace(status=0, error_type="client_gone"),
            without(SERVED, "http.response.status_code", error_type="client_gone"),
            without(SENT, "http.response.status_code", error_type="client_gone"),
        ),
        (
            OK._replace(variant="challenger"),
            {**SERVED, "feature_flag.result.variant": "challenger"},
            {
                **without(SENT, "server.port"),
                "feature_flag.result.variant": "challenger",
                "server.address": "/run/model.sock",
            },
        ),
    ],
)
def test_attributes_are_those_of_the_conventions(labels: Labels, server: Attributes, client: Attributes) -> None:
    metrics = told(traffic_of((labels, 0.1)))
    assert attributes(metrics["http.server.request.duration"]) == [server]
    assert attributes(metrics["sidecar.overhead.duration"]) == [server]
    assert attributes(metrics["http.client.request.duration"]) == [client]


def test_a_request_that_upstream_did_not_answer_has_no_first_byte() -> None:
    metrics = told(traffic_of((OK._replace(status=504, error_type="first_byte_timeout"), 0.1)))
    assert metrics["sidecar.upstream.first_byte.duration"].points == []
    assert one(metrics["http.client.request.duration"]).total == pytest.approx(0.09)


def test_a_refused_request_is_no_request_of_ours() -> None:
    metrics = told(traffic_of((Labels("", "", "_OTHER", "", 400, "bad_request"), 0.0)))
    assert metrics["http.client.request.duration"].points == []
    assert attributes(metrics["http.server.request.duration"]) == [
        {
            "http.request.method": "_OTHER",
            "url.scheme": "http",
            "http.response.status_code": 400,
            "error.type": "bad_request",
        }
    ]


def test_label_sets_that_are_exported_alike_are_one_point() -> None:
    failed = OK._replace(status=500)
    metrics = told(traffic_of((failed, 0.1), (failed._replace(error_type="500"), 0.2)))
    buckets = one(metrics["http.server.request.duration"])
    assert sum(buckets.counts) == 2
    assert buckets.total == pytest.approx(0.3)


def test_gauges_and_counters_of_the_traffic() -> None:
    traffic = traffic_of((OK, 0.1))
    traffic.enter()
    traffic.serve("champion")
    traffic.enter()
    traffic.serve("champion")
    traffic.tunnels["websocket"] += 3
    traffic.folded = 7
    metrics = told(traffic)
    active = metrics["http.server.active_requests"]
    assert active.points == [({"url.scheme": "http", "feature_flag.result.variant": "champion"}, 2)]
    assert metrics["sidecar.tunnels"].points == [({"network.protocol.name": "websocket"}, 3)]
    assert metrics["sidecar.series.folded"].points == [({}, 7)]


def test_an_idle_sidecar_has_no_durations() -> None:
    assert {name for name, metric in told(Traffic(max_series=9)).items() if metric.points} == {"sidecar.series.folded"}


DURATIONS = [
    "http.server.request.duration",
    "http.client.request.duration",
    "sidecar.upstream.first_byte.duration",
    "sidecar.overhead.duration",
]


@pytest.mark.parametrize("name", DURATIONS)
def test_durations_are_told_in_exponential_buckets_on_demand(name: str) -> None:
    """Each value is in the bucket that OpenTelemetry's formula puts it into, whatever series it is of."""
    chosen = [1e-4, 0.001, 0.05, 0.2, 0.25, 0.2501, 3.0, 5000.0]
    again = OK._replace(status=500)
    traffic = traffic_of(*((labels, value) for value in chosen for labels in (OK, again)))
    metric = by_name(traffic_metrics(traffic, scheme="http", upstreams=UPSTREAMS, exponential=True))[name]
    part = {"http.client.request.duration": 0.9, "sidecar.overhead.duration": 0.1}.get(name, 1.0)
    part = 0.5 if "first_byte" in name else part
    expected: dict[int, int] = {}
    for value in chosen:
        index = min(ceil(log2(value * part) * 8) - 1, 74)
        expected[index] = expected.get(index, 0) + 1
    for _, buckets in metric.points:
        assert isinstance(buckets, Buckets)
        assert buckets.finer is not None
        start, counts = buckets.finer.positive
        assert {index: count for index, count in enumerate(counts, start) if count} == expected
        assert (counts[0], counts[-1], buckets.finer.scale, buckets.finer.total) == (1, 1, 3, buckets.total)
        assert (buckets.finer.count, buckets.finer.negative[1]) == (sum(buckets.counts), [])


@pytest.mark.parametrize(
    ("duration_s", "bucket"), [(0.0, -134), (5e-6, -134), (9.9e-6, -133), (608.0, 73), (609.0, 74), (1e6, 74)]
)
def test_what_is_too_short_or_too_long_is_in_the_bucket_beside_the_others(duration_s: float, bucket: int) -> None:
    metrics = by_name(traffic_metrics(traffic_of((OK, duration_s)), scheme="http", upstreams={}, exponential=True))
    finer = one(metrics["http.server.request.duration"]).finer
    assert finer is not None
    assert (finer.zeros, finer.positive) == (0, (bucket, [1]))


def test_every_value_is_in_the_very_bucket_of_the_data_model() -> None:
    """2^(i/8) < value <= 2^((i + 1)/8), in whole numbers; OpenTelemetry's SDK says the same but at the bounds."""
    chosen = [2.0**power for power in np.random.default_rng(5).uniform(-16.5, 9.2, 300)]
    near = [nextafter(bound, end) for bound in EXPONENTIAL_SECONDS for end in (0.0, bound, 1e9)]
    by_sdk = LogarithmMapping(3).map_to_index
    for value in (*chosen, *near[1:-1]):
        traffic = traffic_of((OK, value))
        metrics = by_name(traffic_metrics(traffic, scheme="http", upstreams={}, exponential=True))
        finer = one(metrics["http.server.request.duration"]).finer
        assert finer is not None
        index, counts = finer.positive
        assert counts == [1]
        assert Fraction(2) ** index < Fraction(value) ** 8 <= Fraction(2) ** (index + 1)
        assert value in near or index == by_sdk(value)


def test_sizes_are_told_in_their_own_buckets_and_nothing_is_told_twice_unless_asked() -> None:
    traffic = traffic_of((OK, 0.1))
    for exponential in (False, True):
        metrics = by_name(traffic_metrics(traffic, scheme="http", upstreams=UPSTREAMS, exponential=exponential))
        assert one(metrics["http.server.request.body.size"]).finer is None
        assert (one(metrics["http.server.request.duration"]).finer is not None) == exponential


def test_label_sets_that_are_exported_alike_are_added_up() -> None:
    """A first byte that came, and one that did not: to the client it is all the same."""
    cut = OK._replace(status=0, error_type="")
    traffic = traffic_of((cut, 0.05), (cut._replace(status=0), 0.2))
    other = Labels("champion", "3", "POST", "/infer", 0, "")
    traffic.series(other).add(3.0, 0.0, 0.0, 1, 1)
    assert sum(one(told(traffic)["http.server.request.duration"]).counts) == 3
