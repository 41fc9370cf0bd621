from itertools import pairwise
from math import isnan, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.records import Attributes, Buckets, ExponentialBuckets, Kind, Metric, Report, Value
from sidecar.sinks.growth import ABSENT_S, Past, Told, at_scale, growth, tell
from sidecar.stats.moments import Floats
from sidecar.stats.window import Window


def metric(kind: Kind, *points: tuple[Attributes, Value]) -> Metric:
    return Metric(kind, "s", kind, kind, list(points))


def report(time_s: float, *metrics: Metric) -> Report:
    return Report(100.0, time_s, metrics)


def after(*reports: Report) -> Past:
    """What is known after these."""
    past = Past()
    for each in reports:
        _, past = tell(each, past, delta=True)
    return past


def changes(now: Report, *before: Report) -> list[Metric]:
    return [each.metric for each in tell(now, after(*before), delta=True)[0]]


def counter(time_s: float, *values: float, foreign: bool = True, since_s: float | None = None) -> Report:
    """A report with a counter of as many series; what is NaN is not there."""
    points: list[tuple[Attributes, Value]] = [({"n": n}, value) for n, value in enumerate(values) if not isnan(value)]
    return report(time_s, Metric("counter", "", "", "counter", points, foreign=foreign, since_s=since_s))


def told_of(now: Report, past: Past, *, delta: bool) -> dict[int, tuple[Value, float]]:
    """The points of the one metric by number: value, and since when."""
    [[metric, since_s]], _ = tell(now, past, delta=delta)
    return {int(at["n"]): (value, s) for (at, value), s in zip(metric.points, since_s, strict=True)}


def test_what_only_grows_is_told_as_its_growth_and_the_rest_as_it_is() -> None:
    before = report(
        110.0,
        metric("counter", ({"a": 1}, 3), ({"a": 2}, 5), ({"b": 1, "c": 2}, 7)),
        metric("up_down", ({}, 4)),
        metric("gauge", ({}, 2.5)),
        metric("histogram", ({}, Buckets((1.0,), (3, 4), 9.0))),
    )
    now = report(
        120.0,
        metric("counter", ({"a": 1}, 10), ({"a": 2}, 5), ({"a": 3}, 1), ({"c": 2, "b": 1}, 8)),
        metric("up_down", ({}, 3)),
        metric("gauge", ({}, 2.5)),
        metric("histogram", ({}, Buckets((1.0,), (3, 6), 12.5))),
    )
    assert tell(now, after(before), delta=True)[0] == [
        Told(metric("counter", ({"a": 1}, 7), ({"a": 3}, 1), ({"c": 2, "b": 1}, 1)), [110.0] * 3),
        Told(metric("up_down", ({}, 3)), [100.0]),
        Told(metric("gauge", ({}, 2.5)), [100.0]),
        Told(metric("histogram", ({}, Buckets((1.0,), [0, 2], 3.5))), [110.0]),
    ]
    assert tell(now, after(before), delta=False)[0] == [Told(each, [100.0] * len(each.points)) for each in now.metrics]


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 9)), min_size=2))
def test_differences_add_up_to_the_last_report(steps: list[dict[str, int]]) -> None:
    totals: dict[str, int] = {}
    reports = []
    for step in steps:
        totals = totals | {key: totals.get(key, 0) + more for key, more in step.items()}
        reports.append(report(0.0, metric("counter", *[({"k": key}, value) for key, value in totals.items()])))
    summed = {str(at["k"]): value for at, value in reports[0].metrics[0].points}
    for before, now in pairwise(reports):
        for at, value in changes(now, before)[0].points:
            assert isinstance(value, int)
            summed[str(at["k"])] = summed.get(str(at["k"]), 0) + value  # type: ignore[operator]  # counters are numbers
    assert summed == totals


def increase(values: list[int]) -> int:
    """What Prometheus makes of samples, before it extrapolates."""
    return sum(value - old if value >= old else value for old, value in pairwise(values))


@given(
    st.lists(
        st.tuples(st.one_of(st.none(), st.integers(0, 5)), st.booleans(), st.integers(1, int(ABSENT_S / 20))),
        max_size=20,
    )
)
def test_what_is_told_of_another_process_is_what_prometheus_says_it_grew_by(
    looks: list[tuple[int | None, bool, int]],
) -> None:
    """Over any gaps, new beginnings and reports that the collector does not take; never overlapping."""
    past, time_s, end_s = Past(), 100.0, 0.0
    taken: list[int] = []
    totals: list[tuple[int, float, float]] = []
    summed = 0
    for value, is_taken, pause_s in looks:
        time_s += pause_s
        now = counter(time_s, nan if value is None else value)
        total, more = (told_of(now, past, delta=delta).get(0) for delta in (False, True))
        assert (total is None) == (value is None)
        if not is_taken:
            continue
        _, past = tell(now, past, delta=False)
        if value is not None and total is not None:
            taken.append(value)
            totals.append((value, total[1], time_s))
            assert total[0] == value
        if more is not None:
            assert isinstance(more[0], int)
            assert end_s <= more[1] < time_s
            summed, end_s = summed + more[0], time_s
    assert summed == increase(taken)
    assert _contributed(totals) == increase(taken)


def _contributed(totals: list[tuple[int, float, float]]) -> int:
    """What a reader of totals adds up: where the start is new all of the value, but nothing of one of no duration."""
    found, value_before, since_before = 0, 0, nan
    for value, since_s, time_s in totals:
        if since_s == since_before:
            found += value - value_before
        elif since_s < time_s:
            found += value
        value_before, since_before = value, since_s
    return found


def test_what_shrank_counts_since_it_was_told_last() -> None:
    """As a total since the moment after: what the start did not tell apart would be one count."""
    past = after(counter(110.0, 50, 50), counter(120.0, nan, 60))
    now = counter(130.0, 4, 6)
    assert told_of(now, past, delta=True) == {0: (4, 110.0), 1: (6, 120.0)}
    assert told_of(now, past, delta=False) == {0: (4, 110.001), 1: (6, 120.001)}
    assert told_of(counter(140.0, 5), after(counter(110.0, 50), now), delta=False) == {0: (5, 110.001)}


def test_what_was_nothing_and_is_something_has_not_begun_anew() -> None:
    """The growth is the value itself then, too."""
    past = after(counter(110.0, 0))
    assert told_of(counter(120.0, 5), past, delta=False) == {0: (5, 110.0)}
    assert told_of(counter(120.0, 5), past, delta=True) == {0: (5, 110.0)}


@pytest.mark.parametrize(("pause_s", "more"), [(ABSENT_S, {0: (5, 110.0)}), (ABSENT_S + 1, {})])
def test_what_another_process_counts_is_forgotten_when_it_is_away_for_long(
    pause_s: float, more: dict[int, tuple[int, float]]
) -> None:
    past = after(counter(110.0, 50), counter(110.0 + pause_s, nan))
    assert told_of(counter(110.0 + pause_s, 55), past, delta=True) == more


def test_what_we_count_is_remembered_however_long_it_is_away() -> None:
    past = after(counter(110.0, 50, 7, foreign=False), counter(1e6, nan, 8, foreign=False))
    assert told_of(counter(2e6, 55, 8, foreign=False), past, delta=True) == {0: (5, 110.0)}


def test_no_more_is_remembered_of_what_is_away_than_a_report_ever_had_and_that_is_the_latest() -> None:
    past = Past()
    for turn in range(50):
        points: list[tuple[Attributes, Value]] = [({"n": n}, 1.0) for n in range(10 * turn, 10 * turn + 10)]
        _, past = tell(report(110.0 + turn, Metric("c", "", "", "counter", points, foreign=True)), past, delta=True)
    assert sorted(key.attributes for key in past.points) == sorted(frozenset({("n", n)}) for n in range(480, 500))
    past = after(counter(110.0, 1, 2, 3), counter(120.0), counter(130.0))
    assert len(past.points) == 3


def test_what_has_begun_later_than_the_others_says_so_and_all_of_it_is_new() -> None:
    """Though it has come further than what it was before."""
    past = after(counter(110.0, 3, foreign=False))
    now = counter(120.0, 5, foreign=False, since_s=115.0)
    assert told_of(now, past, delta=True) == {0: (5, 115.0)}
    assert told_of(now, past, delta=False) == {0: (5, 115.0)}
    past = after(counter(110.0, 3, foreign=False), now)
    later = counter(130.0, 6, foreign=False, since_s=115.0)
    assert told_of(later, past, delta=True) == {0: (1, 120.0)}
    assert told_of(later, past, delta=False) == {0: (6, 115.0)}


def test_what_we_began_to_count_after_a_report_is_told_since_then() -> None:
    past = after(counter(110.0, 3, foreign=False))
    now = counter(120.0, 3, 4, foreign=False)
    assert told_of(now, past, delta=True) == {1: (4, 110.0)}
    assert told_of(now, past, delta=False) == {0: (3, 100.0), 1: (4, 100.0)}


@pytest.mark.parametrize("delta", [False, True])
@pytest.mark.parametrize("foreign", [False, True])
def test_a_clock_that_is_set_back_makes_no_start_after_the_end(delta: bool, foreign: bool) -> None:
    past = after(counter(500.0, 3, foreign=foreign, since_s=400.0))
    assert told_of(counter(300.0, 5, foreign=foreign, since_s=400.0), past, delta=delta) == {
        0: (2 if delta else 5, 300.0)
    }


def test_a_clock_that_is_before_our_own_beginning_is_none_of_what_another_process_counts() -> None:
    past = after(counter(50.0, 3))
    assert told_of(counter(60.0, 5), past, delta=True) == {0: (2, 50.0)}


def test_a_name_of_another_kind_is_something_else() -> None:
    buckets = Metric("counter", "", "", "histogram", [({"n": 0}, Buckets((1.0,), (3, 4), 9.0))], foreign=True)
    assert told_of(report(120.0, buckets), after(counter(110.0, 3)), delta=True) == {}


def test_a_sum_that_fell_is_not_told_any_more() -> None:
    def now(time_s: float, total: float, count: int) -> Report:
        return report(time_s, metric("histogram", ({"n": 0}, Buckets((1.0,), (count, 4), total))))

    def told(*reports: Report, delta: bool) -> float:
        value, _ = told_of(reports[-1], after(*reports[:-1]), delta=delta)[0]
        assert isinstance(value, Buckets)
        return value.total

    reports = now(110.0, 9.0, 3), now(120.0, 2.0, 4), now(130.0, 20.0, 5)
    # A total that comes back would be a fall to who has seen the first.
    assert [told(*reports[:end], delta=False) for end in (1, 2, 3)] == pytest.approx([9.0, nan, nan], nan_ok=True)
    assert [told(*reports[:end], delta=True) for end in (1, 2, 3)] == pytest.approx([9.0, nan, 18.0], nan_ok=True)


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
        (exponential(0, 9, (3, [5, 5])), exponential(0, 4, (2, [1]))),
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
