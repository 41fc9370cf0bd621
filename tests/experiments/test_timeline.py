import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.experiments.timeline import Timeline
from sidecar.experiments.totals import EPOCHS, Totals


def timeline(*epochs: tuple[float, float]) -> Timeline:
    """Epochs by when they began and when they were last seen."""
    made = Timeline()
    for begun_s, seen_s in epochs:
        made.begin(begun_s)
        made.stay(seen_s)
    return made


def place(made: Timeline, time_s: float) -> int:
    return int(made.places(np.array([time_s]))[0])


@pytest.mark.parametrize(
    ("time_s", "told"),
    [
        (-math.inf, -1),
        (9.9, -1),
        (10.0, 0),
        (19.0, 0),
        (19.1, -1),
        (20.0, 1),
        (29.0, 1),
        (29.5, -1),
        (30.0, 2),
        (1e12, 2),
        (math.nan, -1),
    ],
)
def test_a_row_belongs_where_its_request_was_dealt_if_that_is_sure(time_s: float, told: int) -> None:
    assert place(timeline((10.0, 19.0), (20.0, 29.0), (30.0, 30.0)), time_s) == told


def test_before_it_has_begun_there_is_no_place() -> None:
    made = Timeline()

    assert place(made, 5.0) == -1
    assert (made.since_s, made.epoch_s, made.epoch) == (math.inf, math.inf, -1)
    assert made.places(np.empty(0)).shape == (0,)


def test_the_oldest_epochs_become_one_as_those_of_totals_do() -> None:
    made, totals = Timeline(), Totals()
    for epoch in range(EPOCHS + 3):
        if epoch:
            totals.begin()
        made.begin(10.0 * epoch)
        made.stay(10.0 * epoch + 9)
        totals.take(np.zeros(1, dtype=np.uint64), np.array([float(epoch)]))

    places = made.places(10.0 * np.arange(EPOCHS + 3) + 5)

    assert made.epoch == totals.epoch == EPOCHS - 1
    assert np.bincount(places).tolist() == totals.counts[:, 0].tolist()
    assert (made.since_s, made.epoch_s) == (0.0, 10.0 * (EPOCHS + 2))


def test_where_the_clock_goes_back_rows_of_now_are_of_now() -> None:
    made = timeline((10.0, 19.0), (20.0, 29.0))
    made.stay(5.0)

    assert [place(made, time_s) for time_s in (4.0, 5.5, 15.0, 25.0)] == [-1, 1, 1, 1]

    made.begin(3.0)

    assert [place(made, time_s) for time_s in (2.0, 3.5, 25.0)] == [-1, 2, 2]


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 100)), max_size=60), st.lists(st.floats(-10, 110), max_size=20))
def test_whatever_the_clock_does_places_are_those_of_epochs(
    calls: list[tuple[bool, float]], times_s: list[float]
) -> None:
    made = timeline((50.0, 60.0))
    for begins, now_s in calls:
        (made.begin if begins else made.stay)(now_s)
        assert place(made, now_s) == made.epoch
    places = made.places(np.array(times_s))

    assert made.begun_s == sorted(made.begun_s)
    assert made.seen_s == sorted(made.seen_s)
    assert len(made.seen_s) == len(made.begun_s) <= EPOCHS
    assert all(-1 <= each <= made.epoch for each in places.tolist())
