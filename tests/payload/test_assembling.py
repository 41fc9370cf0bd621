import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.payload.assembling import assemble
from sidecar.payload.decoding import Rows
from sidecar.records import Body, Capture, Sample

MakeCapture = Callable[..., Capture]


def capture(request_id: str = "r", variant: str = "champion", version: str = "3", started_s: float = 0.0) -> Capture:
    body = Body("", b"")
    return Capture(
        request_id, "", variant, version, "POST", "/", "", 200, "", started_s, 0.0, 0.0, 0.0, 1.0, {}, body, body
    )


def one(rows: Rows) -> Sample:
    (sample,) = assemble([(capture(), rows)])
    return sample


def test_nothing_makes_no_sample() -> None:
    assert assemble([]) == []


def test_rows_of_many_exchanges_stand_one_below_the_other() -> None:
    names = ("a", "b")
    (sample,) = assemble(
        [
            (capture("r-1", started_s=10.5), Rows(names, [[1, 2.5], [3, 4]], ("p",), [[0.1], [0.2]])),
            (capture("r-2", started_s=11.5), Rows(names, [[5, True]], ("p",), [[0.3]])),
        ]
    )

    assert (sample.variant, sample.version) == ("champion", "3")
    assert list(sample.request_ids) == ["r-1", "r-1", "r-2"]
    assert sample.times_s.tolist() == [10.5, 10.5, 11.5]
    assert sample.features.names == names
    assert sample.features.values.tolist() == [[1.0, 2.5], [3.0, 4.0], [5.0, 1.0]]
    assert sample.predictions.values.tolist() == [[0.1], [0.2], [0.3]]
    assert not sample.features.texts
    assert sample.features.values.dtype == np.float64
    assert sample.features.values.flags.writeable


def test_what_differs_in_variant_version_or_columns_is_apart_in_order() -> None:
    rows = Rows(("a",), [[1]], ("p",), [[2]])
    items = [
        (capture(variant="b"), rows),
        (capture(variant="a"), rows),
        (capture(variant="b", version="4"), rows),
        (capture(variant="b"), Rows(("z",), [[1]], ("p",), [[2]])),
        (capture(variant="b"), Rows(("a",), [[1]], fault="rows")),
        (capture(variant="b"), rows),
    ]

    samples = assemble(items)

    assert [(s.variant, s.version, s.features.names, s.predictions.names, len(s.times_s)) for s in samples] == [
        ("b", "3", ("a",), ("p",), 2),
        ("a", "3", ("a",), ("p",), 1),
        ("b", "4", ("a",), ("p",), 1),
        ("b", "3", ("z",), ("p",), 1),
        ("b", "3", ("a",), (), 1),
    ]


def test_no_predictions_are_n_rows_without_columns() -> None:
    predictions = one(Rows(("a",), [[1], [2]], fault="status")).predictions

    assert predictions.values.shape == (2, 0)
    assert predictions.names == ()


@pytest.mark.parametrize(
    ("cell", "value", "text"),
    [
        (1, 1.0, None),
        (True, 1.0, None),
        (False, 0.0, None),
        (1.5, 1.5, None),
        (math.inf, math.inf, None),
        (None, math.nan, None),
        ("x", math.nan, "x"),
        ("", math.nan, ""),
        ("1.5", math.nan, "1.5"),
        ("[redacted]", math.nan, None),
        ([1], math.nan, None),
        ({"b64": "x"}, math.nan, None),
        (2**1024, math.inf, None),
        (-(2**1024), -math.inf, None),
        (2**63, 2.0**63, None),
    ],
)
def test_a_cell_is_a_number_or_a_text_or_missing(cell: object, value: float, text: str | None) -> None:
    table = one(Rows(("a", "b", "c"), [[1, cell, None], [2, "y", 3]])).features

    np.testing.assert_array_equal(table.values, [[1.0, value, math.nan], [2.0, math.nan, 3.0]])
    assert {column: list(texts) for column, texts in table.texts.items()} == {1: [text, "y"]}


def test_a_column_without_any_text_has_none() -> None:
    table = one(Rows(("a", "b"), [[None, "[redacted]"], [2**1024, [1]]])).features

    assert not table.texts
    np.testing.assert_array_equal(table.values, [[math.nan, math.nan], [math.inf, math.nan]])


Cell = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers(), max_size=2)


@given(st.integers(1, 4).flatmap(lambda k: st.lists(st.lists(Cell, min_size=k, max_size=k), min_size=1, max_size=9)))
def test_no_cell_raises_and_none_is_lost(rows: list[list[object]]) -> None:
    names = tuple(map(str, range(len(rows[0]))))
    table = one(Rows(names, rows)).features

    assert table.values.shape == (len(rows), len(names))
    for row, cells in enumerate(rows):
        for column, cell in enumerate(cells):
            text = table.texts[column][row] if column in table.texts else None
            assert text == (cell if isinstance(cell, str) and cell != "[redacted]" else None)
            assert np.isnan(table.values[row, column]) == (not isinstance(cell, int | float) or str(cell) == "nan")
