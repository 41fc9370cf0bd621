import pytest

from sidecar.errors import PayloadError
from sidecar.payload import grid
from sidecar.payload.grid import flat, from_columns, from_frame, from_instances, from_reply, from_value, numbered
from sidecar.records import JSON


@pytest.mark.parametrize(
    ("value", "names", "rows"),
    [
        ([[1, 2], [3, 4]], (), [[1, 2], [3, 4]]),
        ([1, "a", None, True], (), [[1], ["a"], [None], [True]]),
        ([[[1, 2], [3, 4]]], (), [[1, 2, 3, 4]]),
        ([{"a": 1, "b": "x"}], ("a", "b"), [[1, "x"]]),
        ([{"a": 1}, {"b": 2, "a": 3}], ("a", "b"), [[1, None], [3, 2]]),
        ([{"features": [1, 2]}, {"features": [3, 4]}], (), [[1, 2], [3, 4]]),
        ([{"a": [1, 2], "b": 3}, {"b": 4}], ("a_0", "a_1", "b"), [[1, 2, 3], [None, None, 4]]),
        ([{"a": [[1], [2]]}], ("a_0", "a_1"), [[1, 2]]),
        ([{"a": [1]}, {"a": [2]}], ("a",), [[1], [2]]),
        ({"a": [1, 2], "b": ["x", "y"]}, ("a", "b"), [[1, "x"], [2, "y"]]),
        ({"a": [[1, 2], [3, 4]], "b": [5, 6]}, ("a_0", "a_1", "b"), [[1, 2, 5], [3, 4, 6]]),
        ({"a": 1, "b": "x"}, ("a", "b"), [[1, "x"]]),
        ({"": [1]}, ("",), [[1]]),
    ],
)
def test_values_become_rows(value: JSON, names: tuple[str, ...], rows: list[list[object]]) -> None:
    assert from_value(value) == (names, rows)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "shape"),
        ("text", "shape"),
        ([], "empty"),
        ([[]], "empty"),
        ([{}], "empty"),
        ({}, "empty"),
        ({"a": []}, "empty"),
        ([[1], [1, 2]], "shape"),
        ([[1], []], "shape"),
        ([[1], 2], "shape"),
        ([{"a": 1}, [1]], "shape"),
        ([{"a": 1}, 1], "shape"),
        ([{"a": [1, 2]}, {"a": [1]}], "shape"),
        ([{"a": [1, 2]}, {"a": 1}], "shape"),
        ([{"a": []}], "empty"),
        ({"a": [1, 2], "b": [1]}, "shape"),
        ({"a": [1, 2], "b": 1}, "shape"),
        ([{"features": []}], "empty"),
        ([[[[[[[[[[1]]]]]]]]]], "shape"),
        ([1] * (grid.MAX_ROWS + 1), "shape"),
        ([[1] * (grid.MAX_COLUMNS + 1)], "shape"),
        ([[1] * 2000] * 1000, "shape"),
        ([{str(number): 1} for number in range(2000)], "shape"),
        ([{"a": [1] * 3000}, *[{}] * 1000], "shape"),
        ({str(number): [1] for number in range(grid.MAX_COLUMNS + 1)}, "shape"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_no_table_or_too_large_a_one_is_a_payload_error(value: JSON, reason: str) -> None:
    with pytest.raises(PayloadError) as raised:
        from_value(value)

    assert raised.value.reason == reason


def test_columns_of_no_column_are_a_payload_error() -> None:
    with pytest.raises(PayloadError):
        from_columns({})


@pytest.mark.parametrize(
    ("names", "rows", "reason"),
    [(("a",), [], "empty"), ((), [[]], "empty"), (("a",), [[1, 2]], "shape"), (("a", "b"), [[1, 2], [1]], "shape")],
)
def test_a_frame_has_a_cell_for_each_name(names: tuple[str, ...], rows: list[list[JSON]], reason: str) -> None:
    with pytest.raises(PayloadError) as raised:
        from_frame(names, rows)

    assert raised.value.reason == reason


def test_columns_of_a_frame_that_hold_lists_are_widened() -> None:
    assert from_frame(("a", "b"), [[1, [2, 3]], [4, None]]) == (("a", "b_0", "b_1"), [[1, 2, 3], [4, None, None]])


@pytest.mark.parametrize("document", [{"predictions": [0.5]}, [0.5]])
def test_a_reply_is_its_predictions_or_a_bare_list(document: JSON) -> None:
    assert from_reply(document) == ((), [[0.5]])


@pytest.mark.parametrize("document", [None, {}, {"error": "x"}, 0.5, "x"])
def test_a_reply_of_another_form_is_a_payload_error(document: JSON) -> None:
    with pytest.raises(PayloadError) as raised:
        from_reply(document)

    assert raised.value.reason == "format"


@pytest.mark.parametrize(
    ("row", "expected"), [([], []), ([1, [2]], [1, [2]]), ([[]], []), ([[[1, 2], [3]], [4]], [1, 2, 3, 4])]
)
def test_flat_takes_inner_lists_apart_where_the_first_cell_is_one(row: list[JSON], expected: list[object]) -> None:
    assert flat(row) == expected


def test_one_element_is_called_as_its_vector() -> None:
    assert (numbered("a", 1), numbered("a", 2)) == (("a",), ("a_0", "a_1"))


def test_instances_of_one_kind_are_each_a_row() -> None:
    assert from_instances([1.5, 2]) == ((), [[1.5], [2]])
