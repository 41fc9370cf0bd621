import numpy as np
import pytest
from numpy.random import default_rng
from numpy.typing import ArrayLike
from scipy import stats

from sidecar.quality.carriers import LEAST_Z, MOST_CARRIERS, Side, carriers, moved, normal_scores
from sidecar.stats.moments import Counts


def codes(seed: int, n: int = 1500, k: int = 6) -> Counts:
    return default_rng(seed).integers(0, 8, (n, k))


def side(rows: Counts, moves: ArrayLike = 0.0, seed: int = 0) -> Side:
    rest = default_rng(seed + 100).normal(0, 0.4, len(rows)) + np.asarray(moves, dtype=np.float64)
    return Side(rows, rest, np.full(len(rows), 1 / max(1, len(rows))))


def test_the_column_along_which_the_rest_moved_is_named_with_its_bin() -> None:
    now = codes(2)
    moves = np.where(now[:, 4] == 3, 0.4, 0.0)

    (carrier,) = carriers(side(codes(1)), side(now, moves, seed=1), 6)

    assert (carrier.column, carrier.bin, carrier.share) == (4, 3, 1.0)
    assert carrier.before == pytest.approx(0, abs=0.1)
    assert carrier.after == pytest.approx(0.4, abs=0.1)
    assert carrier.z > LEAST_Z


def test_shares_add_up_to_1_and_fall() -> None:
    now = codes(2)
    moves = 0.1 * (now[:, 0] - 3.5) - 0.06 * (now[:, 5] - 3.5)

    named = carriers(side(codes(1)), side(now, moves, seed=1), 6)

    assert [carrier.column for carrier in named] == [0, 5]
    assert sum(carrier.share for carrier in named) == pytest.approx(1)
    assert named[0].share > named[1].share


def test_a_column_that_only_goes_along_is_not_named() -> None:
    before, now = codes(1), codes(2)
    for rows in (before, now):
        along = default_rng(9).random(len(rows)) < 0.8
        rows[along, 1] = rows[along, 0]

    named = carriers(side(before), side(now, 0.1 * (now[:, 0] - 3.5), seed=1), 6)

    assert [carrier.column for carrier in named] == [0]


def test_what_moved_alike_everywhere_has_no_carrier() -> None:
    assert carriers(side(codes(1)), side(codes(2), 0.5, seed=1), 6) == ()


def test_columns_behind_those_that_may_be_are_not_named() -> None:
    now = codes(2)

    assert carriers(side(codes(1)), side(now, now[:, 4] * 1.0, seed=1), 4) == ()


def test_no_more_are_named_than_the_bound() -> None:
    now = codes(2, k=10)

    named = carriers(side(codes(1, k=10)), side(now, now.sum(axis=1) * 0.2, seed=1), 10)

    assert len(named) == MOST_CARRIERS
    assert len({carrier.column for carrier in named}) == MOST_CARRIERS


def test_chance_carries_nothing() -> None:
    named = [carriers(side(codes(seed), seed=seed), side(codes(seed + 99), seed=seed + 99), 6) for seed in range(40)]

    assert named == [()] * 40


@pytest.mark.parametrize("n", [0, 5])
def test_too_few_rows_carry_nothing(n: int) -> None:
    assert carriers(side(codes(1)), side(codes(2, n=n), 1.0), 6) == ()
    assert carriers(side(codes(1, n=n)), side(codes(2), 1.0), 6) == ()


def test_rests_that_are_all_alike_carry_nothing() -> None:
    rows, weights = codes(1), np.full(1500, 1 / 1500)

    assert carriers(Side(rows, np.zeros(1500), weights), Side(rows, np.zeros(1500), weights), 6) == ()


def test_a_bin_new_to_the_reference_is_left_out() -> None:
    now = codes(2)
    now[now[:, 0] == 7, 0] = 12

    assert carriers(side(codes(1)), side(now, np.where(now[:, 0] == 12, 0.9, 0.0), seed=1), 1) == ()


@pytest.mark.parametrize("freedom", [2, 4, 9, 20])
def test_normal_scores_are_as_improbable_as_the_chi_squared(freedom: int) -> None:
    tails = np.array([0.5, 0.05, 1e-3, 1e-5])

    scores = normal_scores(stats.chi2.isf(tails, freedom), np.full(4, freedom))

    np.testing.assert_allclose(scores, stats.norm.isf(tails), atol=0.2)


def test_moved_inputs_have_the_chi_squared_of_two_samples() -> None:
    before, now = codes(1), codes(2, n=700)
    now[:200, 3] = 0

    scores = moved(side(before), side(now))

    tables = [np.array([np.bincount(rows[:, column], minlength=8) for rows in (before, now)]) for column in range(6)]
    chi = np.array([stats.chi2_contingency(table, correction=False).statistic for table in tables])
    np.testing.assert_allclose(scores, normal_scores(chi, np.full(6, 7)), atol=1e-9)
    assert np.flatnonzero(scores > 5).tolist() == [3]


def test_rare_bins_are_compared_together() -> None:
    before, now = codes(1), codes(2)
    now[:40, 0] = np.arange(40) + 10

    assert moved(side(before), side(now))[0] > 5
    assert moved(side(before), side(now))[1] < 5


def test_inputs_that_cannot_move_are_unknown() -> None:
    constant = np.zeros((100, 2), dtype=np.int64)

    assert np.isnan(moved(side(constant), side(constant))).all()
    assert np.isnan(moved(side(constant), side(constant[:0]))).all()
