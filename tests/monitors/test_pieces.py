import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.monitors import pieces
from sidecar.monitors.pieces import at, first, merged, restored
from sidecar.records import Labelled
from tests.monitors.labelled import column, cut, labelled, rows
from tests.monitors.rig import NAN, nothing, of, same

WHOLE = rows(np.random.default_rng(1), 40)


def alike(one: Labelled, other: Labelled) -> None:
    """Of the same rows, texts that are missing throughout aside."""
    assert (one.variant, one.version) == (other.variant, other.version)
    same(one.times_s, other.times_s)
    same(one.weights, other.weights)
    for name in pieces.TABLES:
        mine, its = getattr(one, name), getattr(other, name)
        assert mine.names == its.names
        same(mine.values, its.values)
        assert {place: list(cells) for place, cells in mine.texts.items()} == its.texts


@given(st.lists(st.integers(1, 20), max_size=6))
def test_pieces_of_the_same_columns_are_one_however_they_were_cut(sizes: list[int]) -> None:
    (found,) = merged(cut(WHOLE, sizes))

    alike(found, WHOLE)


def test_pieces_of_other_columns_stay_apart_in_the_order_in_which_they_came() -> None:
    a, b = (labelled(column([1.0, 2.0], name), nothing(2), nothing(2)) for name in "ab")

    found = merged([b, a, b])

    assert [(each.features.names, len(each.times_s)) for each in found] == [(("b",), 4), (("a",), 2)]


def test_a_column_that_has_texts_in_one_piece_has_none_in_the_rows_of_the_others() -> None:
    numbers, texts = (labelled(column(cells, "a"), nothing(2), nothing(2)) for cells in ([1.0, 2.0], ["x", "y"]))

    (found,) = merged([numbers, texts])

    same(found.features.values, [[1.0], [2.0], [NAN], [NAN]])
    assert found.features.texts == {0: [None, None, "x", "y"]}


def test_rows_are_taken_from_everything_they_have() -> None:
    found = at(WHOLE, np.array([3, 1]))

    assert found.times_s.tolist() == [3.0, 1.0]
    assert [found.features.texts[2][0], found.features.texts[2][1]] == [
        WHOLE.features.texts[2][place] for place in (3, 1)
    ]
    same(found.labels.values, WHOLE.labels.values[[3, 1]])


def test_rows_that_were_taken_do_not_hold_the_others_in_memory() -> None:
    taken, others = first(WHOLE, 1)

    assert (len(taken.times_s), len(others.times_s)) == (1, 39)
    assert all(array.base is None for array in (taken.times_s, taken.features.values))


@pytest.mark.parametrize("count", [0, 1, 40, 100])
def test_the_first_rows_and_the_others_are_all(count: int) -> None:
    alike(merged(first(WHOLE, count))[0], WHOLE)


AWKWARD = labelled(
    of(np.array([[1.0, NAN], [np.inf, NAN]]), "a", "\ud800", texts={1: ["half \ud800", None]}),
    column(["", "nul\0"], "answer"),
    column([0.1 + 0.2, 5e-324], "label"),
)


@pytest.mark.parametrize("held", [[], [WHOLE], [WHOLE, AWKWARD], [at(WHOLE, np.arange(0))]])
def test_pieces_are_the_same_from_their_state(held: list[Labelled]) -> None:
    for found, expected in zip(restored(pieces.state(held)), held, strict=True):
        alike(found, expected)


@pytest.mark.parametrize("missing", sorted(pieces.state([WHOLE])))
def test_a_state_without_one_of_its_parts_is_refused(missing: str) -> None:
    state = pieces.state([WHOLE])
    del state[missing]

    with pytest.raises(KeyError):
        restored(state)
