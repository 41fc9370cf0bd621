"""What the sidecar's admin side says of the quality of the demo's one version, as the few numbers that are shown."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sidecar.records import JSON


class Amount(NamedTuple):
    """A number with its standard deviation; NaN where that is not defined."""

    value: float
    deviation: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one of the sequential tests says.

    Args:
        nats: The evidence; of one that has alarmed, at the alarm.
        needed: For an alarm.
        mean: Since the change most likely began; None where nothing speaks for one.
        limit: What the mean may be.
        alarm: It is beyond, and not known to be back.
    """

    nats: float
    needed: float
    mean: float | None
    limit: float
    alarm: bool


@dataclass(frozen=True, slots=True)
class Quality:
    """All that is shown of quality; None where there is nothing to tell yet.

    Args:
        joined: Labels that have met their prediction.
        awaiting: Predictions without a label.
        labelled: Labelled rows that quality is worked out from.
        reference: Labelled rows of the reference; `needed` of them are needed.
        needed: Likewise.
        learned: They are there.
        loss: The share of wrong answers among them.
        accuracy: The share of right answers among the latest labelled rows.
        estimated: What is expected of the latest rows, labels or not.
        tests: By name.
        segments: Where quality has fallen most, in words.
    """

    joined: int
    awaiting: int
    labelled: int
    reference: int
    needed: int
    learned: bool
    loss: float | None
    accuracy: Amount | None
    estimated: Amount | None
    tests: Mapping[str, Evidence]
    segments: Sequence[str]

    @property
    def tested(self) -> int:
        """Labelled rows that came after those of the reference."""
        return self.labelled - self.reference

    @property
    def alarms(self) -> list[str]:
        """The tests that have given an alarm which is not over."""
        return [name for name, test in self.tests.items() if test.alarm]


def read_quality(document: JSON, needed: int) -> Quality:
    """The figures.

    Args:
        document: What `/v1/quality` answers; before the first prediction it knows no version.
        needed: Labelled rows of the reference, as configured.
    """
    labels = document["labels"]
    joined, awaiting = labels["posted"].get("joined", 0), labels["awaiting"]
    if not document["variants"]:
        return Quality(joined, awaiting, 0, 0, needed, False, None, None, None, {}, ())  # noqa: FBT003  # as the next
    (version,) = document["variants"]
    reference, estimated = version["reference"], version["estimated"]
    return Quality(
        joined=joined,
        awaiting=awaiting,
        labelled=version["labelled"],
        reference=reference["rows"],
        needed=needed,
        learned=reference["learned"],
        loss=reference["loss"],
        accuracy=_amount(version["window"] and version["window"]["binary_classification_metrics"].get("accuracy")),
        estimated=_amount(estimated and estimated["scores"].get("accuracy")),
        tests={name: _test(test) for name, test in version["tests"].items() if test},
        segments=tuple(segment["text"] for segment in version["segments"]),
    )


def _amount(score: JSON) -> Amount | None:
    """None where the number is not defined: Model Monitor writes that as a text."""
    if not score or isinstance(score["value"], str | None):
        return None
    deviation = score["standard_deviation"]
    return Amount(score["value"], math.nan if isinstance(deviation, str | None) else deviation)


def _test(test: JSON) -> Evidence:
    nats = test["evidence_nats"]
    return Evidence(
        nats=0.0 if nats is None else max(nats, 0.0),
        needed=test["needed_nats"],
        mean=test["mean"],
        limit=test["limit"],
        alarm=test["alarm"],
    )
