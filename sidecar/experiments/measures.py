"""What variants are compared by: one class a kind, whose fields are its options.

A measure picks its values out of what is known of requests, one a row. A row without a finite one has NaN, and is left
out of this comparison alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Annotated, NamedTuple, Protocol

import numpy as np
from msgspec import Meta

from sidecar.errors import ConfigError, Fault
from sidecar.experiments.totals import LARGEST
from sidecar.experiments.verdicts import Better, Judged, Source
from sidecar.payload.pointers import at, parse_pointer
from sidecar.records import JSON
from sidecar.stats.moments import Flags, Floats

Margin = Annotated[float, Meta(ge=0, lt=1)]
MarginRatio = Annotated[float, Meta(ge=0, le=10)]
Price = Annotated[float, Meta(ge=0, le=1e9)]
Prices = dict[str, Price]


class Served(NamedTuple):
    """Requests that were answered, or were not; n rows, as the next ones have.

    Args:
        failed: With a status of 5xx, without a reply, or with the answer of another variant, which fell in.
        durations_s: NaN where nobody knows.
    """

    failed: Flags
    durations_s: Floats


class Lost(NamedTuple):
    """Rows whose labels have come.

    Args:
        losses: 1 for a wrong class, 0 for the right one; of an amount the absolute error.
    """

    losses: Floats


class Outcomes(NamedTuple):
    """What came of requests, by the name of the outcome."""

    metric: str
    values: Floats


class Replied(NamedTuple):
    """Replies as parsed JSON, None where one is none, and how long they took."""

    documents: Sequence[JSON]
    durations_s: Floats


class Predicted(NamedTuple):
    """The first number of each prediction."""

    values: Floats


Batch = Served | Lost | Outcomes | Replied | Predicted


class Measure(Protocol):
    """By what variants are compared."""

    @property
    def judged(self) -> Judged:
        """How its values are judged and told."""
        ...

    def values(self, variant: str, batch: Batch) -> Floats | None:
        """The value of each row, NaN where it has none; None where the batch is of something else."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """The share of requests that failed: 5xx, no reply, or another variant had to answer. Lower is better.

    Args:
        margin: Difference of the two shares that does not matter.
    """

    margin: Margin = 0.002

    @property
    def judged(self) -> Judged:
        """As a difference of shares."""
        return Judged("errors", self.margin, "errs in", "of requests", scale="share", most=1.0)

    def values(self, variant: str, batch: Batch) -> Floats | None:  # noqa: ARG002  the protocol's
        """1 of a request that failed."""
        return batch.failed.astype(np.float64) if isinstance(batch, Served) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """How long answers take. Lower is better.

    Requests that failed do not count: a quick error is no quick answer, and a slow one fails already. So it stands
    beside `errors`, not for it.

    Args:
        quantile: Of the durations, 0.99 for the slowest hundredth; null compares the mean.
        margin_ratio: Part of the champion's that does not matter.
    """

    quantile: Annotated[float, Meta(gt=0, lt=1)] | None = None
    margin_ratio: MarginRatio = 0.05

    @property
    def judged(self) -> Judged:
        """As a ratio of durations."""
        which = "mean" if self.quantile is None else f"p{100 * self.quantile:.10g}"
        of = "on average" if self.quantile is None else f"at {which}"
        name = f"latency.{which}"
        return Judged(name, self.margin_ratio, "takes", of, relative=True, scale="seconds", quantile=self.quantile)

    def values(self, variant: str, batch: Batch) -> Floats | None:  # noqa: ARG002  the protocol's
        """The duration of a request that did not fail."""
        if not isinstance(batch, Served):
            return None
        return np.where(batch.failed, np.nan, _durations(batch.durations_s))


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How wrong answers are, by the labels that come: the mean loss, from 0 to 1. Lower is better.

    Args:
        margin: Difference of the two means that does not matter.
        scale: Error of a regression that counts as 1, as a wrong class does; greater ones do too.
    """

    margin: Margin = 0.005
    scale: Annotated[float, Meta(gt=0, le=1e100)] = 1.0

    @property
    def judged(self) -> Judged:
        """As a difference of means."""
        return Judged("quality", self.margin, "loses", "a labelled row", most=1.0, source="labelled rows")

    def values(self, variant: str, batch: Batch) -> Floats | None:  # noqa: ARG002  the protocol's
        """The loss of a row."""
        if not isinstance(batch, Lost):
            return None
        return np.where(batch.losses >= 0, np.minimum(batch.losses, self.scale) / self.scale, np.nan)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The mean of what came of requests, as it is reported beside labels: clicks, amounts.

    Args:
        metric: Its name in what is reported.
        better: Which side is better, higher or lower.
        margin_ratio: Part of the champion's mean that does not matter.
    """

    metric: Annotated[str, Meta(min_length=1, max_length=256)]
    better: Better
    margin_ratio: MarginRatio = 0.05

    @property
    def judged(self) -> Judged:
        """As a ratio of means."""
        of = f"of {self.metric} on average"
        name = f"outcome.{self.metric}"
        return Judged(name, self.margin_ratio, "has", of, relative=True, better=self.better, source="outcomes")

    def values(self, variant: str, batch: Batch) -> Floats | None:  # noqa: ARG002  the protocol's
        """The value of a row."""
        return amounts(batch.values) if isinstance(batch, Outcomes) and batch.metric == self.metric else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """The mean of a number that stands in the replies themselves.

    Args:
        pointer: JSON pointer to it; of all that a * finds, the mean counts; true counts as 1.
        better: Which side is better, higher or lower.
        margin_ratio: Part of the champion's mean that does not matter.
    """

    pointer: Annotated[str, Meta(max_length=1024)]
    better: Better
    margin_ratio: MarginRatio = 0.05

    def __post_init__(self) -> None:
        _refuse(*_faults_of_pointer(self.pointer))

    @property
    def judged(self) -> Judged:
        """As a ratio of means."""
        of = f"at {self.pointer or 'the root'} on average"
        name = f"metric.{self.pointer}"
        return Judged(name, self.margin_ratio, "has", of, relative=True, better=self.better, source="replies")

    def values(self, variant: str, batch: Batch) -> Floats | None:  # noqa: ARG002  the protocol's
        """The number in a reply."""
        return _found(self.pointer, batch.documents) if isinstance(batch, Replied) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a request costs on average: the sum of the prices that are given. Lower is better.

    Args:
        per_request: Price of a request, by variant.
        per_second: Price of a second of its duration, by variant.
        pointer: JSON pointer to the units that a reply says it took: tokens.
        per_unit: Price of such a unit, by variant.
        margin_ratio: Part of the champion's mean that does not matter.
    """

    per_request: Prices | None = None
    per_second: Prices | None = None
    pointer: Annotated[str, Meta(max_length=1024)] | None = None
    per_unit: Prices | None = None
    margin_ratio: MarginRatio = 0.05

    def __post_init__(self) -> None:
        faults = [] if self.pointer is None else [*_faults_of_pointer(self.pointer)]
        if not (self.per_request or self.per_second or self.per_unit):
            faults.append(Fault("per_request", "no price, expected at least one here or in per_second or per_unit"))
        if (self.pointer is None) is bool(self.per_unit):
            faults.append(Fault("per_unit", "expected together with pointer, neither alone"))
        _refuse(*faults)

    def unpriced(self, variants: Sequence[str]) -> Iterator[Fault]:
        """Where a variant has no price while another has one: it would seem to cost nothing."""
        told = {"per_request": self.per_request, "per_second": self.per_second, "per_unit": self.per_unit}
        for option, prices in told.items():
            if prices and (missing := [each for each in variants if each not in prices]):
                yield Fault(option, f"no price for {', '.join(missing)}; 0 says that there is none")

    @property
    def judged(self) -> Judged:
        """As a ratio of means."""
        source: Source = "requests" if self.pointer is None else "replies"
        return Judged("cost", self.margin_ratio, "costs", "a request", relative=True, source=source)

    def values(self, variant: str, batch: Batch) -> Floats | None:
        """What each request costs; where replies say so, of requests whose replies are read."""
        if not isinstance(batch, Served if self.pointer is None else Replied):
            return None
        costs = np.full(len(batch.durations_s), (self.per_request or {}).get(variant, 0.0), dtype=np.float64)
        if self.per_second:
            costs += self.per_second.get(variant, 0.0) * _durations(batch.durations_s)
        if self.per_unit and self.pointer is not None and isinstance(batch, Replied):
            costs += self.per_unit.get(variant, 0.0) * _found(self.pointer, batch.documents)
        return amounts(costs)


def _refuse(*faults: Fault) -> None:
    if faults:
        raise ConfigError(*faults)


def _faults_of_pointer(pointer: str) -> Iterator[Fault]:
    try:
        parse_pointer(pointer)
    except ValueError as error:
        yield Fault("pointer", str(error))


def amounts(values: Floats) -> Floats:
    """Those that can be meant, NaN for others."""
    return np.where(np.abs(values) <= LARGEST, values, np.nan)


def _durations(values: Floats) -> Floats:
    return np.where(values >= 0, amounts(values), np.nan)


def _found(pointer: str, documents: Sequence[JSON]) -> Floats:
    """The number that each document has there."""
    path = parse_pointer(pointer)
    return amounts(np.array([_mean(at(document, path)) for document in documents], dtype=np.float64))


def _mean(found: Sequence[JSON]) -> float:
    """Of numbers; NaN of none, and where one is no number."""
    numbers = [_number(each) for each in found]
    return sum(numbers) / len(numbers) if numbers else np.nan


def _number(value: JSON) -> float:
    # JSON's integers may be of any length, which no float is.
    small = isinstance(value, int | float) and -LARGEST <= value <= LARGEST
    return float(value) if small and isfinite(value) else np.nan
