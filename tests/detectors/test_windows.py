import numpy as np
import pytest
from numpy.random import default_rng

from sidecar.detectors.windows import BLOCK, LEVELS, Windows

RNG = default_rng(1)


def test_each_level_has_the_latest_rows_of_twice_as_many_blocks() -> None:
    windows, batches = Windows(3), []
    for blocks in range(1, 2 ** (LEVELS + 1) + 1):
        batches.append(RNG.normal(size=(BLOCK, 3)))
        full = windows.add(batches[-1])
        assert [each.level for each in full] == [level for level in range(LEVELS) if blocks % 2**level == 0]
        for each in full:
            rows = np.concatenate(batches[-(2**each.level) :])
            assert each.rows == len(rows)
            np.testing.assert_allclose(each.products, rows.T @ rows)


def test_windows_of_a_level_take_turns() -> None:
    windows = Windows(1)
    full = [each for _ in range(4 * 2**LEVELS) for each in windows.add(np.ones((BLOCK, 1)))]
    for level in range(LEVELS):
        turns = [each.turn for each in full if each.level == level]
        assert turns == [(place + 1) % 2 for place in range(len(turns))]


@pytest.mark.parametrize("batch", [1, 50, BLOCK, 3 * BLOCK])
def test_a_block_is_full_with_the_batch_that_fills_it(batch: int) -> None:
    windows, needed = Windows(2), -(-BLOCK // batch)
    for _ in range(needed - 1):
        assert windows.add(np.ones((batch, 2))) == []
    (window,) = windows.add(np.ones((batch, 2)))
    assert window.rows == needed * batch


def test_what_waits_can_be_looked_at() -> None:
    windows = Windows(1)
    for rows in (BLOCK, 10):
        windows.add(np.ones((rows, 1)))
    assert [(each.level, each.rows) for each in windows.waiting()][:3] == [(0, 10), (1, BLOCK), (2, 0)]


def test_no_rows_fill_nothing() -> None:
    assert Windows(2).add(np.empty((0, 2))) == []
