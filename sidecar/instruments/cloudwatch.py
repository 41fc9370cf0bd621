"""What we tell anyhow once more, under the names that it has in CloudWatch: whose dashboards ask for these keep them.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-interpreting-cloudwatch.html
https://docs.aws.amazon.com/sagemaker/latest/dg/clarify-model-monitor-bias-drift-cw.html
https://docs.aws.amazon.com/sagemaker/latest/dg/clarify-feature-attribute-drift-cw.html
https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from math import isfinite
from typing import NamedTuple

from sidecar.instruments.table import SUBJECTS, Instrument, known, metric, whose
from sidecar.monitors.attribution import Attributing
from sidecar.monitors.bias import Comparing
from sidecar.monitors.compared import PRE_TRAINING
from sidecar.monitors.data import Following
from sidecar.prometheus_names import sample_names
from sidecar.records import Attributes, Buckets, Metric, Value
from sidecar.texts import encodable

CLOUDWATCH: Mapping[str, Instrument] = {
    "feature_data_{column}": Instrument("gauge", "", "The window's numbers in the column, by Statistic"),
    "feature_non_null_{column}": Instrument("gauge", "", "Part of the window's rows with a value in the column"),
    "feature_baseline_drift_{column}": Instrument(
        "gauge", "", "Distance from the reference by its comparison method; the p-value of ChiSquared"
    ),
    "feature_{column}": Instrument("gauge", "", "Mean absolute attribution of the feature"),
    "{score}": Instrument("gauge", "", "Quality of the latest labelled rows"),
    "bias_metric_{metric}": Instrument("gauge", "", "Bias metric of the latest labelled rows, by facet"),
    "Invocations": Instrument("counter", "{request}", "Requests"),
    "Invocation4XXErrors": Instrument("counter", "{request}", "Requests answered with 4xx"),
    "Invocation5XXErrors": Instrument("counter", "{request}", "Requests answered with 5xx"),
    "InvocationModelErrors": Instrument("counter", "{request}", "Requests that a variant did not answer with 2xx"),
    "ModelLatency": Instrument("histogram", "us", "The upstream's share of the requests' duration"),
    "OverheadLatency": Instrument("histogram", "us", "The sidecar's own share of the requests' duration"),
}
"""Names, of which those with braces are many, and what they mean. Where what fills the braces is a column, an attribute
tells its own name: in the metric's name, what is no letter, digit or underscore is an underscore."""

MAX_NAME = 255
"""Characters of a metric's name, by OpenTelemetry's grammar."""

MICROSECONDS = 1e6

_STATISTICS = {"mean": "Average", "max": "Maximum", "min": "Minimum"}
_FOREIGN = re.compile(r"[^A-Za-z0-9_]")
_VARIANT = "feature_flag.result.variant"


class Monitors(NamedTuple):
    """Those that know what no other metric tells; None where there is none."""

    following: Following | None = None
    comparing: Comparing | None = None
    attributing: Attributing | None = None


class Point(NamedTuple):
    """One value under a name of CLOUDWATCH.

    Args:
        filling: What stands for the braces.
    """

    name: str
    filling: str
    attributes: Attributes
    value: Value


def cloudwatch_metrics(
    metrics: Iterable[Metric], monitors: Monitors, *, endpoint: str, max_series: int
) -> list[Metric]:
    """The report's metrics under CloudWatch's names. May be called from any thread.

    Of a column in the window there are Average, Maximum and Minimum; a sum over a window that rolls is of no use. What
    one of the others has the name of is left out and counted.

    Args:
        metrics: All others of the report.
        endpoint: What the dimension of that name says: the service.
        max_series: Points of what no other metric is the bound of, each; the rest is counted.
    """
    others = list(metrics)
    named = {each.name: each.points for each in others}
    bounded = [_distances(monitors.following), _biases(monitors.comparing), _attributions(monitors.attributing)]
    cut = [(points[:max_series], max(0, len(points) - max_series)) for points in map(list, bounded)]
    columns = chain.from_iterable(_columns(named, subject) for subject in SUBJECTS.values())
    monitored = chain(columns, _scores(named.get("sidecar.quality.score", ())), *(points for points, _ in cut))
    served = chain(_invocations(named), _latencies(named))
    grouped = _grouped(chain(_with("Endpoint", endpoint, monitored), _with("EndpointName", endpoint, served)))
    taken = set(chain.from_iterable(map(_names, others)))
    told = [each for each in grouped if taken.isdisjoint(_names(each))]
    doubled = sum(len(each.points) for each in grouped) - sum(len(each.points) for each in told)
    omitted = doubled + sum(left for _, left in cut)
    return [*told, metric("sidecar.cloudwatch.omitted", [({}, omitted)])]


def _names(of: Metric) -> frozenset[str]:
    """Its own and those in Prometheus."""
    return sample_names(of.name, of.unit, of.kind) | {of.name}


def _with(dimension: str, endpoint: str, points: Iterable[Point]) -> Iterator[Point]:
    for point in points:
        yield point._replace(attributes={dimension: endpoint, **point.attributes})


def _grouped(points: Iterable[Point]) -> list[Metric]:
    """One metric of each name; columns that differ in an odd character share one, and their own names differ."""
    found: dict[str, tuple[Instrument, list[tuple[Attributes, Value]]]] = {}
    for point in points:
        name = (point.name.partition("{")[0] + _FOREIGN.sub("_", point.filling))[:MAX_NAME]
        found.setdefault(name, (CLOUDWATCH[point.name], []))[1].append((point.attributes, point.value))
    return [
        Metric(name, instrument.unit, instrument.description, instrument.kind, each)
        for name, (instrument, each) in found.items()
    ]


Named = Mapping[str, Sequence[tuple[Attributes, Value]]]


def _columns(named: Named, subject: str) -> Iterator[Point]:
    """Features or predictions in the current window."""
    column = f"sidecar.{subject}.name"
    for statistic, told in _STATISTICS.items():
        for at, value in named.get(f"sidecar.{subject}.{statistic}", ()):
            more = {"MonitoringSchedule": "data", **at, "Statistic": told}
            yield Point("feature_data_{column}", str(at[column]), more, value)
    rows = {at[_VARIANT]: value for at, value in named.get(f"sidecar.{subject}.rows", ())}
    for at, missing in named.get(f"sidecar.{subject}.missing", ()):
        of = rows.get(at[_VARIANT])
        if isinstance(missing, int | float) and isinstance(of, int | float) and of:
            more = {"MonitoringSchedule": "data", **at}
            yield Point("feature_non_null_{column}", str(at[column]), more, 1 - missing / of)


def _distances(following: Following | None) -> Iterator[Point]:
    for variant, followed in list(following.variants.items()) if following else ():
        subjects = followed.subjects()
        for name, value in followed.distances().items():
            if isfinite(value):
                column = {f"sidecar.{SUBJECTS[subjects[name]]}.name": encodable(name)}
                at = {"MonitoringSchedule": "data", _VARIANT: variant, **column}
                yield Point("feature_baseline_drift_{column}", name, at, value)


def _scores(points: Sequence[tuple[Attributes, Value]]) -> Iterator[Point]:
    for at, value in points:
        more = {
            "MonitoringSchedule": "quality",
            **{name: each for name, each in at.items() if name != "sidecar.metric"},
        }
        yield Point("{score}", str(at["sidecar.metric"]), more, value)


def _biases(comparing: Comparing | None) -> Iterator[Point]:
    for key, compared in reversed(list(comparing.versions)) if comparing else ():
        label = {"Label": "label", "LabelValue": encodable(compared.judging.outcome)}
        for group in compared.groups:
            facet = {"Facet": encodable(group.facet.name), "FacetValue": encodable(group.facet.value)}
            for name, each in group.window.items():
                stage = {"BiasStage": "Pre-training" if name in PRE_TRAINING else "Post-Training"}
                if isfinite(each.value):
                    at = {"MonitoringSchedule": "bias", **whose(*key), **stage, **label, **facet}
                    yield Point("bias_metric_{metric}", name, at, float(each.value))


def _attributions(attributing: Attributing | None) -> Iterator[Point]:
    if attributing is None:
        return
    for key, attributed in attributing.versions:
        at = {"MonitoringSchedule": "attribution", **whose(*key), "Label": encodable(attributing.label)}
        for name, value in attributed.current.items():
            more = {"ValueType": "GlobalShapValues", "sidecar.feature.name": encodable(name)}
            if isfinite(value):
                yield Point("feature_{column}", name, {**at, **more}, float(value))


def _invocations(named: Named) -> Iterator[Point]:
    """Requests by variant; all four from the first request on, as there is no rate from nothing."""
    counts: dict[str, Counter[str]] = {}
    for at, value in named.get("http.server.request.duration", ()):
        if isinstance(value, Buckets):
            variant, status = str(at.get(_VARIANT, "")), int(at.get("http.response.status_code", 0))
            requests = sum(value.counts)
            told = counts.setdefault(variant, Counter())
            told["Invocations"] += requests
            told["Invocation4XXErrors"] += requests * (status // 100 == 4)
            told["Invocation5XXErrors"] += requests * (status // 100 == 5)
            told["InvocationModelErrors"] += requests * (bool(variant) and status // 100 != 2)
    for variant, told in counts.items():
        for name, count in told.items():
            yield Point(name, "", known({"VariantName": variant}), count)


def _latencies(named: Named) -> Iterator[Point]:
    ours = {"ModelLatency": "http.client.request.duration", "OverheadLatency": "sidecar.overhead.duration"}
    for name, source in ours.items():
        merged: dict[str, Buckets] = {}
        for at, value in named.get(source, ()):
            if isinstance(value, Buckets):
                variant = str(at.get(_VARIANT, ""))
                merged[variant] = _merged(merged.get(variant), value)
        for variant, buckets in merged.items():
            yield Point(name, "", known({"VariantName": variant}), _microseconds(buckets))


def _merged(one: Buckets | None, other: Buckets) -> Buckets:
    if one is None:
        return other
    counts = [mine + theirs for mine, theirs in zip(one.counts, other.counts, strict=True)]
    return Buckets(other.bounds, counts, one.total + other.total)


def _microseconds(buckets: Buckets) -> Buckets:
    bounds = tuple(round(bound * MICROSECONDS, 3) for bound in buckets.bounds)
    return Buckets(bounds, buckets.counts, buckets.total * MICROSECONDS)
