import math
from collections.abc import Sized

import numpy as np
import pytest

from sidecar.experiments.bins import BINS, EDGE_ROWS, Bins, edges_of
from sidecar.experiments.few import surely_beyond
from sidecar.experiments.guardrails import Drift
from sidecar.experiments.sequences import contrast
from sidecar.experiments.totals import EPOCHS, Totals
from sidecar.stats.keeping import Array
from sidecar.stats.moments import Counts, Floats, Units

VARIANTS = ("champion", "challenger")


def people(rng: np.random.Generator, n: int) -> Units:
    return rng.integers(0, 1 << 63, n, dtype=np.uint64)


def now(values: Sized) -> Counts:
    return np.zeros(len(values), dtype=np.int64)


def fed(champion: Floats, challenger: Floats, seed: int = 1, margin: float = 0.1) -> Bins:
    rng = np.random.default_rng(seed)
    bins = Bins(Drift(margin=margin).judged, VARIANTS)
    for variant, values in zip(VARIANTS, (champion, challenger), strict=True):
        bins.take(variant, people(rng, len(values)), values, now(values))
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
        bins.take(variant, units, values.astype(np.float64), now(values))
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
    one.take("champion", units, values, now(values))
    for place in np.array_split(np.arange(1500), 41):
        many.take("champion", units[place], values[place], now(place))
    for bins in (one, many):
        bins.take("challenger", units, values + 1, now(values))

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
    units, values, epochs = people(rng, 2000), rng.normal(size=2000), rng.integers(0, 2, 2000)
    for each in (bins, other):
        each.take("champion", units, values, epochs)
        each.take("challenger", units, values + 0.5, epochs)

    assert other.compare("challenger", 0.05) == bins.compare("challenger", 0.05)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("edges", np.zeros((2, 2))),
        ("edges", np.zeros(BINS)),
        ("edges", np.zeros(3, dtype=np.int64)),
        ("epoch", np.zeros(1, dtype=np.int64)),
        ("epoch", np.asarray(-1)),
        ("epoch", np.asarray(EPOCHS)),
        ("epoch", np.asarray(0.0)),
    ],
    ids=str,
)
def test_a_state_of_another_shape_is_refused(name: str, wrong: Array) -> None:
    state = fed(np.arange(600.0), np.arange(600.0)).state()
    with pytest.raises(ValueError, match=r"of another shape or type|no index"):
        Bins(Drift().judged, VARIANTS).restore(state | {name: wrong})


@pytest.mark.parametrize("epochs", [1, 2, EPOCHS + 3])
def test_edges_that_are_learnt_late_leave_each_row_its_epoch(epochs: int) -> None:
    bins, rng = Bins(Drift().judged, VARIANTS), np.random.default_rng(9)
    last = min(epochs, EPOCHS) - 1
    for _ in range(epochs - 1):
        bins.begin()
    for variant in VARIANTS:
        bins.take(variant, people(rng, 900), rng.normal(size=900), np.full(900, last))
    bins.take("champion", people(rng, 100), rng.normal(size=100), np.zeros(100, dtype=np.int64))

    state = bins.state()
    Bins(Drift().judged, VARIANTS).restore(state)
    counts = {name: sum(state[f"{place}/{name}.counts"].sum(axis=1) for place in range(BINS)) for name in VARIANTS}
    expected = np.zeros(last + 1, dtype=np.int64)
    expected[last] += 400
    expected[0] += 100
    np.testing.assert_array_equal(counts["champion"], BINS * expected)
    assert counts["challenger"].tolist() == [*[0] * last, BINS * 900]


def test_the_forecast_comes_true() -> None:
    champion, challenger = np.tile([0.0, 1.0], 2000), (np.arange(2000) % 20 < 11).astype(np.float64)
    few = fed(champion[:1500], challenger[:1000])
    told = few.rows_to_go("challenger", 0.05)
    early, late = (int(1000 * (1 + told * off / 2000)) for off in (0.7, 1.4))
    lows = [
        fed(np.resize(champion, n + EDGE_ROWS), np.resize(challenger, n)).compare("challenger", 0.05).low
        for n in (early, late)
    ]

    assert 500 < told < 20_000
    assert lows[0] == 0 < lows[1]


def test_two_that_are_alike_will_be_known_to_be_within_the_margin() -> None:
    rng = np.random.default_rng(11)
    bins = fed(rng.random(800), rng.random(200))
    tight = Bins(Drift(margin=0.0).judged, VARIANTS)
    tight.restore(bins.state())

    assert 0 < bins.rows_to_go("challenger", 0.05) < tight.rows_to_go("challenger", 0.05) < 20_000


@pytest.mark.parametrize(("number", "rows"), [(1.0, 50), (7.0, 15)])
def test_few_predictions_that_are_all_elsewhere_are_enough(number: float, rows: int) -> None:
    champion = np.tile([0.0, 1.0], 2000)
    same, elsewhere = champion[:rows], np.full(rows, number)

    assert [fed(champion, each).surely_beyond("challenger", 0.001) for each in (same, elsewhere)] == [False, True]


def test_a_bin_that_few_predictions_leave_for_several_others_is_enough() -> None:
    champion, challenger = np.tile([0.0, 1.0], 2000), np.repeat([-1.0, 0.5, 1.0, 2.0], [20, 20, 100, 20])
    told = fed(champion, challenger, margin=0.2)

    assert told.surely_beyond("challenger", 0.001)
    assert max(np.diff(np.searchsorted(np.sort(challenger), [-1, 0, 0.6, 1, 1.1, 3])) / 160 - [0, 0.5, 0, 0.5, 0]) < 0.2


def test_what_is_plain_is_shared_by_both_directions_of_all_bins() -> None:
    champion = np.tile([0.0, 1.0], 2000)
    ones = Totals(most=1.0), Totals(most=1.0)
    bins, rng = fed(champion, np.full(30, 1.0)), np.random.default_rng(1)
    for totals, values, first in zip(ones, (champion, np.full(30, 1.0)), (EDGE_ROWS, 0), strict=True):
        totals.take(people(rng, len(values))[first:], values[first:])
    budgets = np.geomspace(1e-6, 0.5, 400).tolist()
    alone = next(wrong for wrong in budgets if surely_beyond(*ones, 0.1, wrong=wrong))

    assert not bins.surely_beyond("challenger", 9.5 * alone)
    assert bins.surely_beyond("challenger", 10 * alone)


def test_without_edges_or_rows_nothing_is_plain() -> None:
    assert not fed(np.arange(100.0), np.arange(100.0)).surely_beyond("challenger", 0.5)
    empty = fed(np.arange(1000.0), np.empty(0))
    assert not empty.surely_beyond("challenger", 0.5)
    assert math.isnan(empty.rows_to_go("challenger", 0.05))
    assert math.isnan(empty.compare("challenger", 0.05).estimate)
