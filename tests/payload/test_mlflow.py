import pytest

from sidecar.errors import PayloadError
from sidecar.payload.mlflow import MLflow
from sidecar.records import JSON

MLFLOW = MLflow()


@pytest.mark.parametrize(
    ("document", "grid"),
    [
        (
            {"dataframe_split": {"index": [0, 1], "columns": ["a", 7], "data": [[1, "x"], [2, None]]}},
            (("a", "7"), [[1, "x"], [2, None]]),
        ),
        ({"dataframe_split": {"data": [[1, 2]]}}, ((), [[1, 2]])),
        ({"dataframe_split": {"columns": ["v"], "data": [[[1, 2]]]}}, (("v_0", "v_1"), [[1, 2]])),
        ({"dataframe_records": [{"a": 1, "b": 2}, {"a": 3}]}, (("a", "b"), [[1, 2], [3, None]])),
        ({"instances": [[1, 2]], "params": {"t": 1}}, ((), [[1, 2]])),
        ({"inputs": {"a": [1, 2], "b": [3, 4]}}, (("a", "b"), [[1, 3], [2, 4]])),
    ],
)
def test_frames_and_tensors_are_read(document: JSON, grid: object) -> None:
    assert MLFLOW.reads("/invocations", "application/json", document)
    assert MLFLOW.features(b"", document) == grid


@pytest.mark.parametrize(
    ("document", "grid"),
    [
        ({"predictions": [1, 0]}, ((), [[1], [0]])),
        ({"predictions": [{"0": 0.1, "1": 0.9}]}, (("0", "1"), [[0.1, 0.9]])),
        ({"predictions": {"label": ["a"], "score": [0.5]}}, (("label", "score"), [["a", 0.5]])),
        ([[0.1, 0.9]], ((), [[0.1, 0.9]])),
    ],
)
def test_replies_are_predictions_or_a_bare_list(document: JSON, grid: object) -> None:
    assert MLFLOW.predictions(b"", document) == grid


def test_tensors_are_mlflows_only_where_mlflow_takes_them() -> None:
    assert MLFLOW.reads("/m/invocations", "", {"instances": [1]})
    assert not MLFLOW.reads("/v1/models/m:predict", "", {"instances": [1]})
    assert MLFLOW.reads("/anything", "", {"dataframe_records": []})
    assert not MLFLOW.reads("/invocations", "", [1])


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (None, "format"),
        ({}, "format"),
        ({"dataframe_split": []}, "shape"),
        ({"dataframe_split": {"columns": ["a"]}}, "shape"),
        ({"dataframe_split": {"columns": ["a"], "data": [1]}}, "shape"),
        ({"dataframe_split": {"columns": ["a", "b"], "data": [[1]]}}, "shape"),
        ({"dataframe_split": {"columns": [["a", "b"]], "data": [[1]]}}, "shape"),
        ({"dataframe_split": {"columns": ["a"], "data": []}}, "empty"),
        ({"dataframe_split": {"data": []}}, "empty"),
        ({"dataframe_records": []}, "empty"),
    ],
)
def test_what_is_no_frame_is_a_payload_error(document: JSON, reason: str) -> None:
    with pytest.raises(PayloadError) as raised:
        MLFLOW.features(b"", document)

    assert raised.value.reason == reason
