"""A report in Prometheus' text format 0.0.4, under the names that OpenTelemetry's translation gives it.

The format has no exponential histograms: what is known only so is left out.

https://prometheus.io/docs/instrumenting/exposition_formats/
https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
"""

import math
from collections.abc import Iterable
from itertools import accumulate

from sidecar.prometheus_names import family_name, label_name
from sidecar.records import Attributes, Buckets, ExponentialBuckets, Metric, Report

CONTENT_TYPE = "text/plain; version=0.0.4"

TYPES = {"counter": "counter", "up_down": "gauge", "gauge": "gauge", "histogram": "histogram"}

_IN_HELP = str.maketrans({"\\": "\\\\", "\n": "\\n"})
_IN_LABEL = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})


def render(report: Report) -> bytes:
    """The text; metrics without points are left out."""
    lines = (line for metric in report.metrics if _tellable(metric) for line in _metric(metric))
    # A text that is not Unicode (a lone surrogate, which JSON can spell) is told as its escape.
    return "".join(lines).encode("utf-8", "backslashreplace")


def metric_name(metric: Metric) -> str:
    """Its name in Prometheus."""
    return family_name(metric.name, metric.unit, metric.kind)


def _tellable(metric: Metric) -> bool:
    """Whether there is a point that the format can tell; those of one metric are of one kind."""
    return bool(metric.points) and not isinstance(metric.points[0][1], ExponentialBuckets)


def _metric(metric: Metric) -> Iterable[str]:
    name = metric_name(metric)
    yield f"# HELP {name} {metric.description.translate(_IN_HELP)}\n"
    yield f"# TYPE {name} {TYPES[metric.kind]}\n"
    for attributes, value in metric.points:
        labels = _labels(attributes)
        if isinstance(value, Buckets):
            yield from _histogram(name, labels, value)
        elif not isinstance(value, ExponentialBuckets):
            yield f"{name}{_braced(labels)} {_number(value)}\n"


def _histogram(name: str, labels: str, buckets: Buckets) -> Iterable[str]:
    before = labels + "," if labels else ""
    *counts, count = accumulate(buckets.counts)
    for bound, below in zip(buckets.bounds, counts, strict=True):
        yield f'{name}_bucket{{{before}le="{_number(bound)}"}} {below}\n'
    yield f'{name}_bucket{{{before}le="+Inf"}} {count}\n'
    if _grows(buckets):
        yield f"{name}_sum{_braced(labels)} {_number(buckets.total)}\n"
    yield f"{name}_count{_braced(labels)} {count}\n"


def _grows(buckets: Buckets) -> bool:
    """Whether the sum is known, and a counter, which Prometheus takes it for: that of negative numbers is none.

    As in OpenMetrics a bound below 0 says that there may be such; Prometheus' own clients go by it too.
    """
    return 0 <= buckets.total < math.inf and not any(bound < 0 for bound in buckets.bounds[:1])


def _labels(attributes: Attributes) -> str:
    return ",".join(f'{label_name(name)}="{_text(value)}"' for name, value in attributes.items())


def _braced(labels: str) -> str:
    return f"{{{labels}}}" if labels else ""


def _text(value: str | int | bool) -> str:  # noqa: FBT001 - attributes may be booleans
    return str(value).lower() if isinstance(value, bool) else str(value).translate(_IN_LABEL)


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else repr(value)
