"""What is known from training time: how good a model was, and what its metrics may be; what the user says of them."""

from collections.abc import Mapping
from math import isnan, nan
from pathlib import Path
from sys import float_info
from typing import Annotated

import numpy as np
from msgspec import Meta, Struct

from sidecar.errors import ConfigError, Fault
from sidecar.quality.answers import Amounts, Answers
from sidecar.quality.classification import quality
from sidecar.quality.reading import Task
from sidecar.quality.regression import quality_of_amounts
from sidecar.reference.quality_files import Limit, read_quality_constraints, read_quality_statistics


class Bound(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a metric may be."""

    # One of the two is given.
    below: Annotated[float | None, Meta(description="Found where the metric is clearly below this.")] = None
    above: Annotated[float | None, Meta(description="Found where the metric is clearly above this.")] = None


def limits_of(bounds: Mapping[str, Bound], task: Task) -> dict[str, Limit]:
    """Limits by metric.

    Raises:
        ConfigError: There is no such metric.
    """
    known = _metrics(task)
    for name in bounds:
        if name not in known:
            raise ConfigError(Fault(f"alert_when.{name}", f"expected one of {', '.join(known)}"))
    return {
        name: Limit(bound.below, "LessThanThreshold")
        if bound.below is not None
        else Limit(bound.above or 0.0, "GreaterThanThreshold")
        for name, bound in bounds.items()
    }


def _metrics(task: Task) -> list[str]:
    """What quality is told by."""
    none = np.empty(0)
    if task == "regression":
        return list(quality_of_amounts(Amounts(none, none, none)))
    classes = ("a", "b", "c")[: 2 if task == "binary" else 3]
    return list(quality(Answers(classes, none.astype(np.int64), none.astype(np.int64), None, none)))


def reference_of(folder: str | None, task: Task) -> tuple[float | None, Mapping[str, Limit]]:
    """The mean loss at training time, None where nobody states it, and the limits.

    Args:
        folder: Of statistics.json and constraints.json; None for neither.

    Raises:
        ConfigError: A file is broken, or there is nothing of this task.
    """
    if folder is None:
        return None, {}
    stated: float | None = None
    limits: Mapping[str, Limit] = {}
    try:
        if (data := _read(Path(folder, "statistics.json"))) is not None:
            stated = _stated_loss(read_quality_statistics(data, f"{folder}/statistics.json").get(task, {}), task)
        if (data := _read(Path(folder, "constraints.json"))) is not None:
            limits = read_quality_constraints(data, f"{folder}/constraints.json").get(task, {})
    except ConfigError as error:
        raise ConfigError(*(Fault("reference", str(fault)) for fault in error.faults)) from None
    if stated is None and not limits:
        message = (
            f"expected statistics.json or constraints.json of {task} model quality, got {folder}: there is neither"
        )
        raise ConfigError(Fault("reference", message))
    return stated, limits


def _stated_loss(scores: Mapping[str, tuple[float, float]], task: Task) -> float | None:
    name, most = ("mae", float_info.max) if task == "regression" else ("accuracy", 1.0)
    value = scores.get(name, (nan, nan))[0]
    if isnan(value):
        return None
    if not 0 <= value <= most:
        raise ConfigError(Fault("statistics.json", f"{name} of {value:g}, expected from 0 to {most:g}"))
    return value if task == "regression" else 1 - value


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(Fault(str(path), f"expected a file that can be read: {error.strerror}")) from error
