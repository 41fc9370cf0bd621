import base64
import json
import math
from pathlib import Path

import numpy as np
import pytest

from sidecar.datasets.captures import capture_of, decoding_of, read_captures
from sidecar.datasets.chunk import Chunk
from sidecar.errors import ConfigError, PayloadError
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


def test_a_line_of_ours_is_the_capture_that_was_written(tmp_path: Path) -> None:
    asked = Body("application/json", b'{"instances": [[1]]}')
    capture = Capture(
        request_id="r",
        inference_id="i",
        variant="v",
        version="3",
        method="PUT",
        path="/score",
        route="/{model}",
        status=503,
        error_type="timeout",
        started_s=1_785_412_800.0,
        duration_s=0.25,
        first_byte_s=0.125,
        overhead_s=0.0625,
        sample_ratio=0.5,
        headers={"request": {"x-region": "south"}, "reply": {}},
        request=asked,
        reply=Body("", b"", "truncated"),
    )
    sink = Jsonl(path=str(tmp_path))
    sink.export([capture])
    sink.close()
    (file,) = tmp_path.rglob("*.jsonl")

    found = capture_of(file.read_bytes())

    assert found == capture._replace(given_id=capture.event_id)
    assert found.event_id == capture.event_id


def test_a_line_of_sagemaker_s_has_what_its_folder_says() -> None:
    found = capture_of(sagemaker("1,2", "3").encode(), "AllTraffic")

    assert (found.variant, found.started_s, found.event_id, found.request_id) == (
        "AllTraffic",
        1767225600.0,
        "e-1",
        "e-1",
    )
    assert (found.status, found.sample_ratio, dict(found.headers)) == (200, 1.0, {"request": {}, "reply": {}})


@pytest.mark.parametrize(
    ("told", "time_s"),
    [
        ("2026-01-01T00:00:00Z", 1767225600.0),
        ("2026-01-01T00:00:00", 1767225600.0),
        ("2026-01-01T01:00:00.25+01:00", 1767225600.25),
        ("1969-12-31T23:59:59Z", None),
        ("0001-01-01T00:00:00+23:59", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_a_time_is_one_or_not_a_number(told: str, time_s: float | None) -> None:
    line = json.dumps({"captureData": {}, "eventMetadata": {"eventId": "e", "inferenceTime": told}})

    found = capture_of(line.encode()).started_s

    assert (None if math.isnan(found) else found) == time_s


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        b'{"captureData": {}}',
        b'{"captureData": {}, "eventMetadata": {"eventId": "e"}, "sidecar": {"status": 1e30}}',
        b'{"captureData": {}, "eventMetadata": {"eventId": "e"}, "sidecar": {"status": 4294967296}}',
        '{"captureData": {"endpointInput": {"data": "é"}}, "eventMetadata": {"eventId": "e"}}'.encode(),
    ],
)
def test_what_is_no_capture_is_told(line: bytes) -> None:
    with pytest.raises(PayloadError, match="expected a line of SageMaker's data capture"):
        capture_of(line)


@pytest.mark.parametrize(("started_s", "expected"), [(1.5, 1.5), (-1.0, None), (1e300, None)])
def test_a_time_that_no_calendar_has_is_none(started_s: float, expected: float | None) -> None:
    line = json.dumps({"captureData": {}, "eventMetadata": {"eventId": "e"}, "sidecar": {"started_s": started_s}})

    found = capture_of(line.encode()).started_s

    assert (None if math.isnan(found) else found) == expected
