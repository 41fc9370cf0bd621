import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from sidecar.errors import DeliveryError
from sidecar.payload.awaiting import CELL_BYTES, EXCHANGE_BYTES, ROW_BYTES
from sidecar.records import Body, Capture, Rows
from sidecar.sinks import delivery as module
from sidecar.sinks.delivery import BATCH_BYTES, BATCH_CAPTURES, CAPTURE_BYTES, LOG_INTERVAL_S, Delivery, RowDelivery

PATIENCE_S = 30.0
MAX_BYTES = 1 << 30


def capture(number: int, body_bytes: int = 0) -> Capture:
    body = Body("application/octet-stream", bytes(body_bytes))
    return Capture(
        str(number), "", "champion", "1", "POST", "/", "/", 200, "", 0.0, 0.0, 0.0, 0.0, 1.0, {}, body, Body("", b"")
    )


def numbers(captures: Sequence[Capture]) -> list[int]:
    return [int(each.request_id) for each in captures]


@dataclass
class Recorder:
    """A sink that keeps what it is given; `before` runs first, in the sink's thread."""

    before: Callable[[int], None] = lambda _: None
    batches: list[list[int]] = field(default_factory=list)
    closed: int = 0
    deleted_files: int = 0

    def export(self, captures: Sequence[Capture]) -> None:
        self.batches.append(numbers(captures))
        self.before(len(self.batches))

    def close(self) -> None:
        self.closed += 1


class Gate:
    """Holds a sink in its first export until it is opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self, batch: int) -> None:
        if batch == 1:
            self.reached.set()
            assert self.opened.wait(PATIENCE_S)


def raising(*errors: Exception | None) -> Callable[[int], None]:
    def before(batch: int) -> None:
        if error := errors[batch - 1]:
            raise error

    return before


def held(max_bytes: int = MAX_BYTES) -> tuple[Delivery, Recorder, Gate]:
    """A delivery whose sink is busy with capture 0."""
    gate = Gate()
    sink = Recorder(gate)
    delivery = Delivery(sink, name="held", max_bytes=max_bytes)
    delivery.offer([capture(0)])
    assert gate.reached.wait(PATIENCE_S)
    return delivery, sink, gate


def test_what_waits_is_delivered_in_order_at_close() -> None:
    sink = Recorder()
    delivery = Delivery(sink, name="a", max_bytes=MAX_BYTES)
    for start in range(0, 300, 3):
        delivery.offer([capture(start), capture(start + 1), capture(start + 2)])
    delivery.close(PATIENCE_S)
    assert [number for batch in sink.batches for number in batch] == list(range(300))
    assert (delivery.delivered, delivery.dropped, delivery.failed, sink.closed) == (300, 0, 0, 1)
    assert (delivery.waiting_bytes, delivery.last_error) == (0, "")


def test_an_idle_delivery_closes_at_once_and_exports_nothing() -> None:
    sink = Recorder()
    Delivery(sink, name="a", max_bytes=MAX_BYTES).close(PATIENCE_S)
    assert (sink.batches, sink.closed) == ([], 1)


def test_a_slow_sink_gets_batches_not_single_captures() -> None:
    delivery, sink, gate = held()
    for number in range(1, 2 * BATCH_CAPTURES + 2):
        delivery.offer([capture(number)])
    gate.opened.set()
    delivery.close(PATIENCE_S)
    assert [len(batch) for batch in sink.batches] == [1, BATCH_CAPTURES, BATCH_CAPTURES, 1]


def test_a_batch_of_large_bodies_ends_at_the_byte_bound() -> None:
    delivery, sink, gate = held()
    delivery.offer([capture(number, BATCH_BYTES // 2) for number in range(1, 5)])
    gate.opened.set()
    delivery.close(PATIENCE_S)
    assert sink.batches == [[0], [1, 2], [3, 4]]


def test_overflow_drops_the_oldest_and_counts_them() -> None:
    delivery, sink, gate = held(max_bytes=3 * CAPTURE_BYTES)
    delivery.offer([capture(number) for number in range(1, 6)])
    assert (delivery.waiting, delivery.waiting_bytes) == (3, 3 * CAPTURE_BYTES)
    gate.opened.set()
    delivery.close(PATIENCE_S)
    assert sink.batches == [[0], [3, 4, 5]]
    assert (delivery.delivered, delivery.dropped, delivery.waiting) == (4, 2, 0)


def test_a_capture_larger_than_the_queue_costs_no_other() -> None:
    delivery, sink, gate = held(max_bytes=3 * CAPTURE_BYTES)
    delivery.offer([capture(1), capture(2, 3 * CAPTURE_BYTES), capture(3)])
    gate.opened.set()
    delivery.close(PATIENCE_S)
    assert (sink.batches, delivery.dropped) == ([[0], [1, 3]], 1)


def test_a_closed_delivery_drops_and_counts() -> None:
    sink = Recorder()
    delivery = Delivery(sink, name="a", max_bytes=MAX_BYTES)
    delivery.close(PATIENCE_S)
    delivery.offer([capture(1), capture(2)])
    assert (sink.batches, delivery.dropped) == ([], 2)


def test_closing_does_not_wait_for_a_sink_that_hangs(caplog: pytest.LogCaptureFixture) -> None:
    delivery, sink, gate = held()
    delivery.offer([capture(1), capture(2)])
    delivery.close(0.0)
    assert (delivery.delivered, delivery.dropped, delivery.waiting_bytes) == (0, 2, 0)
    assert caplog.messages == ["sink held: not done within 0 s of closing; 2 captures dropped"]
    gate.opened.set()
    delivery.close(PATIENCE_S)
    assert (sink.batches, sink.closed) == ([[0]], 1)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (DeliveryError("/captures: full, expected room"), "/captures: full, expected room"),
        (OSError(28, "No space left on device"), "[Errno 28] No space left on device"),
        (ValueError("a mistake of ours"), "ValueError('a mistake of ours')"),
    ],
)
def test_a_failing_sink_costs_its_batch_and_nothing_else(error: Exception, text: str) -> None:
    gate = Gate()
    fail = raising(None, error, None)

    def before(batch: int) -> None:
        gate(batch)
        fail(batch)

    sink = Recorder(before)
    delivery = Delivery(sink, name="a", max_bytes=MAX_BYTES)
    delivery.offer([capture(0)])
    assert gate.reached.wait(PATIENCE_S)
    delivery.offer([capture(number) for number in range(BATCH_CAPTURES + 1)])
    gate.opened.set()
    delivery.close(PATIENCE_S)
    assert (delivery.delivered, delivery.failed, delivery.last_error) == (2, BATCH_CAPTURES, text)
    assert sink.closed == 1


def test_a_sink_that_fails_to_close_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    class Stubborn(Recorder):
        def close(self) -> None:
            raise DeliveryError("no")

    delivery = Delivery(Stubborn(), name="stubborn", max_bytes=MAX_BYTES)
    delivery.close(PATIENCE_S)
    assert (delivery.failed, delivery.last_error) == (0, "no")
    assert caplog.messages == ["sink stubborn: no; 0 captures lost so far"]


def test_trouble_is_logged_first_and_then_once_an_interval(caplog: pytest.LogCaptureFixture) -> None:
    ticks = [0.0, 1.0, LOG_INTERVAL_S - 0.1, LOG_INTERVAL_S, LOG_INTERVAL_S + 1.0]
    clock = iter(ticks)
    sink = Recorder(raising(*[DeliveryError("full")] * 4, ValueError("odd")))
    delivery = Delivery(sink, name="a", max_bytes=MAX_BYTES, clock=lambda: next(clock))
    delivery.offer([capture(number, BATCH_BYTES) for number in range(5)])
    delivery.close(PATIENCE_S)
    assert caplog.messages == [
        "sink a: full; 1 captures lost so far",
        "sink a: full; 4 captures lost so far",
    ]
    assert (delivery.failed, delivery.last_error) == (5, "ValueError('odd')")


@pytest.mark.parametrize(("error", "traced"), [(DeliveryError("full"), False), (ValueError("odd"), True)])
def test_only_a_mistake_of_ours_is_logged_with_its_place(
    error: Exception, traced: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        delivery = Delivery(Recorder(raising(error)), name="a", max_bytes=MAX_BYTES)
        delivery.offer([capture(1)])
        delivery.close(PATIENCE_S)
    assert [bool(record.exc_info) for record in caplog.records] == [traced]


@dataclass
class Heap:
    """A sink that gathers all that it is given until it is tended, and loses what it is told to."""

    fails: list[str] = field(default_factory=list)
    tended: threading.Event = field(default_factory=threading.Event)
    taken: int = 0
    lost: int = 0
    gathered: int = 0
    deleted_files: int = 0

    @property
    def gathered_bytes(self) -> int:
        return 10 * self.gathered

    def export(self, captures: Sequence[Capture]) -> None:
        self.gathered += len(captures)
        if "export" in self.fails:
            self.lost, self.gathered = self.lost + 1, self.gathered - 1
            raise DeliveryError("no room for an earlier one")

    def tend(self) -> None:
        if self.gathered:
            self.tended.set()
        if "tend" in self.fails:
            raise DeliveryError("nobody there")

    def close(self) -> None:
        self.taken, self.gathered = self.taken + self.gathered, 0


def test_what_a_sink_gathers_is_delivered_only_once_it_is_where_it_goes() -> None:
    sink = Heap()
    delivery = Delivery(sink, name="a", max_bytes=MAX_BYTES)
    delivery.offer([capture(1), capture(2)])
    assert sink.tended.wait(PATIENCE_S)
    gathered = (delivery.delivered, delivery.waiting, delivery.waiting_bytes)
    delivery.close(PATIENCE_S)

    assert (gathered, delivery.delivered, delivery.waiting) == ((0, 2, 20), 2, 0)


def test_a_sink_that_gathers_is_tended_though_nothing_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TEND_S", 0.001)
    sink = Heap()
    delivery = Delivery(sink, name="a", max_bytes=MAX_BYTES)
    delivery.offer([capture(1)])
    for _ in range(2):
        assert sink.tended.wait(PATIENCE_S)
        sink.tended.clear()
    delivery.close(PATIENCE_S)


def test_a_sink_that_gathers_counts_its_losses_itself() -> None:
    sink = Heap(["export"])
    delivery = Delivery(sink, name="a", max_bytes=MAX_BYTES)
    delivery.offer([capture(number) for number in range(5)])
    delivery.close(PATIENCE_S)

    assert (delivery.delivered, delivery.failed, delivery.last_error) == (4, 1, "no room for an earlier one")


def test_a_sink_that_cannot_bring_away_what_it_gathered_is_told_of() -> None:
    sink = Heap(["tend"])
    delivery = Delivery(sink, name="a", max_bytes=MAX_BYTES)
    delivery.offer([capture(1)])
    assert sink.tended.wait(PATIENCE_S)
    delivery.close(PATIENCE_S)

    assert (delivery.delivered, delivery.failed, delivery.last_error) == (1, 0, "nobody there")


@dataclass
class Lines:
    """A sink of rows that remembers."""

    gate: Gate
    cells: list[object] = field(default_factory=list)
    deleted_files: int = 0

    def export_rows(self, items: Sequence[tuple[Capture, Rows]]) -> None:
        self.gate(1)
        self.cells += [rows.asked[0][0] for _, rows in items]

    def close(self) -> None:
        pass


def test_rows_wait_with_all_their_cells_and_the_oldest_go() -> None:
    gate = Gate()
    sink = Lines(gate)
    each = EXCHANGE_BYTES + 2 * ROW_BYTES + 2 * 3 * CELL_BYTES
    delivery = RowDelivery(sink, name="rows", max_bytes=3 * each)
    items = [(capture(number), Rows(("a", "b"), [[number, 1], [number, 2]], ("p",), [[0], [0]])) for number in range(6)]
    delivery.offer(items[:1])
    assert gate.reached.wait(PATIENCE_S)
    delivery.offer(items[1:])
    waiting = (delivery.waiting, delivery.waiting_bytes)
    gate.opened.set()
    delivery.close(PATIENCE_S)

    assert (waiting, delivery.dropped, sink.cells) == ((3, 3 * each), 2, [0, 3, 4, 5])
