import math

import msgspec
import numpy as np
import pytest

from sidecar.quality import outcomes
from sidecar.quality.outcomes import Outcomes
from sidecar.records import Joined, Label, Prediction, Scalar


def pair(*values: Scalar, metric: str = "amount", weight: float = 1.0, variant: str = "champion") -> Joined:
    rows = [[1.0]] * len(values)
    made = Prediction(("a",), variant, "3", 1.0, weight, ("x",), rows, ("p",), rows)
    return Joined(1, made, Label("a", values, metric))


def test_the_mean_is_numpy_s_weighted_one() -> None:
    rng = np.random.default_rng(0)
    values, weights = rng.normal(1e6, 1.0, 200), rng.uniform(1, 10, 200)
    found = Outcomes()
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        found.add(pair(value, weight=weight))

    [outcome] = found.by.values()
    assert outcome.mean == pytest.approx(np.average(values, weights=weights), rel=1e-12)
    assert outcome.squares / outcome.weight == pytest.approx(np.cov(values, aweights=weights, ddof=0), rel=1e-6)
    assert outcome.values == 200


def test_the_deviation_of_the_mean_needs_two_values() -> None:
    found = Outcomes()
    found.add(pair(1.0))
    [outcome] = found.by.values()
    assert math.isnan(outcome.deviation)
    found.add(pair(3.0))
    assert outcome.deviation == pytest.approx(np.std([1.0, 3.0], ddof=1) / np.sqrt(2))


def test_variants_and_metrics_are_apart_and_true_is_one() -> None:
    found = Outcomes()
    for each in (pair(True, metric="click"), pair(False, metric="click"), pair(2, variant="challenger")):
        found.add(each)

    means = {key: outcome.mean for key, outcome in found.by.items()}
    assert means == {("champion", "3", "click"): 0.5, ("challenger", "3", "amount"): 2.0}


@pytest.mark.parametrize("value", [None, "much", math.nan, math.inf])
def test_what_is_no_number_is_left_and_counted(value: Scalar) -> None:
    found = Outcomes()
    found.add(pair(value))

    assert (found.by, found.omitted) == ({}, 1)


def test_the_number_of_metrics_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "MAX_OUTCOMES", 2)
    found = Outcomes()
    for number in range(5):
        found.add(pair(1.0, metric=f"m{number % 3}"))

    assert (len(found.by), found.omitted) == (2, 1)


def test_it_goes_on_from_its_state() -> None:
    found, again = Outcomes(), Outcomes()
    found.add(pair(1.0, None, 3.0))
    again.restore(found.state())

    assert (again.by, again.omitted) == (found.by, 1)


def test_what_is_no_state_is_refused() -> None:
    with pytest.raises(msgspec.MsgspecError):
        Outcomes().restore(b"\x01")


@pytest.mark.parametrize(
    "absurd", [1e308, -1e308, 10**400, math.inf, math.nan], ids=["great", "small", "long", "infinite", "nan"]
)
def test_an_absurd_value_does_not_spoil_the_others(absurd: float) -> None:
    found = Outcomes()
    for value in (1.0, absurd, -absurd, 3.0):
        found.add(pair(value))

    [outcome] = found.by.values()
    assert (outcome.mean, outcome.deviation, found.omitted) == (2.0, 1.0, 2)
