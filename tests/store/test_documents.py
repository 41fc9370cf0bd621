import math
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.records import Joined, Label, Prediction, Scalar
from sidecar.store.documents import (
    DIGEST_BYTES,
    Layout,
    decode_body,
    decode_label,
    decode_layout,
    decode_prediction,
    digest,
    encode_body,
    encode_label,
    encode_layout,
    encode_prediction,
    layout_of,
    rows_of,
)
from tests.store.contract import ODD, plain, prediction

KEPT = prediction("e", "r", rows=2)
TOLD = Label("r", (1, "ja", None, 0.5, True), "click", {"age": 30, "sex": "f"})

texts = st.text(st.characters(exclude_categories=[]), max_size=8)
scalars = texts | st.integers() | st.floats() | st.booleans() | st.none()
rows = st.lists(st.lists(scalars, max_size=3), max_size=3)
names = st.lists(texts, max_size=3).map(tuple)
predictions = st.builds(
    Prediction,
    ids=names,
    variant=texts,
    version=texts,
    time_s=st.floats(),
    weight=st.floats(),
    features=names,
    asked=rows,
    predictions=names,
    answered=rows,
    groups=st.dictionaries(texts, texts, max_size=2),
)
labels = st.builds(
    Label,
    id=texts,
    values=st.lists(scalars, max_size=3).map(tuple),
    metric=texts,
    groups=st.dictionaries(texts, scalars, max_size=2),
)


@given(predictions, labels)
def test_everything_comes_back_as_it_was(kept: Prediction, told: Label) -> None:
    before = plain(Joined(0, kept, told))
    again = decode_label(encode_label(told))
    assert plain(Joined(0, decode_prediction(encode_prediction(kept)), again)) == before
    assert plain(Joined(0, decode_body(encode_body(kept), layout_of(kept)), again)) == before
    assert decode_layout(encode_layout(layout_of(kept))) == layout_of(kept)


@pytest.mark.parametrize("cell", ODD)
def test_an_odd_cell_comes_back_as_it_was(cell: Scalar) -> None:
    again = decode_prediction(encode_prediction(replace(KEPT, asked=[[cell]])))
    assert (repr(again.asked), type(again.asked[0][0])) == (repr([[cell]]), type(cell))


def test_numpys_scalars_and_rows_of_any_kind_come_back_as_pythons() -> None:
    cells = (np.float64(0.5), np.int64(3), np.str_("a"))
    kept = replace(KEPT, asked=(cells,), groups=MappingProxyType({"sex": "f"}))  # type: ignore[arg-type]  # what a caller may have
    for odd in ("", "\ud800"):
        again = decode_prediction(encode_prediction(replace(kept, version=odd)))
        assert (repr(again.asked), again.groups) == ("[[0.5, 3, 'a']]", {"sex": "f"})


def test_what_is_neither_text_nor_number_is_refused() -> None:
    with pytest.raises(TypeError, match="object is no text and no number"):
        encode_prediction(replace(KEPT, asked=[[object()]]))  # type: ignore[list-item]  # what mypy would stop


@pytest.mark.parametrize("data", [b"", b"[", b"[]", b"\x90", b"\xff", b'["a", 1]', b"\x94\x01\x02\x03\x04", b"\x80"])
def test_what_is_no_document_is_a_value_error(data: bytes) -> None:
    for decode in (decode_prediction, decode_label, decode_layout):
        with pytest.raises(ValueError, match=r"."):
            decode(data)
    with pytest.raises(ValueError, match=r"."):
        decode_body(data, Layout("", "", (), ()))


def test_a_digest_has_one_length_and_tells_texts_apart() -> None:
    found = {digest(text) for text in ("", "a", "A", "a\0", "\ud800", "\ud801", "a" * 100_000)}
    assert [len(each) for each in found] == [DIGEST_BYTES] * 7


def test_names_are_not_in_the_body() -> None:
    long = replace(KEPT, features=tuple(f"feature-{n}" for n in range(100)))
    assert encode_body(long) == encode_body(KEPT)


def test_rows_are_those_of_the_side_that_could_be_read() -> None:
    assert [rows_of(KEPT), rows_of(replace(KEPT, asked=[])), rows_of(replace(KEPT, answered=[]))] == [2, 2, 2]


def test_a_number_keeps_its_bits() -> None:
    for number in (0.1 + 0.2, math.nextafter(1, 2), 5e-324, -0.0, 1e308):
        [[again]] = decode_prediction(encode_prediction(replace(KEPT, asked=[[number]]))).asked
        assert math.copysign(1, float(again or 0)) * abs(float(again or 0)) == number
