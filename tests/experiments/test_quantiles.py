import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.experiments.durations import BOUNDS, CELLS, GROUPS, STEP, Durations
from sidecar.experiments.pairs import reach
from sidecar.experiments.quantiles import Sides, losses, ratio_of_quantiles, rows_to_go, surely_beyond
from sidecar.stats.moments import Floats
from tests.experiments.rig import durations, lognormal


def test_a_loss_is_the_divergence_of_the_counts_by_hand() -> None:
    # The quantile is at or below 3, 5, 5 and 10 rows of 10 where it is at the ends of its cell.
    told = losses(np.array([3.0, 2.0, 0.0, 5.0]), 0.6)

    def kl(p: float) -> float:
        return p * math.log(p / 0.6) + (1 - p) * math.log((1 - p) / 0.4)

    np.testing.assert_allclose(told, [10 * kl(0.3), 10 * kl(0.5), 10 * kl(0.5), 0.0], atol=1e-12)


def by_hand(old: Floats, new: Floats, share: float, wrong: float) -> tuple[float, float]:
    """Every pair of cells, one after the other."""
    n, m = len(new), len(old)
    square = float(reach(np.asarray(n * m / (n + m)), wrong))
    limit = (GROUPS - 1) * math.expm1(square / GROUPS) / 2
    counts = [np.bincount(np.searchsorted(BOUNDS, values), minlength=CELLS) for values in (old, new)]
    x, y = (losses(each.astype(np.float64), share) for each in counts)
    low: list[float] = []
    high: list[float] = []
    lower, upper = np.concatenate(([0.0], BOUNDS)), np.concatenate((BOUNDS, [math.inf]))
    for i in np.flatnonzero(x <= limit):
        fits = np.flatnonzero(x[i] + y <= limit)
        low += (lower[fits] / upper[i]).tolist()
        high += (upper[fits] / lower[i] if lower[i] else np.full(len(fits), math.inf)).tolist()
    return min(low), max(high)


@pytest.mark.parametrize(("rows", "share"), [(2000, 0.5), (2000, 0.99), (300, 0.9), (300, 0.99), (300, 0.01)])
def test_the_interval_is_what_it_says_by_hand(rows: int, share: float) -> None:
    old, new = lognormal(rows), lognormal(3 * rows, 1.2, seed=2)
    champion, challenger = durations(old), durations(new)
    for each in (champion, challenger):
        each.groups[:] = 1  # as if users did not matter
    if champion.crowding(share) != 1 or challenger.crowding(share) != 1:
        pytest.fail("the rows are to be taken as they are")

    told = ratio_of_quantiles(champion, challenger, share, wrong=0.05)

    np.testing.assert_allclose((told.low, told.high), by_hand(old, new, share, 0.05), rtol=1e-9)
    assert told.low <= told.estimate <= told.high
    assert told.rows == 4 * rows


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.5])
@pytest.mark.parametrize("share", [0.5, 0.99])
def test_many_rows_tell_the_ratio(share: float, factor: float) -> None:
    told = ratio_of_quantiles(
        durations(lognormal(30_000)), durations(lognormal(30_000, factor, seed=2)), share, wrong=0.01
    )

    assert factor * 0.85 < told.low < factor < told.high < factor * 1.15


def test_epochs_are_not_pooled() -> None:
    # Slow hours, in which the challenger has most rows: pooled, it would seem to be three times as slow.
    champion = durations(lognormal(9000), 5 * lognormal(1000, seed=2))
    challenger = durations(lognormal(1000, 0.9, seed=3), 5 * lognormal(9000, 0.9, seed=4))

    told = ratio_of_quantiles(champion, challenger, 0.5, wrong=0.05)

    assert challenger.quantile(0.5) > 3 * champion.quantile(0.5)
    assert told.low < 0.9 < told.high < 1
    assert told.estimate == pytest.approx(0.9, abs=0.03)


def test_the_true_ratio_is_rarely_excluded_however_often_one_looks() -> None:
    rng, missed = np.random.default_rng(6), set()
    for run in range(20):
        variants = Durations(), Durations()
        for _ in range(8):
            for each in variants:
                each.take(rng.integers(0, 1 << 63, 100, dtype=np.uint64), rng.exponential(size=100))
            told = ratio_of_quantiles(*variants, 0.9, wrong=0.1)
            if not told.low <= 1 <= told.high:
                missed.add(run)
    assert len(missed) <= 2


def test_users_of_many_rows_make_it_wider() -> None:
    rng = np.random.default_rng(5)
    users = np.repeat(np.arange(200, dtype=np.uint64), 50)
    effects = np.repeat(rng.standard_normal((2, 200)), 50, axis=1)
    slow = [np.exp(0.4 * each + 0.1 * rng.standard_normal(10_000)) for each in effects]
    variants, strangers = [Durations(), Durations()], [durations(each, seed=3) for each in slow]
    for each, values in zip(variants, slow, strict=True):
        each.take(users, values)

    crowded, plain = (ratio_of_quantiles(old, new, 0.5, wrong=0.05) for old, new in (variants, strangers))

    assert variants[0].crowding(0.5) > 10
    assert strangers[0].crowding(0.5) < 2
    assert crowded.high / crowded.low > (plain.high / plain.low) ** 2


def test_one_user_s_rows_tell_nothing() -> None:
    alone = Durations()
    alone.take(np.zeros(1000, dtype=np.uint64), lognormal(1000))

    told = ratio_of_quantiles(alone, durations(lognormal(1000)), 0.5, wrong=0.05)

    assert (told.low, told.high) == (0.0, math.inf)
    assert math.isnan(told.estimate)


def test_without_rows_nothing_is_known() -> None:
    for each in (Durations(), durations([1.0])):
        told = ratio_of_quantiles(Durations(), each, 0.5, wrong=0.05)
        assert (told.low, told.high, told.rows) == (0.0, math.inf, each.rows)


def test_few_rows_say_nothing_of_a_high_quantile() -> None:
    told = ratio_of_quantiles(durations(lognormal(200)), durations(lognormal(200, seed=2)), 0.99, wrong=0.05)

    assert (told.low, told.high) == (0.0, math.inf)


def test_equal_durations_are_equal_to_a_step() -> None:
    told = ratio_of_quantiles(durations([0.2] * 1000), durations([0.2] * 1000), 0.5, wrong=0.05)

    np.testing.assert_allclose((told.low, told.high), (1 / STEP, STEP))


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.floats(0, 1e9), max_size=12),
    st.lists(st.floats(0, 1e9), max_size=12),
    st.floats(0.001, 0.999),
)
def test_whatever_the_durations_the_interval_holds_its_estimate(x: list[float], y: list[float], share: float) -> None:
    told = ratio_of_quantiles(durations(x), durations(y, seed=2), share, wrong=0.5)

    assert 0 <= told.low < told.high
    assert math.isnan(told.estimate) or told.low <= told.estimate * 1.0001 <= told.high * 1.0002


@pytest.mark.parametrize(("share", "wrong"), [(0.0, 0.05), (1.0, 0.05), (0.5, 0.0), (math.nan, 0.05), (0.5, math.nan)])
def test_numbers_out_of_range_are_refused(share: float, wrong: float) -> None:
    with pytest.raises(ValueError, match="expected both in"):
        ratio_of_quantiles(Durations(), Durations(), share, wrong=wrong)


def test_variants_of_different_epochs_are_refused() -> None:
    with pytest.raises(ValueError, match="epochs 0 and 1"):
        ratio_of_quantiles(Durations(), durations([], []), 0.5, wrong=0.05)


def test_ratios_that_differ_between_epochs_leave_an_interval_around_their_mean() -> None:
    champion = durations(lognormal(9000), lognormal(9000, seed=2))
    challenger = durations(lognormal(9000, seed=3), lognormal(9000, 1.5, seed=4))

    told = ratio_of_quantiles(champion, challenger, 0.5, wrong=0.05)

    assert 1 < told.low < told.estimate < told.high < 1.5


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from([0.1, 0.5, 0.9, 0.99]),
    st.lists(st.tuples(st.integers(1, 400), st.integers(1, 400)), min_size=1, max_size=3),
)
def test_what_is_lost_is_that_of_the_best_pair_of_cells(seed: int, share: float, sizes: list[tuple[int, int]]) -> None:
    rng = np.random.default_rng(seed)
    cells = int(rng.integers(3, 40))
    old, new = (rng.integers(0, 9, (len(sizes), cells)) * (rng.random((len(sizes), cells)) < 0.6) for _ in range(2))
    old[:, 1] += 1
    new[:, 1] += 1
    sides = Sides.of(share, (old, new), (1.0, 0.5))
    last = cells - 1

    expected = np.zeros(2 * last)
    for x, y in zip(losses(np.float64(1.0) * old, share), losses(np.float64(0.5) * new, share), strict=True):
        least = np.full(2 * last, math.inf)
        for i in range(cells):
            for j in range(cells):
                low = -math.inf if i == last or j == 0 else j - i - 1
                high = math.inf if i == 0 or j == last else j - i + 1
                for d in range(1 - cells, last):
                    if low < d + 1 and high > d:
                        least[d + last] = min(least[d + last], x[i] + y[j])
        expected += least

    most = sides.at_most() + 3.0
    told = sides.losses(math.inf)
    pruned = sides.losses(most)
    np.testing.assert_allclose(told, expected, atol=1e-9)
    # What is left out loses more.
    np.testing.assert_allclose(
        np.where(expected <= most, pruned, 0), np.where(expected <= most, expected, 0), atol=1e-9
    )
    assert (pruned[expected > most + 1e-9] > most).all()
    assert expected.min() <= sides.at_most() + 1e-9


def test_the_forecast_comes_true() -> None:
    champion, challenger = lognormal(2000), lognormal(2000, 1.05, seed=2)
    variants = durations(champion), durations(challenger)
    told = rows_to_go(*variants, 0.5, margin=0.01, wrong=0.05)
    early, late = (round(1 + told * off / 4000) for off in (0.5, 1.5))
    lows = [
        ratio_of_quantiles(
            durations(np.tile(champion, n)), durations(np.tile(challenger, n), seed=2), 0.5, wrong=0.05
        ).low
        for n in (early, late)
    ]

    assert 4000 < told < 100_000
    assert lows[0] <= 1 < lows[1]


def test_what_is_known_needs_no_rows_and_what_is_nearer_to_an_end_more() -> None:
    champion = durations(lognormal(600))
    near, far = (durations(lognormal(600, factor, seed=2)) for factor in (1.0, 2.0))
    told = [rows_to_go(champion, near, 0.5, margin=margin, wrong=0.05) for margin in (0.5, 0.1, 0.05, 0.0)]

    assert rows_to_go(champion, far, 0.5, margin=0.05, wrong=0.05) == 0
    assert 0 == told[0] < told[1] < told[2] == told[3] < math.inf


def test_equal_durations_are_not_told_apart_by_any_rows_and_by_few_from_a_margin() -> None:
    variants = durations([0.2] * 300), durations([0.2] * 300)

    assert rows_to_go(*variants, 0.5, margin=0.0, wrong=0.05) == math.inf
    assert rows_to_go(*variants, 0.5, margin=0.05, wrong=0.05) == 0


def test_a_high_quantile_of_few_rows_has_a_forecast() -> None:
    variants = durations(lognormal(300)), durations(lognormal(300, seed=2))

    assert ratio_of_quantiles(*variants, 0.99, wrong=0.05).high == math.inf
    assert 1000 < rows_to_go(*variants, 0.99, margin=0.25, wrong=0.05) < 1e6


def test_before_there_is_an_estimate_there_is_no_forecast() -> None:
    assert math.isnan(rows_to_go(Durations(), durations([1.0]), 0.5, margin=0.1, wrong=0.05))


def stalled(rows: int, users: int = 1000) -> Durations:
    made = Durations()
    made.take(np.random.default_rng(3).integers(0, users, rows, dtype=np.uint64), np.full(rows, 5.0))
    return made


def test_few_rows_that_are_all_slow_are_enough() -> None:
    champion = durations(lognormal(2000))

    told = [surely_beyond(champion, stalled(rows), 0.99, margin=0.25, wrong=0.0005) for rows in (1, 2, 5, 20)]

    assert told == [False, False, True, True]
    assert not surely_beyond(champion, durations(lognormal(20, seed=4)), 0.99, margin=0.25, wrong=0.0005)


@pytest.mark.parametrize("users", [1, 2, 3])
def test_the_rows_of_so_few_slow_users_are_not(users: int) -> None:
    assert not surely_beyond(durations(lognormal(2000)), stalled(200, users), 0.99, margin=0.25, wrong=0.0005)


def test_a_champion_of_few_rows_may_have_a_quantile_as_high() -> None:
    assert not surely_beyond(durations(lognormal(50)), stalled(50), 0.99, margin=0.25, wrong=0.0005)
    assert not surely_beyond(Durations(), stalled(50), 0.99, margin=0.25, wrong=0.0005)
    assert not surely_beyond(durations(lognormal(2000)), Durations(), 0.99, margin=0.25, wrong=0.0005)


def test_slower_by_less_than_the_margin_is_not_beyond_it() -> None:
    champion, challenger = durations([0.2] * 2000), durations([0.24] * 150)

    assert surely_beyond(champion, challenger, 0.5, margin=0.1, wrong=0.0005)
    assert not surely_beyond(champion, challenger, 0.5, margin=0.25, wrong=0.0005)


def test_alike_few_rows_are_rarely_told_to_be_beyond() -> None:
    rng, told = np.random.default_rng(7), 0
    for _ in range(40):
        variants = Durations(), Durations()
        for _ in range(10):
            for each, rows in zip(variants, (100, 10), strict=True):
                each.take(rng.integers(0, 1 << 63, rows, dtype=np.uint64), rng.exponential(size=rows))
            told += surely_beyond(*variants, 0.5, margin=0.0, wrong=0.05)
    assert told == 0
