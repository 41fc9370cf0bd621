import pytest

from sidecar.catalog.waiting import FLUSH_POINTS, WAITING_POINTS, Waiting
from sidecar.errors import ConfigError


def steps(waiting: Waiting) -> list[tuple[str, int]]:
    taken = []
    while some := waiting.take():
        taken += [(point.name, point.step) for point in some.points]
    return taken


def test_nothing_waits_at_first() -> None:
    assert Waiting().take() is None


def test_a_step_is_the_one_behind_the_last() -> None:
    waiting = Waiting()
    for name, step in (("a", None), ("b", 7), ("a", None), ("b", None), ("a", 0), ("a", None)):
        waiting.add(name, 0.0, step, 0.0)
    assert steps(waiting) == [("a", 0), ("b", 7), ("a", 1), ("b", 8), ("a", 0), ("a", 1)]


def test_as_much_is_taken_as_one_write_holds() -> None:
    waiting = Waiting()
    waiting.add_texts({"a": "1"}, {"m": "x"})
    for _ in range(FLUSH_POINTS + 1):
        waiting.add("a", 0.0, None, 0.0)
    first, second = waiting.take(), waiting.take()
    assert first
    assert second
    assert (first.parameters, first.artefacts, len(first.points)) == ({"a": "1"}, {"m": "x"}, FLUSH_POINTS)
    assert (second.parameters, second.artefacts, len(second.points)) == ({}, {}, 1)


def test_what_was_not_written_comes_before_what_came_meanwhile() -> None:
    waiting = Waiting()
    waiting.add("a", 0.0, None, 0.0)
    waiting.add_texts({"x": "1", "y": "1"}, {"m": "1"})
    taken = waiting.take()
    assert taken
    waiting.add("a", 0.0, None, 0.0)
    waiting.add_texts({"x": "2"}, {"m": "2"})
    waiting.give_back(taken)
    assert (waiting.parameters, waiting.artefacts) == ({"x": "2", "y": "1"}, {"m": "2"})
    assert steps(waiting) == [("a", 0), ("a", 1)]


def test_of_too_many_the_oldest_go_and_are_counted() -> None:
    waiting = Waiting()
    for _ in range(WAITING_POINTS + 1):
        waiting.add("a", 0.0, None, 0.0)
    assert waiting.dropped == FLUSH_POINTS
    assert steps(waiting) == [("a", step) for step in range(FLUSH_POINTS, WAITING_POINTS + 1)]


def test_names_end() -> None:
    waiting = Waiting()
    for number in range(1000):
        waiting.add(str(number), 0.0, None, 0.0)
    with pytest.raises(ConfigError, match="metrics: expected at most 1000, got 1001"):
        waiting.add("one more", 0.0, None, 0.0)
    waiting.add("7", 0.0, None, 0.0)
    waiting.add_texts({str(number): "" for number in range(600)}, {})
    waiting.add_texts({str(number): "" for number in range(600, 1200)}, {})
    assert list(waiting.parameters) == [str(number) for number in range(200, 1200)]


def test_what_is_refused_is_neither_kept_nor_a_step() -> None:
    waiting = Waiting()
    with pytest.raises(ConfigError):
        waiting.add("a", 0.0, 2**63, 0.0)
    assert (waiting.steps, waiting.take()) == ({}, None)
