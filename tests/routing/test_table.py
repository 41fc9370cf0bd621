from dataclasses import FrozenInstanceError
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis.strategies import floats, integers, lists, sampled_from
from scipy.stats import binom, chi2_contingency

from sidecar.routing.table import POINTS, RoutingTable, Variant, points

PICKS = 100_000


def table_of(*weights: float) -> RoutingTable:
    return RoutingTable(tuple(Variant(f"v{number}", weight=weight) for number, weight in enumerate(weights)))


@pytest.mark.parametrize(
    ("request_id", "split", "sample"),
    [
        (b"", 3836125271, 1954132660),
        (b"a", 1090035257, 1533428271),
        (b"0af7651916cd43dd8448eb211c80319c", 2407039285, 4214830526),
        (b"\xff\x00", 2347338301, 349446379),
    ],
)
def test_points_are_the_same_in_every_release(request_id: bytes, split: int, sample: int) -> None:
    assert points(request_id) == (split, sample)


def test_the_two_points_of_a_request_are_independent() -> None:
    counts = [[0, 0, 0], [0, 0, 0], [0, 0, 0]]
    for number in range(PICKS // 5):
        split, sample = points(b"%d" % number)
        counts[split * 3 // POINTS][sample * 3 // POINTS] += 1

    assert chi2_contingency(counts).pvalue > 0.001


@pytest.mark.parametrize("weights", [(1.0,), (90.0, 10.0), (1.0, 1.0, 1.0), (0.001, 0.999), (5.0, 0.0, 3.0)])
def test_shares_are_the_weights_within_chance(weights: tuple[float, ...]) -> None:
    table = table_of(*weights)
    counts = dict.fromkeys(table.variants, 0)
    for number in range(PICKS):
        counts[table.pick(points(b"request-%d" % number)[0])] += 1

    for variant, count in counts.items():
        low, high = binom.ppf((1e-6, 1 - 1e-6), PICKS, variant.weight / sum(weights))
        assert low <= count <= high


@given(lists(floats(0.0, 1e6), min_size=1, max_size=10).filter(any))
def test_shares_are_exact_to_a_point(weights: list[float]) -> None:
    table = table_of(*weights)
    starts = [0, *table._ends]

    assert starts[-1] == POINTS
    for variant, start, end in zip(table.variants, starts[:-1], starts[1:], strict=True):
        exact = Fraction(variant.weight) / sum(map(Fraction, weights)) * POINTS
        assert abs(end - start - exact) <= 2
        assert start == end or table.pick(start) == table.pick(end - 1) == variant


@given(integers(0, POINTS - 1), sampled_from([(0.0, 1.0), (1.0, 0.0), (0.0, 1.0, 0.0)]))
def test_a_weight_of_zero_is_never_picked(point: int, weights: tuple[float, ...]) -> None:
    assert table_of(*weights).pick(point).weight == 1.0


@given(integers(0, POINTS - 1))
def test_more_weight_for_the_first_takes_nobody_from_it(point: int) -> None:
    before, after = table_of(1.0, 9.0), table_of(2.0, 8.0)

    assert before.pick(point).name != "v0" or after.pick(point).name == "v0"


@pytest.mark.parametrize("weights", [(), (0.0,), (0.0, 0.0), (float("nan"),)])
def test_a_table_without_weight_is_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="no variant has a weight above 0"):
        table_of(*weights)


def test_a_table_is_immutable() -> None:
    table = table_of(1.0)
    with pytest.raises(FrozenInstanceError):
        table.variants = ()  # type: ignore[misc]  # as a caller without types would
