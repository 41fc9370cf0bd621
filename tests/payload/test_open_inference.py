from typing import Any

import pytest

from sidecar.errors import PayloadError
from sidecar.payload import grid
from sidecar.payload.open_inference import OpenInference
from sidecar.records import JSON

V2 = OpenInference()


def tensor(name: str, shape: JSON, data: JSON, datatype: str = "FP32", **more: JSON) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data, **more}


BASE64 = {"content_type": "base64"}


@pytest.mark.parametrize(
    ("tensors", "names", "rows"),
    [
        ([tensor("input0", [2, 2], [1, 2, 3, 4], "UINT32")], (), [[1, 2], [3, 4]]),
        ([tensor("input0", [2, 2], [[1, 2], [3, 4]], "UINT32")], (), [[1, 2], [3, 4]]),
        ([tensor("x", [1, 2, 2], [[[1, 2], [3, 4]]])], (), [[1, 2, 3, 4]]),
        ([tensor("x", [3], [1, 2, 3])], ("x",), [[1], [2], [3]]),
        ([tensor("x", [3, 1], [[1], [2], [3]])], ("x",), [[1], [2], [3]]),
        ([tensor("x", [1], [1])], ("x",), [[1]]),
        ([tensor("x", [1, 2], [1.5, None])], (), [[1.5, None]]),
        (
            [
                tensor("age", [2, 1], [7, 8], "INT64"),
                tensor("name", [2], ["a", "b"], "BYTES"),
                tensor("z", [2, 2], [1, 2, 3, 4]),
            ],
            ("age", "name", "z_0", "z_1"),
            [[7, "a", 1, 2], [8, "b", 3, 4]],
        ),
        ([tensor("ok", [2], [True, False], "BOOL")], ("ok",), [[True], [False]]),
        ([tensor("t", [1, 1], ["YQ=="], "BYTES", parameters={"content_type": "str"})], ("t",), [["YQ=="]]),
        ([tensor("t", [3], ["YcOp", "/w==", "%"], "BYTES", parameters=BASE64)], ("t",), [["aé"], [None], [None]]),
        ([tensor("t", [2], ["é", 5], "BYTES", parameters=BASE64)], ("t",), [[None], [None]]),
        ([tensor("t", [1], [5], "INT8", parameters=BASE64)], ("t",), [[5]]),
    ],
)
def test_tensors_become_columns(tensors: list[JSON], names: tuple[str, ...], rows: list[list[object]]) -> None:
    assert V2.reads("/v2/models/m/infer", "application/json", {"inputs": tensors})
    assert V2.features(b"", {"id": "42", "inputs": tensors}) == (names, rows)
    assert V2.predictions(b"", {"model_name": "m", "outputs": tensors}) == (names, rows)


def test_the_requests_content_type_holds_for_tensors_without_one() -> None:
    tensors = [
        tensor("a", [1], ["YQ=="], "BYTES"),
        tensor("b", [1], ["YQ=="], "BYTES", parameters={"content_type": "str"}),
    ]

    assert V2.features(b"", {"parameters": BASE64, "inputs": tensors}) == (("a", "b"), [["a", "YQ=="]])


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ([], "empty"),
        ([1], "shape"),
        ([{}], "shape"),
        ([tensor("x", None, [1])], "shape"),
        ([tensor("x", [], [1])], "shape"),
        ([tensor("x", [1.0], [1])], "shape"),
        ([tensor("x", [True], [1])], "shape"),
        ([tensor("x", ["1"], [1])], "shape"),
        ([tensor("x", [1] * 9, [1])], "shape"),
        ([tensor("x", [-1, -1], [1])], "empty"),
        ([tensor("x", [0], [])], "empty"),
        ([tensor("x", [2], [1])], "shape"),
        ([tensor("x", [1], [1, 2])], "shape"),
        ([tensor("x", [1], 1)], "shape"),
        ([tensor("x", [1], None)], "shape"),
        ([tensor("x", [2**62, 2**62], [1])], "shape"),
        ([{**tensor("x", [1], [1]), "name": 5}], "shape"),
        ([tensor("x", [2], [1, 2]), tensor("y", [1], [1])], "shape"),
        ([tensor("x", [1], [1])] * (grid.MAX_COLUMNS + 1), "shape"),
        ([tensor("x", [1, 3000], [1] * 3000)] * 2, "shape"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_tensors_that_are_not_as_their_shape_says_are_a_payload_error(tensors: list[JSON], reason: str) -> None:
    with pytest.raises(PayloadError) as raised:
        V2.features(b"", {"inputs": tensors})

    assert raised.value.reason == reason


@pytest.mark.parametrize(
    "document", [None, [], {}, {"inputs": {"x": [1]}}, {"inputs": []}, {"inputs": [[1, 2]]}, {"inputs": [{"x": 1}]}]
)
def test_anything_else_is_another_format(document: JSON) -> None:
    assert not V2.reads("/v2/models/m/infer", "application/json", document)


@pytest.mark.parametrize("document", [None, [], {}, {"outputs": {"x": [1]}}])
def test_a_reply_without_tensors_is_another_format(document: JSON) -> None:
    with pytest.raises(PayloadError) as raised:
        V2.predictions(b"", document)

    assert raised.value.reason == "format"
