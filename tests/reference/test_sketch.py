from itertools import pairwise

import numpy as np
import pytest
from datasketches import kll_doubles_sketch
from hypothesis import given
from hypothesis import strategies as st

from sidecar.reference.sketch import BUCKETS, Sketch

finite = st.floats(allow_nan=False, allow_infinity=False)
levels = st.lists(st.lists(finite, max_size=9), min_size=1, max_size=4)


def expanded(sketch: Sketch) -> np.ndarray:
    """Every number that the sketch stands for, in ascending order."""
    return np.sort(np.concatenate([np.repeat(level, 1 << i) for i, level in enumerate(sketch.levels)]))


@given(levels, st.lists(finite, min_size=1, max_size=9))
def test_ranks_are_those_of_the_numbers_it_stands_for(levels: list[list[float]], values: list[float]) -> None:
    sketch = Sketch(k=8, levels=levels)
    numbers = expanded(sketch)

    ranks = sketch.ranks(np.array(values))

    assert sketch.n == len(numbers)
    if not len(numbers):
        assert np.isnan(ranks).all()
    else:
        np.testing.assert_allclose(ranks, [(numbers <= value).mean() for value in values], rtol=1e-12)


@given(levels, st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_quantiles_are_those_of_the_numbers_it_stands_for(levels: list[list[float]], ratios: list[float]) -> None:
    sketch = Sketch(k=8, levels=levels)
    numbers = expanded(sketch)

    quantiles = sketch.quantiles(ratios)

    if not len(numbers):
        assert np.isnan(quantiles).all()
    else:
        ranks = [max(1, int(np.ceil(ratio * len(numbers)))) for ratio in ratios]
        assert quantiles.tolist() == [numbers[rank - 1] for rank in ranks]


@given(st.lists(st.lists(st.floats(-1e6, 1e6), max_size=9), max_size=4), st.lists(finite, unique=True, max_size=5))
def test_sums_are_those_of_the_numbers_it_stands_for(levels: list[list[float]], edges: list[float]) -> None:
    sketch = Sketch(k=8, levels=levels)
    bounds = [-np.inf, *sorted(edges), np.inf]
    numbers = expanded(sketch) if levels else np.empty(0)

    sums = sketch.sums(np.sort(edges))

    told = [numbers[(low < numbers) & (numbers <= high)].sum() for low, high in pairwise(bounds)]
    np.testing.assert_allclose(sums, told, atol=1e-6)


def test_sums_too_large_are_infinite_and_nobody_is_warned() -> None:
    assert Sketch(k=8, levels=[[], [-1e308, 1e308]]).sums(np.array([0.0])).tolist() == [-np.inf, np.inf]


@given(levels)
def test_buckets_hold_every_number_once(levels: list[list[float]]) -> None:
    sketch = Sketch(k=8, levels=levels)
    numbers = expanded(sketch)

    edges, counts = sketch.buckets()

    if not len(numbers):
        assert (edges.size, counts.size) == (0, 0)
        return
    assert (len(edges), len(counts), counts.sum()) == (BUCKETS + 1, BUCKETS, len(numbers))
    assert (edges[0], edges[-1]) == (numbers[0], numbers[-1])
    assert (counts >= 0).all()


def test_buckets_are_of_equal_width() -> None:
    edges, counts = Sketch(k=8, levels=[[0.0, 0.5, 1.0, 1.5, 10.0]]).buckets()

    np.testing.assert_allclose(edges, np.arange(11))
    assert counts.tolist() == [3, 1, 0, 0, 0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize("k", [8, 200, 2048, 65535])
def test_the_error_is_the_one_that_datasketches_tells(k: int) -> None:
    told = kll_doubles_sketch(k).normalized_rank_error(False)

    assert Sketch(k=k, levels=[[1.0], [2.0]]).rank_error == pytest.approx(told)
    assert Sketch(k=k, levels=[[1.0, 2.0], []]).rank_error == 0.0


@pytest.mark.parametrize("levels", [[], [[]], [[], []]])
def test_no_numbers_have_no_ranks(levels: list[list[float]]) -> None:
    sketch = Sketch(k=8, levels=levels)

    assert sketch.n == 0
    assert np.isnan(sketch.ranks(np.array([1.0]))).all()
    assert np.isnan(sketch.quantiles([0.5])).all()
