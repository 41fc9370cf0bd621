import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.catalog.documents import decode, encode
from sidecar.entries import Draft, Link, Point
from tests.catalog.contract import DRAFT, plain

DEEP = b'{"signature": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"


def test_a_draft_comes_back_as_it_was() -> None:
    assert plain(decode(encode(DRAFT), Draft)) == plain(DRAFT)
    assert decode(encode(DRAFT), Draft).links[0] == Link("trained_on", "s3://data/2026-07", DRAFT.digest)


@given(st.floats(), st.text(st.characters(exclude_categories=["Cs"])))
def test_any_number_and_any_text_come_back(value: float, text: str) -> None:
    point = decode(encode(Point(text, 1, value, 0.0)), Point)
    assert repr(point) == repr(Point(text, 1, value, 0.0))


def test_it_is_json_that_anybody_reads() -> None:
    assert msgspec.json.decode(encode([math.nan, math.inf, -math.inf, 1.5])) == ["NaN", "Infinity", "-Infinity", 1.5]


def test_scalars_of_numpy_are_numbers() -> None:
    assert encode(np.str_("a")) == b'"a"'
    data = encode(Draft(metrics={"a": np.float32(0.5), "b": np.float64(0.25), "c": np.int64(3)}))  # type: ignore[dict-item]  # as training code has them
    assert dict(decode(data, Draft).metrics) == {"a": 0.5, "b": 0.25, "c": 3.0}


def test_a_key_of_a_later_version_is_left_out() -> None:
    assert decode(b'{"notes": "a", "colour": "red"}', Draft) == Draft(notes="a")


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"notes": 1}', b'{"links": [["trained_on"]]}', b"\xff", DEEP], ids=range(7)
)
def test_what_is_no_document_is_told(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(data, Draft)


def test_what_no_document_can_hold_is_told() -> None:
    with pytest.raises(TypeError, match="object is no text and no number"):
        encode({"a": object()})
