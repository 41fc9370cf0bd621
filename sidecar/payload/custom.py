"""Metrics of the user's own, read from captured exchanges: numbers in header fields or JSON bodies.

What is told of captures estimates all traffic: each value counts for 1 / `sample_ratio` exchanges like its own, the
probability with which they are kept. So a counter's sum and a histogram's counts are those of all exchanges but for
chance; a `value` is the latest that was captured.

Bodies are read as they may be stored: what is redacted is no number, and no attribute's value.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from math import floor, inf, isfinite, nan
from typing import NamedTuple

from sidecar.config.telemetry import Attribute, CustomMetric
from sidecar.errors import PayloadError
from sidecar.exchange import Exchange
from sidecar.payload.document import parse
from sidecar.payload.media import CSV, JSON_LINES, is_json, media_type
from sidecar.payload.pointers import Pointer, at, parse_pointer
from sidecar.payload.reading import Documents
from sidecar.records import JSON, Body, Buckets, Capture

MAX_VALUES = 10_000
"""Of one metric in one exchange: 3 ms."""

MAX_COUNT = 2.0**53
"""Of one bucket. A double counts no further, and 101 buckets of so many are no more than the protocol can tell."""

OTHER = "_OTHER"
"""OpenTelemetry's word for a value that is not among those that are known."""

# As JSON has numbers, with what people write into header fields besides: a sign, zeros before, no digit at a point.
_NUMBER = re.compile(r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][+-]?[0-9]{1,4})?")

Key = tuple[str | None, ...]
"""Variant, version, and the values of the attributes in their order; None where one is absent."""


class Series:
    """What one label set has had.

    Attributes:
        total: The latest value; of a counter their weighted sum, as of a histogram, where it may fall.
        weights: By bucket, of which only a histogram has several.
    """

    def __init__(self, buckets: int) -> None:
        self.total = 0.0
        self.weights = [0.0] * buckets


class Found(NamedTuple):
    """Where values may stand: fields by lower-case name, and documents; None where there is none."""

    asked: dict[bytes, str]
    answered: dict[bytes, str]
    request: JSON
    reply: JSON


class _Place(NamedTuple):
    """Where a value stands: in a field where there is a name, else behind the pointer."""

    of_request: bool
    field: bytes
    pointer: Pointer

    def values(self, found: Found) -> list[JSON]:
        """All of them."""
        if self.field:
            text = (found.asked if self.of_request else found.answered).get(self.field)
            return [] if text is None else [text]
        document = found.request if self.of_request else found.reply
        return [] if document is None else at(document, self.pointer)


def _place(spec: CustomMetric | Attribute) -> _Place:
    pointer = parse_pointer(spec.pointer) if spec.pointer is not None else ()
    return _Place(spec.of == "request", (spec.header or "").lower().encode(), pointer)


class Tally:
    """One metric, as far as it has been counted.

    Attributes:
        series: By label set, in the order in which they came.
        failures: Values that are no numbers: texts, not finite, or below 0 where a counter only grows. And those that
            would take a sum or a count further than doubles count.
        omitted: Values for which there was no series, or beyond `MAX_VALUES`.
    """

    def __init__(self, spec: CustomMetric, max_series: int) -> None:
        self.spec = spec
        self.series: dict[Key, Series] = {}
        self.failures = 0
        self.omitted = 0
        self._max_series = max_series
        self._place = _place(spec)
        self._attributes = [(_place(each), frozenset(each.values)) for each in spec.attributes]
        self._bounds = spec.bounds if spec.kind == "histogram" else ()

    def places(self) -> list[_Place]:
        """Where its values and those of its attributes stand."""
        return [self._place, *(place for place, _ in self._attributes)]

    def take(self, found: Found, variant: str, version: str, weight: float) -> None:
        """Count what one exchange holds."""
        values = self._place.values(found)
        if not values:
            return
        if len(values) > MAX_VALUES:
            self.omitted += len(values) - MAX_VALUES
            values = values[:MAX_VALUES]
        numbers = self._numbers(values)
        self.failures += len(values) - len(numbers)
        if not numbers:
            return
        key = (variant, version, *[_value(place, known, found) for place, known in self._attributes])
        series = self.series.get(key)
        if series is None:
            if len(self.series) >= self._max_series:
                self.omitted += len(numbers)
                return
            series = self.series[key] = Series(len(self._bounds) + 1)
        self._put(series, numbers, weight)

    def _numbers(self, values: list[JSON]) -> list[float]:
        """Those of the values that are numbers which such a metric may have."""
        read = _parsed if self._place.field else _number
        least = 0.0 if self.spec.kind == "counter" else -inf
        return [number for number in map(read, values) if isfinite(number) and number >= least]

    def _put(self, series: Series, numbers: list[float], weight: float) -> None:
        if self.spec.kind == "value":
            series.total = numbers[-1]
            return
        for number in numbers:
            total = series.total + number * weight
            bucket = bisect_left(self._bounds, number)
            count = series.weights[bucket] + weight
            # A sum that is no number any more would stay so, and a count that is too large.
            if not isfinite(total) or count > MAX_COUNT:
                self.failures += 1
                continue
            series.total = total
            series.weights[bucket] = count


def _number(value: JSON) -> float:
    """A number of a document; NaN for what is none: a text, though of digits, and a boolean."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return nan
    try:
        return float(value)
    except OverflowError:
        return nan


def _parsed(text: JSON) -> float:
    """The number that a field holds; NaN where it holds something else."""
    return float(text) if isinstance(text, str) and _NUMBER.fullmatch(text) else nan


def _value(place: _Place, known: frozenset[str], found: Found) -> str | None:
    """The value of an attribute: one of those that are known, or OTHER; None where there is none, or a null."""
    values = place.values(found)
    if not values or (value := values[0]) is None:
        return None
    if isinstance(value, bool):
        value = "true" if value else "false"
    text = str(value) if isinstance(value, (str, int, float)) else OTHER
    return text if text in known else OTHER


class Custom:
    """The user's metrics, counted.

    Args:
        metrics: What they are.
        redact_headers: Fields that are never read, whatever the metrics say, in any case.
        max_series: Label sets of each metric.
        earlier: What counted until now: a metric that has not changed goes on from there.

    Attributes:
        tallies: One for each metric, in their order.
    """

    def __init__(
        self,
        metrics: Sequence[CustomMetric],
        *,
        max_series: int,
        redact_headers: Sequence[str] = (),
        earlier: "Custom | None" = None,
    ) -> None:
        before = {} if earlier is None else earlier.by_spec()
        self.tallies = [before.get(spec) or Tally(spec, max_series) for spec in metrics]
        places = [place for tally in self.tallies for place in tally.places()]
        never = {name.lower().encode() for name in redact_headers}
        fields = {(place.of_request, place.field) for place in places if place.field and place.field not in never}
        self._asked = _searching({name for of_request, name in fields if of_request})
        self._answered = _searching({name for of_request, name in fields if not of_request})
        self._opens_request = any(not place.field and place.of_request for place in places)
        self._opens_reply = any(not place.field and not place.of_request for place in places)

    def by_spec(self) -> dict[CustomMetric, Tally]:
        """The tallies by what they are of."""
        return {each.spec: each for each in self.tallies}

    def count(self, exchange: Exchange, capture: Capture, documents: Documents, *, bodies: bool) -> Documents:
        """Count what one exchange holds.

        Args:
            capture: The exchange as it may be stored.
            documents: Its bodies, where they have been parsed already.
            bodies: Whether those may be parsed that have not been.

        Returns:
            The documents, with those that had to be parsed: decoding need not do so again.
        """
        if bodies:
            request, reply = documents
            if self._opens_request and request is None:
                request = _opened(capture.request)
            if self._opens_reply and reply is None:
                reply = _opened(capture.reply)
            documents = Documents(request, reply)
        found = Found(
            _fields(self._asked, exchange.request.lines), _fields(self._answered, exchange.reply.lines), *documents
        )
        weight = 1 / exchange.sample_ratio if exchange.sample_ratio > 0 else 1.0
        for tally in self.tallies:
            tally.take(found, exchange.variant, exchange.version, weight)
        return documents


def buckets(series: Series, bounds: Sequence[float]) -> Buckets:
    """A histogram's series as it is told. OTLP's counts are whole numbers: each is the nearest one to its weight.

    So no count is off by more than a half, ever, and none falls, which differences between two reports rely on.
    """
    return Buckets(bounds, [floor(weight + 0.5) for weight in list(series.weights)], series.total)


def _searching(names: set[bytes]) -> re.Pattern[bytes] | None:
    """What finds these fields among the lines of a head; None where there are none to be found."""
    if not names:
        return None
    return re.compile(rb"\n(%s):[ \t]*([^\r\n]*)" % b"|".join(map(re.escape, sorted(names))), re.IGNORECASE)


def _fields(search: re.Pattern[bytes] | None, lines: bytes) -> dict[bytes, str]:
    """The fields that are wanted, by lower-case name; repeated ones joined by commas (RFC 9110, 5.3)."""
    fields: dict[bytes, str] = {}
    if search is None:
        return fields
    for field, text in search.findall(b"\n" + lines):
        name, value = field.lower(), text.rstrip(b" \t").decode("latin-1")
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return fields


def _opened(body: Body) -> JSON:
    """The body's document; None where it is not all there, or no JSON text with something in it to point at."""
    media = media_type(body.content_type)
    if body.withheld or media == CSV or media in JSON_LINES:
        return None
    if not (is_json(media) or body.data.lstrip()[:1] in (b"{", b"[")):
        return None
    try:
        return parse(body.data)
    except PayloadError:
        # Decoding comes upon it too, and counts it.
        return None
