"""SageMaker's files of model quality: statistics.json, constraints.json and constraint_violations.json.

They have the names of the files of data quality and other sections: `binary_classification_metrics` or
`…_constraints`, likewise multiclass and regression. What we do not know in them is passed over. A number that is not
defined is the text `NaN`, as Model Monitor writes it; both are read.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-model-quality-metrics.html
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple, TypeVar

import msgspec
from msgspec import Raw, Struct

from sidecar.errors import ConfigError, Fault
from sidecar.records import JSON
from sidecar.reference.files import UNREADABLE, Number
from sidecar.texts import encodable

T = TypeVar("T")
Task = Literal["binary", "multiclass", "regression"]
Operator = Literal["LessThanThreshold", "GreaterThanThreshold"]
Scores = Mapping[str, tuple[float, float]]
"""Value and standard deviation of each metric; NaN where it is not defined."""

SECTIONS: dict[Task, str] = {
    "binary": "binary_classification",
    "multiclass": "multiclass_classification",
    "regression": "regression",
}
"""How SageMaker's sections begin."""

_CONSTANT = "_best_constant_classifier"
_BINARY = ("recall", "precision", "accuracy")
_F = ("f0_5", "f1", "f2")
_WEIGHTED = ("accuracy", *(f"weighted_{name}" for name in ("recall", "precision", *_F)))

METRICS: dict[Task, tuple[str, ...]] = {
    "binary": (
        "confusion_matrix",
        *_BINARY,
        *(f"{name}{_CONSTANT}" for name in _BINARY),
        "true_positive_rate",
        "true_negative_rate",
        "false_positive_rate",
        "false_negative_rate",
        "receiver_operating_characteristic_curve",
        "precision_recall_curve",
        "auc",
        *_F,
        *(f"{name}{_CONSTANT}" for name in _F),
    ),
    "multiclass": ("confusion_matrix", *_WEIGHTED, *(f"{name}{_CONSTANT}" for name in _WEIGHTED)),
    "regression": ("mae", "mse", "rmse", "r2"),
}
"""What Model Monitor computes, in its order."""


class Limit(NamedTuple):
    """What a metric may reach.

    Args:
        threshold: With NaN nothing breaks it.
        operator: How a value beyond it lies.
    """

    threshold: float
    operator: Operator

    def breaks(self, value: float) -> bool:
        """Whether the value lies beyond; one that is not defined does not.

        >>> Limit(0.9, "LessThanThreshold").breaks(0.9), Limit(0.9, "LessThanThreshold").breaks(0.89)
        (False, True)
        """
        return value < self.threshold if self.operator == "LessThanThreshold" else value > self.threshold


class Meta(NamedTuple):
    """Of which rows the statistics are.

    Args:
        rows: Their number.
        start_s: Unix time of the first; None where it is not known, as the next two.
        end_s: Of the last.
        evaluated_s: When the statistics were made.
    """

    rows: int
    start_s: float | None = None
    end_s: float | None = None
    evaluated_s: float | None = None


class QualityViolation(NamedTuple):
    """A metric that its constraint does not allow."""

    metric_name: str
    constraint_check_type: Operator
    description: str
    value: float
    threshold: float


class _Constraint(Struct):
    threshold: Number
    comparison_operator: Operator


class _Scalar(Struct):
    value: Number | None
    standard_deviation: Number | None = None


# constraints.json


def read_quality_constraints(data: bytes, where: str) -> dict[Task, dict[str, Limit]]:
    """The limits by task and metric.

    Args:
        where: What to call the file in an error: its path.

    Raises:
        ConfigError: It is not JSON, a field has the wrong type, or there is no section of model quality; the fault
            names it: `$.regression_constraints.mae.threshold`.
    """
    found: dict[Task, dict[str, Limit]] = {}
    for task, path, metrics in _sections(data, where, "constraints"):
        given = {name: _decode(raw, where, f"{path}.{name}", _Constraint) for name, raw in metrics.items()}
        found[task] = {name: Limit(float(each.threshold), each.comparison_operator) for name, each in given.items()}
    return found


def write_quality_constraints(constraints: Mapping[Task, Mapping[str, Limit]]) -> bytes:
    """The file for these limits."""
    document: dict[str, JSON] = {"version": 0.0}
    for task, limits in constraints.items():
        document[f"{SECTIONS[task]}_constraints"] = {
            name: {"threshold": _in_words(limit.threshold), "comparison_operator": limit.operator}
            for name, limit in limits.items()
        }
    return _encode(document)


# statistics.json


def read_quality_statistics(data: bytes, where: str) -> dict[Task, dict[str, tuple[float, float]]]:
    """Value and standard deviation by task and metric; matrices and curves are passed over.

    Arguments and errors as `read_quality_constraints` has them.
    """
    found: dict[Task, dict[str, tuple[float, float]]] = {}
    for task, path, metrics in _sections(data, where, "metrics"):
        found[task] = {}
        for name, raw in metrics.items():
            document = msgspec.json.decode(raw)
            if isinstance(document, dict) and "value" in document:
                given = _decode(raw, where, f"{path}.{name}", _Scalar)
                found[task][name] = (_number(given.value), _number(given.standard_deviation))
    return found


def write_quality_statistics(
    task: Task,
    scores: Scores,
    confusion: Mapping[str, Mapping[str, float]],
    curves: Mapping[str, Mapping[str, Sequence[float]]],
    meta: Meta,
) -> bytes:
    """The file; arguments as `quality_statistics` has them."""
    return _encode(quality_statistics(task, scores, confusion, curves, meta))


def quality_statistics(
    task: Task,
    scores: Scores,
    confusion: Mapping[str, Mapping[str, float]],
    curves: Mapping[str, Mapping[str, Sequence[float]]],
    meta: Meta,
) -> dict[str, JSON]:
    """What is in the file.

    Args:
        confusion: Rows by their label, then by what was predicted; nothing for a regression.
        curves: The columns of `receiver_operating_characteristic_curve` and `precision_recall_curve`.
    """
    metrics: dict[str, JSON] = {
        name: {"value": _in_words(value), "standard_deviation": _in_words(deviation)}
        for name, (value, deviation) in scores.items()
    }
    for name, columns in curves.items():
        metrics[name] = {column: list(map(_in_words, values)) for column, values in columns.items()}
    if confusion:
        metrics["confusion_matrix"] = {
            encodable(actual): {encodable(predicted): _count(rows) for predicted, rows in counts.items()}
            for actual, counts in confusion.items()
        }
    known = [name for name in METRICS[task] if name in metrics]
    ordered = {name: metrics[name] for name in [*known, *metrics]}
    return {"version": 0.0, "dataset": _dataset(meta), f"{SECTIONS[task]}_metrics": ordered}


# constraint_violations.json


def quality_violations(scores: Scores, constraints: Mapping[str, Limit]) -> list[QualityViolation]:
    """What the scores break; a metric that is not among them, or not defined, breaks nothing."""
    return [
        _violation(name, scores[name], limit)
        for name, limit in constraints.items()
        if name in scores and limit.breaks(scores[name][0])
    ]


def write_quality_violations(found: Iterable[tuple[str, QualityViolation]]) -> bytes:
    """The file for what each variant breaks, in SageMaker's shape and with three fields more."""
    return _encode(
        {
            "violations": [
                {
                    "constraint_check_type": each.constraint_check_type,
                    "description": each.description,
                    "metric_name": each.metric_name,
                    "variant": variant,
                    "value": _in_words(each.value),
                    "threshold": _in_words(each.threshold),
                }
                for variant, each in found
            ]
        }
    )


def _violation(name: str, score: tuple[float, float], limit: Limit) -> QualityViolation:
    value, deviation = score
    spread = "" if math.isnan(deviation) else f" +/- {deviation}"
    told = f"Metric {name} with {value}{spread} was {limit.operator} {limit.threshold}"
    return QualityViolation(name, limit.operator, told, value, limit.threshold)


# All three


def _sections(data: bytes, where: str, ending: str) -> Iterator[tuple[Task, str, dict[str, Raw]]]:
    """The sections that are there: task, path, and the raw value of each metric."""
    file = _decode(data, where, "$", dict[str, Raw])
    names = {task: f"{section}_{ending}" for task, section in SECTIONS.items()}
    if not file.keys() & names.values():
        raise ConfigError(Fault(where, f"no section of model quality, expected one of {', '.join(names.values())}"))
    for task, name in names.items():
        if name in file:
            yield task, f"$.{name}", _decode(file[name], where, f"$.{name}", dict[str, Raw])


def _decode(data: bytes | Raw, where: str, path: str, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except UNREADABLE as error:
        told, at, inner = str(error).partition(" - at `$")
        place = f"{path}{inner[:-1]}" if at else path
        raise ConfigError(Fault(where, f"{told} - at `{place}`, in a file of SageMaker's")) from None


def _encode(document: JSON) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _in_words(number: float) -> Number:
    """The number; in words where JSON has none for it."""
    if math.isfinite(number):
        return float(number)
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _number(given: Number | None) -> float:
    return math.nan if given is None else float(given)


def _count(rows: float) -> Number:
    """Whole where it is: rows may have weights."""
    return int(rows) if math.isfinite(rows) and rows == int(rows) else _in_words(rows)


def _dataset(meta: Meta) -> dict[str, JSON]:
    times = {"start_time": meta.start_s, "end_time": meta.end_s, "evaluation_time": meta.evaluated_s}
    return {"item_count": meta.rows, **{name: _iso(at_s) for name, at_s in times.items() if at_s is not None}}


def _iso(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
