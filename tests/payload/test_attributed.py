import json

import numpy as np
import pytest

from sidecar.errors import PayloadError
from sidecar.payload import DECODERS
from sidecar.payload.attributed import Attributed, from_columns, from_document
from sidecar.payload.decoding import Decoding
from sidecar.payload.pointers import parse_pointer
from sidecar.records import JSON, Capture, Rows
from tests.payload.conftest import MakeCapture

NAN = np.nan
ASKED = {"instances": [{"age": 30, "income": 5.0}, {"age": 40, "income": 6.0}]}


def exchange(make_capture: MakeCapture, answered: JSON, asked: JSON = None) -> tuple[Capture, Rows]:
    capture = make_capture(json.dumps(asked or ASKED).encode(), json.dumps(answered).encode())
    return capture, Decoding(DECODERS).decode(capture)


def same(found: Attributed | None, names: tuple[str, ...], values: list[list[float]]) -> None:
    assert found is not None
    assert found.names == names
    np.testing.assert_array_equal(found.values, values)


def test_columns_of_a_prefix_are_attributions(make_capture: MakeCapture) -> None:
    reply = {
        "predictions": [
            {"score": 0.3, "attribution_age": 0.1, "attribution_income": -0.2, "attribution_": 9},
            {"score": 0.4, "attribution_age": 0.3, "attribution_income": None, "attribution_": 9},
        ]
    }
    _, rows = exchange(make_capture, reply)
    same(from_columns(rows, "attribution_"), ("age", "income"), [[0.1, -0.2], [0.3, NAN]])
    assert from_columns(rows, "shap_") is None


MAPPINGS = [{"age": 0.1, "income": -0.2}, {"age": 0.3, "income": 0.4}]
LISTS = [[0.1, -0.2], [0.3, 0.4]]


@pytest.mark.parametrize(
    ("pointer", "explanations"),
    [
        ("/explanations/attributions", {"attributions": MAPPINGS}),
        ("/explanations/attributions/*", {"attributions": MAPPINGS}),
        ("/explanations/*/shap", [{"shap": each} for each in MAPPINGS]),
        ("/explanations/*/shap", [{"shap": each} for each in LISTS]),
        ("/explanations", LISTS),
        ("/explanations/0/data", [{"name": "shap", "shape": [2, 2], "data": [0.1, -0.2, 0.3, 0.4]}]),
    ],
)
def test_what_a_pointer_finds_is_read_by_row(make_capture: MakeCapture, pointer: str, explanations: JSON) -> None:
    capture, rows = exchange(make_capture, {"predictions": [1, 0], "explanations": explanations})
    same(from_document(capture, rows, parse_pointer(pointer)), ("age", "income"), LISTS)


@pytest.mark.parametrize("found", [[0.5, 0.25], [[0.5, 0.25]], {"a": 0.5, "b": 0.25}, [{"a": 0.5, "b": 0.25}]])
def test_one_row_is_read_in_whatever_it_is_wrapped(make_capture: MakeCapture, found: JSON) -> None:
    capture, rows = exchange(make_capture, {"predictions": [1], "why": found}, {"instances": [{"a": 1, "b": 2}]})
    same(from_document(capture, rows, ("why",)), ("a", "b"), [[0.5, 0.25]])


def test_a_feature_that_a_row_does_not_name_or_has_no_number_of_has_none(make_capture: MakeCapture) -> None:
    reply = {"predictions": [1, 0], "why": [{"age": 0.1, "odd": "text"}, {"income": True, "odd": None}]}
    capture, rows = exchange(make_capture, reply)
    same(from_document(capture, rows, ("why",)), ("age", "odd", "income"), [[0.1, NAN, NAN], [NAN, NAN, 1.0]])


@pytest.mark.parametrize("answered", [{"predictions": [1, 0]}, {"predictions": [1, 0], "why": [{}, {}]}])
def test_a_reply_without_any_has_none(make_capture: MakeCapture, answered: JSON) -> None:
    capture, rows = exchange(make_capture, answered)
    assert from_document(capture, rows, ("why",)) is None


@pytest.mark.parametrize(
    "found",
    [
        1,
        "text",
        None,
        [],
        [1, 2, 3],
        [{"a": 1}],
        [[1, 2], [3]],
        [[1, 2], {"a": 1}],
        [[[1, 2], [3, 4]]],
        [MAPPINGS, MAPPINGS, MAPPINGS],
        {"a": 1},
    ],
)
def test_anything_else_is_refused(make_capture: MakeCapture, found: JSON) -> None:
    capture, rows = exchange(make_capture, {"predictions": [1, 0], "why": found})
    with pytest.raises(PayloadError):
        from_document(capture, rows, ("why",))


def test_a_reply_that_is_not_known_is_refused(make_capture: MakeCapture) -> None:
    capture, rows = exchange(make_capture, {"predictions": [1, 0]})
    with pytest.raises(PayloadError) as raised:
        from_document(capture._replace(reply=capture.reply._replace(withheld="redact", data=b"")), rows, ("why",))
    assert raised.value.reason == "withheld"
