import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

import pytest

from sidecar.sinks.otlp_sending import Exporters, Sending, Words
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
    sending = Sending(sender, what="numbers", max_waiting=max_waiting, max_batch=max_batch)
    sending.put(0)
    assert sender.sent.acquire(timeout=PATIENCE_S)
    return sending, sender, gate


def test_what_waits_is_sent_in_order_at_close() -> None:
    sender = Recorder()
    sending = Sending(sender, what="numbers", max_waiting=100, max_batch=4, delay_s=NEVER_S)
    for number in range(10):
        sending.put(number)
    sending.close(PATIENCE_S)
    assert sender.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert (counts(sending), sending.last_error, sender.closed) == ((10, 0, 0), "", 1)


def test_an_idle_one_closes_at_once_and_sends_nothing() -> None:
    sender = Recorder()
    Sending(sender, what="numbers").close(PATIENCE_S)
    assert (sender.batches, sender.closed) == ([], 1)


def test_a_full_batch_does_not_wait_for_the_delay() -> None:
    sender = Recorder()
    sending = Sending(sender, what="numbers", max_waiting=8, max_batch=3, delay_s=NEVER_S)
    for number in range(3):
        sending.put(number)
    assert sender.sent.acquire(timeout=PATIENCE_S)
    assert sender.batches == [[0, 1, 2]]
    sending.close(PATIENCE_S)


def test_a_lonely_item_waits_for_the_delay_only() -> None:
    sender = Recorder()
    sending = Sending(sender, what="numbers", max_waiting=8, max_batch=3, delay_s=0.001)
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
    sending = Sending(sender, what="numbers")
    sending.close(PATIENCE_S)
    sending.put(1)
    assert (sender.batches, counts(sending)) == ([], (0, 1, 0))


def test_whatever_becomes_of_it_everything_is_counted_once() -> None:
    sender = Recorder(lambda batch: batch % 3 != 0)
    sending = Sending(sender, what="numbers", max_waiting=16, max_batch=4)

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
    sending = Sending(sender, what="numbers", max_waiting=10, max_batch=2, delay_s=NEVER_S)
    with caplog.at_level(logging.INFO):
        for number in range(7):
            sending.put(number)
        sending.close(PATIENCE_S)
    assert (counts(sending), sending.last_error) == ((3, 0, 4), "reset")
    assert caplog.messages == ["numbers export fails: refused", "numbers export works again"]


def test_an_exporter_that_does_not_repeat_itself_means_what_it_said_last() -> None:
    said = iter(["refused", ""])

    def answer(_: int) -> bool:
        if word := next(said):
            OTEL.error(word)
        return False

    sending = Sending(Recorder(answer), what="numbers", max_waiting=2)
    for number in range(2):
        sending.put(number)
    sending.close(PATIENCE_S)
    assert (counts(sending), sending.last_error) == ((0, 0, 2), "refused")


def test_a_silent_failure_is_one_too() -> None:
    sending = Sending(Recorder(lambda _: False), what="numbers")
    sending.put(1)
    sending.close(PATIENCE_S)
    assert sending.last_error == "the exporter did not say why"


def test_a_mistake_costs_its_batch_and_not_the_thread() -> None:
    def answer(batch: int) -> bool:
        if batch == 1:
            raise ValueError("of its own")
        return True

    sending = Sending(Recorder(answer), what="numbers", max_waiting=2)
    for number in range(2):
        sending.put(number)
    sending.close(PATIENCE_S)
    assert (counts(sending), sending.last_error) == ((1, 0, 1), "ValueError('of its own')")


def test_words_of_one_thread_are_not_taken_for_anothers() -> None:
    heard = []

    def speak() -> None:
        with Words() as theirs:
            OTEL.error("theirs")
            heard.append(theirs.first)

    with Words() as ours:
        speaking = threading.Thread(target=speak)
        speaking.start()
        speaking.join()
        OTEL.error("ours, %s", "first")
        OTEL.error("ours, second")
    assert (heard, ours.first) == (["theirs"], "ours, first")


def test_words_come_back_when_the_last_has_left(caplog: pytest.LogCaptureFixture) -> None:
    before = list(OTEL.handlers), OTEL.propagate
    first, second = Words(), Words()
    with first:
        with second:
            OTEL.error("to both")
        OTEL.error("to one")
    OTEL.error("to the log")
    assert caplog.messages == ["to the log"]
    assert (OTEL.handlers, OTEL.propagate) == before


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


def test_all_exporters_get_what_one_of_them_fails_to_take() -> None:
    ways = [Exporting(Result.FAILURE), Exporting()]
    exporters: Exporters[str] = Exporters(lambda: ways)
    assert not exporters.export("a")
    assert [way.taken for way in ways] == [["a"], ["a"]]


def test_exporters_that_were_made_while_closing_are_shut_down_before_they_export() -> None:
    way = Exporting()

    def make() -> list[Exporting]:
        exporters.close()
        return [way]

    exporters: Exporters[str] = Exporters(make)
    exporters.export("a")
    assert way.shut_down == 1
