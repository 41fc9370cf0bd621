import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from sidecar.store.documents import Layout
from sidecar.store.sqlite_layouts import MAX_LAYOUT_BYTES, MAX_LAYOUTS, Layouts
from sidecar.store.sqlite_tables import SCHEMA


def layout(number: int, length: int = 1) -> Layout:
    return Layout("a", str(number), ("x" * length,), ("y",))


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for statement in SCHEMA.statements:
            connection.execute(statement)
        yield connection


def test_one_layout_has_one_number_also_after_a_restart(connection: sqlite3.Connection) -> None:
    layouts = Layouts(connection, 0)
    assert [layouts.number(layout(each), 1) for each in (0, 1, 0)] == [1, 2, 1]
    again = Layouts(connection, 1)
    assert [again.number(layout(each), 2) for each in (2, 1, 0)] == [3, 2, 1]
    assert [again.get(number) for number in (1, 3, 4)] == [layout(0), layout(2), None]


def test_there_are_only_so_many_and_none_that_is_long(connection: sqlite3.Connection) -> None:
    layouts = Layouts(connection, 0)
    assert layouts.number(layout(0, MAX_LAYOUT_BYTES), 1) is None
    numbers = [layouts.number(layout(each), each) for each in range(MAX_LAYOUTS + 5)]
    assert numbers == [*range(1, MAX_LAYOUTS + 1), *[None] * 5]


def test_room_is_made_of_those_that_nothing_has_any_more(connection: sqlite3.Connection) -> None:
    layouts = Layouts(connection, 0)
    for each in range(MAX_LAYOUTS):
        layouts.number(layout(each), each)
    layouts.number(layout(0), MAX_LAYOUTS)  # used again
    layouts.make_room(MAX_LAYOUTS - 1)
    for found in (layouts, Layouts(connection, 0)):
        assert [found.get(number) for number in range(1, MAX_LAYOUTS)] == [layout(0), *[None] * (MAX_LAYOUTS - 2)]
        assert found.get(MAX_LAYOUTS) == layout(MAX_LAYOUTS - 1)
    assert layouts.number(layout(1), MAX_LAYOUTS) == MAX_LAYOUTS + 1


def test_while_there_is_room_nothing_is_dropped(connection: sqlite3.Connection) -> None:
    layouts = Layouts(connection, 0)
    layouts.number(layout(0), 1)
    layouts.make_room(100)
    assert layouts.get(1) == layout(0)


def test_after_a_restart_all_count_as_just_used(connection: sqlite3.Connection) -> None:
    layouts = Layouts(connection, 0)
    for each in range(MAX_LAYOUTS):
        layouts.number(layout(each), each)
    again = Layouts(connection, 1000)
    again.make_room(1000)
    assert again.number(layout(5), 1001) == 6
    again.make_room(1001)
    assert [again.get(number) for number in (5, 6)] == [None, layout(5)]
