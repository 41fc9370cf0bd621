import math

import numpy as np
import pytest

from sidecar.experiments.bins import Bins
from sidecar.experiments.comparing import Comparison, Means, Quantiles, comparison_of
from sidecar.experiments.guardrails import Drift
from sidecar.experiments.measures import Errors, Latency, Measure, Outcome, Quality
from sidecar.experiments.verdicts import Judged
from sidecar.stats.moments import Counts, Floats

VARIANTS = ("champion", "challenger")
RELATIVE: Measure = Outcome(metric="a", better="higher")


def now(values: Floats) -> Counts:
    return np.zeros(len(values), dtype=np.int64)


def fed(measure: Measure, champion: Floats, challenger: Floats) -> Comparison:
    rng = np.random.default_rng(1)
    comparison = comparison_of(measure.judged, VARIANTS)
    for variant, values in zip(VARIANTS, (champion, challenger), strict=True):
        comparison.take(variant, rng.integers(0, 1 << 63, len(values), dtype=np.uint64), values, now(values))
    return comparison


def test_a_measure_is_compared_by_what_it_is_judged_by() -> None:
    kinds = [
        type(comparison_of(each.judged, VARIANTS)) for each in (Errors(), Latency(), Latency(quantile=0.5), Drift())
    ]

    assert kinds == [Means, Means, Quantiles, Bins]


def test_means_differ_absolutely() -> None:
    told = fed(Errors(), np.tile([0.0, 0, 0, 1], 1000), np.tile([0.0, 1], 1000)).compare("challenger", 0.05)

    assert (told.estimate, told.champion, told.challenger) == pytest.approx((0.25, 0.25, 0.5))
    assert (told.champion_rows, told.challenger_rows) == (4000, 2000)
    assert 0.15 < told.low < 0.25 < told.high < 0.35


def test_or_by_parts_of_the_champion_s() -> None:
    rng = np.random.default_rng(2)
    told = fed(RELATIVE, rng.normal(10, 1, 4000), rng.normal(12, 1, 4000)).compare("challenger", 0.05)

    assert told.estimate == pytest.approx(0.2, abs=0.01)
    assert 0.18 < told.low < 0.2 < told.high < 0.22


def test_up_is_up_from_below_zero_too() -> None:
    rng = np.random.default_rng(2)
    told = fed(RELATIVE, rng.normal(-10, 1, 4000), rng.normal(-8, 1, 4000)).compare("challenger", 0.05)

    assert told.estimate == pytest.approx(0.2, abs=0.01)
    assert 0.18 < told.low < 0.2 < told.high < 0.22


def test_a_champion_whose_mean_may_be_zero_has_no_parts() -> None:
    rng = np.random.default_rng(2)
    told = fed(RELATIVE, rng.normal(0, 1, 4000), rng.normal(5, 1, 4000)).compare("challenger", 0.05)

    assert (told.low, told.high) == (-math.inf, math.inf)


def test_quantiles_are_compared_by_their_ratio() -> None:
    rng = np.random.default_rng(3)
    champion, challenger = rng.lognormal(-3, 0.5, 20_000), 1.5 * rng.lognormal(-3, 0.5, 20_000)
    comparison = fed(Latency(quantile=0.9), champion, challenger)
    told = comparison.compare("challenger", 0.05)

    assert told.champion == pytest.approx(np.quantile(champion, 0.9), rel=0.03)
    assert told.challenger == pytest.approx(np.quantile(challenger, 0.9), rel=0.03)
    assert 0.3 < told.low < 0.5 < told.high < 0.75
    assert comparison.rows_to_go("challenger", 0.05) == 0


@pytest.mark.parametrize("measure", [Errors(), Latency(), Latency(quantile=0.5), Drift()], ids=repr)
def test_of_no_rows_nothing_is_known(measure: Measure) -> None:
    told = comparison_of(measure.judged, VARIANTS).compare("challenger", 0.05)

    assert math.isnan(told.estimate)
    assert (told.low <= 0, told.high) == (True, math.inf)
    assert math.isnan(told.champion)
    assert math.isnan(told.challenger)


@pytest.mark.parametrize("measure", [Errors(), Latency(), Latency(quantile=0.5), Drift()], ids=repr)
def test_nor_is_anything_plain_or_forecast(measure: Measure) -> None:
    comparison = comparison_of(measure.judged, VARIANTS)

    assert not comparison.surely_beyond("challenger", 0.5)
    assert math.isnan(comparison.rows_to_go("challenger", 0.05))


@pytest.mark.parametrize(
    ("measure", "plain"),
    [(Errors(), True), (Quality(), True), (Latency(quantile=0.5), True), (Latency(), False), (RELATIVE, False)],
    ids=repr,
)
def test_of_few_rows_only_values_with_bounds_and_quantiles_are_told(measure: Measure, plain: bool) -> None:
    comparison = fed(measure, np.tile([0.0, 0.001], 500), np.ones(40))

    assert comparison.surely_beyond("challenger", 0.0005) is plain


def test_of_few_rows_nothing_is_plain_of_what_had_better_be_high() -> None:
    means = Means(Judged("x", 0.01, "", "", better="higher", most=1.0), VARIANTS)
    for variant, values in zip(VARIANTS, (np.zeros(500), np.ones(40)), strict=True):
        means.take(variant, np.arange(len(values), dtype=np.uint64), values, now(values))

    assert not means.surely_beyond("challenger", 0.5)


@pytest.mark.parametrize("measure", [Errors(), Latency(), Latency(quantile=0.5)], ids=repr)
def test_a_state_goes_on_where_it_was(measure: Measure) -> None:
    rng = np.random.default_rng(4)
    one = fed(measure, rng.random(900), rng.random(900))
    one.begin()
    other = comparison_of(measure.judged, VARIANTS)
    other.restore(one.state())
    units, values = rng.integers(0, 1 << 63, 900, dtype=np.uint64), rng.random(900)
    for each in (one, other):
        each.take("champion", units, values, now(values) + 1)
        each.take("challenger", units, values, now(values))

    assert other.compare("challenger", 0.05) == one.compare("challenger", 0.05)


@pytest.mark.parametrize("relative", [False, True])
def test_the_forecast_counts_the_rows_to_whichever_word_comes_first(*, relative: bool) -> None:
    rng = np.random.default_rng(6)
    champion = rng.normal(1, 0.5, 2000)
    far, near = champion + 0.03, champion + 0.001
    # Beside a mean of 1 the two are the same.
    narrow, wide = (
        [fed(_measure(margin, relative=relative), champion, side) for side in (far, near)] for margin in (0.0001, 0.2)
    )
    tight, loose = ([each.rows_to_go("challenger", 0.05) for each in pair] for pair in (narrow, wide))

    assert 0 < tight[0] < tight[1]
    assert loose == [0.0, 0.0]


def test_a_margin_of_more_than_all_of_the_champion_s_value_is_no_error() -> None:
    rng = np.random.default_rng(6)
    measure = Outcome(metric="a", better="higher", margin_ratio=3.0)
    comparison = fed(measure, rng.random(500), rng.random(500))

    assert comparison.rows_to_go("challenger", 0.05) == 0.0


def _measure(margin: float, *, relative: bool) -> Measure:
    return Outcome(metric="a", better="higher", margin_ratio=margin) if relative else Quality(margin=margin)
