from collections.abc import Mapping
from datetime import date
from decimal import Decimal

import numpy as np
import pandas
import polars
import pyarrow as arrow
import pytest

from sidecar.errors import ConfigError
from sidecar.records import JSON
from sidecar.report.frames.tabling import Sheet, Tables

NUMBERS = [1.0, 2.5, None]
TEXTS = ["Wien", None, "Graz"]


def whole(frame: JSON) -> Tables:
    [piece] = Sheet.of(frame).pieces()
    return piece


def cells(frame: JSON) -> dict[str, list[JSON]]:
    """Numbers and texts by column, None for what is missing."""
    table = whole(frame).features
    return {
        name: [
            text if text is not None else None if np.isnan(value) else value
            for value, text in zip(
                table.values[:, place].tolist(), table.texts.get(place, [None] * len(table.values)), strict=True
            )
        ]
        for place, name in enumerate(table.names)
    }


FRAMES: Mapping[str, JSON] = {
    "dict": {"n": np.array([1.0, 2.5, np.nan]), "t": np.array(TEXTS, dtype=object), "b": [True, False, True]},
    "pandas": pandas.DataFrame({"n": NUMBERS, "t": TEXTS, "b": [True, False, True]}),
    "pandas, nullable": pandas.DataFrame(
        {"n": pandas.array(NUMBERS, dtype="Float64"), "t": TEXTS, "b": [True, False, True]}
    ),
    "pandas, categories": pandas.DataFrame(
        {"n": NUMBERS, "t": pandas.Categorical(TEXTS), "b": pandas.array([True, False, True], dtype="boolean")}
    ),
    "polars": polars.DataFrame({"n": NUMBERS, "t": TEXTS, "b": [True, False, True]}),
    "polars, categories": polars.DataFrame(
        {"n": NUMBERS, "t": polars.Series(TEXTS, dtype=polars.Categorical), "b": [True, False, True]}
    ),
    "pyarrow": arrow.table({"n": NUMBERS, "t": TEXTS, "b": [True, False, True]}),
    "pyarrow batch": arrow.record_batch({"n": NUMBERS, "t": TEXTS, "b": [True, False, True]}),
    "pyarrow, dictionary": arrow.table(
        {"n": NUMBERS, "t": arrow.array(TEXTS).dictionary_encode(), "b": [True, False, True]}
    ),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_every_kind_of_frame_says_the_same(kind: str) -> None:
    assert cells(FRAMES[kind]) == {"n": [1.0, 2.5, None], "t": ["Wien", None, "Graz"], "b": [1.0, 0.0, 1.0]}


@pytest.mark.parametrize("make", [pandas.DataFrame, polars.DataFrame, arrow.table, dict])
def test_whole_numbers_dates_and_decimals_are_read(make: JSON) -> None:
    frame = make({"i": [1, 2], "d": [date(2026, 11, 1), None], "c": [Decimal("1.5"), None]})

    assert cells(frame) == {"i": [1.0, 2.0], "d": ["2026-11-01", None], "c": [1.5, None]}


def test_times_are_texts_and_a_missing_one_is_missing() -> None:
    frame = {"at": np.array(["2026-11-01T10:00:00", "NaT"], dtype="datetime64[s]")}

    assert cells(frame) == {"at": ["2026-11-01T10:00:00", None]}


def test_a_column_of_numbers_and_texts_has_both() -> None:
    frame = {"x": np.array([1, "a", None, np.float32(2.0), True, np.nan, b"b", pandas.NA], dtype=object)}

    assert cells(frame) == {"x": [1.0, "a", None, 2.0, 1.0, None, "b", None]}


def test_which_columns_have_a_type_with_fractions_is_told() -> None:
    piece = whole({"whole": np.array([1, 2]), "float": np.array([1.0, 2.0]), "text": np.array(["a", "b"])})

    assert piece.fractional == [1]


def test_a_frame_of_captures_has_features_and_predictions_and_nothing_else() -> None:
    frame = arrow.table(
        {
            "time": [0, 1],
            "feature__age": [30.0, None],
            "feature_text__age": [None, "old"],
            "prediction__score": [0.5, 0.25],
            "variant": ["a", "a"],
        }
    )

    piece = whole(frame)

    assert (piece.features.names, piece.predictions.names) == (("age",), ("score",))
    assert piece.features.texts == {0: [None, "old"]}
    assert piece.predictions.values.tolist() == [[0.5], [0.25]]


def test_pieces_are_of_so_many_rows_in_the_order_that_is_asked_for() -> None:
    sheet = Sheet.of({"x": np.arange(10)})

    pieces = list(sheet.pieces(4, np.arange(10)[::-1]))

    assert [piece.features.values[:, 0].tolist() for piece in pieces] == [[9, 8, 7, 6], [5, 4, 3, 2], [1, 0]]
    assert [len(piece.predictions.values) for piece in pieces] == [4, 4, 2]


@pytest.mark.parametrize("frame", [{}, {"x": np.empty(0)}, pandas.DataFrame(), arrow.table({})])
def test_a_frame_without_rows_has_no_pieces(frame: JSON) -> None:
    assert list(Sheet.of(frame).pieces()) == []


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        ([1, 2], "list, expected a frame of pandas, Polars or pyarrow, or a dict of arrays"),
        ("reference", "str, expected a frame"),
        ({"a": np.arange(2), "b": np.arange(3)}, "frame['b']: 3 rows, expected 2 as the first column has"),
        ({"a": np.zeros((2, 2))}, "frame['a']: 2 dimensions, expected one number or text for each row"),
        ({"a": np.array([[1], None], dtype=object)}, "frame['a']: list in a cell"),
        ({"a": np.array([1j])}, "frame['a']: complex128, expected numbers"),
        (arrow.table({"a": [[1], [2]]}), "frame['a']: ndarray in a cell"),
        (pandas.DataFrame([[1, 2]], columns=["a", "a"]), "frame['a']: the name occurs twice"),
        (arrow.table([[1], [2]], names=["a", "a"]), "frame['a']: the name occurs twice"),
        (polars.DataFrame({"a": [1]}).lazy(), "LazyFrame, expected a frame"),
    ],
)
def test_what_is_no_frame_of_scalars_is_refused_by_column(frame: JSON, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        list(Sheet.of(frame).pieces())

    assert told in str(caught.value)
