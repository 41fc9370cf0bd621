import math

import numpy as np
import pytest

from sidecar.experiments.durations import BOUNDS, CELLS, STATE, STEP, Durations
from sidecar.experiments.totals import EPOCHS
from sidecar.stats.keeping import put_back, taken
from tests.experiments.rig import durations, lognormal


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


def test_as_many_values_as_units_are_demanded() -> None:
    with pytest.raises(ValueError, match=r"shapes \(2,\) and \(3,\)"):
        Durations().take(np.zeros(2, dtype=np.uint64), np.zeros(3))


def test_groups_of_one_size_are_worth_their_number() -> None:
    told = Durations()
    told.take(np.repeat(np.arange(4, dtype=np.uint64), 10), np.repeat([0.1, 0.1, 0.3, 0.3], 10))

    # Of each group all or none are below, 5 on average: 4 * 25 * 4 / 3 over 40 / 4.
    assert told.crowding(0.5) == pytest.approx(40 / 3)


def test_late_rows_are_of_their_own_epoch() -> None:
    told = durations([0.1], [0.2], [0.3])

    told.take(np.arange(4, dtype=np.uint64), np.array([0.1, math.nan, 0.1, -1.0]), np.array([0, 1, 2, 0]))

    assert told.counts.sum(axis=1)[:4].tolist() == [2, 1, 2, 0]
    assert told.groups.sum() == 5


@pytest.mark.parametrize("epochs", [[0, 2], [-1, 0], [0]])
def test_an_epoch_that_has_not_begun_is_refused(epochs: list[int]) -> None:
    with pytest.raises(ValueError, match="expected those of 2 and none but 0 to 1"):
        durations([0.1], [0.2]).take(np.zeros(2, dtype=np.uint64), np.zeros(2), np.array(epochs))
