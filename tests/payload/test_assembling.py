import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.payload.assembling import assemble, assemble_labelled, prediction
from sidecar.records import Body, Capture, Joined, Label, Prediction, Rows, Sample, Scalar

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


# Predictions and labels


HEADERS = {"request": {"x-sex": "f", "x-other": "1"}, "reply": {}}


def test_an_exchange_awaits_its_labels_by_all_of_its_ids() -> None:
    asked = capture("r-1", started_s=10.5)._replace(inference_id="mine", headers=HEADERS, sample_ratio=0.25)
    made = prediction(asked, Rows(("a", "b"), [[1, "x"], [2, None]], ("p",), [[0.1], [0.2]]), ("x-sex", "x-none"))

    assert made == Prediction(
        ids=(asked.event_id, "r-1", "mine"),
        variant="champion",
        version="3",
        time_s=10.5,
        weight=4.0,
        features=("a", "b"),
        asked=[[1, "x"], [2, None]],
        predictions=("p",),
        answered=[[0.1], [0.2]],
        groups={"x-sex": "f"},
    )


def test_ids_that_are_the_same_or_missing_are_one() -> None:
    asked = capture("r-1")._replace(inference_id="r-1", headers=HEADERS)

    assert prediction(asked, Rows(("a",), [[1]], ("p",), [[2]]), ()).ids == (asked.event_id, "r-1")


@pytest.mark.parametrize(("ratio", "weight"), [(1.0, 1.0), (0.01, 100.0), (0.0, 1.0)])
def test_a_prediction_stands_for_those_that_were_not_sampled(ratio: float, weight: float) -> None:
    asked = capture()._replace(headers=HEADERS, sample_ratio=ratio)

    assert prediction(asked, Rows(("a",), [[1]], ("p",), [[2]]), ()).weight == pytest.approx(weight)


def test_cells_that_are_no_scalars_are_missing() -> None:
    made = prediction(capture()._replace(headers=HEADERS), Rows(("a", "b"), [[[1], True]], ("p",), [[{"x": 1}]]), ())

    assert (made.asked, made.answered) == ([[None, True]], [[None]])


def joined(
    *values: Scalar, rows: list[list[Scalar]] | None = None, groups: dict[str, Scalar] | None = None, **changes: object
) -> Joined:
    asked = rows or [[1.0]] * len(values)
    told = {"features": ("a",), "predictions": ("p",), "groups": {}, "weight": 1.0, "version": "3", **changes}
    made = Prediction(ids=("r",), variant="champion", time_s=5.0, asked=asked, answered=[[0.5]] * len(asked), **told)  # type: ignore[arg-type]  # of whatever field
    return Joined(1, made, Label("r", values, groups=groups or {}))


def test_rows_of_many_pairs_stand_one_below_the_other_with_their_labels() -> None:
    first = joined(1, "cat", rows=[[1.0], [2.0]], weight=4.0)
    (found,) = assemble_labelled([first, joined(None, rows=[["x"]])])

    assert (found.variant, found.version) == ("champion", "3")
    assert found.times_s.tolist() == [5.0] * 3
    assert found.weights.tolist() == [4.0, 4.0, 1.0]
    np.testing.assert_array_equal(found.features.values, [[1.0], [2.0], [math.nan]])
    assert found.features.texts == {0: [None, None, "x"]}
    assert found.predictions.values.tolist() == [[0.5]] * 3
    np.testing.assert_array_equal(found.labels.values, [[1.0], [math.nan], [math.nan]])
    assert found.labels.texts == {0: [None, "cat", None]}
    assert (found.groups.names, found.groups.values.shape) == ((), (3, 0))


def test_groups_of_a_request_and_of_its_label_are_columns_of_every_row() -> None:
    pair = joined(1, 0, groups={"senior": True, "x-sex": "d"})
    pair = pair._replace(prediction=replace(pair.prediction, groups={"x-sex": "f"}))
    (found,) = assemble_labelled([pair])

    assert found.groups.names == ("x-sex", "senior")
    assert found.groups.texts == {0: ["d", "d"]}  # whoever posts the label knows better
    assert found.groups.values[:, 1].tolist() == [1.0, 1.0]


def test_pairs_of_other_versions_columns_or_groups_are_apart() -> None:
    pairs = [joined(1), joined(1, version="4"), joined(1, features=("b",)), joined(1, groups={"x": 1}), joined(0)]

    assert [len(each.times_s) for each in assemble_labelled(pairs)] == [2, 1, 1, 1]


def test_exchanges_without_features_have_rows_all_the_same() -> None:
    (found,) = assemble_labelled([joined(1, 0, rows=[[], []], features=())])

    assert found.features.values.shape == (2, 0)
    assert found.labels.values.tolist() == [[1.0], [0.0]]


def test_a_pair_of_another_number_of_labels_than_rows_is_left_out() -> None:
    assert assemble_labelled([joined(1, rows=[[1.0], [2.0]]), joined(1, 0, rows=[[1.0]])]) == []
