import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.random import default_rng

from sidecar.quality.logistic import probabilities
from sidecar.quality.relation import Decomposition, Expectation, Labelled, Part, Reference, decompose
from sidecar.stats.moments import Counts, Floats

SLOPES = np.array([1.2, -0.8, 0.5, 0.0, 0.0])
EDGES = np.array([-1.28, -0.84, -0.52, -0.25, 0.0, 0.25, 0.52, 0.84, 1.28])


def logits(values: Floats) -> Floats:
    out: Floats = values @ SLOPES + 0.6 * values[:, 0] * values[:, 1]
    return out


def coded(values: Floats) -> Counts:
    """Bins of the features, and of the score of a model that knows the logits of the reference."""
    return np.asarray(np.searchsorted(EDGES, np.c_[values, logits(values)]), dtype=np.int64)


def labelled(seed: int, n: int, shift: float = 0.0, truth: Callable[[Floats], Floats] = logits) -> Labelled:
    rng = default_rng(seed)
    values = rng.normal(size=(n, 5))
    values[:, :2] += shift
    target = (rng.random(n) < probabilities(truth(values))).astype(np.float64)
    codes = coded(values)
    return Labelled(codes, ((logits(values) > 0) != target).astype(np.float64), target, np.ones(n))


REFERENCE = Reference.learn(labelled(0, 2000))


def told(current: Labelled) -> Decomposition:
    return decompose(REFERENCE, current, outputs=1)


def test_what_is_expected_is_near_the_truth() -> None:
    rng = default_rng(1)
    values = rng.normal(size=(2000, 5))
    codes = coded(values)

    error = REFERENCE.target(codes) - probabilities(logits(values))

    assert abs(error.mean()) < 0.02
    assert np.sqrt((error**2).mean()) < 0.08


@pytest.mark.parametrize("shift", [0.5, -0.5, 1.0, -1.0])
def test_moved_inputs_alone_leave_little_beyond_what_is_expected(shift: float) -> None:
    current = labelled(2, 20_000, shift)

    assert abs((current.target - REFERENCE.target(current.codes)).mean()) < 0.03
    assert abs((current.loss - REFERENCE.loss(current.codes)).mean()) < 0.03


def test_what_is_expected_of_the_reference_s_own_rows_is_not_learned_from_them() -> None:
    rng = default_rng(3)
    codes, target = rng.integers(0, 10, (1000, 20)), rng.random(1000)

    expectation = Expectation.learn(codes, target, np.ones(1000))

    assert np.corrcoef(expectation.cross_fitted, target)[0, 1] < 0.1
    assert np.corrcoef(expectation(codes), target)[0, 1] > 0.1


def test_expectations_stay_in_their_range() -> None:
    codes = np.arange(1000)[:, None] % 2 * np.ones((1, 3), dtype=np.int64)
    target = (codes[:, 0] == 1).astype(np.float64)

    expectation = Expectation.learn(codes, target, np.ones(1000))

    assert expectation.cross_fitted.min() >= 0
    assert expectation.cross_fitted.max() <= 1
    np.testing.assert_allclose(expectation(codes), target, atol=0.01)


def test_without_columns_the_mean_is_expected() -> None:
    nothing, target = np.zeros((10, 0), dtype=np.int64), np.arange(10) / 10

    np.testing.assert_allclose(Expectation.learn(nothing, target, np.ones(10))(nothing), 0.45)


@pytest.mark.parametrize("n", [0, 3])
def test_without_weights_nothing_is_expected(n: int) -> None:
    codes = np.zeros((n, 2), dtype=np.int64)

    expectation = Expectation.learn(codes, np.ones(n), np.zeros(n))

    assert np.isnan(expectation(np.zeros((4, 2), dtype=np.int64))).all()
    assert np.isnan(expectation.cross_fitted).all()


def test_weights_are_rows_but_for_their_scale() -> None:
    rows = labelled(4, 400)
    weights = default_rng(4).uniform(0.1, 3.0, 400)

    plain = Expectation.learn(rows.codes, rows.target, weights)
    scaled = Expectation.learn(rows.codes, rows.target, 1e6 * weights)

    np.testing.assert_allclose(plain(rows.codes), scaled(rows.codes), atol=1e-9)


def test_quiet_rows_have_moved_nothing() -> None:
    quiet = told(labelled(5, 1500))

    assert max(abs(quiet.loss.relation.z), abs(quiet.target.relation.z)) < 2.5
    assert np.nanmax(quiet.moved) < 3.5
    assert quiet.loss.carriers == quiet.target.carriers == ()
    assert quiet.overlap > 0.95


def test_inputs_that_moved_are_not_taken_for_the_relation() -> None:
    moved = told(labelled(6, 1500, shift=0.8))

    assert max(abs(moved.loss.relation.z), abs(moved.target.relation.z)) < 2.5
    assert np.flatnonzero(moved.moved[:5] > 5).tolist() == [0, 1]
    assert abs(moved.target.inputs.z) > 4
    assert 0.4 < moved.overlap < 0.8


@pytest.mark.parametrize("shift", [0.0, 0.8])
def test_a_relation_that_moved_is_told_whether_inputs_moved_or_not(shift: float) -> None:
    moved = told(labelled(7, 1500, shift, lambda values: logits(values) - 2.4 * values[:, 0]))

    assert moved.loss.relation.z > 5
    assert moved.target.carriers[0].column == 0
    assert (np.nanmax(moved.moved) > 5) == (shift > 0)


def test_a_relation_can_move_the_target_without_the_loss() -> None:
    better = told(labelled(8, 1500, truth=lambda values: np.where(logits(values) > 0, 3.0, -0.8)))

    assert better.target.relation.z > 5
    assert better.loss.relation.change < 0


def test_the_parts_add_up_to_the_change() -> None:
    rows = labelled(9, 300, shift=0.5)
    weights = default_rng(9).uniform(0.0, 5.0, 300)

    change = told(Labelled(rows.codes, rows.loss, rows.target, weights)).loss

    assert change.after == pytest.approx(np.average(rows.loss, weights=weights))
    assert change.inputs.change + change.relation.change == pytest.approx(change.after - change.before, abs=1e-12)


def test_errors_are_those_of_repetition() -> None:
    small = [
        decompose(Reference.learn(labelled(2 * seed, 300)), labelled(2 * seed + 1, 200, shift=0.5))
        for seed in range(1000, 1020)
    ]

    changes = [each.target.relation.change for each in small]
    errors = [each.target.relation.error for each in small]

    assert np.std(changes) == pytest.approx(np.mean(errors), rel=0.4)
    assert abs(np.mean(changes)) < 0.03


def test_a_model_that_fails_on_every_row_is_certain_but_finite() -> None:
    rows = labelled(10, 500)
    perfect = Reference.learn(Labelled(rows.codes, np.zeros(500), rows.target, rows.weights))

    failed = decompose(perfect, Labelled(rows.codes, np.ones(500), rows.target, rows.weights)).loss

    assert (failed.before, failed.after) == pytest.approx((0.0, 1.0))
    assert failed.relation.change == pytest.approx(1.0)
    assert 100 < failed.relation.z < math.inf


def test_a_loss_that_is_always_0_has_not_moved() -> None:
    rows = labelled(11, 200)
    still = Labelled(rows.codes, np.zeros(200), rows.target, rows.weights)

    change = decompose(Reference.learn(still), still).loss

    assert change.relation.z == change.inputs.z == 0.0


def test_rows_unlike_any_of_the_reference_say_nothing_of_the_relation() -> None:
    rows = labelled(12, 500, truth=lambda values: -logits(values))

    moved = told(Labelled(rows.codes + 10, rows.loss, rows.target, rows.weights))

    assert moved.overlap < 0.05


@pytest.mark.parametrize("n", [0, 4])
def test_without_weighted_rows_nothing_is_told(n: int) -> None:
    rows = labelled(13, n)

    nothing = told(Labelled(rows.codes, rows.loss, rows.target, np.zeros(n)))

    assert math.isnan(nothing.loss.relation.z)
    assert math.isnan(nothing.target.inputs.change)
    assert math.isnan(nothing.overlap)
    assert nothing.current_rows == 0.0
    assert np.isnan(nothing.moved).all()
    assert nothing.loss.carriers == ()


def test_nothing_beside_nothing_is_not_alike() -> None:
    nothing = labelled(13, 0)

    assert math.isnan(decompose(Reference.learn(nothing), nothing).loss.relation.change)


def test_one_row_is_told_with_its_doubt() -> None:
    rows = labelled(14, 1)

    assert told(rows).loss.relation.error >= 0.5


def test_a_part_without_anything_is_undefined() -> None:
    assert math.isnan(Part(math.nan, math.nan).z)
