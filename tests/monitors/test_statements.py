import json

import numpy as np

from sidecar.monitors.quality import Quality
from sidecar.monitors.statements import statistics
from sidecar.monitors.training import Bound
from sidecar.quality.reading import Reading
from sidecar.records import Labelled, Table
from sidecar.reference.quality_files import read_quality_statistics


def rows(n: int, seed: int = 0) -> Labelled:
    """Answers that are right in 9 of 10."""
    rng = np.random.default_rng(seed)
    answers = rng.random(n)
    labels = np.where(rng.random(n) < 0.9, answers >= 0.5, answers < 0.5).astype(np.float64)
    nothing = Table((), np.empty((n, 0)))
    return Labelled(
        "champion", "3", np.arange(float(n)), np.ones(n), nothing, Table(("probability",), answers[:, None]),
        Table(("label",), labels[:, None]), nothing,
    )  # fmt: skip


def test_the_files_of_an_hour_are_model_monitor_s() -> None:
    grading = Quality(alert_when={"accuracy": Bound(below=0.99)}).grade(lambda: Reading(task="binary"))
    grading.take(rows(1000))
    grading.assess(2000.0)

    [(variant, named)] = grading.files()
    found = read_quality_statistics(named["statistics.json"], "statistics.json")["binary"]
    assert variant == "champion"
    assert found["accuracy"] == grading.grades["champion", "3"].window.scores["accuracy"]
    assert json.loads(named["statistics.json"])["dataset"] == {
        "item_count": 1000,
        "start_time": "1970-01-01T00:00:00Z",
        "end_time": "1970-01-01T00:16:39Z",
        "evaluation_time": "1970-01-01T00:33:20Z",
    }
    [violation] = json.loads(named["constraint_violations.json"])["violations"]
    assert (violation["metric_name"], violation["constraint_check_type"]) == ("accuracy", "LessThanThreshold")


def test_files_are_made_when_scores_are_new() -> None:
    grading = Quality().grade(lambda: Reading(task="binary"))
    grading.take(rows(300))
    grading.assess(1000.0)

    assert [len(grading.files()), len(grading.files())] == [1, 0]
    grading.take(rows(300, seed=1))
    grading.assess(2000.0)
    assert len(grading.files()) == 1


def test_without_rows_what_is_undefined_is_nan() -> None:
    grading = Quality().grade(lambda: Reading(task="regression"))
    graded = grading.versions.of("champion", "3", 0.0)
    document = statistics("regression", graded.scored.window(0.0))

    assert document["regression_metrics"]["mae"] == {"value": "NaN", "standard_deviation": "NaN"}
    assert document["dataset"] == {"item_count": 0}
