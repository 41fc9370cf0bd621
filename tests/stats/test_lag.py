from itertools import pairwise
from math import inf

import pytest
from hypothesis import given
from hypothesis.strategies import floats, lists

from sidecar.stats.lag import LAG_SECONDS, SLICE_SECONDS, Timing, count
from sidecar.stats.traffic import Histogram


@pytest.mark.parametrize("bounds", [LAG_SECONDS, SLICE_SECONDS])
def test_bounds_ascend(bounds: tuple[float, ...]) -> None:
    assert all(low < high for low, high in pairwise((0.0, *bounds, inf)))


@given(lists(floats(-1.0, 1e6)))
def test_one_by_one_is_as_all_together(values: list[float]) -> None:
    one, all_of_them = Histogram(LAG_SECONDS), Histogram(LAG_SECONDS)
    for value in values:
        count(one, value)
    all_of_them.extend(max(value, 0.0) for value in values)
    assert one.counts == all_of_them.counts
    assert one.total == pytest.approx(all_of_them.total)


def test_a_piece_of_work_is_counted_by_its_seconds() -> None:
    pieces, clock = Histogram(SLICE_SECONDS), iter([1.0, 1.0003, 5.0, 5.5])
    timing = Timing(pieces, clock.__next__)
    with timing:
        pass
    with timing:
        pass
    assert pieces.counts == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1]
    assert pieces.total == pytest.approx(0.5003)


def test_work_that_fails_is_counted_too() -> None:
    pieces = Histogram(SLICE_SECONDS)
    with pytest.raises(ValueError, match="a fault"), Timing(pieces, iter([1.0, 1.0]).__next__):
        raise ValueError("a fault")
    assert sum(pieces.counts) == 1
