import base64
import json
from pathlib import Path

import numpy as np
import pytest

from sidecar.datasets.captures import decoding_of, read_captures
from sidecar.datasets.chunk import Chunk
from sidecar.errors import ConfigError
from sidecar.records import Body, Capture
from sidecar.sinks.jsonl import Jsonl

PLAIN = decoding_of((), ())


def sagemaker(asked: str, answered: str, encoding: str = "CSV", **more: object) -> str:
    """A line as SageMaker's data capture writes it."""
    halves = {
        "endpointInput": {"observedContentType": "text/csv", "mode": "INPUT", "data": asked, "encoding": encoding},
        "endpointOutput": {"observedContentType": "text/csv", "mode": "OUTPUT", "data": answered, "encoding": encoding},
    }
    metadata = {"eventId": "e-1", "inferenceTime": "2026-01-01T00:00:00Z"}
    return json.dumps({"captureData": halves, "eventMetadata": metadata, "eventVersion": "0", **more}) + "\n"


def read(path: Path, *lines: str, prediction: tuple[str, ...] = ()) -> list[Chunk]:
    file = path / "a.jsonl"
    file.write_text("".join(lines))
    return list(read_captures(file, decoding_of((), prediction)))


def test_sagemaker_s_captures_are_rows_of_what_was_asked_and_answered(tmp_path: Path) -> None:
    (chunk,) = read(tmp_path, sagemaker("1,2.5\n3,4", "0.1\n0.2"), sagemaker("5,x", "0.3"), prediction=("score",))

    assert chunk.table.names == ("feature_0", "feature_1", "score")
    np.testing.assert_array_equal(chunk.table.values, [[1, 2.5, 0.1], [3, 4, 0.2], [5, np.nan, 0.3]])
    assert chunk.table.texts == {1: [None, None, "x"]}


def test_base64_and_missing_halves_are_read(tmp_path: Path) -> None:
    def coded(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    half = {"observedContentType": "text/csv", "data": "1,2", "encoding": "CSV"}
    alone = json.dumps({"captureData": {"endpointInput": half}, "eventMetadata": {"eventId": "e"}}) + "\n"

    chunks = read(tmp_path, sagemaker(coded("1,2"), coded("0.5"), "BASE64"), alone)

    assert [chunk.table.names for chunk in chunks] == [
        ("feature_0", "feature_1", "prediction"),
        ("feature_0", "feature_1"),
    ]
    assert chunks[0].table.values.tolist() == [[1, 2, 0.5]]


def test_our_captures_come_back_as_they_were_counted(tmp_path: Path) -> None:
    asked = Body("application/json", b'{"instances": [{"age": 7, "country": "at"}, {"age": 8.5, "country": null}]}')
    answered = Body("application/json", b'{"predictions": [[0.25], [0.75]]}')
    capture = Capture(
        "r", "", "v", "3", "POST", "/v1/models/m:predict", "", 200, "", 1e9, 0.0, 0.0, 0.0, 1.0, {}, asked, answered
    )
    sink = Jsonl(path=str(tmp_path))
    sink.export([capture, capture._replace(status=500), capture._replace(request=Body("", b"", "redact"))])
    sink.close()
    (file,) = tmp_path.rglob("*.jsonl")

    chunks = list(read_captures(file, PLAIN))

    assert [chunk.table.names for chunk in chunks] == [("age", "country", "prediction"), ("age", "country")]
    np.testing.assert_array_equal(chunks[0].table.values, [[7, np.nan, 0.25], [8.5, np.nan, 0.75]])
    assert (chunks[0].table.texts, chunks[0].fractional) == ({1: ["at", None]}, [0, 2])
    assert sum(chunk.read_bytes for chunk in chunks) == file.stat().st_size
    assert [reason for chunk in chunks for reason in chunk.skipped] == ["withheld"]


def test_lines_that_cannot_be_decoded_are_told(tmp_path: Path) -> None:
    (chunk,) = read(tmp_path, sagemaker("", ""), sagemaker("", ""))

    assert (chunk.table.names, list(chunk.skipped)) == ((), ["empty", "empty"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "a.jsonl:2: Input data was truncated, expected a line of SageMaker's data capture"),
        ('{"captureData": 3}', "a.jsonl:2: Expected `object`, got `int` - at `$.captureData`, expected a line"),
        (sagemaker("!", "", "BASE64"), "a.jsonl:2: "),
    ],
)
def test_what_is_no_capture_is_refused_with_its_place(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, sagemaker("1", "2"), line)

    assert message in str(raised.value)


def test_a_prediction_called_as_a_feature_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'feature_0' is a feature and a prediction"):
        read(tmp_path, sagemaker("1", "2"), prediction=("feature_0",))
