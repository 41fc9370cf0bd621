from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.store.documents import digest
from sidecar.store.sqlite_index import DEAD, NUMBER_BITS, Index

KEY = 0x9E3779B97F4A7C15


def ids(*names: object) -> bytes:
    return b"".join(digest(str(name)) for name in names)


def index(*predictions: tuple[int, bytes]) -> Index:
    return Index(predictions, KEY)


def kept(found: Index, predictions: Iterable[tuple[int, bytes]]) -> None:
    for number, names in predictions:
        found.add(number, names)
    found.settle(done=True)


def test_a_prediction_is_found_by_each_of_its_ids() -> None:
    found = index((7, ids("a", "b")), (9, ids("b", "c")))
    assert [found.find(ids(*names)) for names in ("a", "b", "c", "abc", "d", "")] == [[7], [7, 9], [9], [7, 9], [], []]


def test_an_empty_index_finds_nothing() -> None:
    assert [index().find(ids("a")), index((1, b"")).find(ids("a")), index().find(b"")] == [[], [], []]


def test_what_was_added_is_found_once_it_is_settled_and_not_if_it_never_was() -> None:
    found = index()
    found.add(1, ids("a"))
    found.settle(done=False)
    found.add(2, ids("b"))
    found.settle(done=True)
    assert [found.find(ids("a")), found.find(ids("b"))] == [[], [2]]


def test_what_was_forgotten_is_found_again_if_it_never_was() -> None:
    found = index(*((number, ids(number)) for number in range(1, 5 * DEAD)))
    found.forget(range(1, 5 * DEAD))
    found.settle(done=False)
    assert found.find(ids(1, 4999)) == [1, 4999]
    found.forget(range(1, 5 * DEAD - 1))
    found.settle(done=True)
    assert found.find(ids(1, 4999)) == [4999]


def test_numbers_of_forty_bits_are_found() -> None:
    last = (1 << NUMBER_BITS) - 1
    assert index((last, ids("a"))).find(ids("a")) == [last]


@given(st.lists(st.lists(st.integers(0, 50), max_size=3), max_size=60), st.lists(st.integers(0, 59)), st.integers(1, 9))
def test_nobody_is_missed(named: Sequence[Sequence[int]], forgotten: Sequence[int], size: int) -> None:
    predictions = [(number, ids(*names)) for number, names in enumerate(named)]
    found = index()
    for begin in range(0, len(predictions), size):
        kept(found, predictions[begin : begin + size])
    found.forget(forgotten)
    found.settle(done=True)
    for name in range(51):
        having = {number for number, names in enumerate(named) if name in names}
        assert set(found.find(ids(name))) == having  # with so few there are no strangers


def test_strangers_are_few_and_runs_are() -> None:
    """Of 100,000 ids in 2**24 places; 391 batches in at most log2 of them and one more."""
    found = index()
    for begin in range(0, 100_000, 256):
        kept(found, ((number, ids(number)) for number in range(begin, min(begin + 256, 100_000))))
    strangers = sum(len(found.find(ids(f"stranger {number}"))) for number in range(2000))
    assert strangers < 2000 * 100_000 / 2**24 + 5 * np.sqrt(12)
    assert len(found._runs) <= 10


@pytest.mark.parametrize("size", [1, 256])
def test_memory_is_that_of_what_is_known(size: int) -> None:
    """However many come and are forgotten again."""
    found = index()
    for begin in range(0, 20_000, size):
        kept(found, ((number, ids(number)) for number in range(begin, begin + size)))
        found.forget(range(max(0, begin - size), begin))
    found.settle(done=True)
    assert sum(map(len, found._runs)) < 2 * DEAD
    assert len(found._dead) < 2 * DEAD
