from math import inf, nan

import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.sdk.resources import Resource

from sidecar.records import Buckets, ExponentialBuckets, Metric, Report, Value
from sidecar.sinks.growth import Past, tell
from sidecar.sinks.otlp_data import metrics_data

DELTA = metrics_pb2.AGGREGATION_TEMPORALITY_DELTA
CUMULATIVE = metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE

VALUES = ExponentialBuckets(3, 2, (-7, [1, 0, 4]), (5, [3]), 12.5, -2.0, 9.0)


def report(value: Value, time_s: float = 110.0) -> Report:
    return Report(100.0, time_s, [Metric("value", "", "All numbers", "histogram", [({"variant": "a"}, value)])])


def encoded(now: Report, *, delta: bool = False, before: Report | None = None) -> metrics_pb2.Metric:
    """As it arrives."""
    past = Past() if before is None else tell(before, Past(), delta=delta)[1]
    told, _ = tell(now, past, delta=delta)
    message = encode_metrics(metrics_data(told, now.time_s, Resource.get_empty(), "1.2.3", delta=delta))
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


@pytest.mark.parametrize(
    ("value", "total"),
    [
        (Buckets((0.0, 1.0), (0, 3, 4), 9.0), 9.0),
        (Buckets((), (3,), 9.0), 9.0),
        (Buckets((-1.0, 1.0), (0, 3, 4), 9.0), None),
        (Buckets((0.0, 1.0), (7, 3, 4), -9.0), None),
        (Buckets((0.0, 1.0), (0, 3, 4), nan), None),
        (Buckets((0.0, 1.0), (0, 3, 4), inf), None),
    ],
)
def test_a_sum_of_what_may_be_negative_is_not_told(value: Buckets, total: float | None) -> None:
    """Nor one that is not known: Prometheus' histograms may have none."""
    [found] = encoded(report(value)).histogram.data_points
    assert (found.sum if found.HasField("sum") else None) == total
    assert found.count == sum(value.counts)


@pytest.mark.parametrize("delta", [False, True])
def test_every_point_has_a_start_of_its_own(delta: bool) -> None:
    def now(time_s: float, *values: Value) -> Report:
        points = [({"n": place}, value) for place, value in enumerate(values)]
        return Report(100.0, time_s, [Metric("value", "", "", "histogram", points, foreign=True)])

    first, second = Buckets((1.0,), (3, 4), 9.0), Buckets((1.0,), (5, 4), 9.5)
    metric = encoded(now(130.0, second, first), delta=delta, before=now(120.0, first))
    found = {
        each.attributes[0].value.int_value: (each.start_time_unix_nano // 10**9, list(each.bucket_counts))
        for each in metric.histogram.data_points
    }
    # What was there before has grown since; what is new is told with no duration, or as a difference not at all.
    assert found == ({0: (120, [2, 0])} if delta else {0: (120, [5, 4]), 1: (130, [3, 4])})
