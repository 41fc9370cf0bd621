import numpy as np

from sidecar.datasets.chunk import Chunk, fractions, without
from sidecar.records import Table


def test_a_column_is_taken_out_with_all_that_is_known_of_it() -> None:
    table = Table(("a", "y", "b", "c"), np.arange(8.0).reshape(2, 4), {1: ["n", "n"], 3: ["u", None]})

    left = without(Chunk(table, [0, 1, 2], 7), "y")

    assert left.table.names == ("a", "b", "c")
    assert left.table.values.tolist() == [[0, 2, 3], [4, 6, 7]]
    assert left.table.texts == {2: ["u", None]}
    assert (left.fractional, left.read_bytes) == ([0, 1], 7)


def test_a_column_that_is_not_there_changes_nothing() -> None:
    table = Table(("a",), np.ones((2, 1)), {})

    left = without(Chunk(table, [0], 7), "y")

    assert (left.table.names, left.table.values.tolist(), left.fractional) == (("a",), [[1], [1]], [0])


def test_a_fraction_is_what_is_a_float() -> None:
    assert fractions([[1, 1.0, "x", None], [2, None, 2.5, True]]) == [1, 2]
