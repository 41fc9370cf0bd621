import math

import pytest

from sidecar.instruments.labels import label_metrics
from sidecar.quality.outcomes import Outcomes
from sidecar.records import Joined, Label, LabelCounts, Prediction, Scalar
from tests.instruments.rig import attributes, by_name

COUNTS = LabelCounts(awaiting=7, waiting=2, labels={"joined": 5, "expired": 1}, predictions=12, missing=3, repeated=1)


def outcomes(*told: tuple[str, str, str, Scalar]) -> Outcomes:
    """Variant, version, metric and value of each."""
    made = Outcomes()
    for variant, version, metric, value in told:
        prediction = Prediction(("a",), variant, version, 0.0, 1.0, (), [[]], (), [[]])
        made.add(Joined(1, prediction, Label("a", (value,), metric)))
    return made


def test_what_became_of_predictions_and_labels_is_told() -> None:
    metrics = by_name(label_metrics(COUNTS, 4, Outcomes(), max_series=100))
    assert {name: metric.points for name, metric in metrics.items() if metric.points and name != "sidecar.labels"} == {
        "sidecar.predictions": [({}, 12)],
        "sidecar.predictions.awaiting": [({}, 7)],
        "sidecar.predictions.missing": [({}, 3)],
        "sidecar.predictions.dropped": [({}, 4)],
        "sidecar.labels.waiting": [({}, 2)],
        "sidecar.outcome.dropped": [({}, 0)],
        "sidecar.outcome.omitted": [({}, 0)],
    }


def test_labels_are_counted_by_what_became_of_them_and_none_is_a_number_too() -> None:
    points = by_name(label_metrics(COUNTS, 0, Outcomes(), max_series=100))["sidecar.labels"].points
    assert {at["sidecar.outcome"]: value for at, value in points} == {
        "joined": 5,
        "duplicate": 0,
        "unknown": 0,
        "expired": 1,
        "malformed": 0,
    }


def test_outcomes_are_told_by_version_and_metric() -> None:
    found = outcomes(("champion", "3", "click", 1), ("champion", "3", "click", False), ("b\udc80", "", "\ud800", 2.5))
    metrics = by_name(label_metrics(COUNTS, 0, found, max_series=100))
    click = {"feature_flag.result.variant": "champion", "sidecar.version": "3", "sidecar.metric": "click"}
    odd = {"feature_flag.result.variant": "b\\udc80", "sidecar.metric": "\\ud800"}
    assert metrics["sidecar.outcome.values"].points == [(click, 2), (odd, 1)]
    assert metrics["sidecar.outcome.mean"].points == [(click, 0.5), (odd, 2.5)]


def test_values_that_are_no_numbers_or_absurd_are_counted_and_left_out() -> None:
    found = outcomes(
        ("champion", "3", "colour", "red"),
        ("champion", "3", "amount", 1e308),
        ("champion", "3", "amount", -1e308),
        ("champion", "3", "amount", math.nan),
    )
    metrics = by_name(label_metrics(COUNTS, 0, found, max_series=100))
    assert metrics["sidecar.outcome.dropped"].points == [({}, 4)]
    assert [value for _, value in metrics["sidecar.outcome.values"].points] == []


@pytest.mark.parametrize(("limit", "told"), [(0, 0), (2, 2), (3, 3), (99, 3)])
def test_outcomes_are_bounded_by_the_limit_of_series(limit: int, told: int) -> None:
    found = outcomes(*[("champion", "3", name, 1) for name in "abc"])
    metrics = by_name(label_metrics(COUNTS, 0, found, max_series=limit))
    assert [at["sidecar.metric"] for at in attributes(metrics["sidecar.outcome.mean"])] == list("abc")[:told]
    assert len(metrics["sidecar.outcome.values"].points) == told
    assert metrics["sidecar.outcome.omitted"].points == [({}, 3 - told)]
