"""Families of an exposition as metrics of ours, told of a variant and version.

| family | metric |
|---|---|
| counter | counter, without `_total` |
| gauge, unknown, info, stateset | gauge |
| histogram | histogram |
| summary | gauge with `quantile`, counters `{name}_count` and `{name}_sum` |

Exemplars, timestamps and times of creation are left out, as are gauge histograms and native ones. What is undefined is
not told: a gauge or quantile that is NaN. A counter or histogram that no process can have counted is omitted.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf, isfinite, isnan, nan
from typing import TYPE_CHECKING, NamedTuple

from sidecar.prometheus_names import UNITS
from sidecar.records import Attributes, Buckets, Kind, Metric
from sidecar.scraping.labelling import Labelling
from sidecar.texts import encodable

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric as Family
    from prometheus_client.samples import Sample

MAX_BUCKETS = 512
"""Of one histogram: what a point may weigh."""

MAX_DESCRIPTION = 1024

MAX_NAME = 255
"""Characters of a family's name, by OpenTelemetry's grammar."""

MAX_COUNT = 2.0**53
"""Of a histogram. A double, which counts come as, does not count further; what the protocol has room for is more."""

UCUM = {word: unit for unit, word in UNITS.items()}
"""Units by Prometheus' words for them. `ratio` is not among them: no gauge of ours has the unit 1."""

COUNTING = frozenset({"counter", "histogram", "summary"})
"""The types that have a time of creation."""


class Point(NamedTuple):
    """One series of a family, at one moment.

    Args:
        value: None where it is malformed.
    """

    name: str
    kind: Kind
    labels: Mapping[str, str]
    value: float | Buckets | None


@dataclass(frozen=True, slots=True)
class Scraped:
    """What one look has found.

    Args:
        metrics: Unique by name, none without points.
        omitted: Points left out, by reason: `series`, beyond the limit; `name`, of a name that another kind has, or too
            long a one; `repeated`; `malformed`; `kind`, of a kind that we have none for.
    """

    metrics: Sequence[Metric]
    omitted: Mapping[str, int]

    @property
    def points(self) -> int:
        """How many there are."""
        return sum(len(metric.points) for metric in self.metrics)


@dataclass(slots=True)
class _Growing:
    """A metric that is still being read."""

    kind: Kind
    unit: str
    description: str
    points: list[tuple[Attributes, float | Buckets]] = field(default_factory=list)
    seen: set[frozenset[tuple[str, str | int | bool]]] = field(default_factory=set)


class Gathering:
    """What has been read of one exposition so far.

    Args:
        variant: Whose it is.
        version: The build behind it; empty where nobody knows.
        include: Whether a family of this name is wanted.
        max_series: Points of all families together.
    """

    def __init__(self, variant: str, version: str, *, include: Callable[[str], bool], max_series: int) -> None:
        self._labelling = Labelling(variant, version)
        self._include = include
        self._left = max_series
        self._metrics: dict[str, _Growing] = {}
        self._omitted: Counter[str] = Counter()
        self._creations: set[tuple[str, str]] = set()

    def add(self, family: "Family") -> None:
        """Take what is wanted of a family."""
        if len(family.name) > MAX_NAME:
            self._omit("name", family)
            return
        if self._tells_creation(family) or not self._wants(family):
            return
        if (points := _POINTS.get(family.type)) is None:
            self._omit("kind", family)
            return
        for point in points(family):
            reason = self._add(point, family)
            if reason:
                self._omitted[reason] += 1

    def scraped(self) -> Scraped:
        """All of it."""
        metrics = [
            Metric(name, each.unit, each.description, each.kind, each.points, foreign=True)
            for name, each in self._metrics.items()
            if each.points
        ]
        return Scraped(metrics, dict(self._omitted))

    def _wants(self, family: "Family") -> bool:
        name = family.name
        return self._include(name) or (family.type == "counter" and self._include(f"{name}_total"))

    def _tells_creation(self, family: "Family") -> bool:
        """Whether it is what Python's client makes of times of creation where the format has none.

        That is a gauge behind the family that it is about, with the same help.
        """
        if family.type in COUNTING:
            self._creations.add((f"{family.name}_created", family.documentation))
        return family.type == "gauge" and (family.name, family.documentation) in self._creations

    def _omit(self, reason: str, family: "Family") -> None:
        self._omitted[reason] += len({_series(sample.labels or {}) for sample in family.samples})

    def _add(self, point: Point, family: "Family") -> str:
        """Why the point is left out; empty when it is not."""
        if point.value is None:
            return "malformed"
        if isinstance(point.value, float) and isnan(point.value):
            return ""
        if not self._left:
            return "series"
        metric = self._metrics.get(point.name)
        if metric is None:
            unit = unit_of(family) if point.name == family.name else ""
            description = encodable(family.documentation[:MAX_DESCRIPTION])
            metric = self._metrics[point.name] = _Growing(point.kind, unit, description)
        if metric.kind != point.kind:
            return "name"
        attributes = self._labelling.attributes(point.labels)
        if (key := frozenset(attributes.items())) in metric.seen:
            return "repeated"
        metric.seen.add(key)
        metric.points.append((attributes, point.value))
        self._left -= 1
        return ""


def unit_of(family: "Family") -> str:
    """In UCUM: what the exposition says, or what its name ends with by Prometheus' conventions; empty otherwise."""
    return UCUM.get(family.unit or family.name.rpartition("_")[2], "")


def _counters(family: "Family") -> Iterator[Point]:
    for sample in family.samples:
        if sample.name.endswith("_total"):
            yield Point(family.name, "counter", sample.labels, _counted(sample))


def _gauges(family: "Family") -> Iterator[Point]:
    for sample in family.samples:
        yield Point(sample.name, "gauge", sample.labels, _number(sample))


def _summaries(family: "Family") -> Iterator[Point]:
    for sample in family.samples:
        suffix = sample.name[len(family.name) :]
        if not suffix:
            yield Point(family.name, "gauge", sample.labels, _number(sample))
        elif suffix in {"_count", "_sum"}:
            yield Point(sample.name, "counter", sample.labels, _counted(sample))


@dataclass(slots=True)
class _Histogram:
    """The samples of one histogram: `below` its counts by upper bound, cumulative."""

    labels: Mapping[str, str]
    below: dict[float, float] = field(default_factory=dict)
    total: float = nan
    malformed: bool = False


def _histograms(family: "Family") -> Iterator[Point]:
    found: dict[frozenset[tuple[str, str]], _Histogram] = {}
    for sample in family.samples:
        labels = sample.labels or {}
        key = _series(labels)
        histogram = found.get(key)
        if histogram is None:
            histogram = found[key] = _Histogram({name: value for name, value in labels.items() if name != "le"})
        _put(histogram, sample, sample.name[len(family.name) :])
    for each in found.values():
        yield Point(family.name, "histogram", each.labels, _buckets(each))


def _series(labels: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset(item for item in labels.items() if item[0] != "le")


def _put(histogram: _Histogram, sample: "Sample", suffix: str) -> None:
    value = _number(sample)
    if suffix == "_sum":
        histogram.total = value
    elif suffix == "_count":
        # Some leave out the last bucket, which is as large.
        histogram.below.setdefault(inf, value)
    elif suffix == "_bucket":
        bound = _parsed(sample.labels.get("le", ""))
        # The last one may be there, from the count.
        histogram.malformed |= isnan(bound) or (bound in histogram.below and bound != inf)
        histogram.below[bound] = value
    elif suffix != "_created":
        histogram.malformed = True


def _buckets(histogram: _Histogram) -> Buckets | None:
    """The histogram; None where its counts fall, are not whole or too large, or where it has too many of them."""
    if histogram.malformed or inf not in histogram.below or len(histogram.below) > MAX_BUCKETS:
        return None
    if not histogram.below[inf] <= MAX_COUNT:
        return None
    bounds = sorted(histogram.below)
    below = [histogram.below[bound] for bound in bounds]
    counts = [after - before for before, after in pairwise([0.0, *below])]
    if bounds[0] == -inf or not all(count >= 0 and count.is_integer() for count in counts):
        return None
    return Buckets(bounds[:-1], [int(count) for count in counts], histogram.total)


def _counted(sample: "Sample") -> float | None:
    """What a counter has counted; None where none can have."""
    value = _number(sample)
    return value if value >= 0 and isfinite(value) else None


def _number(sample: "Sample") -> float:
    """The value: always a float, for a series that is now an integer and now is not has two types in OTLP."""
    try:
        return float(sample.value)
    except OverflowError:
        return inf if sample.value > 0 else -inf
    except TypeError:  # a native histogram has none
        return nan


def _parsed(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return nan


_POINTS: dict[str, "Callable[[Family], Iterator[Point]]"] = {
    "counter": _counters,
    "gauge": _gauges,
    "histogram": _histograms,
    "info": _gauges,
    "stateset": _gauges,
    "summary": _summaries,
    "unknown": _gauges,
}
