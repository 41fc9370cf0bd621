import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from sidecar.instruments.quality import quality_metrics
from sidecar.monitors.graded import RELATION
from sidecar.monitors.quality import Grading
from sidecar.records import Metric, Table
from sidecar.reference.quality_files import METRICS
from tests.instruments.rig import NOW_S, attributes, by_name, grading, labelled

CHAMPION = {"feature_flag.result.variant": "champion", "sidecar.version": "3"}
ODD = {"feature_flag.result.variant": "b\\udc80"}


@cache
def worse() -> Grading:
    """Two versions, the first of which has become worse; the other, which came last, has few rows."""
    return grading(labelled(200), labelled(400, wrong=0.5), labelled(20, variant="b\udc80", version=""))


def told(of: Grading | None, limit: int = 1000) -> dict[str, Metric]:
    return by_name(quality_metrics(of, max_series=limit))


def values(metric: Metric, **at: str) -> dict[str, float]:
    """Of one version, by the metric's name."""
    return {
        str(point["sidecar.metric"]): float(str(value))
        for point, value in metric.points
        if point["feature_flag.result.variant"] == at.get("variant", "champion")
    }


def test_rows_are_counted_by_version() -> None:
    assert told(worse())["sidecar.quality.rows"].points == [(ODD, 20), (CHAMPION, 600)]


def test_scores_have_the_names_of_model_monitor_and_the_values_of_the_window() -> None:
    found = told(worse())
    scores, grade = values(found["sidecar.quality.score"]), worse().grades["champion", "3"]
    curves = {"confusion_matrix", "receiver_operating_characteristic_curve", "precision_recall_curve"}
    assert set(METRICS["binary"]) - curves <= set(scores)
    assert scores["accuracy"] == grade.window.scores["accuracy"].value
    assert values(found["sidecar.quality.deviation"])["accuracy"] == grade.window.scores["accuracy"].deviation


def test_of_few_rows_there_is_no_deviation() -> None:
    found = told(worse())
    assert "accuracy" in values(found["sidecar.quality.score"], variant="b\\udc80")
    assert values(found["sidecar.quality.deviation"], variant="b\\udc80") == {}


def test_estimates_are_told_beside_the_scores() -> None:
    estimates = values(told(worse())["sidecar.quality.estimate"])
    assert {"accuracy", "precision", "recall", "f1", "auc"} == set(estimates)


def test_evidence_is_told_by_test_once_there_is_a_yardstick() -> None:
    points = told(worse())["sidecar.quality.evidence"].points
    nats = {str(at["sidecar.test"]): float(str(value)) for at, value in points}
    assert [at for at, _ in points] == [{**CHAMPION, "sidecar.test": test} for test in ("worse", *RELATION)]
    assert nats["loss"] > 10


def test_what_is_undefined_is_left_out() -> None:
    rows = labelled(20)
    rows.labels.values[:] = 0.0
    found = told(grading(rows))
    points = [point for metric in found.values() for point in metric.points]
    assert all(math.isfinite(float(str(value))) for _, value in points)
    assert "auc" not in values(found["sidecar.quality.score"])
    assert found["sidecar.quality.omitted"].points == [({}, 0)]


def test_predictions_without_labels_are_estimated_and_have_no_score() -> None:
    made = grading()
    rows = labelled(300)
    made.count("champion", "3", rows.features, rows.predictions)
    made.judge(NOW_S)
    made.assess(NOW_S)
    found = told(made)
    assert values(found["sidecar.quality.score"]) == {}
    assert values(found["sidecar.quality.estimate"])["accuracy"] > 0.5
    assert found["sidecar.quality.rows"].points == [(CHAMPION, 0)]


def test_a_version_that_has_not_been_graded_yet_has_its_rows() -> None:
    made = grading()
    made.take(labelled(50))
    found = told(made)
    assert {name: metric.points for name, metric in found.items() if metric.points} == {
        "sidecar.quality.rows": [(CHAMPION, 50)],
        "sidecar.quality.omitted": [({}, 0)],
    }


def test_a_regression_has_its_own_scores() -> None:
    rows = labelled(30)
    amounts = Table(("amount",), rows.predictions.values[:, 1:] * np.pi)
    made = grading(task="regression")
    made.take(replace(rows, predictions=amounts))
    made.assess(NOW_S)
    assert set(METRICS["regression"]) <= set(values(told(made)["sidecar.quality.score"]))


def test_without_a_monitor_nothing_is_told() -> None:
    assert all(metric.points == [] for metric in quality_metrics(None, max_series=100))


@pytest.mark.parametrize("limit", [0, 1, 10, 10_000])
def test_it_is_bounded_by_the_limit_of_series_the_latest_version_first(limit: int) -> None:
    every, found = told(worse()), told(worse(), limit)
    names = [f"sidecar.quality.{name}" for name in ("score", "deviation", "estimate", "evidence")]
    assert [found[name].points for name in names] == [every[name].points[:limit] for name in names]
    left = sum(len(every[name].points) - len(found[name].points) for name in names)
    assert found["sidecar.quality.omitted"].points == [({}, left)]
    assert attributes(found["sidecar.quality.rows"]) == [ODD, CHAMPION]
    assert all(at["feature_flag.result.variant"] == "b\\udc80" for at in attributes(found["sidecar.quality.score"])[:1])
