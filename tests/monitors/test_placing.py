import numpy as np

from sidecar.monitors.placing import Placement, placement
from sidecar.records import Table
from tests.monitors.rig import NAN, nothing, same

NAMES = ("a", "b", "c")


def table(names: str, values: list[list[float]]) -> Table:
    return Table(tuple(names), np.array(values, dtype=np.float64))


def test_columns_in_the_reference_s_order_are_taken_as_they_are() -> None:
    features = Table(NAMES, np.array([[1.0, 2.0, NAN]]), {2: ["x"]})

    rows = placement(NAMES, NAMES, ("score",)).rows(features, table("s", [[9.0]]))

    assert rows.values is features.values
    assert rows.texts == {2: ["x"]}


def test_columns_go_where_the_reference_has_them_by_name() -> None:
    features = Table(("c", "x", "a"), np.array([[3.0, 8.0, NAN], [30.0, 80.0, NAN]]), {2: ["u", None], 1: ["?", "?"]})
    predictions = Table(("y", "b"), np.array([[9.0, NAN], [9.0, 2.0]]), {1: ["v", None], 0: ["!", "!"]})

    place = placement(NAMES, features.names, predictions.names)
    rows = place.rows(features, predictions)

    same(rows.values, [[NAN, NAN, 3.0], [NAN, 2.0, 30.0]])
    assert rows.texts == {0: ["u", None], 1: ["v", None]}
    assert place.present.tolist() == [True, True, True]
    assert (place.asked.tolist(), place.answered.tolist()) == ([2, -1, 0], [-1, 1, -1])


def test_a_column_that_is_not_there_is_empty() -> None:
    place = placement(NAMES, ("b",), ())
    rows = place.rows(table("b", [[1.0], [2.0]]), nothing(2))

    same(rows.values, [[NAN, 1.0, NAN], [NAN, 2.0, NAN]])
    assert place.present.tolist() == [False, True, False]


def test_a_prediction_that_is_called_as_a_feature_is_left_out() -> None:
    place = placement(NAMES, ("c", "b"), ("b", "a"))
    predictions = Table(("b", "a"), np.array([[NAN, 7.0]]), {0: ["no"]})

    rows = place.rows(table("cb", [[3.0, 2.0]]), predictions)

    same(rows.values, [[7.0, 2.0, 3.0]])
    assert rows.texts == {}
    assert place.answered.tolist() == [1, -1, -1]


def test_of_two_columns_called_alike_the_first_counts() -> None:
    place = placement(NAMES, ("b", "b"), ())

    same(place.rows(table("bb", [[1.0, 2.0]]), nothing(1)).values, [[NAN, 1.0, NAN]])


def test_there_may_be_no_rows_and_no_columns() -> None:
    assert placement(NAMES, ("b",), ()).rows(Table(("b",), np.empty((0, 1))), nothing(0)).values.shape == (0, 3)
    assert placement((), ("b",), ()).rows(table("b", [[1.0]]), nothing(1)).values.shape == (1, 0)


def test_columns_can_be_chosen_from_rows() -> None:
    place: Placement = placement(NAMES, NAMES, ())
    features = Table(NAMES, np.array([[1.0, NAN, 3.0]]), {1: ["x"]})

    chosen = place.rows(features, nothing(1)).only(np.array([2, 1]))

    same(chosen.values, [[3.0, NAN]])
    assert chosen.texts == {1: ["x"]}
