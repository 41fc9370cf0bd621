import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import PayloadError
from sidecar.payload import DECODERS
from sidecar.payload.decoding import Decoding
from sidecar.payload.writing import write
from sidecar.records import JSON, Body
from tests.payload.conftest import MakeCapture

JSON_TYPE = "application/json"
TENSOR = {"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [[1.5, 2], [3, 4.5]]}
BASE64 = {"name": "t", "shape": [2, 1], "datatype": "BYTES", "data": ["YQ==", "Yg=="]}
COUNT = {"name": "n", "shape": [2], "datatype": "INT64", "data": [1, 2]}

REQUESTS: list[tuple[str, bytes]] = [
    (JSON_TYPE, b'{"instances": [[1.5, 2], [3, 4.5]], "signature_name": "s"}'),
    (JSON_TYPE, b'{"instances": [[[1.5], [2]], [[3], [4.5]]]}'),
    (JSON_TYPE, b'{"instances": [{"a": 1.5, "b": [1, 2]}, {"a": 3, "b": [4, 5]}]}'),
    (JSON_TYPE, b'{"instances": [{"features": [1.5, "x"]}, {"features": [3, "y"]}]}'),
    (JSON_TYPE, b'{"instances": [1.5, 2.5]}'),
    (JSON_TYPE, b'{"inputs": {"a": [1.5, 2], "b": [[1, 2], [4, 5]]}}'),
    (JSON_TYPE, b'{"inputs": {"a": 1.5, "b": "x"}}'),
    (JSON_TYPE, b'{"inputs": [[1.5, null], [3, 4.5]]}'),
    (JSON_TYPE, b'{"instances": [[1.5, NaN], [3, Infinity]]}'),
    (JSON_TYPE, b'{"dataframe_split": {"columns": ["a", "b"], "index": [7, 9], "data": [[1.5, "x"], [2, "y"]]}}'),
    (JSON_TYPE, b'{"dataframe_split": {"data": [[1.5, "x"], [2, "y"]]}, "params": {"p": 1}}'),
    (JSON_TYPE, b'{"dataframe_records": [{"a": 1.5, "b": true}, {"a": 2, "b": false}]}'),
    (JSON_TYPE, json.dumps({"id": "7", "inputs": [TENSOR]}).encode()),
    (JSON_TYPE, json.dumps({"inputs": [TENSOR, COUNT, BASE64], "parameters": {"content_type": "base64"}}).encode()),
    ("text/csv", b"1.5,2,x\n3,,y\n"),
    ("text/csv", b'a,b\n1.5,"x, y"\n3,z\n'),
    ("application/jsonlines", b'{"features": [1.5, 2]}\n{"features": [3, 4.5]}\n'),
    ("application/x-ndjson", b'{"a": 1.5, "b": "x"}\n\n{"a": 2, "b": "y"}\n'),
]


@pytest.mark.parametrize(("media", "body"), REQUESTS)
def test_rows_that_are_written_are_read_again(make_capture: MakeCapture, media: str, body: bytes) -> None:
    rows = Decoding(DECODERS).decode(make_capture(body, media=media))
    names, asked = rows.features, rows.asked
    for place in range(len(asked)):
        written = write(Body(media, body), names, place, asked * 2)
        again = Decoding(DECODERS).decode(make_capture(written, media=media))
        assert (again.features, repr(again.asked)) == (names, repr(asked * 2))


@pytest.mark.parametrize(
    ("body", "rows", "written"),
    [
        # Whole numbers as they were asked for, though a sample has them as doubles.
        (
            b'{"instances": [[1, 2.5, true]]}',
            [[3.0, 4.0, 1.0], [3.5, None, False]],
            [[3, 4.0, True], [3.5, None, False]],
        ),
        (b'{"instances": [["a", "b", 1]]}', [["x", 2.0, 1e300]], [["x", 2.0, 1e300]]),
    ],
)
def test_cells_are_written_as_the_request_has_them(body: bytes, rows: JSON, written: JSON) -> None:
    found = json.loads(write(Body(JSON_TYPE, body), ("a", "b", "c"), 0, rows))
    assert repr(found["instances"]) == repr(written)


def test_what_stands_beside_the_rows_stays_and_an_index_goes() -> None:
    body = b'{"dataframe_split": {"columns": ["a"], "index": [7], "data": [[1]]}, "params": {"p": 1}}'
    found = json.loads(write(Body(JSON_TYPE, body), ("a",), 0, [[2], [3]]))
    assert found == {"dataframe_split": {"columns": ["a"], "data": [[2], [3]]}, "params": {"p": 1}}


def test_tensors_get_their_shape_datatype_and_coding() -> None:
    body = json.dumps({"inputs": [COUNT, BASE64 | {"parameters": {"content_type": "base64"}}], "id": "7"}).encode()
    found = json.loads(write(Body(JSON_TYPE, body), ("n", "t"), 0, [[5.0, "c"], [6.0, "d"], [7, None]]))
    assert found["id"] == "7"
    assert [(each["shape"], each["data"]) for each in found["inputs"]] == [
        ([3], [5, 6, 7]),
        ([3, 1], ["Yw==", "ZA==", None]),
    ]


@pytest.mark.parametrize(
    ("media", "body"),
    [
        (JSON_TYPE, b"[1, 2]"),
        (JSON_TYPE, b'{"other": 1}'),
        (JSON_TYPE, b"garbage"),
        (JSON_TYPE, b'{"instances": []}'),
        (JSON_TYPE, b'{"instances": [{"other": 1}]}'),
        (JSON_TYPE, b'{"inputs": 5}'),
        (JSON_TYPE, b'{"dataframe_split": 1}'),
        (JSON_TYPE, b'{"inputs": [{"shape": 1}]}'),
        (JSON_TYPE, b'{"instances": [[1, 2, 3]]}'),
        ("text/csv", b""),
        ("text/csv", b"\xff"),
        ("application/jsonlines", b"\n"),
    ],
)
def test_what_cannot_be_written_is_refused(media: str, body: bytes) -> None:
    with pytest.raises(PayloadError):
        write(Body(media, body), ("a", "b"), 0, [[1, 2]])


cells = st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.text("abc ,\"'\n", min_size=1)


@given(st.lists(st.tuples(cells, cells), min_size=2, max_size=4))
def test_any_cells_are_written_and_read(rows: list[tuple[object, object]]) -> None:
    body = b'{"dataframe_split": {"columns": ["a", "b"], "data": [[1.5, "x"]]}}'
    written = write(Body(JSON_TYPE, body), ("a", "b"), 0, rows)
    capture = json.loads(written)
    assert [tuple(each) for each in capture["dataframe_split"]["data"]] == rows
