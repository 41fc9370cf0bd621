"""What travels behind the request path, in the order in which it appears.

Capture, Rows, Sample, Comparison, Finding, Alert, Notice; Prediction, Label, Joined and Labelled, which become Findings
too; beside them Event, Metric and Report, which are exported.

An Exchange becomes a Capture when its bodies are inflated and redacted: nothing behind that point sees what must not
be stored or shown. Captures become Samples when their bodies are decoded into features and predictions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import md5
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from sidecar.trace_context import Trace

if TYPE_CHECKING:
    # Sinks need these records before numpy need be there, and serving waits for the sinks' options to be checked.
    from sidecar.stats.moments import Flags, Floats, Units


class Body(NamedTuple):
    """A body as it may be stored: content codings undone, redacted.

    Args:
        content_type: The field's value as observed, parameters included; empty where there was none.
        data: The bytes; empty when withheld.
        withheld: Why `data` is not (all of) the body: `truncated`, `inflate`, `too_large`, `redact`; empty when it is.
    """

    content_type: str
    data: bytes
    withheld: str = ""


class Capture(NamedTuple):
    """An exchange that may be stored and shown.

    Args:
        path: The target without its query, which may carry secrets.
        inference_id: What the client calls this inference (`X-Amzn-SageMaker-Inference-Id`); empty without one.
        headers: The request's and reply's fields that the configuration allows, by lower-case name.
        request: The request's body.
        reply: The reply's body.
        given_id: The event id under which it was written, of one that is read back; empty of one of our own.

    The other fields are the exchange's own.
    """

    request_id: str
    inference_id: str
    variant: str
    version: str
    method: str
    path: str
    route: str
    status: int
    error_type: str
    started_s: float
    duration_s: float
    first_byte_s: float
    overhead_s: float
    sample_ratio: float
    headers: Mapping[str, Mapping[str, str]]
    request: Body
    reply: Body
    unit: int = 0
    shadow: bool = False
    given_id: str = ""

    @property
    def event_id(self) -> str:
        """SageMaker's name of this exchange: a UUID of version 8 (RFC 9562), the same wherever it is asked for."""
        if self.given_id:
            return self.given_id
        told = f"{self.request_id}\0{self.variant}\0{self.started_s!r}".encode("utf-8", "backslashreplace")
        digits = md5(told, usedforsecurity=False).hexdigest()
        return f"{digits[:8]}-{digits[8:12]}-8{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


class Rows(NamedTuple):
    """What was asked and answered in one exchange.

    Args:
        features: The names of the k columns.
        asked: n rows of k plain scalars; a cell that is none (an inner list or object) counts as missing.
        predictions: The names of the columns of `answered`; none where the reply could not be read.
        answered: n rows, or none.
        fault: Why there are no predictions: a word of `payload.decoding.REASONS`; empty when there are.
    """

    features: tuple[str, ...]
    asked: list[list[object]]
    predictions: tuple[str, ...] = ()
    answered: Sequence[list[object]] = ()
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of n rows: numbers side by side in one matrix, texts beside them.

    A column may have cells of both kinds (a number where there is one, a text elsewhere): what a row does not have
    as a number is NaN in `values`, what it does not have as a text is None in `texts`. Neither means missing.

    Args:
        names: The k columns, in the payload's order.
        values: Shape (n, k).
        texts: The columns in which a text occurs at all, by their position in `names`; each of length n.
    """

    names: tuple[str, ...]
    values: "Floats"
    texts: Mapping[int, Sequence[str | None]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows that one variant saw and what it said to each, decoded from one or many captures.

    Args:
        variant: The arm that answered.
        version: The build behind it.
        request_ids: The request id of each row, length n; an id may stand for many rows.
        times_s: Unix time of each row's request, shape (n,).
        features: What the model was asked, n rows.
        predictions: What it answered, n rows; no columns where the reply could not be read.
    """

    variant: str
    version: str
    request_ids: Sequence[str]
    times_s: "Floats"
    features: Table
    predictions: Table


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a detector says of k features.

    Args:
        statistic: Shape (k,); NaN where there is nothing to compare.
        limit: What the statistic may reach, shape (k,).
        p_value: The probability of such a statistic or a greater one without any drift, shape (k,); NaN where the
            detector knows none.
        drifted: The statistic is beyond its limit, shape (k,).
    """

    statistic: "Floats"
    limit: "Floats"
    p_value: "Floats"
    drifted: "Flags"


Subject = Literal["features", "predictions", "quality", "groups", "traffic"]
"""What a finding is about: one of the two tables of a sample; how good answers are; for whom; who serves."""


@dataclass(frozen=True, slots=True)
class Carrier:
    """A column in which something was found.

    Args:
        name: Of the column.
        share: Its part of what was found, in (0, 1]; those of one finding add up to 1.
        statistic: The check's number.
        threshold: What the number may reach.
        sentence: What happened to the column, for people.
        nats: The evidence, the logarithm of an e-value; None where the check has none.
        needed_nats: The evidence that an alarm takes, within the budget of false alarms.
        p_value: None where the check has none.
        since_s: Unix time at which the change most likely began; None where the check cannot tell.
        rows: That the statistic was read from.
        fault: What points to the pipeline and not to the world: `missing`, `type`, `range`, `categories`; empty where
            nothing does.
    """

    name: str
    share: float
    statistic: float
    threshold: float
    sentence: str
    nats: float | None = None
    needed_nats: float | None = None
    p_value: float | None = None
    since_s: float | None = None
    rows: int = 0
    fault: str = ""


class Key(NamedTuple):
    """Which finding it is; there is one of each at a time.

    Args:
        monitor: The kind of the monitor that found it: `data`.
        check: The kind of its detector, or SageMaker's name of the check.
        variant: Whose rows it is about.
    """

    monitor: str
    check: str
    variant: str
    subject: Subject


@dataclass(frozen=True, slots=True)
class Finding:
    """What a monitor holds against the rows of late of one variant, until it no longer does.

    Args:
        version: The build behind the variant.
        carriers: The columns that carry it, the greatest share first; at least one.
        rows: Of the current side: since the change began, or of the window.
        reference_rows: Of the other side.
        sentence: What was found, for people, with the columns named.
        cause: What has moved: `inputs`, `relation` (of labels to inputs: concept drift), `both`, the `model` itself, or
            the `pipeline` that brings the values; empty where nobody can tell.
        reason: For people: how that is known.
        at_s: Of what happens at a moment, as a rollback does, that Unix time: at another moment it is another one.
    """

    key: Key
    version: str
    carriers: tuple[Carrier, ...]
    rows: int
    reference_rows: int
    sentence: str
    cause: str = ""
    reason: str = ""
    at_s: float | None = None

    @property
    def occurrence(self) -> tuple[Key, float | None]:
        """By which it is known again."""
        return self.key, self.at_s

    @property
    def since_s(self) -> float | None:
        """Unix time at which the first of its columns began to change; None where nobody can tell."""
        return min((each.since_s for each in self.carriers if each.since_s is not None), default=None)


Scalar = str | float | int | bool | None
"""A cell of a payload; None where there is no value."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """One exchange whose labels may still come: what the model was asked and answered, n rows.

    Args:
        ids: By which a label may call it: its event id first, then request id and, where there is one, inference id.
        time_s: Unix time of the request.
        weight: Exchanges that it stands for: 1 over the probability with which it was kept.
        features: The names of the columns of `asked`.
        asked: n rows.
        predictions: Likewise of what was answered.
        answered: n rows.
        groups: What header fields say of whom the exchange is about, by field name.
        unit: The exchange's; 0 of a shadow's: it takes no part in experiments.
    """

    ids: tuple[str, ...]
    variant: str
    version: str
    time_s: float
    weight: float
    features: tuple[str, ...]
    asked: Sequence[Sequence[Scalar]]
    predictions: tuple[str, ...]
    answered: Sequence[Sequence[Scalar]]
    groups: Mapping[str, str] = field(default_factory=dict)
    unit: int = 0


@dataclass(frozen=True, slots=True)
class Label:
    """What turned out to be true of one exchange, or what came of it.

    Args:
        id: One of the prediction's.
        values: One for each of its rows.
        metric: Empty for the truth itself; the name of an outcome otherwise: `click`, `chargeback_amount`.
        groups: Of whom it is about, where whoever posts the label knows it.
    """

    id: str
    values: tuple[Scalar, ...]
    metric: str = ""
    groups: Mapping[str, Scalar] = field(default_factory=dict)


LabelStatus = Literal["joined", "waiting", "duplicate", "unknown", "expired", "malformed"]
"""What became of a label: joined with its prediction; kept until that comes; had before, and of no effect; of no
prediction that is known, and not kept; of one that is gone by age or number; of another number of rows."""


class Joined(NamedTuple):
    """A label with its prediction.

    Args:
        number: Its place in the order in which labels were joined; ascending, with gaps.
    """

    number: int
    prediction: Prediction
    label: Label


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """What became of predictions and labels so far.

    Args:
        awaiting: Predictions without a label that can still get one, now.
        waiting: Labels whose prediction has not come, now.
        labels: Labels by what became of them; one that waited counts as what it became.
        predictions: Kept so far.
        missing: Predictions that were given up without a label.
        repeated: Predictions whose id and variant were there already, and which were left.
    """

    awaiting: int
    waiting: int
    labels: Mapping[LabelStatus, int]
    predictions: int
    missing: int
    repeated: int


@dataclass(frozen=True, slots=True)
class Labelled:
    """Rows of one variant and version whose labels have come, in the order in which they came.

    Args:
        times_s: Unix time of each row's request, shape (n,).
        weights: Exchanges that each row stands for, shape (n,).
        features: n rows, as the next three.
        predictions: What the model answered.
        labels: One column, `label`.
        groups: What headers or labels say of whom a row is about; no columns where they say nothing.
        units: Of their predictions, uint64, shape (n,); None where experiments are not asked.
    """

    variant: str
    version: str
    times_s: "Floats"
    weights: "Floats"
    features: Table
    predictions: Table
    labels: Table
    groups: Table
    units: "Units | None" = field(default=None, kw_only=True)


Severity = Literal["info", "warning", "critical"]
State = Literal["pending", "firing", "resolved"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A finding that a rule holds worth telling, and how far that has gone.

    Args:
        id: Unique, of 16 hexadecimal digits.
        state: `pending` until the finding has lasted, then `firing`, then `resolved`.
        finding: As it is; as it was last, when it no longer holds.
        pending_s: Unix time at which it was first seen; likewise the other moments, None until they come.
        gone_s: Since when the finding does not hold any more; None while it does.
        told_s: When the channels were last told.
        told: How often they were.
        silenced_until_s: Until then they are not told that it fires.
    """

    id: str
    state: State
    severity: Severity
    finding: Finding
    pending_s: float
    fired_s: float | None = None
    gone_s: float | None = None
    resolved_s: float | None = None
    told_s: float | None = None
    told: int = 0
    silenced_until_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Notice:
    """What channels are told.

    Args:
        id: Of the notice: `{alert.id}-{n}`. The same whenever it is sent again, so that receivers can tell.
        alert: As it was when the notice was made.
        time_s: Unix time of that.
        link: Where more can be read.
        repeat_s: So long after this one another notice follows if the alert still fires.
        channels: Who is told: names (`webhook[0]`), kinds (`webhook`), or `*` for all.
    """

    id: str
    alert: Alert
    time_s: float
    link: str
    repeat_s: float
    channels: tuple[str, ...] = ("*",)

    def is_for(self, channel: str) -> bool:
        """Whether the channel of this name is told."""
        return not {"*", channel, channel.partition("[")[0]}.isdisjoint(self.channels)


Level = Literal["debug", "info", "warning", "error", "critical"]
"""How bad it is what a log record tells."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened once, to be exported as a log record.

    Args:
        name: `sidecar.alert`, of OpenTelemetry's event names; empty for a line of the log.
        time_s: Unix time.
        severity: Its word.
        body: For people.
        attributes: For machines.
        scope: Who says it: a logger's name.
        trace: Under which it happened; None under none.
    """

    name: str
    time_s: float
    severity: Level
    body: str
    attributes: Mapping[str, str | int | float | bool]
    scope: str = "sidecar"
    trace: Trace | None = None


@dataclass(frozen=True, slots=True)
class ExponentialBuckets:
    """A histogram whose bounds are powers of 2^(2^-scale), as OpenTelemetry's data model defines it.

    Bucket i holds what is above 2^(i * 2^-scale) and not above 2^((i + 1) * 2^-scale). Two of them merge exactly: at
    the coarser of their scales every bucket of either is part of one.

    Args:
        zeros: Values that are 0, or too small for a bucket.
        positive: The index of the first bucket, and the counts from there on; likewise the next.
        negative: Of negative numbers, by magnitude.
        total: The sum of all values; not finite where it is not known.
        minimum: The least value; NaN where it is not known.
        maximum: The greatest; likewise.
    """

    scale: int
    zeros: int
    positive: tuple[int, Sequence[int]]
    negative: tuple[int, Sequence[int]]
    total: float
    minimum: float
    maximum: float

    @property
    def count(self) -> int:
        """How many values there are."""
        return self.zeros + sum(self.positive[1]) + sum(self.negative[1])


@dataclass(frozen=True, slots=True)
class Buckets:
    """A histogram with fixed upper bounds, as OpenTelemetry and Prometheus exchange it.

    Args:
        bounds: The B - 1 inclusive upper bounds, ascending; the last bucket is open.
        counts: Length B.
        total: The sum of all values.
        finer: The same values in exponential buckets; None where they are not known so.
    """

    bounds: Sequence[float]
    counts: Sequence[int]
    total: float
    finer: ExponentialBuckets | None = None


Kind = Literal["counter", "up_down", "gauge", "histogram"]
Attributes = Mapping[str, str | int | bool]
Value = float | Buckets | ExponentialBuckets


@dataclass(frozen=True, slots=True)
class Metric:
    """One instrument with its points, cumulative since `Report.started_s`.

    Args:
        name: OpenTelemetry's name of it: `http.server.request.duration`.
        unit: In UCUM: `s`, `By`, `{request}`.
        points: A value, or buckets for a histogram, by attribute set; those of one histogram are of one kind.
        since_s: Unix time since when it counts, where it began later than the others.
        foreign: Somebody else counts: nobody knows since when, and how much before we looked.
    """

    name: str
    unit: str
    description: str
    kind: Kind
    points: Sequence[tuple[Attributes, Value]]
    since_s: float | None = field(default=None, kw_only=True)
    foreign: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Report:
    """All that is exported, at one moment.

    Args:
        started_s: Unix time since which counters count.
        time_s: Unix time of the moment.
    """

    started_s: float
    time_s: float
    metrics: Sequence[Metric]


JSON = Any
"""What `json.loads` gives; shapes are checked where it is read."""
