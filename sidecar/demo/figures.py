"""What the sidecar's admin side says of the demo's one variant, as the few numbers that are shown."""

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
