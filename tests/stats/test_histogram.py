import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from opentelemetry.sdk.metrics import Histogram as SdkHistogram
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics._internal.exponential_histogram.mapping.exponent_mapping import ExponentMapping
from opentelemetry.sdk.metrics._internal.exponential_histogram.mapping.logarithm_mapping import LogarithmMapping
from opentelemetry.sdk.metrics.export import ExponentialHistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation

from sidecar.stats.buckets import MAX_SCALE, MAX_SIZE, Exponential
from sidecar.stats.histogram import Histogram, bucket_indices
from sidecar.stats.moments import Floats, Moments

RNG = np.random.default_rng(11)


def exponential_of(*batches: Floats) -> Exponential:
    k = batches[0].shape[1]
    histogram, moments = Histogram(k), Moments(k)
    for batch in batches:
        histogram.update(batch)
        moments.update(batch)
    return histogram.exponential(moments)


def sdk_point(values: Floats) -> ExponentialHistogramDataPoint:
    """What OpenTelemetry's own SDK makes of the values."""
    aggregation = ExponentialBucketHistogramAggregation()
    reader = InMemoryMetricReader(preferred_aggregation={SdkHistogram: aggregation})
    provider = MeterProvider([reader], shutdown_on_exit=False)
    instrument = provider.get_meter("test").create_histogram("values")
    for value in values.tolist():
        instrument.record(value)
    data = reader.get_metrics_data()
    provider.shutdown()
    assert data is not None
    (point,) = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    assert isinstance(point, ExponentialHistogramDataPoint)
    return point


def same(one: Exponential, two: Exponential) -> None:
    np.testing.assert_array_equal(one.scale, two.scale)
    np.testing.assert_array_equal(one.zeros, two.zeros)
    np.testing.assert_array_equal(one.offsets, two.offsets)
    np.testing.assert_array_equal(one.counts, two.counts)


@pytest.mark.parametrize("scale", [1, 3, 7, 13, 20])
def test_indices_at_fine_scales_are_those_of_the_sdk(scale: int) -> None:
    values = np.concatenate((RNG.lognormal(sigma=3, size=500), 10.0 ** RNG.uniform(-307, 308, size=500)))
    expected = [LogarithmMapping(scale).map_to_index(value) for value in values.tolist()]

    assert (bucket_indices(values) >> (MAX_SCALE - scale)).tolist() == expected


@given(st.floats(min_value=float(np.finfo(np.float64).smallest_normal), allow_infinity=False), st.integers(-9, 0))
def test_indices_at_coarse_scales_are_those_of_the_sdk(value: float, scale: int) -> None:
    expected = ExponentMapping(scale).map_to_index(value)

    assert bucket_indices(np.array([value]))[0] >> (MAX_SCALE - scale) == expected


@pytest.mark.parametrize("exponent", [-1022, -1021, -1, 0, 1, 10, 1023])
def test_a_power_of_two_closes_its_bucket(exponent: int) -> None:
    value = math.ldexp(1.0, exponent)

    index = bucket_indices(np.array([value, math.nextafter(value, math.inf)]))

    assert index.tolist() == [(exponent << MAX_SCALE) - 1, exponent << MAX_SCALE]


@pytest.mark.parametrize(
    "values",
    [
        np.array([1.0]),
        np.array([1.0, 2.0, 4.0]),
        np.array([0.0, 0.0, 3.0]),
        RNG.lognormal(size=300),
        RNG.uniform(0.9, 1.1, size=300),
        10.0 ** RNG.uniform(-300, 300, size=300),
        RNG.integers(0, 1000, size=300).astype(float),
    ],
    ids=["one", "powers", "zeros", "lognormal", "narrow", "wide", "integers"],
)
def test_scale_offset_and_buckets_are_those_of_the_sdk(values: Floats) -> None:
    point = sdk_point(values)

    ours = exponential_of(values[:, None])

    used = len(point.positive.bucket_counts)
    assert ours.scale[0] == point.scale
    assert ours.zeros[0] == point.zero_count
    assert ours.offsets[0, 0] == point.positive.offset
    assert ours.counts[0, 0, :used].tolist() == list(point.positive.bucket_counts)
    assert not ours.counts[0, 0, used:].any()


def test_negative_numbers_mirror_positive_ones() -> None:
    values = RNG.lognormal(sigma=2, size=(400, 3))
    positive, negative = exponential_of(values), exponential_of(-values)

    np.testing.assert_array_equal(negative.scale, positive.scale)
    np.testing.assert_array_equal(negative.offsets, positive.offsets[::-1])
    np.testing.assert_array_equal(negative.counts, positive.counts[::-1])


def test_both_signs_share_the_scale_that_the_wider_one_needs() -> None:
    values = np.array([[1.0], [1.0], [-1.0], [-1024.0]])

    exponential = exponential_of(values)

    # Ten octaves and the bucket that ends at 1: 161 at scale 4.
    assert exponential.scale.tolist() == [3]
    assert exponential.offsets.tolist() == [[-1], [-1]]
    assert exponential.counts[0, 0, 0] == 2
    assert np.flatnonzero(exponential.counts[1, 0]).tolist() == [0, 80]


def test_only_finite_numbers_are_in_buckets() -> None:
    exponential = exponential_of(np.array([[np.nan], [np.inf], [-np.inf], [0.0], [3.0], [-3.0]]))

    assert exponential.counts.sum(axis=2).tolist() == [[1], [1]]
    assert exponential.total().tolist() == [3]


def test_the_whole_range_of_floats_fits() -> None:
    values = np.array([[5e-324], [2.3e-308], [1.0], [1.7976931348623157e308], [-5e-324], [-1.7976931348623157e308]])

    exponential = exponential_of(values)

    assert exponential.scale.tolist() == [-4]
    assert exponential.total().tolist() == [6]
    assert np.isfinite(exponential.quantiles((0.0, 0.25, 0.5, 0.75, 1.0))).all()


def test_a_feature_without_numbers_has_empty_buckets_at_the_finest_scale() -> None:
    exponential = exponential_of(np.full((4, 1), np.nan))

    assert exponential.scale.tolist() == [20]
    assert exponential.offsets.tolist() == [[0], [0]]
    assert not exponential.counts.any()


@pytest.mark.parametrize("shape", [(0, 2), (3, 0)])
def test_a_batch_without_cells_changes_nothing(shape: tuple[int, int]) -> None:
    histogram = Histogram(2)

    histogram.update(np.empty(shape))

    assert histogram.packed().slots.size == 0


def test_a_histogram_of_fewer_features_adds_to_the_first_ones() -> None:
    values = RNG.normal(size=(50, 2))
    narrow, wide, moments = Histogram(1), Histogram(2), Moments(2)
    narrow.update(values[:, :1])
    moments.update(values)

    wide.update(np.column_stack((np.full(50, np.nan), values[:, 1])))
    wide.merge(narrow.packed())

    same(wide.exponential(moments), exponential_of(values))


def test_packed_is_compact_and_does_not_change_later() -> None:
    histogram = Histogram(30)
    histogram.update(RNG.lognormal(size=(200, 30)))
    packed = histogram.packed()
    before = packed.counts.copy()

    histogram.update(RNG.lognormal(size=(200, 30)))

    np.testing.assert_array_equal(packed.counts, before)
    assert packed.low.nbytes + packed.high.nbytes + packed.slots.nbytes + packed.counts.nbytes < 15_000


tables = arrays(np.float64, st.tuples(st.integers(0, 12), st.just(3)), elements=st.floats(width=64))


@given(st.lists(tables, min_size=1, max_size=4))
def test_batches_in_any_order_equal_all_rows_at_once(batches: list[Floats]) -> None:
    same(exponential_of(*reversed(batches)), exponential_of(np.concatenate(batches)))


@given(tables, tables)
def test_merging_equals_having_seen_all_rows(one: Floats, two: Floats) -> None:
    left, right, moments = Histogram(3), Histogram(3), Moments(3)
    left.update(one)
    right.update(two)
    moments.update(np.concatenate((one, two)))

    left.merge(right.packed())

    same(left.exponential(moments), exponential_of(np.concatenate((one, two))))


@given(tables)
def test_every_finite_number_is_counted_once(table: Floats) -> None:
    exponential = exponential_of(table)

    assert exponential.total().tolist() == np.isfinite(table).sum(axis=0).tolist()
    assert exponential.counts.shape == (2, 3, MAX_SIZE)
