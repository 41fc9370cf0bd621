import copy

import pytest

from sidecar.report.telling.labelled import MAX_CLASSES, biases, qualities, summary, what_became
from tests.report.documents import judged


def test_scores_stand_beside_those_of_the_best_constant_answer() -> None:
    (version,) = qualities(judged()[0], str)
    scores = {each.name: each for each in version.scores}
    assert (version.title, version.task, version.labelled) == ("champion 3", "Task: binary", 1200)
    assert scores["accuracy"].constant == pytest.approx(0.4783, abs=1e-4)
    assert scores["auc"].constant is None
    assert not [name for name in scores if name.endswith("constant_classifier")]
    assert not version.surely  # of all rows SageMaker's deviation is not known


def test_the_matrix_has_labels_in_rows_and_answers_in_columns() -> None:
    (version,) = qualities(judged()[0], str)
    matrix = judged()[0]["variants"][0]["lifetime"]["binary_classification_metrics"]["confusion_matrix"]
    assert version.confusion == [(name, [matrix[name]["0"], matrix[name]["1"]]) for name in ("0", "1")]


def test_a_matrix_of_too_many_classes_is_not_shown() -> None:
    document = copy.deepcopy(judged()[0])
    names = [str(each) for each in range(MAX_CLASSES + 1)]
    metrics = document["variants"][0]["lifetime"]["binary_classification_metrics"]
    metrics["confusion_matrix"] = {name: dict.fromkeys(names, 0) for name in names}
    (version,) = qualities(document, str)
    assert (version.classes, version.confusion) == ([], [])


def test_curves_go_from_corner_to_corner() -> None:
    (version,) = qualities(judged()[0], str)
    (roc, *_) = version.curves
    points = roc[1].partition('points="')[2].partition('"')[0].split()
    assert (points[0], points[-1]) == ("0.0,100.0", "100.0,0.0")
    assert len(version.curves) == 3


def test_a_version_without_scores_is_told_too() -> None:
    document = copy.deepcopy(judged()[0])
    document["variants"][0] |= {"lifetime": None, "window": None}
    (version,) = qualities(document, str)
    assert (version.scores, version.curves) == ([], [])
    assert summary(version) == "1,200 labelled rows: no score yet"


def test_groups_are_told_with_all_metrics_and_their_intervals() -> None:
    (version,) = biases(judged()[1])
    amount, gender = version.groups
    assert (amount.title, gender.title) == ("amount (0, inf)", "gender f")
    names = [each.name for each in amount.metrics]
    assert {"CI", "DPL", "DPPL", "DI"} <= set(names)
    dpl = next(each for each in amount.metrics if each.name == "DPL")
    low, high = map(float, dpl.interval.split(" to "))
    assert low <= float(dpl.value) <= high


def test_what_became_of_labels_is_told_in_a_line() -> None:
    posted = {"joined": 1200, "unknown": 3, "waiting": 0}
    assert what_became({"labels": {"posted": posted}}) == "Labels: 1,200 joined, 3 unknown."
    assert what_became(judged()[0]) == "Labels: none."
    assert what_became(None) == ""


def test_without_labels_there_is_nothing() -> None:
    assert list(qualities(None, str)) == []
    assert list(biases(None)) == []
