import json
import tracemalloc

import pytest

from sidecar.payload.awaiting import Awaiting
from sidecar.records import Capture, Rows
from tests.payload.test_assembling import capture

ROWS = Rows(("a",), [[1]], ("p",), [[2]])
ROOMY = 1 << 30


def ids(queue: Awaiting, count: int = 100, max_bytes: int = ROOMY) -> list[str]:
    return [each.request_id for each, _ in queue.first(count, max_bytes)]


def test_the_oldest_come_first_and_stay_until_they_are_removed() -> None:
    queue = Awaiting(ROOMY)
    queue.offer([(capture(name), ROWS) for name in "abc"])

    assert ids(queue, 2) == ["a", "b"]
    queue.remove(2, lost=False)
    assert ids(queue) == ["c"]
    assert (len(queue), queue.dropped) == (1, 0)


def test_what_has_no_answer_is_not_taken() -> None:
    queue = Awaiting(ROOMY)
    queue.offer([(capture(), Rows(("a",), [[1]], fault="status"))])

    assert (len(queue), queue.dropped) == (0, 0)


def test_what_does_not_fit_is_dropped_until_there_is_room_again() -> None:
    queue = Awaiting(5000)
    queue.offer([(capture(name), ROWS) for name in "abcd"])
    assert (ids(queue), queue.dropped) == (["a", "b"], 2)

    queue.remove(1, lost=False)
    queue.offer([(capture("e"), ROWS)])
    assert ids(queue) == ["b", "e"]


def test_what_is_lost_is_dropped_too() -> None:
    queue = Awaiting(ROOMY)
    queue.offer([(capture(name), ROWS) for name in "abc"])
    queue.remove(2, lost=True)

    assert queue.dropped == 2


def test_no_more_are_handed_out_than_fit_but_always_one() -> None:
    queue = Awaiting(ROOMY)
    queue.offer([(capture(name), ROWS) for name in "abc"])

    assert ids(queue, max_bytes=5000) == ["a", "b"]
    assert ids(queue, max_bytes=0) == ["a"]


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 30), (1, 300), (100, 3)])
def test_the_queue_takes_about_as_much_memory_as_it_says(rows: int, columns: int) -> None:
    names, max_bytes = tuple(map(str, range(columns))), 1 << 19

    def made(number: int) -> tuple[Capture, Rows]:
        body = json.dumps([[number + row + column / 7 for column in range(columns)] for row in range(rows)]).encode()
        headers = {"request": {"content-type": "application/json", "user-agent": f"client {number}"}, "reply": {}}
        found = capture(f"{number:032x}")._replace(headers=headers, started_s=float(number), duration_s=number / 3)
        asked = found._replace(request=found.request._replace(data=body))
        return asked, Rows(names, json.loads(body), ("p",), [[number / (row + 3)] for row in range(rows)])

    queue = Awaiting(max_bytes)
    made(0)
    tracemalloc.start()
    number = 0
    while not queue.dropped:
        number += 1
        queue.offer([made(number)])
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()

    assert 0.5 * max_bytes < used < 1.1 * max_bytes
