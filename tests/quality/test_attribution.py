import math

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from sidecar.quality.attribution import MAX_FEATURES, Attributions, ndcg
from sidecar.stats.moments import Floats

NAMES = ("a", "b", "c")


def mapped(values: Floats) -> dict[str, float]:
    return {f"f{column}": value for column, value in enumerate(values.tolist())}


def test_the_documented_college_admission_scores_069() -> None:
    reference = {"SAT score": 0.70, "GPA": 0.50, "Class rank": 0.05}
    live = {"SAT score": 0.10, "GPA": 0.20, "Class rank": 0.70}

    score = ndcg(reference, live)

    assert score == pytest.approx(0.69, abs=0.005)
    gained = 0.05 / math.log2(2) + 0.50 / math.log2(3) + 0.70 / math.log2(4)
    best = 0.70 / math.log2(2) + 0.50 / math.log2(3) + 0.05 / math.log2(4)
    assert score == pytest.approx(gained / best, abs=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_the_score_is_scikit_learn_s_ties_included(seed: int) -> None:
    rng = np.random.default_rng(seed)
    k = int(rng.integers(2, 30))
    reference, current = rng.integers(6, size=(2, k)).astype(np.float64) + (np.arange(k) == 0)

    assert ndcg(mapped(reference), mapped(current)) == pytest.approx(ndcg_score([reference], [current]), abs=1e-12)


@pytest.mark.parametrize(
    ("reference", "current", "expected"),
    [
        ({"a": 3.0, "b": 2.0, "c": 1.0}, {"a": 9.0, "b": 5.0, "c": 4.0}, 1.0),
        ({"a": 3.0}, {"a": 0.1}, 1.0),
        # Their size counts, not their sign, and not the unit of either side.
        ({"a": -1.5e308, "b": 0.5e308}, {"a": 1e-300, "b": -2e-300}, (1 + 3 / math.log2(3)) / (3 + 1 / math.log2(3))),
        # What is gone is last; what is new takes a place.
        ({"a": 2.0, "b": 1.0}, {"b": 1.0}, (1 + 2 / math.log2(3)) / (2 + 1 / math.log2(3))),
        ({"a": 2.0, "b": 1.0}, {"a": math.nan, "b": 1.0}, (1 + 2 / math.log2(3)) / (2 + 1 / math.log2(3))),
        ({"a": 1.0}, {"a": 1.0, "new": 2.0}, 1 / math.log2(3)),
        ({"a": 1.0}, {"new": 2.0}, 1 / math.log2(3)),
        # Equals share their places.
        ({"a": 2.0, "b": 0.0}, {"a": 1.0, "b": 1.0}, (1 + 1 / math.log2(3)) / 2),
        ({}, {}, math.nan),
        ({}, {"a": 1.0}, math.nan),
        ({"a": 1.0}, {}, math.nan),
        ({"a": 0.0, "b": 0.0}, {"a": 1.0, "b": 0.0}, math.nan),
        ({"a": 1.0, "b": 0.0}, {"a": 0.0, "b": 0.0}, math.nan),
        ({"a": math.inf, "b": 0.0}, {"a": 1.0, "b": 0.0}, math.nan),
        ({"a": math.nan}, {"a": 1.0}, math.nan),
    ],
)
def test_degenerate_rankings_score_so(reference: dict[str, float], current: dict[str, float], expected: float) -> None:
    assert ndcg(reference, current) == pytest.approx(expected, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("seed", range(5))
def test_the_score_lies_between_0_and_1_in_whatever_order_features_come(seed: int) -> None:
    rng = np.random.default_rng(seed)
    reference, current = mapped(rng.exponential(size=20)), mapped(rng.integers(1, 5, size=20).astype(np.float64))

    score = ndcg(reference, current)

    assert 0 < score <= 1
    assert ndcg(reference, reference) == 1.0
    assert ndcg(dict(reversed(reference.items())), dict(reversed(current.items()))) == score


def test_shared_places_score_no_better_than_the_best() -> None:
    # Unbounded, it comes out as 1.0000000000000002.
    tied = mapped(np.array([0.5, 0.25, 0.5, 0.5, 0.25]))

    assert ndcg(tied, tied) == 1.0


def test_means_are_numpy_s_whatever_the_batches() -> None:
    rng = np.random.default_rng(2)
    values, weights = rng.normal(size=(90, 3)), rng.integers(1, 4, size=90).astype(np.float64)
    values[rng.random((90, 3)) < 0.2] = np.nan
    values[0, 0] = np.inf
    parts = [Attributions.of(NAMES, values[rows], weights[rows]) for rows in np.array_split(np.arange(90), 7)]

    whole = sum(parts, start=Attributions())
    turned = sum(reversed(parts), start=Attributions())

    present = np.isfinite(values)
    expected = (np.abs(np.where(present, values, 0)) * weights[:, None]).sum(axis=0) / (weights @ present)
    assert whole.by_feature() == pytest.approx(dict(zip(NAMES, expected.tolist(), strict=True)), abs=1e-12)
    assert turned.by_feature() == pytest.approx(whole.by_feature(), abs=1e-12)
    assert whole.weights.tolist() == (weights @ present).tolist()


def test_batches_may_have_other_features_in_another_order() -> None:
    first = Attributions.of(("a", "b"), np.array([[1.0, -2.0], [3.0, np.nan]]), np.ones(2))
    second = Attributions.of(("c", "a"), np.array([[7.0, 8.0]]), np.array([2.0]))

    assert (first + second).by_feature() == {"a": 5.0, "b": 2.0, "c": 7.0}
    assert (first + second).names == ("a", "b", "c")
    assert (second + first).by_feature() == (first + second).by_feature()


def test_a_feature_without_any_attribution_has_no_mean() -> None:
    told = Attributions.of(NAMES, np.array([[np.nan, 0.0, np.inf]]), np.ones(1))

    assert told.by_feature() == {"b": 0.0}
    assert Attributions().by_feature() == {}
    assert Attributions.of(NAMES, np.zeros((0, 3)), np.zeros(0)).by_feature() == {}


def test_large_attributions_do_not_overflow() -> None:
    large = Attributions.of(("a",), np.array([[1.7e308], [-1.7e308]]), np.ones(2))

    assert (large + large).by_feature() == {"a": 1.7e308}


def test_features_without_end_are_bounded() -> None:
    first, second = (
        Attributions.of(tuple(f"{side}{column}" for column in range(3000)), np.ones((1, 3000)), np.ones(1))
        for side in "ab"
    )

    assert len((first + second).names) == MAX_FEATURES
