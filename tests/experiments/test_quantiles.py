import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.experiments.pairs import reach
from sidecar.experiments.quantiles import BOUNDS, CELLS, GROUPS, STATE, STEP, Durations, losses, ratio_of_quantiles
from sidecar.experiments.totals import EPOCHS
from sidecar.stats.keeping import put_back, taken
from sidecar.stats.moments import Floats


def durations(*epochs: Floats | list[float], seed: int = 1) -> Durations:
    out, rng = Durations(), np.random.default_rng(seed)
    for index, values in enumerate(epochs):
        if index:
            out.begin()
        out.take(rng.integers(0, 1 << 63, len(values), dtype=np.uint64), np.asarray(values))
    return out


def lognormal(rows: int, factor: float = 1.0, seed: int = 1) -> Floats:
    out: Floats = 0.05 * factor * np.exp(0.5 * np.random.default_rng(seed).standard_normal(rows))
    return out


def test_a_duration_is_counted_below_the_bound_that_it_does_not_exceed() -> None:
    told = durations([BOUNDS[7], BOUNDS[7] * 1.0001, 0.0, 1e6])

    assert np.flatnonzero(told.counts[0]).tolist() == [0, 7, 8, CELLS - 1]
    assert told.groups.sum(axis=0).tolist() == told.counts[0].tolist()
    assert (told.rows, told.omitted) == (4, 0)


def test_bounds_reach_from_ten_microseconds_to_ten_minutes_in_steps_of_one_percent() -> None:
    assert BOUNDS[0] == pytest.approx(1e-5)
    assert BOUNDS[-2] < 600 <= BOUNDS[-1]
    np.testing.assert_allclose(BOUNDS[1:] / BOUNDS[:-1], STEP)


def test_what_is_no_duration_is_omitted_and_counted() -> None:
    told = durations([-1.0, math.inf, -math.inf, math.nan, 1.0])

    assert (told.rows, told.omitted) == (1, 3)


def test_the_quantile_is_within_half_a_step() -> None:
    values = lognormal(10_000)
    told = durations(values)

    for share in (0.01, 0.5, 0.99):
        expected = np.quantile(values, share, method="inverted_cdf")
        assert told.quantile(share) == pytest.approx(expected, rel=0.006)
    assert math.isnan(Durations().quantile(0.5))


def test_the_oldest_of_too_many_epochs_become_one() -> None:
    told = durations(*([1.0] for _ in range(EPOCHS + 2)))

    assert told.epoch == EPOCHS - 1
    assert told.counts.sum(axis=1).tolist() == [3, *[1] * (EPOCHS - 1)]


def test_a_saved_state_goes_on_as_if_nothing_had_happened() -> None:
    before, after = durations(lognormal(50), lognormal(50)), Durations()

    put_back(after, STATE, "", taken(before, STATE, ""))

    assert all(np.array_equal(getattr(before, name), getattr(after, name)) for name in STATE)
    assert after.rows == 100


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


def test_as_many_values_as_units_are_demanded() -> None:
    with pytest.raises(ValueError, match=r"shapes \(2,\) and \(3,\)"):
        Durations().take(np.zeros(2, dtype=np.uint64), np.zeros(3))


def test_ratios_that_differ_between_epochs_leave_an_interval_around_their_mean() -> None:
    champion = durations(lognormal(9000), lognormal(9000, seed=2))
    challenger = durations(lognormal(9000, seed=3), lognormal(9000, 1.5, seed=4))

    told = ratio_of_quantiles(champion, challenger, 0.5, wrong=0.05)

    assert 1 < told.low < told.estimate < told.high < 1.5


def test_groups_of_one_size_are_worth_their_number() -> None:
    told = Durations()
    told.take(np.repeat(np.arange(4, dtype=np.uint64), 10), np.repeat([0.1, 0.1, 0.3, 0.3], 10))

    # Of each group all or none are below, 5 on average: 4 * 25 * 4 / 3 over 40 / 4.
    assert told.crowding(0.5) == pytest.approx(40 / 3)
