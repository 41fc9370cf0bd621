import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import floats, integers, lists

from sidecar.stats.traffic import (
    BATCH,
    BYTES,
    EXPONENTIAL_SECONDS,
    FINE_SECONDS,
    HISTOGRAMS,
    OVERHEAD_SECONDS,
    SECONDS,
    Histogram,
    Labels,
    Series,
    Traffic,
)


def histogram_of(values: Sequence[float], bounds: Sequence[float] = FINE_SECONDS) -> Histogram:
    histogram = Histogram(bounds)
    histogram.extend(values)
    return histogram


def expected_counts(values: Sequence[float], bounds: Sequence[float]) -> list[int]:
    """By numpy, whose bins are closed below: with the sign turned, they are closed above."""
    edges = np.concatenate([[-np.inf], -np.array(bounds)[::-1], [np.inf]])
    return list(np.histogram(-np.array(values), edges)[0][::-1])


@given(lists(floats(0.0, 1000.0), max_size=50))
def test_counts_are_numpys(values: list[float]) -> None:
    assert histogram_of(values, SECONDS).counts == expected_counts(values, SECONDS)


@pytest.mark.parametrize("bounds", [SECONDS, OVERHEAD_SECONDS, BYTES, FINE_SECONDS])
def test_a_bound_belongs_to_the_bucket_below_it(bounds: Sequence[float]) -> None:
    assert histogram_of(bounds, bounds).counts == [1] * len(bounds) + [0]


@pytest.mark.parametrize("coarse", [SECONDS, OVERHEAD_SECONDS, EXPONENTIAL_SECONDS, FINE_SECONDS, ()])
@given(values=lists(floats(0.0, 1000.0), max_size=50))
def test_sums_to_fewer_bounds_exactly(coarse: Sequence[float], values: list[float]) -> None:
    values = [*values, *SECONDS, *OVERHEAD_SECONDS]

    assert histogram_of(values).over(coarse) == histogram_of(values, coarse).counts


def test_fine_bounds_are_at_most_ten_percent_apart() -> None:
    ratios = np.array(FINE_SECONDS[1:]) / np.array(FINE_SECONDS[:-1])

    assert 1 < ratios.min() <= ratios.max() <= 1.1 + 1e-12
    assert FINE_SECONDS[0] < 1e-5
    assert FINE_SECONDS[-1] > 600


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0])
def test_a_quantile_is_right_to_five_percent(share: float) -> None:
    values = np.random.default_rng(7).lognormal(-5.0, 1.5, 5000)
    expected = np.quantile(values, share, method="inverted_cdf")

    assert histogram_of(values.tolist()).quantile(share) == pytest.approx(expected, rel=0.051)


def test_a_quantile_without_values_is_nan() -> None:
    assert math.isnan(Histogram(SECONDS).quantile(0.5))


def test_a_quantile_beyond_the_last_bound_is_that_bound() -> None:
    assert histogram_of([1e6], SECONDS).quantile(0.5) == SECONDS[-1]


@given(lists(floats(0.0, 1000.0), max_size=20), lists(floats(0.0, 1000.0), max_size=20))
def test_merging_is_counting_all(some: list[float], others: list[float]) -> None:
    merged = histogram_of(some)
    merged.merge(histogram_of(others))

    assert merged.counts == histogram_of([*some, *others]).counts
    assert merged.total == pytest.approx(sum(some) + sum(others))


def test_histograms_with_other_bounds_do_not_merge() -> None:
    with pytest.raises(ValueError, match="zip"):
        Histogram(SECONDS).merge(Histogram(BYTES))


def test_a_request_without_a_reply_had_no_first_byte() -> None:
    series = Series()
    series.add(0.3, 0.0, 0.1, 1000, 10)
    series.settle()
    assert sum(series.duration_s.counts) == 1
    assert sum(series.first_byte_s.counts) == 0


@pytest.mark.parametrize("requests", [1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH])
def test_every_request_is_counted_however_they_fall_into_batches(requests: int) -> None:
    traffic = Traffic(max_series=10)
    values = [0.001 * number for number in range(requests)]
    for value in values:
        traffic.series(labels_of(1)).add(value, value, value, 700, 10)
    ((_, series),) = traffic
    assert series.duration_s.counts == histogram_of(values).counts


def test_a_series_counts_every_side_of_a_request() -> None:
    series = Series()
    series.add(0.3, 0.2, 0.1, 1000, 10)
    series.settle()
    series.merge(series)

    totals = {name: getattr(series, name).total for name in HISTOGRAMS}
    assert totals == pytest.approx(
        {
            "duration_s": 0.6,
            "first_byte_s": 0.4,
            "overhead_s": 0.2,
            "upstream_s": 0.4,
            "request_bytes": 2000,
            "reply_bytes": 20,
        }
    )


def labels_of(number: int, status: int = 200) -> Labels:
    return Labels("v0", "3", "GET", f"/{number}", status, "reset")


def test_the_same_labels_are_the_same_series() -> None:
    traffic = Traffic(max_series=10)

    assert traffic.series(labels_of(1)) is traffic.series(labels_of(1))
    assert traffic.series(labels_of(1)) is not traffic.series(labels_of(2))


@given(lists(integers(0, 30), max_size=200))
def test_folding_is_bounded_and_counts_every_request(numbers: list[int]) -> None:
    traffic = Traffic(max_series=5)
    for number in numbers:
        traffic.series(labels_of(number)).add(0.0, 0.0, 0.0, 0, 0)
    series = dict(traffic)
    own = set(dict.fromkeys(map(labels_of, numbers))) & set(series)

    assert len(series) <= 6
    assert sum(sum(each.duration_s.counts) for each in series.values()) == len(numbers)
    assert traffic.folded == sum(labels_of(number) not in own for number in numbers)


def test_folded_series_keep_variant_version_and_status() -> None:
    traffic = Traffic(max_series=0)
    traffic.series(labels_of(1, 500))

    assert [labels for labels, _ in traffic] == [Labels("v0", "3", "_OTHER", "", 500, "")]


def test_requests_in_flight_are_counted_by_variant() -> None:
    traffic = Traffic(max_series=1)
    for variant in ("a", "b", "a"):
        traffic.enter()
        traffic.serve(variant)
    traffic.leave("a")

    assert (traffic.active, dict(traffic.active_by_variant)) == (2, {"a": 1, "b": 1})


def test_a_request_in_flight_moves_with_who_serves_it() -> None:
    traffic = Traffic(max_series=1)
    traffic.enter()
    assert (traffic.active, dict(traffic.active_by_variant)) == (1, {})
    traffic.serve("a")
    traffic.divert("a", "b")
    assert (traffic.active, dict(traffic.active_by_variant)) == (1, {"a": 0, "b": 1})
    traffic.leave("b")

    assert (traffic.active, dict(traffic.active_by_variant)) == (0, {"a": 0, "b": 0})


def test_series_may_be_added_while_all_are_read() -> None:
    traffic = Traffic(max_series=10)
    traffic.series(labels_of(1))
    for labels, _ in traffic:
        traffic.series(labels._replace(status=500))

    assert len(dict(traffic)) == 2


def test_a_copy_is_what_was_counted_and_goes_its_own_way() -> None:
    traffic, copy = Traffic(max_series=200), Traffic(max_series=200)
    labels = [Labels("champion", "3", "GET", f"/{place}", 200, "") for place in range(150)]
    for each in labels:
        traffic.enter()
        traffic.serve("champion")
        traffic.series(each).add(0.01, 0.005, 0.001, 10, 20)
    traffic.tunnels["websocket"] += 1

    steps = len(list(traffic.copied_to(copy)))
    traffic.series(labels[0]).add(1.0, 1.0, 1.0, 1, 1)

    assert steps == 2
    assert {each: series.duration_s.total for each, series in copy} == dict.fromkeys(labels, 0.01)
    assert [sum(series.reply_bytes.counts) for _, series in copy] == [1] * 150
    assert (copy.active, copy.active_by_variant, copy.tunnels) == (150, {"champion": 150}, {"websocket": 1})
