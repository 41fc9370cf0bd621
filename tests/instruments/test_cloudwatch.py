import re
from math import isfinite

import numpy as np
import pytest

from sidecar.config.exported import MONITORING, SCORES, SERVING
from sidecar.instruments import (
    attribution_metrics,
    bias_metrics,
    quality_metrics,
    traffic_metrics,
    watch_metrics,
    window_metrics,
)
from sidecar.instruments.cloudwatch import CLOUDWATCH, Monitors, cloudwatch_metrics
from sidecar.instruments.table import Instrument
from sidecar.quality.answers import Answers
from sidecar.quality.classification import BINARY, quality
from sidecar.quality.regression import NOTHING, scores_of_errors
from sidecar.records import Attributes, Buckets, Metric, Value
from sidecar.stats.traffic import SECONDS
from sidecar.stats.window import Window
from tests.admin.test_prometheus import rendered, samples
from tests.instruments.rig import (
    OK,
    UPSTREAMS,
    attributing,
    by_name,
    comparing,
    drifted,
    grading,
    labelled,
    summary_of,
    traffic_of,
)

MONITORS = Monitors(drifted(), comparing(labelled(300)), attributing())


def others() -> list[Metric]:
    """All that the names are told of."""
    windows = {("champion", "features"): summary_of(), ("champion", "predictions"): summary_of()}
    return [
        *traffic_metrics(traffic_of((OK, 0.1), (OK, 0.3)), scheme="http", upstreams=UPSTREAMS),
        *window_metrics(windows, max_series=100),
        *watch_metrics(MONITORS.following, {}, max_series=100),
        *quality_metrics(grading(labelled(300)), max_series=100),
        *bias_metrics(MONITORS.comparing, max_series=100),
        *attribution_metrics(attributing(), {}),
    ]


def told(metrics: list[Metric], monitors: Monitors = MONITORS, *, max_series: int = 100) -> dict[str, Metric]:
    return by_name(cloudwatch_metrics(metrics, monitors, endpoint="scorer", max_series=max_series))


def the(metric: Metric, **chosen: str) -> Value:
    """The one value whose attributes are these, among others."""
    [found] = [value for at, value in metric.points if chosen.items() <= dict(at).items()]
    return found


def pattern_of(name: str) -> str:
    """The entry of the table that a name is of."""
    fitting = [each for each in CLOUDWATCH if re.fullmatch(re.sub(r"\\{\w+\\}", ".+", re.escape(each)), name)]
    return max(fitting, key=lambda each: len(each.partition("{")[0]))


def test_every_name_of_the_table_is_told_as_the_table_says() -> None:
    metrics = told(others())
    del metrics["sidecar.cloudwatch.omitted"]
    assert {pattern_of(name) for name in metrics} == set(CLOUDWATCH)
    for name, metric in metrics.items():
        assert Instrument(metric.kind, metric.unit, metric.description) == CLOUDWATCH[pattern_of(name)]
        assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,254}", name)
        for at, value in metric.points:
            assert "scorer" in {at.get("Endpoint"), at.get("EndpointName")}
            assert isinstance(value, Buckets) or (isinstance(value, int | float) and isfinite(value))
    assert samples(rendered(*metrics.values()))


def test_a_column_has_its_statistics_and_its_completeness() -> None:
    metrics = told(others())
    amount = {"sidecar.feature.name": "amount"}
    data = metrics["feature_data_amount"]
    assert the(data, **amount, Statistic="Average") == 3.0
    assert the(data, **amount, Statistic="Maximum") == 6.0
    assert the(data, **amount, Statistic="Minimum") == 1.0
    assert the(metrics["feature_non_null_amount"], **amount) == 0.75
    assert the(metrics["feature_non_null_empty"], **{"sidecar.feature.name": "empty"}) == 0.0
    assert "feature_data_country" not in metrics
    # What the model says is a column of the same name, told apart by whose name it is.
    assert the(data, **{"sidecar.prediction.name": "amount"}, Statistic="Average") == 3.0


def test_drift_is_the_distance_by_the_constraints_method() -> None:
    metrics = told(others())
    drift = the(metrics["feature_baseline_drift_amount"])
    assert isinstance(drift, float)
    assert drift > 0.3
    assert MONITORS.following is not None
    assert drift == MONITORS.following.variants["champion"].distances()["amount"]


def test_quality_has_model_monitors_names() -> None:
    metrics = told(others())
    assert metrics.keys() >= set(BINARY)
    [(at, value)] = metrics["f1"].points
    assert at == {
        "Endpoint": "scorer",
        "MonitoringSchedule": "quality",
        "feature_flag.result.variant": "champion",
        "sidecar.version": "3",
    }
    assert value == the(by_name(others())["sidecar.quality.score"], **{"sidecar.metric": "f1"})


def test_bias_has_clarifys_dimensions() -> None:
    metrics = told(others())
    [at] = [at for at, _ in metrics["bias_metric_CI"].points if at["Facet"] == "gender"]
    assert at == {
        "Endpoint": "scorer", "MonitoringSchedule": "bias", "feature_flag.result.variant": "champion",
        "sidecar.version": "3", "BiasStage": "Pre-training", "Label": "label", "LabelValue": "1",
        "Facet": "gender", "FacetValue": "f",
    }  # fmt: skip
    assert {at["BiasStage"] for at, _ in metrics["bias_metric_DPPL"].points} == {"Post-Training"}
    # Undefined: nobody has asked for it.
    assert "bias_metric_FT" not in metrics


def test_attributions_are_told_by_feature() -> None:
    metrics = told([])
    [(at, value)] = metrics["feature_age"].points
    assert (at["ValueType"], at["MonitoringSchedule"], value) == ("GlobalShapValues", "attribution", 0.5)


def test_invocations_are_counted_by_variant_and_kind_of_error() -> None:
    failed = OK._replace(status=503, error_type="503")
    refused = OK._replace(status=429)
    nobody = OK._replace(variant="", status=404)
    cut = OK._replace(status=0, error_type="cancelled")
    traffic = traffic_of(
        (OK, 0.1), (OK._replace(status=201), 0.1), (failed, 0.1), (refused, 0.1), (nobody, 0.1), (cut, 1.0)
    )
    metrics = told(traffic_metrics(traffic, scheme="http", upstreams=UPSTREAMS), Monitors())
    champion = {"EndpointName": "scorer", "VariantName": "champion"}
    assert {name: the(metrics[name], **champion) for name in metrics if name.startswith("Invocation")} == {
        "Invocations": 5,
        "Invocation4XXErrors": 1,
        "Invocation5XXErrors": 1,
        "InvocationModelErrors": 3,
    }
    assert [*metrics["Invocations"].points[1:]] == [({"EndpointName": "scorer"}, 1)]
    assert [*metrics["InvocationModelErrors"].points[1:]] == [({"EndpointName": "scorer"}, 0)]


@pytest.mark.parametrize("exponential", [False, True])
def test_latencies_are_in_microseconds(exponential: bool) -> None:
    traffic = traffic_of((OK, 0.1), (OK._replace(status=500), 0.3), (OK._replace(variant="challenger"), 1.0))
    metrics = told(traffic_metrics(traffic, scheme="http", upstreams=UPSTREAMS, exponential=exponential), Monitors())
    latency = the(metrics["ModelLatency"], VariantName="champion")
    assert isinstance(latency, Buckets)
    assert latency.bounds == tuple(round(each * 1e6, 3) for each in SECONDS)
    assert sum(latency.counts) == 2
    assert latency.total == pytest.approx(0.4 * 0.9 * 1e6)
    overhead = the(metrics["OverheadLatency"], VariantName="champion")
    assert isinstance(overhead, Buckets)
    assert overhead.bounds[:3] == (20.0, 50.0, 100.0)
    assert overhead.total == pytest.approx(0.4 * 0.1 * 1e6)


def test_columns_that_differ_in_an_odd_character_share_a_name_and_are_told_apart() -> None:
    window = Window(rows=100, panes=10, seconds=60.0, max_features=8, max_categories=9)
    names = ("a b", "a-b", "é\ud800", "x" * 250)
    window.update(names, np.array([[1.0, 2.0, 3.0, 4.0]]), {}, 0.0)
    windows = {("champion", "features"): window.snapshot().current(0.0)}
    metrics = told(window_metrics(windows, max_series=100), Monitors())
    shared = metrics["feature_data_a_b"]
    assert [the(shared, **{"sidecar.feature.name": each}, Statistic="Average") for each in names[:2]] == [1.0, 2.0]
    assert "feature_data___ud800" in metrics
    assert max(map(len, metrics)) == 255
    keys: list[Attributes] = [at for at, _ in shared.points]
    assert len({tuple(sorted(at.items())) for at in keys}) == len(keys)


@pytest.mark.parametrize(("limit", "omitted"), [(0, 2 + 2), (1, 1 + 1), (2, 0)])
def test_what_has_no_other_bound_is_cut_and_counted(limit: int, omitted: int) -> None:
    metrics = told([], Monitors(MONITORS.following, None, MONITORS.attributing), max_series=limit)
    assert metrics["sidecar.cloudwatch.omitted"].points == [({}, omitted)]
    drifts = [name for name in metrics if name.startswith("feature_baseline_drift")]
    assert len(drifts) == limit


def test_a_name_that_another_metric_has_is_left_out_and_counted() -> None:
    value = Buckets((1.0,), (1, 2), 3.0)
    mine = [
        Metric("f1", "", "Mine", "counter", [({}, 1.0)]),
        Metric("bias.metric.CI", "", "Mine", "gauge", [({}, 1.0)]),
        Metric("feature", "", "Mine", "histogram", [({}, value)]),
    ]
    before = told(others())
    after = told([*others(), *mine])
    lost = {"f1", "bias_metric_CI"}
    assert before.keys() - after.keys() == lost
    assert after["sidecar.cloudwatch.omitted"].points == [({}, sum(len(before[name].points) for name in lost))]


def test_the_users_own_metrics_cannot_be_called_what_these_are() -> None:
    names = {name for name in told(others()) if name != "sidecar.cloudwatch.omitted"}
    nobody, weights = np.zeros(0, dtype=np.int64), np.zeros(0)
    answers = [Answers(tuple("abc")[:classes], nobody, nobody, None, weights) for classes in (2, 3)]
    assert {name for each in answers for name in quality(each)} | set(scores_of_errors(NOTHING)) == SCORES
    fitting = {name for name in names if name in SCORES or name.lower() in SERVING or name.startswith(MONITORING)}
    assert fitting == names


def test_where_nothing_is_known_nothing_is_told() -> None:
    assert set(told([], Monitors())) == {"sidecar.cloudwatch.omitted"}
