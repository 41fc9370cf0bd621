from itertools import pairwise
from math import nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.records import Attributes, Buckets, ExponentialBuckets, Kind, Metric, Report, Value
from sidecar.sinks.growth import at_scale, changes, growth
from sidecar.stats.moments import Floats
from sidecar.stats.window import Window


def metric(kind: Kind, *points: tuple[Attributes, Value]) -> Metric:
    return Metric(kind, "s", kind, kind, list(points))


def report(time_s: float, *metrics: Metric) -> Report:
    return Report(100.0, time_s, metrics)


def test_what_only_grows_is_told_as_its_growth_and_the_rest_as_it_is() -> None:
    before = report(
        110.0,
        metric("counter", ({"a": 1}, 3), ({"a": 2}, 5), ({"b": 1, "c": 2}, 7)),
        metric("up_down", ({}, 4)),
        metric("gauge", ({}, 2.5)),
        metric("histogram", ({}, Buckets((1.0,), (3, 4), 9.0))),
    )
    after = report(
        120.0,
        metric("counter", ({"a": 1}, 10), ({"a": 2}, 5), ({"a": 3}, 1), ({"c": 2, "b": 1}, 8)),
        metric("up_down", ({}, 3)),
        metric("gauge", ({}, 2.5)),
        metric("histogram", ({}, Buckets((1.0,), (3, 6), 12.5))),
    )
    assert changes(after, before) == [
        metric("counter", ({"a": 1}, 7), ({"a": 3}, 1), ({"c": 2, "b": 1}, 1)),
        metric("up_down", ({}, 3)),
        metric("gauge", ({}, 2.5)),
        metric("histogram", ({}, Buckets((1.0,), [0, 2], 3.5))),
    ]


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 9)), min_size=2))
def test_differences_add_up_to_the_last_report(steps: list[dict[str, int]]) -> None:
    totals: dict[str, int] = {}
    reports = []
    for step in steps:
        totals = totals | {key: totals.get(key, 0) + more for key, more in step.items()}
        reports.append(report(0.0, metric("counter", *[({"k": key}, value) for key, value in totals.items()])))
    summed = {str(at["k"]): value for at, value in reports[0].metrics[0].points}
    for before, after in pairwise(reports):
        for at, value in changes(after, before)[0].points:
            assert isinstance(value, int)
            summed[str(at["k"])] = summed.get(str(at["k"]), 0) + value  # type: ignore[operator]  # counters are numbers
    assert summed == totals


def exponential(
    scale: int, zeros: int = 0, positive: tuple[int, list[int]] = (0, []), negative: tuple[int, list[int]] = (0, [])
) -> ExponentialBuckets:
    return ExponentialBuckets(scale, zeros, positive, negative, 0.0, nan, nan)


def runs(value: Value | None) -> tuple[int, int, dict[int, int], dict[int, int]]:
    """Scale, zeros and the counts by index."""
    assert isinstance(value, ExponentialBuckets)
    positive, negative = (
        {index: count for index, count in enumerate(counts, first) if count}
        for first, counts in (value.positive, value.negative)
    )
    return value.scale, value.zeros, positive, negative


@pytest.mark.parametrize(
    ("value", "old"),
    [
        (Buckets((1.0,), (3, 3), 9.0), Buckets((1.0,), (3, 4), 9.0)),
        (Buckets((1.0,), (3, 9), 9.0), Buckets((2.0,), (3, 4), 9.0)),
        (Buckets((1.0, 2.0), (3, 9, 1), 9.0), Buckets((2.0,), (3, 4), 9.0)),
        (exponential(0, 3), exponential(0, 4)),
        (exponential(0, 9, (0, [1, 2])), exponential(0, 4, (0, [1, 3]))),
        (exponential(0, 9, (0, [1])), exponential(0, 4, (3, [1]))),
        (exponential(0, 9, negative=(0, [1])), exponential(0, 4, negative=(0, [2]))),
        (3, 7),
        (exponential(0, 1), Buckets((1.0,), (3, 4), 9.0)),
        (3, Buckets((1.0,), (3, 4), 9.0)),
    ],
)
def test_what_has_shrunk_or_is_of_another_kind_has_begun_anew(value: Value, old: Value) -> None:
    assert growth(value, old) is value


@pytest.mark.parametrize(
    "value", [3, 2.5, Buckets((1.0,), (3, 4), 9.0), exponential(3, 1, (-5, [1, 0, 2]), (4, [1])), exponential(0)]
)
def test_what_has_not_grown_is_not_told(value: Value) -> None:
    assert growth(value, value) is None


def test_exponential_histograms_differ_at_the_coarser_scale() -> None:
    old = exponential(3, 1, (-3, [1, 2, 3, 4]), (7, [2]))
    value = exponential(2, 4, (-2, [1, 6, 4, 0, 9]), (3, [3]))
    assert runs(growth(value, old)) == (2, 3, {-1: 1, 2: 9}, {3: 1})
    back = growth(exponential(3, 1, (-4, [0, 9, 9, 9])), exponential(2, 0, (-2, [0, 5])))
    assert runs(back) == (2, 1, {-2: 9, -1: 13}, {})


def test_durations_differ_in_either_form() -> None:
    value = Buckets((1.0,), (3, 6), 12.5, exponential(3, 0, (-1, [3, 6])))
    found = growth(value, Buckets((1.0,), (3, 4), 9.0, exponential(3, 0, (-1, [3, 4]))))
    assert isinstance(found, Buckets)
    assert (found.counts, found.total, runs(found.finer)) == ([0, 2], 3.5, (3, 0, {0: 2}, {}))


@given(st.integers(-1000, 1000), st.lists(st.integers(0, 9), max_size=40), st.integers(0, 8))
def test_a_coarser_bucket_has_what_its_finer_ones_had(first: int, counts: list[int], steps: int) -> None:
    start, merged = at_scale((first, counts), steps)
    expected: dict[int, int] = {}
    for index, count in enumerate(counts, first):
        expected[index >> steps] = expected.get(index >> steps, 0) + count
    assert dict(enumerate(merged, start)) == expected


def told(values: Floats) -> ExponentialBuckets:
    """As a feature's numbers since the start are told."""
    from sidecar.instruments.windows import value_metrics

    window = Window(rows=10, panes=1, seconds=1e9, max_features=1, max_categories=1)
    window.update(("x",), values[:, None], {}, 0.0)
    [metric] = [each for each in value_metrics({("a", "features"): window.snapshot()}, max_series=9) if each.points]
    [(_, value)] = metric.points
    assert isinstance(value, ExponentialBuckets)
    return value


NUMBERS = st.lists(st.floats(-1e12, 1e12).filter(lambda x: x == 0 or abs(x) > 1e-12), min_size=1, max_size=30)


@given(NUMBERS, NUMBERS)
def test_what_was_added_is_what_came_since(before: list[float], since: list[float]) -> None:
    """Scales are as fine as the range allows: a difference is the later rows' histogram at the coarser one."""
    value, old = told(np.array(before + since)), told(np.array(before))
    scale, zeros, positive, negative = runs(growth(value, old))
    alone = told(np.array(since))
    steps = alone.scale - scale
    assert steps >= 0
    assert (zeros, sum(positive.values()) + sum(negative.values())) == (since.count(0), len(since) - since.count(0))
    expected = exponential(scale, zeros, at_scale(alone.positive, steps), at_scale(alone.negative, steps))
    assert runs(expected) == (scale, zeros, positive, negative)
