import math

import numpy as np
import pytest

from sidecar.experiments.bins import BINS, EDGE_ROWS, Bins, edges_of
from sidecar.experiments.guardrails import Drift
from sidecar.experiments.sequences import contrast
from sidecar.experiments.totals import Totals
from sidecar.stats.moments import Floats, Units

VARIANTS = ("champion", "challenger")


def people(rng: np.random.Generator, n: int) -> Units:
    return rng.integers(0, 1 << 63, n, dtype=np.uint64)


def fed(champion: Floats, challenger: Floats, seed: int = 1) -> Bins:
    rng = np.random.default_rng(seed)
    bins = Bins(Drift().judged, VARIANTS)
    for variant, values in zip(VARIANTS, (champion, challenger), strict=True):
        bins.take(variant, people(rng, len(values)), values)
    return bins


def test_the_greatest_difference_of_a_bin_is_estimated() -> None:
    champion = np.tile(np.arange(10.0), 300)
    challenger = np.where(champion == 3, 4.0, champion)[:2000]
    told = fed(champion, challenger).compare("challenger", 0.05)

    assert told.estimate == pytest.approx(0.1, abs=1e-3)
    assert 0 < told.low < 0.1 < told.high < 0.2
    assert (told.champion_rows, told.challenger_rows) == (3000 - EDGE_ROWS, 2000)
    assert told.challenger == told.estimate
    assert math.isnan(told.champion)


def test_each_bin_has_its_part_of_the_budget() -> None:
    rng = np.random.default_rng(8)
    units, champion, challenger = people(rng, 2500), rng.integers(0, 2, 2500), rng.integers(0, 2, 2500)
    bins, ones = Bins(Drift().judged, VARIANTS), [Totals(most=1.0), Totals(most=1.0)]
    for variant, values, totals, first in zip(VARIANTS, (champion, challenger), ones, (EDGE_ROWS, 0), strict=True):
        bins.take(variant, units, values.astype(np.float64))
        totals.take(units[first:], values[first:].astype(np.float64))
    # 0 and 1, what is below, between and above them: five bins.
    alone = contrast(*ones, wrong=0.05 / 5)

    assert bins.compare("challenger", 0.05).high == pytest.approx(max(alone.high, -alone.low))


def test_nothing_is_known_before_there_are_edges() -> None:
    bins = fed(np.arange(EDGE_ROWS - 1.0), np.arange(100.0))
    told = bins.compare("challenger", 0.05)

    assert (told.low, told.high, told.champion_rows, told.challenger_rows) == (-math.inf, math.inf, 0, 0)
    assert math.isnan(told.estimate)
    assert math.isnan(bins.rows_to_go("challenger", 0.05))


def test_batches_may_be_cut_anywhere() -> None:
    rng = np.random.default_rng(5)
    units, values = people(rng, 1500), rng.normal(size=1500)
    one, many = Bins(Drift().judged, VARIANTS), Bins(Drift().judged, VARIANTS)
    one.take("champion", units, values)
    for place in np.array_split(np.arange(1500), 41):
        many.take("champion", units[place], values[place])
    for bins in (one, many):
        bins.take("challenger", units, values + 1)

    assert many.compare("challenger", 0.05) == one.compare("challenger", 0.05)


@pytest.mark.parametrize("values", [np.array([7.0]), np.array([0.0, 1]), np.arange(4.0)], ids=len)
def test_few_values_have_a_bin_each(values: Floats) -> None:
    edges = edges_of(np.repeat(values, 100))

    assert len(set(np.searchsorted(edges, values).tolist())) == len(values)
    assert np.searchsorted(edges, values[0] - 1e-9) != np.searchsorted(edges, values[0])
    assert len(edges) < BINS


@pytest.mark.parametrize(
    "values", [np.random.default_rng(1).lognormal(size=500), np.repeat(np.arange(5.0), 9), np.array([-1e60, 1e60])]
)
def test_there_are_never_more_bins_than_the_budget_is_split_by(values: Floats) -> None:
    edges = edges_of(values)

    assert len(edges) < BINS
    assert (np.diff(edges) > 0).all()


def test_a_constant_that_becomes_another_one_is_seen() -> None:
    told = fed(np.full(2000, 0.5), np.full(1500, 0.4)).compare("challenger", 0.05)

    assert told.estimate == 1.0
    assert told.low > 0.5


def test_two_of_the_same_distribution_are_within_the_margin_in_the_end() -> None:
    rng = np.random.default_rng(7)
    told = fed(rng.normal(size=20_500), rng.normal(size=20_000)).compare("challenger", 0.05)

    assert told.low == 0.0
    assert told.high < 0.05


@pytest.mark.parametrize("rows", [100, 3000])
def test_a_state_goes_on_where_it_was(rows: int) -> None:
    rng = np.random.default_rng(2)
    bins = fed(rng.normal(size=rows), rng.normal(size=rows))
    bins.begin()
    other = Bins(Drift().judged, VARIANTS)
    other.restore(bins.state())
    units, values = people(rng, 2000), rng.normal(size=2000)
    for each in (bins, other):
        each.take("champion", units, values)
        each.take("challenger", units, values + 0.5)

    assert other.compare("challenger", 0.05) == bins.compare("challenger", 0.05)


def test_a_state_of_another_shape_is_refused() -> None:
    state = fed(np.arange(600.0), np.arange(600.0)).state()
    for wrong in (np.zeros((2, 2)), np.zeros(BINS), np.zeros(3, dtype=np.int64)):
        with pytest.raises(ValueError, match="of another shape or type"):
            Bins(Drift().judged, VARIANTS).restore(state | {"edges": wrong})
