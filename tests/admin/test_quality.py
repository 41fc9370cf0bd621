import json
import math
from dataclasses import replace
from functools import cache

import numpy as np
import orjson
import pytest

from sidecar.admin.quality import BLIND, labels, quality
from sidecar.monitors.quality import Grading, Quality
from sidecar.monitors.training import Bound
from sidecar.quality.reading import Task
from sidecar.records import JSON, Joined, Label, LabelCounts, Prediction, Table
from sidecar.reference.quality_files import METRICS, read_quality_statistics
from tests.admin.rig import Sidecar, undescribed
from tests.instruments.rig import NOW_S, grading, labelled

COUNTS = LabelCounts(awaiting=7, waiting=2, labels={"joined": 5, "expired": 1}, predictions=12, missing=3, repeated=1)
ACCURATE = Quality(
    reference_rows=200, alert_when={"accuracy": Bound(below=0.95), "auc": Bound(above=0.99), "f1": Bound(below=0.1)}
)


@cache
def worse() -> Grading:
    """A version that has become worse, and one that has few rows."""
    few = labelled(20, variant="b\udc80", version="")
    return grading(labelled(200), labelled(1000, wrong=0.5), few, options=ACCURATE)


def told(of: Grading | None) -> JSON:
    """What is told, as it is read; it is as described, whatever it is."""
    document = quality(Sidecar().judge(of, None))
    assert undescribed("Quality", document) == []
    return json.loads(orjson.dumps(document))


def version(of: Grading, place: int = 0) -> JSON:
    return told(of)["variants"][place]


def test_labels_are_told_by_what_became_of_them() -> None:
    assert labels(COUNTS, 4) == {
        "predictions": 12,
        "awaiting": 7,
        "missing": 3,
        "repeated": 1,
        "dropped": 4,
        "waiting": 2,
        "posted": {"joined": 5, "waiting": 2, "duplicate": 0, "unknown": 0, "expired": 1, "malformed": 0},
    }


def test_outcomes_are_told_with_their_mean_and_how_sure_it_is() -> None:
    truth = Sidecar().judge(None, None)
    for metric, value in ("click", 1), ("click", 0), ("\ud800", 2.5):
        prediction = Prediction(("a",), "b\udc80", "3", 0.0, 1.0, (), [[]], (), [[]])
        truth.outcomes.add(Joined(1, prediction, Label("a", (value,), metric)))

    document = quality(truth)

    at = {"variant": "b\\udc80", "version": "3"}
    assert document["outcomes"] == [
        {**at, "metric": "click", "values": 2, "mean": 0.5, "standard_deviation": 0.5},
        {**at, "metric": "\\ud800", "values": 1, "mean": 2.5, "standard_deviation": None},
    ]
    assert undescribed("Quality", document) == []


def test_without_a_monitor_of_quality_there_is_no_variant() -> None:
    assert told(None)["variants"] == []


def test_before_the_first_label_there_is_no_variant_and_before_the_first_look_no_score() -> None:
    made = grading()
    assert told(made)["variants"] == []
    made.take(labelled(50))
    found = version(made)
    assert (found["labelled"], found["window"], found["lifetime"], found["estimated"]) == (50, None, None, None)
    assert (found["violations"], found["segments"], found["change"]) == ([], [], None)
    assert set(found["tests"].values()) == {None}


def test_versions_are_told_by_name() -> None:
    found = told(worse())["variants"]
    assert [(each["name"], each["version"], each["task"], each["labelled"]) for each in found] == [
        ("champion", "3", "binary", 1200),
        ("b\\udc80", "", "binary", 20),
    ]


@pytest.mark.parametrize("side", ["window", "lifetime"])
def test_statistics_are_a_file_of_model_monitor(side: str) -> None:
    file = version(worse())[side]
    metrics = file["binary_classification_metrics"]
    grade = worse().grades["champion", "3"]
    scores = (grade.window if side == "window" else grade.lifetime).scores
    assert tuple(metrics)[: len(METRICS["binary"])] == METRICS["binary"]
    assert file["dataset"]["item_count"] == 1200
    read = read_quality_statistics(orjson.dumps(file), side)["binary"]
    assert {name: repr(pair) for name, pair in read.items()} == {
        name: repr((each.value, each.deviation)) for name, each in scores.items()
    }


def test_the_matrix_has_labels_first_and_curves_have_their_columns() -> None:
    rows = labelled(40)
    rows.labels.values[:] = 0.0
    rows.labels.values[:3] = 1.0
    metrics = version(grading(rows))["window"]["binary_classification_metrics"]
    answers = rows.predictions.values[:, 0]
    assert metrics["confusion_matrix"]["0"]["1"] == sum(answers[3:] == 1)
    assert metrics["confusion_matrix"]["1"]["0"] == sum(answers[:3] == 0)
    roc = metrics["receiver_operating_characteristic_curve"]
    assert len(set(roc["true_positive_rates"])) <= 4 < len(set(roc["false_positive_rates"]))
    curve = metrics["precision_recall_curve"]
    assert (curve["recalls"][0], curve["recalls"][-1], curve["precisions"][0]) == (0.0, 1.0, 1.0)


def test_the_window_says_from_when_to_when_its_rows_are() -> None:
    assert version(worse())["window"]["dataset"] == {
        "item_count": 1200,
        "start_time": "2023-11-14T23:36:40Z",
        "end_time": "2023-11-14T23:53:19Z",
        "evaluation_time": "2023-11-15T01:00:00Z",
    }


def test_what_is_undefined_is_told_in_model_monitors_word_and_never_as_0() -> None:
    found = version(worse(), 1)
    assert found["window"]["binary_classification_metrics"]["accuracy"]["standard_deviation"] == "NaN"
    assert found["reference"] == {"rows": 20, "needed_rows": 200, "learned": False, "loss": None}


def test_of_one_class_only_curves_are_empty_and_areas_undefined() -> None:
    rows = labelled(30)
    rows.labels.values[:] = 0.0
    metrics = version(grading(rows))["window"]["binary_classification_metrics"]
    assert metrics["auc"] == {"value": "NaN", "standard_deviation": "NaN"}
    assert metrics["receiver_operating_characteristic_curve"] == {
        "false_positive_rates": [],
        "true_positive_rates": [],
    }


def test_estimates_say_what_they_are_blind_to() -> None:
    found = version(worse())["estimated"]
    assert (found["rows"], found["calibrated_on"], found["note"]) == (1200, 1200, BLIND)
    assert set(found["scores"]) == {"accuracy", "precision", "recall", "f1", "auc"}
    low, high = found["scores"]["accuracy"]["interval"]
    assert low < found["scores"]["accuracy"]["value"] < high
    assert found["accuracy_with_labels"]["value"] == pytest.approx(0.56, abs=0.1)


def test_an_estimate_that_is_none_is_null() -> None:
    made = grading()
    rows = labelled(300)
    made.count("champion", "3", rows.features, rows.predictions)
    made.judge(NOW_S)
    made.assess(NOW_S)
    found = version(made)
    assert (found["labelled"], found["estimated"]["accuracy_with_labels"]) == (0, None)
    assert found["window"]["dataset"] == {"item_count": 0, "evaluation_time": "2023-11-15T01:00:00Z"}


def test_scores_beyond_their_limits_are_told_as_model_monitor_does() -> None:
    (broken,) = version(worse())["violations"]
    assert (broken["metric_name"], broken["constraint_check_type"], broken["threshold"]) == (
        "accuracy",
        "LessThanThreshold",
        0.95,
    )
    assert broken["value"] < 0.95
    assert "was LessThanThreshold 0.95" in broken["description"]


def test_tests_say_how_much_speaks_for_a_change_and_since_when() -> None:
    found = version(worse())
    moved = found["tests"]["loss"]
    assert (moved["alarm"], found["relation_moved"]) == (True, True)
    assert moved["evidence_nats"] >= moved["needed_nats"] > math.log(1e5)
    assert moved["mean"] > moved["limit"] > 0.03
    assert NOW_S - 5000 <= moved["since_s"] < NOW_S
    assert found["reference"]["rows"] == 200


def test_an_alarm_is_told_until_it_is_over() -> None:
    made = grading(labelled(200), labelled(400, wrong=0.5))
    made.take(labelled(2))
    made.assess(NOW_S)
    assert version(made)["tests"]["loss"]["alarm"]


def test_what_moved_is_told_by_its_parts() -> None:
    change = version(worse())["change"]
    loss = change["loss"]
    assert loss["inputs"]["change"] + loss["relation"]["change"] == pytest.approx(loss["after"] - loss["before"])
    assert loss["relation"]["change"] > 0.2 > abs(loss["inputs"]["change"])
    assert 0 < change["overlap"] <= 1


@cache
def sliced() -> Grading:
    """One that is wrong about French rows, and about the second half of them only."""
    before, rows = labelled(1000), labelled(2000)
    french = np.arange(2000) % 2 == 1
    rows.labels.values[french, 0] = 1 - rows.predictions.values[french, 0]
    return grading(before, rows, options=Quality(reference_rows=1000))


def test_slices_are_named_where_the_loss_rose_most() -> None:
    first = version(sliced())["segments"][0]
    assert first["text"].startswith("country 'fr': ")
    assert first["loss"] == 1.0 > first["reference_loss"]
    assert first["rows"] >= 50 <= first["reference_rows"]


def test_columns_that_are_no_text_are_told_as_their_escapes() -> None:
    batches = [labelled(300, column="a\udc80\n"), labelled(600, column="a\udc80\n")]
    batches[1].labels.values[:, 0] = np.where(batches[1].features.values[:, 0] > 0, 0.0, 1.0)
    change = version(grading(*batches))["change"]
    assert {each["name"] for each in change["loss"]["columns"]} <= {"a\\udc80\n", "country"}


@pytest.mark.parametrize(
    ("task", "section"),
    [("multiclass", "multiclass_classification_metrics"), ("regression", "regression_metrics")],
)
def test_every_task_has_its_section(task: Task, section: str) -> None:
    batches = [labelled(rows, wrong=wrong) for rows, wrong in ((200, 0.0), (300, 0.5))]
    if task == "regression":
        amounts = ("amount",)
        batches = [replace(rows, predictions=Table(amounts, rows.predictions.values[:, 1:])) for rows in batches]
    found = version(grading(*batches, task=task))
    assert (found["task"], section in found["window"], section in found["lifetime"]) == (task, True, True)
    assert ("confusion_matrix" in found["window"][section]) == (task == "multiclass")


def test_classes_that_are_no_text_are_told_as_their_escapes() -> None:
    rows = labelled(20)
    odd = Table(("label",), np.full((20, 1), np.nan), {0: ["\ud800", "b"] * 10})
    found = version(grading(replace(rows, predictions=odd, labels=odd), task="multiclass"))
    confusion = found["window"]["multiclass_classification_metrics"]["confusion_matrix"]
    assert {"\\ud800", "b"} <= set(confusion)
    assert confusion["b"]["b"] == 10
