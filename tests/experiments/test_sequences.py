import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from sidecar.experiments.pairs import compared
from sidecar.experiments.sequences import Interval, contrast, ratio, rows_to_go
from sidecar.experiments.totals import Totals
from sidecar.stats.moments import Floats
from tests.bench.arms import Case, bernoulli, lognormal, misses, strangers


def totals(values: Floats | list[float], *, most: float = math.nan, seed: int = 1) -> Totals:
    out = Totals(most=most)
    out.take(np.random.default_rng(seed).integers(0, 1 << 63, len(values), dtype=np.uint64), np.asarray(values))
    return out


def errors(number: int, rows: int, seed: int = 1) -> Totals:
    return totals([1.0] * number + [0.0] * (rows - number), most=1.0, seed=seed)


def straight(x: Floats, y: Floats, wrong: float) -> tuple[float, float]:
    """The interval for rows that are all of different users, as it is written down, without the t correction."""
    n, m = len(y), len(x)
    weight = n * m / (n + m)

    def mixture(z: float) -> float:
        terms = [
            math.log(share * math.sqrt(scale / (weight + scale))) + z * z / 2 * weight / (weight + scale)
            for share, scale in ((0.8, 70), (0.2, 10_000))
        ]
        return float(np.logaddexp.reduce(terms)) + math.log(wrong)

    own = y.var(ddof=1) / n + x.var(ddof=1) / m
    pooled = (x.var(ddof=1) * m + y.var(ddof=1) * n) / (n + m) * (1 / n + 1 / m)
    radius = brentq(mixture, 0, 50) * math.sqrt(max(own, pooled))
    return y.mean() - x.mean() - radius, y.mean() - x.mean() + radius


def test_the_interval_is_what_it_says_by_hand() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.gamma(2, size=20_000), 2 * rng.gamma(2, size=5_000)

    told = contrast(totals(x), totals(y, seed=2), wrong=0.05)

    # Within what 512 buckets know of the variance.
    assert told.rows == 25_000
    assert told.estimate == pytest.approx(y.mean() - x.mean())
    np.testing.assert_allclose((told.low, told.high), straight(x, y, 0.05), atol=0.15 * (told.high - told.low) / 2)


def test_variants_that_are_alike_are_rarely_told_apart_however_often_one_looks() -> None:
    for case in (Case("lognormal", lognormal(1.0)), Case("share", bernoulli(0.02), most=1)):
        low, high = misses(strangers(case, 0.2, 150), case, 1_600, 150, seed=3)
        assert (low + high <= (0.05, 0.01)).all()


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_a_sure_difference_is_found(factor: float) -> None:
    rng = np.random.default_rng(6)

    told = contrast(totals(rng.random(4000)), totals(factor * rng.random(4000) + 0.1), factor=factor, wrong=0.01)

    assert 0 < told.low < 0.1 < told.high


@pytest.mark.parametrize("rows", [0, 1])
def test_without_rows_nothing_is_known(rows: int) -> None:
    few, many = totals([1.0] * rows), totals([1.0, 2.0, 3.0])

    for told in (contrast(few, many, wrong=0.05), ratio(few, many, wrong=0.05)):
        assert (told.low, told.high, told.rows) == (-math.inf, math.inf, rows + 3)
        assert math.isnan(told.estimate)
    assert math.isnan(rows_to_go(few, many, wrong=0.05))


def test_no_errors_in_many_rows_are_few_errors_not_none() -> None:
    told = contrast(errors(0, 200), errors(0, 200, seed=2), wrong=0.05)

    assert told.estimate == 0
    assert -told.low == told.high == pytest.approx(math.sqrt(2) * 3.6**2 / 2 / 200, rel=0.1)
    assert contrast(errors(0, 20_000), errors(0, 20_000, seed=2), wrong=0.05).high < 5e-4


def test_errors_of_a_variant_without_any_before_are_found_when_there_are_enough() -> None:
    highs = [contrast(errors(0, 1000), errors(number, 1000, seed=2), wrong=0.05).low for number in (3, 10, 40)]

    assert highs[0] < highs[1] < 0 < highs[2]


def test_values_that_never_vary_are_compared_by_their_size() -> None:
    same = contrast(totals([0.001] * 300), totals([0.001] * 300), wrong=0.05)
    other = ratio(totals([0.001] * 300), totals([0.002] * 300), wrong=0.05)

    assert 0 < same.high < 0.001 * 0.05
    assert (same.estimate, same.low) == (0.0, -same.high)
    assert 1.8 < other.low < 2.0 < other.high < 2.2


def test_zeros_alone_have_no_size() -> None:
    told = contrast(totals([0.0] * 300), totals([0.0] * 300), wrong=0.05)

    assert told == Interval(0.0, -math.inf, math.inf, 600)
    ends = ratio(totals([0.0] * 300), totals([0.0] * 300), wrong=0.05)
    assert (ends.low, ends.high) == (0.0, math.inf)


def test_small_differences_of_large_values_are_seen() -> None:
    rng = np.random.default_rng(7)
    noise = np.round(rng.standard_normal((2, 4000)), 3)

    plain = contrast(totals(noise[0]), totals(noise[1]), wrong=0.05)
    far = contrast(totals(1e9 + noise[0]), totals(1e9 + noise[1]), wrong=0.05)

    np.testing.assert_allclose(far, plain, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(-1e60, 1e60), min_size=2, max_size=8),
    st.lists(st.floats(-1e60, 1e60), min_size=2, max_size=8),
    st.sampled_from([0.5, 0.05, 1e-9]),
)
def test_whatever_the_values_the_interval_holds_its_estimate(x: list[float], y: list[float], wrong: float) -> None:
    champion, challenger = totals(x), totals(y, seed=2)

    told, times = contrast(champion, challenger, wrong=wrong), ratio(champion, challenger, wrong=wrong)

    assert math.isnan(told.estimate) or told.low <= told.estimate <= told.high
    assert times.low <= times.high
    assert not rows_to_go(champion, challenger, wrong=wrong) < 0


def test_the_ratio_is_of_all_factors_that_the_contrast_allows() -> None:
    rng = np.random.default_rng(8)
    champion, challenger = totals(rng.lognormal(size=3000)), totals(1.4 * rng.lognormal(size=1000), seed=2)

    told = ratio(champion, challenger, wrong=0.05)

    assert told.low < 1.4 < told.high
    assert contrast(champion, challenger, factor=told.low, wrong=0.05).low == pytest.approx(0, abs=1e-9)
    assert contrast(champion, challenger, factor=told.high, wrong=0.05).high == pytest.approx(0, abs=1e-9)


def test_over_a_champion_that_may_be_nought_there_is_no_highest_ratio() -> None:
    told = ratio(errors(2, 1000), errors(100, 1000, seed=2), wrong=0.05)

    assert 1 < told.low < 50
    assert told.estimate == pytest.approx(50)
    assert told.high == math.inf


def test_a_mean_of_either_sign_has_a_ratio_of_either_sign() -> None:
    rng = np.random.default_rng(9)
    noise = rng.standard_normal((2, 1000))

    none = ratio(totals(noise[0]), totals(5 + noise[1]), wrong=0.05)
    negative = ratio(totals(noise[0] - 4), totals(2 + noise[1]), wrong=0.05)

    assert (none.low, none.high) == (-math.inf, math.inf)
    assert negative.low < -0.5 < negative.high < 0


def test_the_forecast_comes_true() -> None:
    rng = np.random.default_rng(10)
    x, y = rng.standard_normal(1000), rng.standard_normal(1000)
    x, y = x - x.mean(), y - y.mean() + 0.1

    told = rows_to_go(totals(x), totals(y, seed=2), wrong=0.05)
    times = 1 + told / 2000
    assert 1 < times < 5
    early, late = (int(1000 * times * off) for off in (0.75, 1.35))
    lows = [contrast(totals(np.resize(x, n)), totals(np.resize(y, n), seed=2), wrong=0.05).low for n in (early, late)]
    assert lows[0] < 0 < lows[1]


def test_what_is_known_already_needs_no_rows_and_what_never_will_be_needs_endless_ones() -> None:
    rng = np.random.default_rng(11)
    champion, challenger = totals(rng.random(4000)), totals(1 + rng.random(4000), seed=2)
    estimate = contrast(champion, challenger, wrong=0.05).estimate

    assert rows_to_go(champion, challenger, wrong=0.05) == 0
    assert rows_to_go(champion, challenger, excluding=estimate, wrong=0.05) == math.inf


def test_few_users_make_the_interval_wide() -> None:
    values = np.random.default_rng(12).standard_normal(4000)
    few, many = Totals(), Totals()
    few.take(np.arange(4000, dtype=np.uint64) % np.uint64(8), values)
    many.take(np.arange(4000, dtype=np.uint64), values)

    pairs = [compared(each, each) for each in (few, many)]

    squares = [float(pair.square(0.05)) for pair in pairs if pair]
    assert squares[0] > 1.5 * squares[1]


@pytest.mark.parametrize("wrong", [0.0, 1.0, -1.0, math.nan])
def test_a_budget_is_a_probability(wrong: float) -> None:
    with pytest.raises(ValueError, match="wrong with probability"):
        contrast(Totals(), Totals(), wrong=wrong)


@pytest.mark.parametrize("factor", [0.0, -1.0, math.inf, math.nan])
def test_a_factor_is_positive(factor: float) -> None:
    with pytest.raises(ValueError, match="a factor of"):
        contrast(Totals(), Totals(), factor=factor, wrong=0.05)


def test_the_forecast_from_few_rows_allows_for_a_boundary_that_falls() -> None:
    rng = np.random.default_rng(13)
    x, y = rng.standard_normal((2, 100))
    x, y = x - x.mean(), y - y.mean() + 0.3

    times = 1 + rows_to_go(totals(x), totals(y, seed=2), wrong=0.05) / 200

    early, late = (int(100 * times * off) for off in (0.8, 1.25))
    lows = [contrast(totals(np.resize(x, n)), totals(np.resize(y, n), seed=2), wrong=0.05).low for n in (early, late)]
    assert lows[0] < 0 < lows[1]


def test_over_a_champion_that_was_always_nought_the_ratio_has_a_lowest_one() -> None:
    amounts = np.random.default_rng(14).lognormal(size=300)

    told = ratio(totals([0.0] * 300), totals(amounts), wrong=0.05)

    assert math.isnan(told.estimate)
    assert 0 < told.low < told.high == math.inf
