from math import isnan

import pytest

from sidecar.demo.fraud.figures import Amount, Evidence, Quality, read_quality
from sidecar.records import JSON

LABELS = {"awaiting": 40, "posted": {"joined": 70, "duplicate": 3}}
TEST = {"alarm": False, "evidence_nats": 2.5, "needed_nats": 12.2, "mean": 0.03, "limit": 0.07, "rows": 4}


def scores(value: JSON, deviation: JSON) -> JSON:
    return {"accuracy": {"value": value, "standard_deviation": deviation}}


def version(**more: JSON) -> JSON:
    return {
        "labelled": 650,
        "window": {"binary_classification_metrics": scores(0.97, 0.01)},
        "estimated": {"scores": scores(0.96, 0.02)},
        "reference": {"rows": 600, "learned": True, "loss": 0.03},
        "tests": {"worse": TEST, "loss": None},
        "segments": [{"text": "amount <= 15: 0 % → 50 %"}],
        **more,
    }


def read(**more: JSON) -> Quality:
    return read_quality({"labels": LABELS, "variants": [version(**more)]}, 600)


def test_before_the_first_prediction_there_is_little_to_tell() -> None:
    found = read_quality({"labels": {"awaiting": 0, "posted": {}}, "variants": []}, 600)

    assert (found.joined, found.awaiting, found.reference, found.needed, found.learned) == (0, 0, 0, 600, False)
    assert (found.accuracy, found.estimated, found.alarms, found.tested) == (None, None, [], 0)


def test_the_figures_are_those_of_the_version() -> None:
    assert read() == Quality(
        joined=70,
        awaiting=40,
        labelled=650,
        reference=600,
        needed=600,
        learned=True,
        loss=0.03,
        accuracy=Amount(0.97, 0.01),
        estimated=Amount(0.96, 0.02),
        tests={"worse": Evidence(2.5, 12.2, 0.03, 0.07, alarm=False)},
        segments=("amount <= 15: 0 % → 50 %",),
    )
    assert read().tested == 50


def test_a_test_that_has_alarmed_is_named() -> None:
    assert read(tests={"worse": {**TEST, "alarm": True}, "loss": TEST}).alarms == ["worse"]


@pytest.mark.parametrize("nats", [None, -3.0])
def test_no_evidence_is_none(nats: float | None) -> None:
    assert read(tests={"worse": {**TEST, "evidence_nats": nats}}).tests["worse"].nats == 0


@pytest.mark.parametrize("nothing", [None, {"binary_classification_metrics": {}}])
def test_without_scores_nobody_knows_the_accuracy(nothing: JSON) -> None:
    found = read(window=nothing, estimated=None)

    assert (found.accuracy, found.estimated) == (None, None)


@pytest.mark.parametrize("value", ["NaN", None])
def test_an_accuracy_that_is_not_defined_is_none(value: JSON) -> None:
    assert read(window={"binary_classification_metrics": scores(value, value)}).accuracy is None


@pytest.mark.parametrize("deviation", ["NaN", None])
def test_a_deviation_that_is_not_defined_is_nan(deviation: JSON) -> None:
    accuracy = read(window={"binary_classification_metrics": scores(0.97, deviation)}).accuracy

    assert accuracy is not None
    assert accuracy.value == 0.97
    assert isnan(accuracy.deviation)
