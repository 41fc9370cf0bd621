from pathlib import Path

import pytest

from sidecar.errors import ConfigError
from sidecar.monitors.training import Bound, limits_of, reference_of
from sidecar.quality.reading import Task
from sidecar.reference.quality_files import Limit, Meta, write_quality_constraints, write_quality_statistics


def folder(path: Path, *, accuracy: float = 0.9, task: Task = "binary") -> str:
    """As training leaves it."""
    name = "mae" if task == "regression" else "accuracy"
    meta = Meta(10, None, None, None)
    (path / "statistics.json").write_bytes(write_quality_statistics(task, {name: (accuracy, 0.01)}, {}, {}, meta))
    limits = {task: {name: Limit(0.8, "LessThanThreshold")}}
    (path / "constraints.json").write_bytes(write_quality_constraints(limits))
    return str(path)


def test_a_loss_is_stated_by_accuracy_or_mean_error(tmp_path: Path) -> None:
    assert reference_of(folder(tmp_path), "binary")[0] == pytest.approx(0.1)
    assert reference_of(folder(tmp_path, accuracy=3.5, task="regression"), "regression")[0] == 3.5


def test_limits_are_those_of_the_task(tmp_path: Path) -> None:
    assert reference_of(folder(tmp_path), "binary")[1] == {"accuracy": Limit(0.8, "LessThanThreshold")}
    with pytest.raises(ConfigError, match="there is neither"):
        reference_of(folder(tmp_path), "regression")


def test_without_a_folder_nothing_is_known() -> None:
    assert reference_of(None, "binary") == (None, {})


def test_an_accuracy_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"accuracy of 1\.5, expected from 0 to 1"):
        reference_of(folder(tmp_path, accuracy=1.5), "binary")


def test_bounds_are_limits_and_unknown_metrics_are_refused() -> None:
    bounds = {"f1": Bound(below=0.9), "log_loss": Bound(above=0.5)}
    assert limits_of(bounds, "binary") == {
        "f1": Limit(0.9, "LessThanThreshold"),
        "log_loss": Limit(0.5, "GreaterThanThreshold"),
    }
    with pytest.raises(ConfigError, match=r"alert_when\.f1: expected one of mae"):
        limits_of(bounds, "regression")
