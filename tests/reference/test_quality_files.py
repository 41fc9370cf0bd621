import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import ConfigError
from sidecar.reference.quality_files import (
    METRICS,
    SECTIONS,
    Limit,
    Meta,
    QualityViolation,
    Task,
    quality_statistics,
    quality_violations,
    read_quality_constraints,
    read_quality_statistics,
    write_quality_constraints,
    write_quality_statistics,
    write_quality_violations,
)

NAN = math.nan
ROC, PR = "receiver_operating_characteristic_curve", "precision_recall_curve"

# The developer guide's example of a binary classifier, in full: four rows, too few for a deviation.
SCORES = {
    "recall": 1.0,
    "precision": 0.3333333333333333,
    "accuracy": 0.5,
    "recall_best_constant_classifier": 1.0,
    "precision_best_constant_classifier": 0.25,
    "accuracy_best_constant_classifier": 0.25,
    "true_positive_rate": 1.0,
    "true_negative_rate": 0.33333333333333337,
    "false_positive_rate": 0.6666666666666666,
    "false_negative_rate": 0.0,
    "auc": 1.0,
    "f0_5": 0.3846153846153846,
    "f1": 0.5,
    "f2": 0.7142857142857143,
    "f0_5_best_constant_classifier": 0.29411764705882354,
    "f1_best_constant_classifier": 0.4,
    "f2_best_constant_classifier": 0.625,
}
CONFUSION = {"0": {"0": 1, "1": 2}, "1": {"0": 0, "1": 1}}
CURVES = {
    ROC: {
        "false_positive_rates": [0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
        "true_positive_rates": [0.0, 0.25, 0.5, 0.75, 1.0, 1.0],
    },
    PR: {"precisions": [1.0, 1.0, 1.0, 1.0, 1.0], "recalls": [0.0, 0.25, 0.5, 0.75, 1.0]},
}
PUBLISHED = {
    "confusion_matrix": CONFUSION,
    **{name: {"value": value, "standard_deviation": "NaN"} for name, value in SCORES.items()},
    **CURVES,
}
UNDEFINED = {name: (value, NAN) for name, value in SCORES.items()}

# As Model Monitor suggests them; the third field is the SDK's.
CONSTRAINTS = {
    "version": 0.0,
    "multiclass_classification_constraints": {
        "weighted_recall": {"threshold": 0.5714285714285714, "comparison_operator": "LessThanThreshold"},
        "weighted_precision": {
            "threshold": 0.6983172269629505,
            "comparison_operator": "LessThanThreshold",
            "additional_properties": None,
        },
    },
}
LESS, GREATER = "LessThanThreshold", "GreaterThanThreshold"


def dumped(document: object) -> bytes:
    return json.dumps(document).encode()


def statistics(task: Task = "binary") -> bytes:
    return write_quality_statistics(task, UNDEFINED, CONFUSION, CURVES, Meta(4))


def test_the_published_statistics_are_written_field_for_field() -> None:
    written = json.loads(statistics())

    assert written == {
        "version": 0.0,
        "dataset": {"item_count": 4},
        "binary_classification_metrics": PUBLISHED,
    }
    assert tuple(written["binary_classification_metrics"]) == METRICS["binary"]


def test_the_published_statistics_are_read() -> None:
    document = {"dataset": {"item_count": 4}, "version": 0.0, "binary_classification_metrics": PUBLISHED}

    found = read_quality_statistics(dumped(document), "statistics.json")

    assert repr(found) == repr({"binary": UNDEFINED})


@pytest.mark.parametrize("task", SECTIONS)
def test_every_metric_of_the_documentation_has_a_name(task: Task) -> None:
    assert (len(METRICS["binary"]), len(METRICS["multiclass"]), len(METRICS["regression"])) == (20, 13, 4)
    assert len(set(METRICS[task])) == len(METRICS[task])


def test_the_published_multiclass_metrics_are_those_we_know() -> None:
    assert METRICS["multiclass"] == (
        "confusion_matrix",
        "accuracy",
        "weighted_recall",
        "weighted_precision",
        "weighted_f0_5",
        "weighted_f1",
        "weighted_f2",
        "accuracy_best_constant_classifier",
        "weighted_recall_best_constant_classifier",
        "weighted_precision_best_constant_classifier",
        "weighted_f0_5_best_constant_classifier",
        "weighted_f1_best_constant_classifier",
        "weighted_f2_best_constant_classifier",
    )


def test_metrics_of_ours_stand_behind_sagemaker_s() -> None:
    scores = {"brier": (0.1, 0.01), "r2": (0.5, NAN), "mae": (1.5, 0.25)}

    written = json.loads(write_quality_statistics("regression", scores, {}, {}, Meta(9)))

    assert list(written["regression_metrics"]) == ["mae", "r2", "brier"]


def test_what_is_in_the_file_can_be_had_without_it() -> None:
    document = quality_statistics("binary", UNDEFINED, CONFUSION, CURVES, Meta(4))

    assert document == json.loads(statistics())


def test_the_times_of_the_rows_are_written_in_utc() -> None:
    meta = Meta(4, start_s=0.0, end_s=3600.25, evaluated_s=1_700_000_000.0)

    assert json.loads(write_quality_statistics("regression", {}, {}, {}, meta))["dataset"] == {
        "item_count": 4,
        "start_time": "1970-01-01T00:00:00Z",
        "end_time": "1970-01-01T01:00:00Z",
        "evaluation_time": "2023-11-14T22:13:20Z",
    }


def test_what_json_has_no_number_for_is_written_in_words() -> None:
    scores = {"mae": (math.inf, -math.inf), "r2": (NAN, NAN)}
    data = write_quality_statistics("binary", scores, {"a\ud800": {"b": 0.5}}, {ROC: {"x": [NAN]}}, Meta(0))

    metrics = json.loads(data)["binary_classification_metrics"]
    assert metrics == {
        "mae": {"value": "Infinity", "standard_deviation": "-Infinity"},
        "r2": {"value": "NaN", "standard_deviation": "NaN"},
        ROC: {"x": ["NaN"]},
        "confusion_matrix": {"a\\ud800": {"b": 0.5}},
    }
    assert repr(read_quality_statistics(data, "")["binary"]) == repr(scores)


Numbers = st.floats() | st.integers(-1000, 1000).map(float)
Tasks = st.sampled_from(list(SECTIONS))


@given(Tasks, st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.tuples(Numbers, Numbers)))
def test_statistics_are_read_as_they_were_written(task: Task, scores: dict[str, tuple[float, float]]) -> None:
    found = read_quality_statistics(write_quality_statistics(task, scores, {}, {}, Meta(1)), "")

    assert {name: repr(pair) for name, pair in found[task].items()} == {
        name: repr(pair) for name, pair in scores.items()
    }


Limits = st.builds(Limit, Numbers, st.sampled_from(["LessThanThreshold", "GreaterThanThreshold"]))


@given(st.dictionaries(Tasks, st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), Limits), min_size=1))
def test_constraints_are_read_as_they_were_written(constraints: dict[Task, dict[str, Limit]]) -> None:
    found = read_quality_constraints(write_quality_constraints(constraints), "")

    assert {task: repr(sorted(limits.items())) for task, limits in found.items()} == {
        task: repr(sorted(limits.items())) for task, limits in constraints.items()
    }


def test_constraints_of_sagemaker_are_read() -> None:
    assert read_quality_constraints(dumped(CONSTRAINTS), "constraints.json") == {
        "multiclass": {
            "weighted_recall": Limit(0.5714285714285714, "LessThanThreshold"),
            "weighted_precision": Limit(0.6983172269629505, "LessThanThreshold"),
        }
    }


def test_constraints_are_written_in_sagemaker_s_shape() -> None:
    limits: dict[str, Limit] = {"mae": Limit(0.5, "GreaterThanThreshold"), "r2": Limit(NAN, "LessThanThreshold")}

    assert json.loads(write_quality_constraints({"regression": limits})) == {
        "version": 0.0,
        "regression_constraints": {
            "mae": {"threshold": 0.5, "comparison_operator": "GreaterThanThreshold"},
            "r2": {"threshold": "NaN", "comparison_operator": "LessThanThreshold"},
        },
    }


def test_what_we_do_not_know_is_passed_over() -> None:
    metrics = {
        "mae": {"value": 1, "standard_deviation": None, "unit": "EUR"},
        "mse": {"value": None},
        "curve": {"xs": []},
        "note": "good",
        "list": [1],
    }
    document = {"version": 9, "regression_metrics": metrics, "more": [1]}

    assert repr(read_quality_statistics(dumped(document), "")) == repr(
        {"regression": {"mae": (1.0, NAN), "mse": (NAN, NAN)}}
    )


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"regression_constraints": {"mae": {"threshold": "x", "comparison_operator": LESS}}}, ".mae.threshold"),
        ({"regression_constraints": {"mae": {"comparison_operator": LESS}}}, ".mae"),
        ({"regression_constraints": {"mae": {"threshold": 1}}}, ".mae"),
        ({"regression_constraints": {"mae": {"threshold": 1, "comparison_operator": "<"}}}, ".mae.comparison_operator"),
        ({"regression_constraints": {"mae": 1}}, ".mae"),
        ({"regression_constraints": []}, ""),
    ],
)
def test_a_bad_field_of_the_constraints_is_named(document: object, place: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read_quality_constraints(dumped(document), "r/constraints.json")

    [fault] = raised.value.faults
    assert fault.path == "r/constraints.json"
    assert f" - at `$.regression_constraints{place}`, in a file of SageMaker's" in fault.message


@pytest.mark.parametrize(
    ("metric", "place"), [({"value": "x"}, ".value"), ({"value": 1, "standard_deviation": {}}, ".standard_deviation")]
)
def test_a_bad_field_of_the_statistics_is_named(metric: object, place: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read_quality_statistics(dumped({"regression_metrics": {"mae": metric}}), "")

    assert f"`$.regression_metrics.mae{place}`" in str(raised.value)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"regression_constraints": {"a": {}'])
def test_what_is_not_json_of_that_kind_is_refused(data: bytes) -> None:
    for read in (read_quality_constraints, read_quality_statistics):
        with pytest.raises(ConfigError):
            read(data, "x")


def test_a_file_of_data_quality_is_refused_as_it_would_limit_nothing() -> None:
    with pytest.raises(ConfigError, match="no section of model quality, expected one of binary_classification_cons"):
        read_quality_constraints(b'{"version": 0, "features": []}', "constraints.json")


def test_a_metric_beyond_its_limit_is_a_violation() -> None:
    scores = {"f2": (0.5, 0.01), "mae": (2.0, NAN), "r2": (0.9, 0.0), "auc": (NAN, NAN), "recall": (0.7, 0.1)}
    limits: dict[str, Limit] = {
        "mae": Limit(1.5, "GreaterThanThreshold"),
        "f2": Limit(0.625, "LessThanThreshold"),
        "r2": Limit(0.9, "LessThanThreshold"),
        "auc": Limit(0.9, "LessThanThreshold"),
        "recall": Limit(NAN, "LessThanThreshold"),
        "precision": Limit(1.0, "LessThanThreshold"),
    }

    assert quality_violations(scores, limits) == [
        QualityViolation("mae", "GreaterThanThreshold", "Metric mae with 2.0 was GreaterThanThreshold 1.5", 2.0, 1.5),
        QualityViolation(
            "f2", "LessThanThreshold", "Metric f2 with 0.5 +/- 0.01 was LessThanThreshold 0.625", 0.5, 0.625
        ),
    ]


@given(Limits, Numbers, Numbers)
def test_a_value_breaks_its_limit_only_strictly_beyond_it(limit: Limit, value: float, deviation: float) -> None:
    beyond = value < limit.threshold if limit.operator == LESS else value > limit.threshold

    assert bool(quality_violations({"m": (value, deviation)}, {"m": limit})) == beyond


def test_violations_are_written_in_sagemaker_s_shape() -> None:
    found = quality_violations({"mae": (math.inf, NAN)}, {"mae": Limit(1.5, "GreaterThanThreshold")})

    assert json.loads(write_quality_violations([("champion", each) for each in found])) == {
        "violations": [
            {
                "constraint_check_type": GREATER,
                "description": "Metric mae with inf was GreaterThanThreshold 1.5",
                "metric_name": "mae",
                "variant": "champion",
                "value": "Infinity",
                "threshold": 1.5,
            }
        ]
    }
    assert json.loads(write_quality_violations([])) == {"violations": []}
