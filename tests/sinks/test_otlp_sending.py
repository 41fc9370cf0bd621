import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise

import pytest

from sidecar.errors import DeliveryError
from sidecar.sinks.otlp_sending import Exporters, Sending, _Overflow
from sidecar.sinks.otlp_waiting import Bounds, Filled
from tests.sinks.rig import PATIENCE_S

OTEL = logging.getLogger("opentelemetry")
NEVER_S = 3600.0


@dataclass
class Recorder:
    """A sender that keeps what it is given; `answer` runs in the thread that sends, with the batch's number."""

    answer: Callable[[int], bool] = lambda _: True
    batches: list[list[int]] = field(default_factory=list)
    sent: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    closed: int = 0

    def send(self, batch: Sequence[int]) -> bool:
        self.batches.append(list(batch))
        self.sent.release()
        return self.answer(len(self.batches))

    def close(self) -> None:
        self.closed += 1


class Gate:
    """Holds the first batch until it is opened."""

    def __init__(self) -> None:
        self.opened = threading.Event()

    def __call__(self, batch: int) -> bool:
        assert batch > 1 or self.opened.wait(PATIENCE_S)
        return True


def saying(*errors: str) -> Callable[[int], bool]:
    """A batch each: what the exporter says when it fails; nothing where it does not."""

    def answer(batch: int) -> bool:
        if error := errors[batch - 1]:
            OTEL.error(error)
        return not error

    return answer


def counts(sending: Sending[int]) -> tuple[int, int, int]:
    return sending.delivered, sending.dropped, sending.failed


def held(max_waiting: int, max_batch: int = 1) -> tuple[Sending[int], Recorder, Gate]:
    """A queue whose sender is busy with item 0."""
    gate = Gate()
    sender = Recorder(gate)
    sending = Sending(sender, name="otlp", what="numbers", bounds=Bounds(max_waiting, max_batch))
    sending.put(0)
    assert sender.sent.acquire(timeout=PATIENCE_S)
    return sending, sender, gate


def test_what_waits_is_sent_in_order_at_close() -> None:
    sender = Recorder()
    sending = Sending(sender, name="otlp", what="numbers", bounds=Bounds(100, 4, NEVER_S))
    for number in range(10):
        sending.put(number)
    sending.close(PATIENCE_S)
    assert sender.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert (counts(sending), sending.last_error, sender.closed) == ((10, 0, 0), "", 1)


def test_an_idle_one_closes_at_once_and_sends_nothing() -> None:
    sender = Recorder()
    Sending(sender, name="otlp", what="numbers").close(PATIENCE_S)
    assert (sender.batches, sender.closed) == ([], 1)


def test_a_full_batch_does_not_wait_for_the_delay() -> None:
    sender = Recorder()
    sending = Sending(sender, name="otlp", what="numbers", bounds=Bounds(8, 3, NEVER_S))
    for number in range(3):
        sending.put(number)
    assert sender.sent.acquire(timeout=PATIENCE_S)
    assert sender.batches == [[0, 1, 2]]
    sending.close(PATIENCE_S)


def test_a_lonely_item_waits_for_the_delay_only() -> None:
    sender = Recorder()
    sending = Sending(sender, name="otlp", what="numbers", bounds=Bounds(8, 3, 0.001))
    sending.put(7)
    assert sender.sent.acquire(timeout=PATIENCE_S)
    assert sender.batches == [[7]]
    sending.close(PATIENCE_S)


def test_overflow_drops_the_oldest_and_counts_them() -> None:
    sending, sender, gate = held(max_waiting=3, max_batch=2)
    for number in range(1, 6):
        sending.put(number)
    assert (counts(sending), sending.waiting) == ((0, 2, 0), 3)
    gate.opened.set()
    sending.close(PATIENCE_S)
    assert sender.batches == [[0], [3, 4], [5]]
    assert counts(sending) == (4, 2, 0)


def test_what_is_not_sent_in_time_is_given_up_and_never_sent(caplog: pytest.LogCaptureFixture) -> None:
    sending, sender, gate = held(max_waiting=3)
    for number in (1, 2):
        sending.put(number)
    sending.close(0.0)
    assert caplog.messages == ["numbers export: not done within 0 s of closing, given up"]
    assert (counts(sending), sender.closed) == ((0, 2, 0), 1)
    gate.opened.set()
    sending.close(PATIENCE_S)
    assert (sender.batches, counts(sending)) == ([[0]], (1, 2, 0))


def test_what_comes_after_closing_is_dropped_and_counted() -> None:
    sender = Recorder()
    sending = Sending(sender, name="otlp", what="numbers")
    sending.close(PATIENCE_S)
    sending.put(1)
    assert (sender.batches, counts(sending)) == ([], (0, 1, 0))


def test_whatever_becomes_of_it_everything_is_counted_once() -> None:
    sender = Recorder(lambda batch: batch % 3 != 0)
    sending = Sending(sender, name="otlp", what="numbers", bounds=Bounds(16, 4))

    def put() -> None:
        for each in range(500):
            sending.put(each)

    putting = [threading.Thread(target=put) for _ in range(4)]
    for thread in putting:
        thread.start()
    for thread in putting:
        thread.join()
    sending.close(PATIENCE_S)
    assert sum(counts(sending)) == 2000
    assert sending.delivered + sending.failed == sum(map(len, sender.batches))


def test_a_failure_costs_its_batch_and_a_line_a_change(caplog: pytest.LogCaptureFixture) -> None:
    sender = Recorder(saying("refused", "reset", "", ""))
    sending = Sending(sender, name="otlp", what="numbers", bounds=Bounds(10, 2, NEVER_S))
    with caplog.at_level(logging.INFO):
        for number in range(7):
            sending.put(number)
        sending.close(PATIENCE_S)
    assert (counts(sending), sending.last_error) == ((3, 0, 4), "reset")
    assert caplog.messages == ["numbers export fails: refused", "numbers export works again"]


def test_a_silent_failure_is_one_too_and_for_good() -> None:
    sending = Sending(Recorder(lambda _: False), name="otlp", what="numbers", bounds=keeping())
    sending.put(1)
    sending.close(PATIENCE_S)
    assert (counts(sending), sending.last_error) == ((0, 0, 1), "the exporter did not say why")


def test_a_mistake_costs_its_batch_and_not_the_thread() -> None:
    def answer(batch: int) -> bool:
        if batch == 1:
            raise ValueError("of its own")
        return True

    sending = Sending(Recorder(answer), name="otlp", what="numbers", bounds=Bounds(2))
    for number in range(2):
        sending.put(number)
    sending.close(PATIENCE_S)
    assert (counts(sending), sending.last_error) == ((1, 0, 1), "ValueError('of its own')")


AWAY, REFUSED = "Transient error, %s", "Failed to export batch code: %s"


def keeping(max_waiting: int = 100, max_batch: int = 1, again_s: float = 0.0001, delay_s: float = 0.0) -> Bounds:
    return Bounds(max_waiting, max_batch, delay_s, again_s)


def failing(*words: str) -> Callable[[int], bool]:
    """What each attempt comes to, in these words; those after them are taken."""

    def answer(attempt: int) -> bool:
        if attempt <= len(words):
            OTEL.error(words[attempt - 1], attempt)
        return attempt > len(words)

    return answer


def delivered(sending: Sending[int], items: int) -> None:
    """Wait for so many to be taken, and close."""
    until = time.monotonic() + PATIENCE_S
    while sending.delivered < items and time.monotonic() < until:
        time.sleep(0.001)
    sending.close(PATIENCE_S)


def test_what_a_collector_that_is_away_did_not_take_is_sent_again_in_order(caplog: pytest.LogCaptureFixture) -> None:
    sender = Recorder(failing(AWAY, AWAY, AWAY))
    sending = Sending(sender, name="otlp", what="numbers", bounds=keeping(max_batch=2, delay_s=0.001))
    with caplog.at_level(logging.INFO):
        for number in range(6):
            sending.put(number)
        delivered(sending, 6)
    taken = [number for batch in sender.batches[3:] for number in batch]
    assert (taken, counts(sending), sending.failing) == ([0, 1, 2, 3, 4, 5], (6, 0, 0), False)
    assert caplog.messages == ["numbers export fails: Transient error, 1", "numbers export works again"]
    assert sending.last_error == "Transient error, 3"


def test_what_is_refused_is_counted_and_blocks_nothing() -> None:
    sender = Recorder(failing(AWAY, REFUSED, AWAY, REFUSED))
    sending = Sending(sender, name="otlp", what="numbers", bounds=keeping())
    for number in range(3):
        sending.put(number)
    delivered(sending, 1)
    assert (sender.batches, counts(sending)) == ([[0], [0], [1], [1], [2]], (1, 0, 2))


def test_where_there_is_no_room_for_what_waits_again_the_oldest_go_and_it_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gate = Gate()

    def answer(attempt: int) -> bool:
        gate(attempt)
        return failing(AWAY, AWAY)(attempt)

    sender = Recorder(answer)
    sending = Sending(sender, name="otlp", what="numbers", bounds=keeping(max_waiting=4, max_batch=3))
    sending.put(0)
    assert sender.sent.acquire(timeout=PATIENCE_S)
    for number in range(1, 7):
        sending.put(number)
    gate.opened.set()
    delivered(sending, 4)
    assert sender.batches == [[0], [3, 4, 5], [3, 4, 5], [6]]
    assert counts(sending) == (4, 3, 0)
    assert caplog.messages == [
        "numbers export fails: Transient error, 1",
        "numbers export: no room for more, 3 dropped so far",
    ]


def test_no_room_is_said_again_when_there_has_been(caplog: pytest.LogCaptureFixture) -> None:
    overflow = _Overflow("numbers")
    for dropped, taken in [(0, True), (1, False), (1, False), (2, False), (3, True), (3, True), (4, True), (4, False)]:
        overflow.look(dropped, taken=taken)
    assert caplog.messages == [f"numbers export: no room for more, {dropped} dropped so far" for dropped in (1, 4)]


def test_pauses_grow_while_the_collector_stays_away_and_not_for_ever() -> None:
    times: list[float] = []

    def answer(attempt: int) -> bool:
        times.append(time.monotonic())
        return failing(*[AWAY] * 6)(attempt)

    sending = Sending(Recorder(answer), name="otlp", what="numbers", bounds=keeping(again_s=0.002))
    sending.put(1)
    delivered(sending, 1)
    pauses = [later - earlier for earlier, later in pairwise(times)]
    least = (0.002, 0.004, 0.008, 0.016, 0.016, 0.016)
    assert [pause >= expected for pause, expected in zip(pauses, least, strict=True)] == [True] * 6
    assert min(pauses[-2:]) < 1.0


def test_who_is_away_when_it_closes_is_asked_once_more_and_no_longer(caplog: pytest.LogCaptureFixture) -> None:
    sender = Recorder(failing(*[AWAY] * 9))
    sending = Sending(sender, name="otlp", what="numbers", bounds=keeping(max_batch=2, again_s=NEVER_S))
    for number in range(3):
        sending.put(number)
    while not sending.failing:  # the first attempt is over
        time.sleep(0.001)
    sending.close(PATIENCE_S)
    assert (len(sender.batches), counts(sending), sending.waiting, sender.closed) == (2, (0, 3, 0), 0, 1)
    assert caplog.messages[-1] == "numbers export: 3 given up when closing"


def test_who_comes_back_at_closing_gets_it_all() -> None:
    sender = Recorder(failing(AWAY))
    sending = Sending(sender, name="otlp", what="numbers", bounds=keeping(again_s=NEVER_S))
    for number in range(3):
        sending.put(number)
    while not sending.failing:
        time.sleep(0.001)
    sending.close(PATIENCE_S)
    assert (sender.batches, counts(sending)) == ([[0], [0], [1], [2]], (3, 0, 0))


def test_a_fault_of_the_network_is_a_collector_that_is_away() -> None:
    def answer(attempt: int) -> bool:
        if attempt == 1:
            raise ConnectionResetError
        return True

    sending = Sending(Recorder(answer), name="otlp", what="numbers", bounds=keeping())
    sending.put(1)
    delivered(sending, 1)
    assert (counts(sending), sending.last_error) == ((1, 0, 0), "ConnectionResetError()")


def test_where_the_latest_counts_it_replaces_what_was_not_taken() -> None:
    sender = Recorder(failing(AWAY))
    sending = Sending(sender, name="otlp", what="numbers")
    sending.put(1)
    sending.close(PATIENCE_S)
    assert (sender.batches, counts(sending), sending.failing) == ([[1]], (0, 0, 1), True)


def test_a_queue_of_others_is_emptied_and_what_waits_again_is_beside_their_bound() -> None:
    gate, waiting = Gate(), deque([0, 1])

    def answer(attempt: int) -> bool:
        gate(attempt)
        return failing(AWAY)(attempt)

    sender = Recorder(answer)
    sending = Sending(
        sender,
        name="otlp",
        what="numbers",
        bounds=keeping(max_waiting=2, max_batch=2),
        filled=Filled(waiting, lambda: 7),
    )
    assert sender.sent.acquire(timeout=PATIENCE_S)
    waiting.extend([2, 3])
    sending.ring()
    gate.opened.set()
    delivered(sending, 4)
    assert (sender.batches, counts(sending)) == ([[0, 1], [0, 1], [2, 3]], (4, 7, 0))


class Result(Enum):
    SUCCESS = 0
    FAILURE = 1


@dataclass
class Exporting:
    """An exporter."""

    result: Result = Result.SUCCESS
    taken: list[str] = field(default_factory=list)
    shut_down: int = 0

    def export(self, data: str, /) -> Result:
        self.taken.append(data)
        return self.result

    def shutdown(self) -> None:
        self.shut_down += 1


def test_exporters_are_made_once_and_only_for_something() -> None:
    made: list[Exporting] = []

    def make() -> list[Exporting]:
        made.append(Exporting())
        return made

    exporters: Exporters[str] = Exporters(make)
    assert made == []
    assert [exporters.export(data) for data in "ab"] == [True, True]
    exporters.close()
    exporters.close()
    assert made == [Exporting(taken=["a", "b"], shut_down=1)]


def test_what_one_exporter_took_and_another_did_not_goes_to_all_once() -> None:
    ways = [Exporting(Result.FAILURE), Exporting()]
    exporters: Exporters[str] = Exporters(lambda: ways)
    with pytest.raises(DeliveryError, match="not sent again"):
        exporters.export("a")
    assert [way.taken for way in ways] == [["a"], ["a"]]


def test_exporters_that_were_made_while_closing_are_shut_down_before_they_export() -> None:
    way = Exporting()

    def make() -> list[Exporting]:
        exporters.close()
        return [way]

    exporters: Exporters[str] = Exporters(make)
    exporters.export("a")
    assert way.shut_down == 1
