import numpy as np
import pytest

from sidecar.stats.columns import MAX_NAME, Columns

NAN = np.nan


@pytest.mark.parametrize(
    ("names", "features", "straight"),
    [
        (("a", "b"), (0, 1), True),
        (("a",), (0,), True),
        ((), (), True),
        (("b", "a"), (1, 0), False),
        (("b",), (1,), False),
        (("a", "b", "new"), (0, 1, 2), True),
        (("new", "a"), (2, 0), False),
        (("a", "a"), (0, -1), False),
        (("a", "b", "new", "beyond"), (0, 1, 2, -1), False),
        (("beyond", "beyond", "new"), (2, -1, -1), False),
    ],
)
def test_a_plan_finds_each_column_s_feature(names: tuple[str, ...], features: tuple[int, ...], straight: bool) -> None:
    columns = Columns(limit=3)
    columns.plan(("a", "b"))

    plan = columns.plan(names)

    assert (plan.features, plan.straight) == (features, straight)
    assert plan.ignored == features.count(-1)
    assert plan.k == len(columns.names)


def test_a_name_that_is_too_long_is_ignored() -> None:
    columns = Columns(limit=3)

    plan = columns.plan(("a" * MAX_NAME, "a" * (MAX_NAME + 1)))

    assert (plan.features, plan.ignored, plan.k) == ((0, -1), 1, 1)


def test_names_keep_the_order_of_their_first_appearance() -> None:
    columns = Columns(limit=3)

    for names in (("b",), ("a", "b"), ("d", "c")):
        columns.plan(names)

    assert columns.names == ("b", "a", "d")


def test_the_plan_of_the_same_names_is_made_once() -> None:
    columns = Columns(limit=3)

    assert columns.plan(("a", "b")) is columns.plan(("a", "b"))


def test_cells_follow_their_names() -> None:
    columns = Columns(limit=3)
    columns.plan(("a", "b", "c"))

    plan = columns.plan(("c", "x", "a"))

    np.testing.assert_array_equal(plan.place(np.array([[3.0, 9.0, 1.0]])), [[1.0, NAN, 3.0]])
    assert plan.place_texts({0: ["c"], 1: ["x"]}) == {2: ["c"]}


def test_columns_in_order_are_not_copied() -> None:
    values = np.ones((2, 2))

    assert Columns(limit=3).plan(("a", "b")).place(values) is values
