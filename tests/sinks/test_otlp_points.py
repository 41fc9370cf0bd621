from math import inf, nan

import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.sdk.resources import Resource

from sidecar.records import Buckets, ExponentialBuckets, Metric, Report, Value
from sidecar.sinks.otlp_data import metrics_data

DELTA = metrics_pb2.AGGREGATION_TEMPORALITY_DELTA
CUMULATIVE = metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE

VALUES = ExponentialBuckets(3, 2, (-7, [1, 0, 4]), (5, [3]), 12.5, -2.0, 9.0)


def report(value: Value, time_s: float = 110.0) -> Report:
    return Report(100.0, time_s, [Metric("value", "", "All numbers", "histogram", [({"variant": "a"}, value)])])


def encoded(now: Report, *, delta: bool = False, before: Report | None = None) -> metrics_pb2.Metric:
    """As it arrives."""
    message = encode_metrics(metrics_data(now, Resource.get_empty(), "1.2.3", delta=delta, before=before))
    metric: metrics_pb2.Metric
    [metric] = message.resource_metrics[0].scope_metrics[0].metrics
    return metric


def point(metric: metrics_pb2.Metric) -> metrics_pb2.ExponentialHistogramDataPoint:
    found: metrics_pb2.ExponentialHistogramDataPoint
    [found] = metric.exponential_histogram.data_points
    return found


def test_an_exponential_histogram_arrives_as_it_is() -> None:
    metric = encoded(report(VALUES))
    found = point(metric)
    assert metric.exponential_histogram.aggregation_temporality == CUMULATIVE
    assert (found.scale, found.zero_count, found.count) == (3, 2, 10)
    assert (found.positive.offset, list(found.positive.bucket_counts)) == (-7, [1, 0, 4])
    assert (found.negative.offset, list(found.negative.bucket_counts)) == (5, [3])
    assert (found.min, found.max) == (-2.0, 9.0)
    assert (found.start_time_unix_nano, found.time_unix_nano) == (100 * 10**9, 110 * 10**9)


@pytest.mark.parametrize(
    ("value", "total"),
    [
        (VALUES, None),  # which may shrink
        (ExponentialBuckets(3, 2, (-7, [1]), (0, []), 12.5, 0.0, 9.0), 12.5),
        (ExponentialBuckets(3, 2, (-7, [1]), (0, [0]), inf, 0.0, 9.0), None),
        (ExponentialBuckets(3, 0, (0, []), (0, []), 0.0, nan, nan), 0.0),
    ],
)
def test_a_sum_is_told_where_it_is_a_number_that_only_grows(value: ExponentialBuckets, total: float | None) -> None:
    found = point(encoded(report(value)))
    assert (found.sum if found.HasField("sum") else None) == total
    assert found.HasField("min") == (value.minimum == value.minimum)


def test_differences_have_no_extremes_and_begin_where_the_last_report_ended() -> None:
    later = ExponentialBuckets(2, 2, (-4, [3, 4]), (2, [3]), 20.0, -2.0, 9.0)
    metric = encoded(report(later, 120.0), delta=True, before=report(VALUES))
    found = point(metric)
    assert metric.exponential_histogram.aggregation_temporality == DELTA
    assert (found.scale, found.zero_count, found.count) == (2, 0, 2)
    assert (found.positive.offset, list(found.positive.bucket_counts)) == (-4, [2])
    assert not found.HasField("min")
    assert not found.HasField("max")
    assert found.start_time_unix_nano == 110 * 10**9


def test_durations_are_told_in_exponential_buckets_where_they_are_known_so() -> None:
    explicit = Buckets((1.0,), (3, 4), 9.0)
    both = Buckets((1.0,), (3, 4), 9.0, ExponentialBuckets(3, 0, (-1, [3, 4]), (0, []), 9.0, nan, nan))
    assert list(encoded(report(explicit)).histogram.data_points[0].bucket_counts) == [3, 4]
    found = point(encoded(report(both)))
    assert (found.scale, list(found.positive.bucket_counts), found.sum) == (3, [3, 4], 9.0)
