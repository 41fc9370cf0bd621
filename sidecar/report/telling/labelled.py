"""What labels say, from the documents of `/v1/quality` and `/v1/bias`, in the order in which it is shown."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from sidecar.records import JSON
from sidecar.report.telling.wording import UNKNOWN, number, titled
from sidecar.texts import counted

Picture = TypeVar("Picture")

CONSTANT = "_best_constant_classifier"
"""What SageMaker calls a metric of the best constant answer: the metric, and this behind it."""

CURVES = {
    "receiver_operating_characteristic_curve": (
        "ROC: true against false positives",
        "false_positive_rates",
        "true_positive_rates",
    ),
    "precision_recall_curve": ("Precision against recall", "recalls", "precisions"),
    "reliability_curve": ("Calibration: what came true against what was said", "probabilities", "shares"),
}
"""Title, and which list is drawn across and which up."""

SIDE = 100
"""Of a curve's picture, in units of its own."""

MAX_CLASSES = 20
"""Of a confusion matrix that is shown."""


class Score(NamedTuple):
    """A metric, its standard error, and that of the best constant answer; None where there is none."""

    name: str
    value: JSON
    deviation: JSON
    constant: JSON


class Graded(NamedTuple, Generic[Picture]):
    """A version of a variant, by its labels.

    Args:
        needed: Rows of its yardstick.
        surely: It is known how sure some score is.
    """

    title: str
    task: str
    labelled: int
    notes: Sequence[str]
    scores: Sequence[Score]
    classes: Sequence[str]
    confusion: Sequence[tuple[str, Sequence[JSON]]]
    curves: Sequence[tuple[str, Picture]]
    tests: Sequence[tuple[str, Mapping[str, JSON]]]
    needed: int
    segments: Sequence[Mapping[str, JSON]]
    surely: bool


class BiasMetric(NamedTuple):
    """A metric of Clarify's; `interval` is of the latest rows."""

    name: str
    description: str
    value: JSON
    interval: str


class Compared(NamedTuple):
    """A group against all others."""

    title: str
    rows: int
    other_rows: int
    metrics: Sequence[BiasMetric]


class Fairness(NamedTuple):
    """A version of a variant, by its groups."""

    title: str
    groups: Sequence[Compared]


def what_became(quality: JSON) -> str:
    """What became of the labels, in a sentence."""
    if quality is None:
        return ""
    posted = [f"{count:,} {word}" for word, count in quality["labels"]["posted"].items() if count]
    return f"Labels: {', '.join(posted) or 'none'}."


def qualities(quality: JSON, picture: Callable[[str], Picture]) -> Iterator[Graded[Picture]]:
    """By variant and version, all labelled rows together.

    Args:
        picture: Marks a text of ours as one.
    """
    for version in (quality or {}).get("variants", []):
        told = version["lifetime"] or version["window"] or {}
        metrics: Mapping[str, JSON] = next((each for key, each in told.items() if key.endswith("_metrics")), {})
        confusion = metrics.get("confusion_matrix") or {}
        classes = list(confusion) if len(confusion) <= MAX_CLASSES else []
        scores = list(_scores(metrics))
        yield Graded(
            titled(version["name"], version["version"]),
            f"Task: {version['task']}",
            version["labelled"],
            version["notes"],
            scores,
            classes,
            [(name, [confusion[name].get(each) for each in classes]) for name in classes],
            [(title, picture(drawn)) for title, drawn in _curves(metrics)],
            [(name, said) for name, said in version["tests"].items() if said],
            version["reference"]["needed_rows"],
            version["segments"],
            any(isinstance(each.deviation, int | float) for each in scores),
        )


def _scores(metrics: Mapping[str, JSON]) -> Iterator[Score]:
    for name, said in metrics.items():
        if "value" in said and not name.endswith(CONSTANT):
            constant = metrics.get(f"{name}{CONSTANT}", {}).get("value")
            yield Score(name, said["value"], said.get("standard_deviation"), constant)


def _curves(metrics: Mapping[str, JSON]) -> Iterator[tuple[str, str]]:
    for name, (title, across, up) in CURVES.items():
        if (curve := metrics.get(name)) and curve[across]:
            yield title, _curve(curve[across], curve[up])


def _curve(across: Sequence[JSON], up: Sequence[JSON]) -> str:
    """A line from 0 to 1 in both directions, against the diagonal."""
    points = [
        f"{SIDE * x:.1f},{SIDE * (1 - y):.1f}"
        for x, y in zip(across, up, strict=True)
        if isinstance(x, int | float) and isinstance(y, int | float)
    ]
    return (
        f'<svg class="curve" viewBox="-1 -1 {SIDE + 2} {SIDE + 2}" aria-hidden="true">'
        f'<rect width="{SIDE}" height="{SIDE}"/><line class="even" x1="0" y1="{SIDE}" x2="{SIDE}" y2="0"/>'
        f'<polyline points="{" ".join(points)}"/></svg>'
    )


def biases(bias: JSON) -> Iterator[Fairness]:
    """By variant and version, all labelled rows together."""
    for version in (bias or {}).get("variants", []):
        by_group = _metrics(version["lifetime"])
        groups = [
            Compared(
                f"{group['facet']} {group['value_or_threshold']}",
                group["rows"],
                group["other_rows"],
                [
                    BiasMetric(each["name"], each["description"], each["value"], _interval(group, each["name"]))
                    for each in by_group.get((group["facet"], group["value_or_threshold"]), [])
                ],
            )
            for group in version["groups"]
        ]
        yield Fairness(titled(version["name"], version["version"]), groups)


def _metrics(analysis: JSON) -> dict[tuple[str, str], list[JSON]]:
    """The metrics of Clarify's file, by facet and group."""
    found: dict[tuple[str, str], list[JSON]] = {}
    for report in ("pre_training_bias_metrics", "post_training_bias_metrics"):
        for facet, groups in (analysis or {}).get(report, {}).get("facets", {}).items():
            for group in groups:
                found.setdefault((facet, group["value_or_threshold"]), []).extend(group["metrics"])
    return found


def _interval(group: Mapping[str, JSON], name: str) -> str:
    ends = group["intervals"].get(name)
    return f"{number(ends[0])} to {number(ends[1])}" if ends else UNKNOWN


def summary(version: Graded[str]) -> str:
    """The scores in a line."""
    scores = ", ".join(
        f"{each.name} {number(each.value)}" for each in version.scores if isinstance(each.value, int | float)
    )
    return f"{counted(version.labelled, 'labelled row')}: {scores or 'no score yet'}"
