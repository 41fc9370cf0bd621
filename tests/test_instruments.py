import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import pytest

from sidecar.instruments import (
    INSTRUMENTS,
    SHOWN_QUANTILES,
    CaptureCounts,
    alert_metrics,
    capture_metrics,
    export_metrics,
    info_metrics,
    sink_metrics,
    traffic_metrics,
    watch_metrics,
    window_metrics,
)
from sidecar.monitors.data import Data, Following, WindowSize
from sidecar.records import Alert, Attributes, Buckets, Carrier, Finding, Key, Metric, Severity, State, Table
from sidecar.reference.checks import Check, Violation
from sidecar.reference.constraints import suggested
from sidecar.reference.folder import Reference
from sidecar.reference.learning import Learner
from sidecar.stats.summary import Summary
from sidecar.stats.traffic import BYTES, OVERHEAD_SECONDS, SECONDS, Labels, Traffic
from sidecar.stats.window import Window

UPSTREAMS = {"champion": ("model", 8081), "challenger": ("/run/model.sock", 0)}
COUNTS = CaptureCounts(5, 4, {"buffer_full": 1}, 2048, 2, {"champion": 40}, {"json": 3})


@dataclass
class Way:
    """A sink's counts."""

    name: str
    delivered: int
    dropped: int
    failed: int
    deleted_files: int = 0
    last_error: str = ""


def by_name(metrics: Sequence[Metric]) -> dict[str, Metric]:
    named = {metric.name: metric for metric in metrics}
    assert len(named) == len(metrics)
    return named


def traffic_of(*requests: tuple[Labels, float]) -> Traffic:
    """Requests of these durations: a tenth of each is ours, half of it passes before the first byte."""
    traffic = Traffic(max_series=100)
    for labels, duration_s in requests:
        replied = labels.error_type == ""
        traffic.series(labels).add(duration_s, duration_s / 2 if replied else 0.0, duration_s / 10, 700, 90)
    return traffic


def told(traffic: Traffic) -> dict[str, Metric]:
    return by_name(traffic_metrics(traffic, scheme="http", upstreams=UPSTREAMS))


def attributes(metric: Metric) -> list[Attributes]:
    return [point[0] for point in metric.points]


def one(metric: Metric) -> Buckets:
    (point,) = metric.points
    assert isinstance(point[1], Buckets)
    return point[1]


OK = Labels("champion", "3", "POST", "/infer", 200, "")


BROKEN = Violation("amount", "completeness_check", 0.5, 0.9, "half of it is missing")


def numbers(rows: int, shift: float, names: tuple[str, ...]) -> Table:
    return Table(names, np.random.default_rng(rows).normal(shift, size=(rows, len(names))))


def drifted(names: tuple[str, ...] = ("amount", "age"), variants: tuple[str, ...] = ("champion",)) -> Following:
    """Variants whose first feature has moved by two standard deviations, and the others not."""
    learner = Learner()
    learner.update(numbers(1000, 0.0, names))
    profiles = learner.profiles()
    following = Data(window=WindowSize(rows=100, panes=1)).follow(Reference(profiles, suggested(profiles)))
    moved = numbers(200, 0.0, names)
    moved.values[:, 0] += 2.0
    for variant in variants:
        following.count(variant, "3", moved, Table((), np.empty((200, 0))))
    following.judge(1e9)
    return following


def alert(state: State = "firing", severity: Severity = "warning") -> Alert:
    finding = Finding(Key("data", "psi", "champion", "features"), "3", (Carrier("a", 1, 1, 1, ""),), 1, 1, "")
    return Alert(id="a", state=state, severity=severity, finding=finding, pending_s=0.0)


def every_metric() -> list[Metric]:
    way = Way("jsonl", 1, 2, 3)
    windows = {("champion", "features"): summary_of(), ("champion", "predictions"): summary_of()}
    return [
        *traffic_metrics(traffic_of((OK, 0.1)), scheme="http", upstreams=UPSTREAMS),
        *capture_metrics(COUNTS),
        *sink_metrics([way]),
        *export_metrics([way]),
        *watch_metrics(drifted(), {"champion": [BROKEN]}, max_series=100),
        *alert_metrics([alert()], [way]),
        *window_metrics(windows, max_series=100),
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
    assert re.fullmatch(r"(http|sidecar)(\.[a-z][a-z0-9_]*)+", name)
    assert re.fullmatch(r"s|By|\{[a-z]+\}|", instrument.unit)
    assert instrument.description
    assert (instrument.kind == "histogram") == (instrument.unit in {"s", "By"} and name != "sidecar.capture.held")


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
    "sidecar.variant": "champion",
    "sidecar.version": "3",
}
SENT: Plain = {
    "http.request.method": "POST",
    "server.address": "model",
    "server.port": 8081,
    "http.route": "/infer",
    "http.response.status_code": 200,
    "sidecar.variant": "champion",
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
            {**SERVED, "sidecar.variant": "challenger"},
            {**without(SENT, "server.port"), "sidecar.variant": "challenger", "server.address": "/run/model.sock"},
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
    traffic.enter("champion")
    traffic.enter("champion")
    traffic.tunnels["websocket"] += 3
    traffic.folded = 7
    metrics = told(traffic)
    active = metrics["http.server.active_requests"]
    assert active.points == [({"url.scheme": "http", "sidecar.variant": "champion"}, 2)]
    assert metrics["sidecar.tunnels"].points == [({"network.protocol.name": "websocket"}, 3)]
    assert metrics["sidecar.series.folded"].points == [({}, 7)]


def test_an_idle_sidecar_has_no_durations() -> None:
    assert {name for name, metric in told(Traffic(max_series=9)).items() if metric.points} == {"sidecar.series.folded"}


def test_captures_are_told() -> None:
    assert {name: metric.points for name, metric in by_name(capture_metrics(COUNTS)).items()} == {
        "sidecar.capture.offered": [({}, 5)],
        "sidecar.capture.captured": [({}, 4)],
        "sidecar.capture.dropped": [({"sidecar.reason": "buffer_full"}, 1)],
        "sidecar.capture.held": [({}, 2048)],
        "sidecar.capture.waiting": [({}, 2)],
        "sidecar.payload.rows": [({"sidecar.variant": "champion"}, 40)],
        "sidecar.payload.failures": [({"sidecar.reason": "json"}, 3)],
    }


def test_sinks_and_exports_are_told() -> None:
    sinks = by_name(sink_metrics([Way("jsonl", 1, 2, 3), Way("other", 4, 5, 6, 7)]))
    assert sinks["sidecar.sink.dropped"].points == [({"sidecar.sink": "jsonl"}, 2), ({"sidecar.sink": "other"}, 5)]
    assert sinks["sidecar.sink.deleted"].points == [({"sidecar.sink": "jsonl"}, 0), ({"sidecar.sink": "other"}, 7)]
    exports = by_name(export_metrics([Way("otlp", 1, 2, 3), Way("otlp_logs", 4, 5, 6)]))
    one, other = {"sidecar.exporter": "otlp"}, {"sidecar.exporter": "otlp_logs"}
    assert {name: metric.points for name, metric in exports.items()} == {
        "sidecar.export.delivered": [(one, 1), (other, 4)],
        "sidecar.export.dropped": [(one, 2), (other, 5)],
        "sidecar.export.failed": [(one, 3), (other, 6)],
    }


def test_where_nobody_asked_for_exports_there_are_none() -> None:
    assert all(metric.points == [] for metric in export_metrics([]))


def test_drift_is_told_by_column() -> None:
    names = ("amount", "age", "hour")
    metrics = by_name(watch_metrics(drifted(names), {}, max_series=100))
    champion = {"sidecar.variant": "champion"}
    assert metrics["sidecar.drift.rows"].points == [(champion, 200)]
    assert metrics["sidecar.drift.columns"].points == [
        ({**champion, "sidecar.subject": "features"}, 1),
        ({**champion, "sidecar.subject": "predictions"}, 0),
    ]
    assert attributes(metrics["sidecar.drift.evidence"]) == [{**champion, "sidecar.column": name} for name in names]
    statistics = metrics["sidecar.drift.statistic"].points
    assert [at for at, _ in statistics] == [
        {**champion, "sidecar.column": name, "sidecar.detector": "psi"} for name in names
    ]
    assert [isinstance(value, float) and value > 0.25 for _, value in statistics] == [True, False, False]


def test_where_nothing_is_watched_nothing_is_told_of_drift() -> None:
    assert all(metric.points == [] for metric in watch_metrics(None, {}, max_series=100))


@pytest.mark.parametrize(("limit", "told"), [(0, 0), (3, 3), (7, 7), (8, 8), (99, 8)])
def test_drift_is_bounded_by_the_limit_of_series(limit: int, told: int) -> None:
    following = drifted(("a", "b", "c", "d"), ("champion", "challenger"))
    metrics = by_name(watch_metrics(following, {}, max_series=limit))
    assert len(metrics["sidecar.drift.evidence"].points) == told
    assert len(metrics["sidecar.drift.statistic"].points) == told
    assert metrics["sidecar.drift.omitted"].points == [({}, 2 * (8 - told))]
    assert len(metrics["sidecar.drift.rows"].points) == 2


def test_a_column_that_is_no_text_is_told_as_its_escape_and_what_is_no_number_is_left_out() -> None:
    odd = ("\udc80", "b\ud800")
    following = drifted(odd)
    following.count("challenger", "", Table((), np.empty((5, 0))), Table((), np.empty((5, 0))))
    metrics = by_name(watch_metrics(following, {}, max_series=99))
    columns = {at["sidecar.column"] for at in attributes(metrics["sidecar.drift.evidence"])}
    assert columns == {"\\udc80", "b\\ud800"}
    values = [value for metric in metrics.values() for _, value in metric.points]
    assert all(isinstance(value, int | float) and math.isfinite(value) for value in values)


def test_violations_are_counted_by_check_and_those_that_are_mended_are_zero() -> None:
    broken = {"champion": [BROKEN, BROKEN._replace(feature="age"), BROKEN._replace(check="range_check")], "b": []}
    points = by_name(watch_metrics(None, broken, max_series=100))["sidecar.violations"].points
    told = {(at["sidecar.variant"], at["sidecar.check"]): value for at, value in points}
    assert set(told) == {(variant, check) for variant in broken for check in get_args(Check)}
    assert {key: value for key, value in told.items() if value} == {
        ("champion", "completeness_check"): 2,
        ("champion", "range_check"): 1,
    }


def test_alerts_are_counted_by_state_and_severity_and_none_is_a_number_too() -> None:
    alerts = [alert(), alert(), alert("pending", "critical"), alert("resolved", "critical")]
    points = by_name(alert_metrics(alerts, []))["sidecar.alerts"].points
    told = Counter({(at["sidecar.state"], at["sidecar.severity"]): int(str(value)) for at, value in points})
    assert len(points) == 6
    assert +told == {("firing", "warning"): 2, ("pending", "critical"): 1}


def test_channels_are_told_by_name() -> None:
    metrics = by_name(alert_metrics([], [Way("webhook[0]", 1, 2, 3), Way("slack[1]", 4, 5, 6)]))
    one, other = {"sidecar.channel": "webhook[0]"}, {"sidecar.channel": "slack[1]"}
    assert metrics["sidecar.alert.delivered"].points == [(one, 1), (other, 4)]
    assert metrics["sidecar.alert.dropped"].points == [(one, 2), (other, 5)]
    assert metrics["sidecar.alert.failed"].points == [(one, 3), (other, 6)]


def test_what_runs_is_told() -> None:
    assert info_metrics("1.2.3")[0].points == [({"service.version": "1.2.3"}, 1)]


def summary_of() -> Summary:
    """Of 4 rows: numbers, texts, nothing."""
    window = Window(rows=100, panes=10, seconds=60.0, max_features=8, max_categories=9)
    values = np.full((4, 3), np.nan)
    values[:3, 0] = [1.0, 2.0, 6.0]
    window.update(("amount", "country", "empty"), values, {1: ["de", "fr", "de", None]}, 0.0)
    return window.snapshot().current(0.0)


def gauges(metrics: Sequence[Metric]) -> dict[tuple[str, str], float]:
    """Every gauge of a column, by metric and column."""
    return {
        (metric.name.removeprefix("sidecar.feature."), str(at["sidecar.feature.name"])): value
        for metric in metrics
        for at, value in metric.points
        if "sidecar.feature.name" in at and "sidecar.quantile" not in at and not isinstance(value, Buckets)
    }


def test_a_window_is_told_feature_by_feature() -> None:
    metrics = window_metrics({("champion", "features"): summary_of()}, max_series=100)
    assert gauges(metrics) == {
        ("missing", "amount"): 1,
        ("missing", "country"): 1,
        ("missing", "empty"): 4,
        ("mean", "amount"): 3.0,
        ("std", "amount"): pytest.approx(math.sqrt(14 / 3)),
        ("min", "amount"): 1.0,
        ("max", "amount"): 6.0,
        ("distinct", "country"): 2,
    }
    assert by_name(metrics)["sidecar.feature.rows"].points == [({"sidecar.variant": "champion"}, 4)]
    quantiles = by_name(metrics)["sidecar.feature.quantile"]
    assert [at["sidecar.quantile"] for at in attributes(quantiles)] == [f"{share:g}" for share in SHOWN_QUANTILES]
    assert [value for _, value in quantiles.points] == [1.0, 2.0, 6.0]


def test_predictions_have_metrics_of_their_own() -> None:
    metrics = by_name(window_metrics({("champion", "predictions"): summary_of()}, max_series=100))
    mean = metrics["sidecar.prediction.mean"]
    assert mean.points == [({"sidecar.variant": "champion", "sidecar.prediction.name": "amount"}, 3.0)]
    assert not any(name.startswith("sidecar.feature") for name in metrics)


@pytest.mark.parametrize(("limit", "missing", "omitted"), [(0, 0, 6), (2, 2, 4), (4, 4, 2), (6, 6, 0), (99, 6, 0)])
def test_columns_beyond_the_limit_are_counted(limit: int, missing: int, omitted: int) -> None:
    windows = {("champion", "features"): summary_of(), ("challenger", "features"): summary_of()}
    metrics = by_name(window_metrics(windows, max_series=limit))
    told_missing = metrics["sidecar.feature.missing"].points if missing else []
    assert len(told_missing) == missing
    assert sum(value for _, value in metrics["sidecar.window.omitted"].points if isinstance(value, int)) == omitted


def test_every_value_is_a_plain_number() -> None:
    kinds = {type(value) for metric in every_metric() for _, value in metric.points}
    assert kinds <= {int, float, Buckets}


def test_a_name_that_is_no_text_is_told_as_its_escape() -> None:
    window = Window(rows=100, panes=10, seconds=60.0, max_features=8, max_categories=9)
    window.update(("a\udc80",), np.array([[1.0]]), {}, 0.0)
    metrics = by_name(window_metrics({("champion", "features"): window.snapshot().current(0.0)}, max_series=9))
    assert attributes(metrics["sidecar.feature.mean"])[0]["sidecar.feature.name"] == "a\\udc80"
