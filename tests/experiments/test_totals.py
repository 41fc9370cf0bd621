import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.experiments.totals import BUCKETS, EPOCHS, LARGEST, STATE, Totals
from sidecar.stats.keeping import put_back, taken
from sidecar.stats.moments import Floats, Units


def rows(rng: np.random.Generator, number: int) -> tuple[Units, Floats]:
    return rng.integers(0, 1 << 63, number, dtype=np.uint64), rng.lognormal(size=number)


def test_rows_are_added_where_their_user_s_hash_says() -> None:
    totals = Totals()

    totals.take(np.array([3, 3 + BUCKETS, 4], dtype=np.uint64), np.array([2.0, 5.0, 7.0]))

    assert totals.counts[0, 3:6].tolist() == [2, 1, 0]
    assert totals.sums[0, 3:6].tolist() == [3.0, 5.0, 0.0]
    assert (totals.centre, totals.least, totals.rows) == (2.0, 2.0, 3)
    assert totals.mean == pytest.approx(14 / 3)


def test_without_rows_the_mean_is_undefined() -> None:
    totals = Totals()

    totals.take(np.empty(0, dtype=np.uint64), np.empty(0))
    totals.take(np.arange(2, dtype=np.uint64), np.full(2, np.nan))

    assert totals.rows == 0
    assert math.isnan(totals.mean)
    assert totals.omitted == 0


def test_what_is_no_measurement_is_omitted_and_counted() -> None:
    totals = Totals()

    totals.take(np.arange(5, dtype=np.uint64), np.array([np.inf, -np.inf, 2 * LARGEST, np.nan, 1.0]))

    assert (totals.rows, totals.mean, totals.omitted) == (1, 1.0, 3)


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 200), max_size=6), seed=st.integers(0, 99))
def test_how_rows_are_cut_into_batches_does_not_show(cuts: list[int], seed: int) -> None:
    units, values = rows(np.random.default_rng(seed), 200)
    whole, cut = Totals(), Totals()

    whole.take(units, values)
    for batch in zip(np.split(units, sorted(cuts)), np.split(values, sorted(cuts)), strict=True):
        cut.take(*batch)

    assert all(np.array_equal(getattr(whole, name), getattr(cut, name)) for name in STATE)


def test_small_differences_of_large_values_are_kept() -> None:
    totals = Totals()
    units, values = rows(np.random.default_rng(1), 1000)

    totals.take(units, 1e9 + 1e-3 * np.round(values))

    assert totals.sums.sum() == pytest.approx(1e-3 * (np.round(values) - np.round(values[0])).sum(), abs=1e-4)


def test_an_epoch_has_its_own_rows() -> None:
    totals = Totals()
    one = np.zeros(1, dtype=np.uint64)

    totals.take(one, np.array([1.0]))
    totals.begin()
    totals.take(one, np.array([4.0]))

    assert totals.counts[:3, 0].tolist() == [1, 1, 0]
    assert totals.mean == 2.5


def test_late_rows_are_added_where_they_belong() -> None:
    units, values = rows(np.random.default_rng(3), 90)
    epochs = np.repeat(np.arange(3), 30)
    late, prompt = Totals(), Totals()
    late.take(units[:1], values[:1])
    for epoch in range(3):
        if epoch:
            prompt.begin()
            late.begin()
        prompt.take(units[epochs == epoch], values[epochs == epoch])
    mixed = 1 + np.random.default_rng(4).permutation(89)
    late.take(units[mixed], values[mixed], epochs[mixed])

    np.testing.assert_array_equal(late.counts, prompt.counts)
    np.testing.assert_allclose(late.sums, prompt.sums, atol=1e-12)


@pytest.mark.parametrize("epochs", [[0, 2], [-1, 0], [0]])
def test_an_epoch_that_has_not_begun_is_refused(epochs: list[int]) -> None:
    totals = Totals()
    totals.begin()
    with pytest.raises(ValueError, match="expected those of 2 and none but 0 to 1"):
        totals.take(np.zeros(2, dtype=np.uint64), np.zeros(2), np.array(epochs))


def test_the_oldest_of_too_many_epochs_become_one() -> None:
    totals = Totals()

    for epoch in range(EPOCHS + 2):
        totals.take(np.zeros(1, dtype=np.uint64), np.array([float(epoch)]))
        totals.begin()

    assert totals.epoch == EPOCHS - 1
    assert totals.rows == EPOCHS + 2
    assert totals.counts[:, 0].tolist() == [4, *[1] * (EPOCHS - 2), 0]
    assert totals.sums[:3, 0].tolist() == [0 + 1 + 2 + 3, 4, 5]


def test_a_saved_state_goes_on_as_if_nothing_had_happened() -> None:
    rng = np.random.default_rng(2)
    before, after = Totals(), Totals()
    before.take(*rows(rng, 50))
    before.begin()

    put_back(after, STATE, "", taken(before, STATE, ""))
    more = rows(rng, 50)
    for totals in (before, after):
        totals.take(*more)

    assert all(np.array_equal(getattr(before, name), getattr(after, name)) for name in STATE)


def test_as_many_values_as_units_are_demanded() -> None:
    with pytest.raises(ValueError, match=r"shapes \(2,\) and \(3,\)"):
        Totals().take(np.zeros(2, dtype=np.uint64), np.zeros(3))


@pytest.mark.parametrize("most", [0.0, -1.0, math.inf])
def test_a_bound_of_the_values_is_positive(most: float) -> None:
    with pytest.raises(ValueError, match="at most"):
        Totals(most=most)
