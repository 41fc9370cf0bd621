import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.monitors.faults import reach
from sidecar.reference.binning import BINS, Bins, bins_of
from sidecar.report.counting.ladder import BUCKETS, Ladder, ladder_of, unit_of
from sidecar.report.counting.questions import Survey
from sidecar.stats.moments import Counts, Floats
from tests.monitors.rig import of, reference_of

HUGE = float(np.finfo(np.float64).max)
NASTY = [0.0, -0.0, 5e-324, -5e-324, 1e-310, HUGE, -HUGE, np.inf, -np.inf, 1e300, 1.0, -1.0]


def bins_like(values: Floats) -> Bins:
    return bins_of(reference_of(of(values, "x")).profiles)


def survey(values: Floats) -> Survey:
    finite = values[np.isfinite(values)]
    with np.errstate(over="ignore"):
        told = (finite.min(), finite.max(), finite.mean()) if finite.size else (np.nan, np.nan, np.nan)
    return Survey(len(values), *map(float, told))


def cells(ladder: Ladder, values: Floats) -> Counts:
    """As the engine places them."""
    placed: Counts = (values[:, None] > ladder.edges).sum(axis=1)
    return placed


floats = st.lists(st.floats(allow_nan=False) | st.sampled_from(NASTY), min_size=1, max_size=60).map(np.array)
references = st.lists(st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1.0, 7.0]), min_size=1, max_size=60).map(np.array)


@given(references, floats)
def test_all_that_is_told_of_a_number_can_be_told_by_its_cell(reference: Floats, values: Floats) -> None:
    bins = bins_like(reference)
    ladder = ladder_of(bins, 0, survey(values))
    cell = cells(ladder, values)
    low, high = reach(bins, 0)

    assert ladder.bins[cell].tolist() == bins.places(values[:, None], {})[:, 0].tolist()
    assert ladder.finite[cell].tolist() == np.isfinite(values).tolist()
    assert ladder.zero[cell].tolist() == (values == 0).tolist()
    assert ladder.negative[cell].tolist() == (np.isfinite(values) & (values < 0)).tolist()
    assert ladder.far[cell].tolist() == ((values < low) | (values > high)).tolist()


@given(floats)
def test_every_finite_number_is_in_the_bucket_between_its_ends(values: Floats) -> None:
    ladder = ladder_of(bins_like(np.zeros(1)), -1, survey(values))
    known = values[np.isfinite(values)]
    places = ladder.buckets[cells(ladder, known)]

    assert ((places >= 0) & (places < BUCKETS)).all()
    assert (known <= ladder.widths[places + 1]).all()
    assert ((known > ladder.widths[places]) | (places == 0)).all()


@given(references, floats)
def test_an_infinity_counts_for_the_outermost_edge_in_a_sum(reference: Floats, values: Floats) -> None:
    bins = bins_like(reference)
    ladder = ladder_of(bins, 0, survey(values))
    infinite = values[np.isinf(values)]

    expected = bins.count(infinite[:, None], {}).sums[0]
    found = np.bincount(ladder.bins[cells(ladder, infinite)], ladder.ends[cells(ladder, infinite)], BINS + 1)
    assert found.tolist() == pytest.approx(expected.tolist(), rel=1e-12)


@given(floats)
def test_numbers_in_their_unit_are_small_enough_to_be_squared(values: Floats) -> None:
    factor, middle = unit_of(survey(values))
    rest = values[np.isfinite(values)] * factor - middle

    assert np.isfinite((rest * rest).sum())
    assert (np.abs(rest) <= 4).all()


def test_a_number_in_a_column_of_texts_is_one_of_its_others() -> None:
    known = of(np.full((4, 1), np.nan), "word", texts={0: ["a", "b", "a", "b"]})
    bins = bins_of(reference_of(known).profiles)
    ladder = ladder_of(bins, 0, Survey(2, 1.0, 2.0, 1.5))

    assert set(ladder.bins.tolist()) == {int(bins.new[0])}
