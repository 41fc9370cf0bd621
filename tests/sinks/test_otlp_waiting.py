import threading
import time
from collections import deque

import pytest

from sidecar.sinks.otlp_waiting import Bounds, Filled, Waiting
from tests.sinks.rig import PATIENCE_S

NEVER_S = 3600.0


def queue(*items: int, bounds: Bounds) -> Waiting[int]:
    found = Waiting[int](bounds, None)
    for each in items:
        found.put(each)
    return found


def test_a_batch_is_taken_at_once_and_less_after_its_delay() -> None:
    waiting = queue(1, 2, 3, bounds=Bounds(10, 2, 0.001))
    assert [waiting.take(at_once=False) for _ in range(2)] == [[1, 2], [3]]


def test_what_has_waited_before_waits_for_no_delay() -> None:
    waiting = queue(1, bounds=Bounds(10, 2, NEVER_S))
    assert waiting.take(at_once=True) == [1]


def test_closing_ends_every_wait_and_admits_nothing() -> None:
    waiting = queue(1, 2, 3, bounds=Bounds(10, 2, NEVER_S))
    waiting.close()
    waiting.put(4)
    waiting.put_back(waiting.take(at_once=False), NEVER_S)
    assert [waiting.take(at_once=False) for _ in range(3)] == [[1, 2], [3], []]
    assert waiting.dropped == 1


@pytest.mark.parametrize(("later", "expected", "dropped"), [(0, [0, 1], 0), (2, [1, 2, 3], 1), (5, [4, 5, 6], 4)])
def test_what_is_put_back_comes_first_as_far_as_there_is_room(later: int, expected: list[int], dropped: int) -> None:
    waiting = queue(0, 1, bounds=Bounds(3, 3))
    batch = waiting.take(at_once=True)
    for number in range(later):
        waiting.put(2 + number)
    waiting.put_back(batch, 0.0)
    assert (len(waiting), waiting.take(at_once=True), waiting.dropped) == (len(expected), expected, dropped)


def test_giving_up_counts_what_waited() -> None:
    waiting = queue(1, 2, 3, bounds=Bounds(2))
    assert (waiting.give_up(), waiting.give_up(), len(waiting), waiting.dropped) == (2, 0, 0, 3)


def test_a_pause_is_as_long_as_it_should_be_whatever_comes() -> None:
    waiting, over = queue(1, bounds=Bounds(100)), threading.Event()

    def put() -> None:
        while not over.wait(0.0005):
            waiting.put(2)

    putting = threading.Thread(target=put)
    putting.start()
    began = time.monotonic()
    waiting.put_back([0], 0.01)
    took_s = time.monotonic() - began
    over.set()
    putting.join(PATIENCE_S)
    assert 0.01 <= took_s < PATIENCE_S


def test_a_queue_that_others_fill_is_theirs_to_bound() -> None:
    theirs = deque([1, 2, 3])
    waiting = Waiting(Bounds(2, 2), Filled(theirs, lambda: 5))
    batch = waiting.take(at_once=True)
    theirs.append(4)
    waiting.put_back(batch, 0.0)
    assert (list(theirs), waiting.dropped) == ([1, 2, 3, 4], 5)


def test_who_waits_for_a_queue_of_others_is_woken_by_their_ringing() -> None:
    theirs: deque[int] = deque()
    waiting, took = Waiting(Bounds(10, 2, NEVER_S), Filled(theirs, lambda: 0)), list[list[int]]()
    taking = threading.Thread(target=lambda: took.append(waiting.take(at_once=False)))
    taking.start()
    for number in range(2):
        theirs.append(number)
        waiting.ring()
    taking.join(PATIENCE_S)
    assert took == [[0, 1]]
