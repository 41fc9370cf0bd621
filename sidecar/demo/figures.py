"""What the sidecar's admin side says of the demo's one variant, as the few numbers that are shown."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sidecar.records import JSON


@dataclass(frozen=True, slots=True)
class Column:
    """The statistics of one feature or prediction over the current window; None where there is nothing to tell.

    Args:
        missing: Rows without a value.
    """

    name: str
    rows: int
    mean: float | None
    std: float | None
    median: float | None
    missing: int


@dataclass(frozen=True, slots=True)
class Figures:
    """All that is shown of the sidecar; None where there is nothing to tell.

    Args:
        p50_s: Of the time that a request took, seen from the sidecar.
        p99_s: As `p50_s`.
        overhead_p50_s: Of the part of that time that was the sidecar's own.
        overhead_p99_s: As `overhead_p50_s`.
        rows: Decoded since the start.
        dropped: Exchanges that did not become captures, for any reason.
        columns: The features that were asked for, then all predictions.
    """

    p50_s: float | None
    p99_s: float | None
    overhead_p50_s: float | None
    overhead_p99_s: float | None
    rows: int
    dropped: int
    columns: Sequence[Column]


@dataclass(frozen=True, slots=True)
class Suspect:
    """What the sidecar says of one feature that is, or may be, drifting.

    Args:
        nats: The evidence; of one that drifts, at the alarm.
        needed: For an alarm; of one that does not drift, if it were the only one.
        text: What happened to it; None where nothing did.
    """

    name: str
    nats: float
    needed: float
    text: str | None


@dataclass(frozen=True, slots=True)
class Drift:
    """All that is shown of drift.

    Args:
        rows: Weighed since the start.
        suspects: The features of which there is evidence, those that drift first, then by their evidence.
    """

    rows: int
    suspects: Sequence[Suspect]

    @property
    def drifting(self) -> list[str]:
        """The names of those that drift."""
        return [each.name for each in self.suspects if each.text is not None]


def read_drift(document: JSON, false_alarms_per: float) -> Drift:
    """What drifts, or may.

    Args:
        document: What `/v1/drift` answers; before the first row it knows no variant.
        false_alarms_per: Rows, over all features.
    """
    variants = document["variants"]
    columns = [column for variant in variants for column in variant["columns"]]
    needed = math.log(false_alarms_per * max(1, len(columns)))
    found = [each for column in columns if (each := _suspect(column, needed))]
    found.sort(key=lambda each: (each.text is None, -each.nats))
    return Drift(sum(variant["rows"] for variant in variants), found)


def read(status: JSON, features: JSON, shown: Collection[str]) -> Figures:
    """The figures.

    Args:
        status: What `/v1/status` answers.
        features: What `/v1/features` answers.
        shown: The features to show.
    """
    (variant,) = status["variants"]
    captures = status["captures"]
    return Figures(
        p50_s=variant["duration_s"]["p50"],
        p99_s=variant["duration_s"]["p99"],
        overhead_p50_s=variant["overhead_s"]["p50"],
        overhead_p99_s=variant["overhead_s"]["p99"],
        rows=sum(captures["rows"].values()),
        dropped=sum(captures["dropped"].values()),
        columns=[_column(column) for variant in features["variants"] for column in _shown(variant, shown)],
    )


def _shown(variant: JSON, shown: Collection[str]) -> list[JSON]:
    features = (column for column in variant["features"] if column["name"] in shown)
    return [*features, *variant["predictions"]]


def _column(column: JSON) -> Column:
    window = column["window"]
    return Column(
        name=column["name"],
        rows=window["rows"],
        mean=window["mean"],
        std=window["std"],
        median=window["quantiles"]["0.5"],
        missing=window["missing"],
    )


def _suspect(column: JSON, needed: float) -> Suspect | None:
    if drift := column["drift"]:
        return Suspect(column["name"], drift["evidence_nats"], drift["needed_nats"], drift["text"])
    nats = column["evidence_nats"]
    return None if nats is None or nats <= 0 else Suspect(column["name"], nats, needed, None)
