import asyncio
import gzip
import itertools
import json
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from time import thread_time

import numpy as np
import pytest

from sidecar.config.telemetry import CustomMetric
from sidecar.exchange import Exchange, Message
from sidecar.payload import DECODERS
from sidecar.payload.awaiting import Awaiting
from sidecar.payload.custom import Custom
from sidecar.payload.decoding import Decoding
from sidecar.payload.reading import Reader
from sidecar.pipeline import (
    BATCH_CELLS,
    DECODED_BYTES,
    JUDGED_ROWS,
    RECENT,
    RECENT_BODY_BYTES,
    Parts,
    Pipeline,
    is_heavy,
    slices,
)
from sidecar.records import JSON, Capture, Rows, Sample, Table
from sidecar.sinks.delivery import AnyDelivery, Delivery, RowDelivery
from sidecar.stats.window import Window


class Waiting(deque[Exchange]):
    """Exchanges that wait."""

    def take(self) -> Exchange | None:
        return self.popleft() if self else None


class Kept:
    """A sink that remembers."""

    deleted_files = 0

    def __init__(self) -> None:
        self.captures: list[Capture] = []

    def export(self, captures: Sequence[Capture]) -> None:
        self.captures += captures

    def close(self) -> None:
        pass


class KeptRows:
    """A sink of rows that remembers."""

    deleted_files = 0

    def __init__(self) -> None:
        self.items: list[tuple[Capture, Rows]] = []

    def export_rows(self, items: Sequence[tuple[Capture, Rows]]) -> None:
        self.items += items

    def close(self) -> None:
        pass


def exchange(
    document: JSON, answer: JSON = None, *, status: int = 200, lines: bytes = b"", body: bytes = b""
) -> Exchange:
    asked = body or json.dumps(document).encode()
    answered = json.dumps({"predictions": answer}).encode()
    return Exchange(
        request_id="r",
        variant="champion",
        version="3",
        method="POST",
        target=b"/v1/models/fraud:predict",
        route="/v1/models/{model}:predict",
        status=status,
        error_type="",
        request=Message(b"Content-Type: application/json\r\n" + lines, (asked,)),
        reply=Message(b"Content-Type: application/json\r\n", (answered,)),
        started_s=1.0,
        duration_s=0.1,
        first_byte_s=0.05,
        overhead_s=0.001,
        sample_ratio=1.0,
    )


def rows(count: int) -> list[list[float]]:
    return [[float(one), float(two)] for one, two in np.random.default_rng(count).normal(size=(count, 2))]


@pytest.fixture
def waiting() -> Waiting:
    return Waiting()


def make_window() -> Window:
    return Window(rows=100_000, panes=10, seconds=1e9, max_features=100, max_categories=10)


def pipeline(waiting: Waiting, *deliveries: AnyDelivery, window: Callable[[], Window] = make_window) -> Pipeline:
    parts = Parts(Reader(max_inflated_bytes=1 << 24), Decoding(DECODERS), deliveries)
    clock = itertools.count(1.0).__next__
    return Pipeline(waiting, parts, make_window=window, now_s=clock, wall_s=lambda: 1e9)


class Seen:
    """A watch that keeps what it is given, or fails at it."""

    def __init__(self, *, fails: bool = False) -> None:
        self._fails = fails
        self.rows: list[tuple[str, str, int, int]] = []
        self.judged: list[tuple[int, str]] = []

    def count(self, variant: str, version: str, features: Table, predictions: Table) -> None:
        self.rows.append((variant, version, len(features.values), len(predictions.values)))
        if self._fails:
            raise RuntimeError("a fault of ours")

    def judge(self, now_s: float) -> None:
        assert now_s == 1e9
        self.judged.append((sum(each[2] for each in self.rows), threading.current_thread().name))


def test_every_row_of_every_exchange_is_counted(waiting: Waiting) -> None:
    batches = [rows(count) for count in (1, 1, 2, 700, 1)]
    waiting.extend(exchange({"instances": batch}, [sum(row) for row in batch]) for batch in batches)
    line = pipeline(waiting)
    asyncio.run(line.drain())
    expected = np.array([row for batch in batches for row in batch])
    features = line.windows["champion", "features"].snapshot().current(1e6)
    assert features.rows == len(expected) == line.rows["champion"]
    np.testing.assert_allclose(features.mean, expected.mean(axis=0), rtol=1e-12)
    predictions = line.windows["champion", "predictions"].snapshot().current(1e6)
    np.testing.assert_allclose(predictions.mean, [expected.sum(axis=1).mean()], rtol=1e-12)
    assert not line.failures


def test_a_sink_of_rows_gets_what_could_be_decoded_and_no_other_sink_does(waiting: Waiting) -> None:
    kept, rows_kept = Kept(), KeptRows()
    deliveries = (
        Delivery(kept, name="captures", max_bytes=1 << 20),
        RowDelivery(rows_kept, name="rows", max_bytes=1 << 20),
    )
    waiting.extend([exchange({"instances": rows(3)}, [1, 2, 3]), exchange({"instances": rows(2)}, status=500)])
    waiting.append(exchange(None, body=b"{not json"))
    asyncio.run(pipeline(waiting, *deliveries).drain())
    for delivery in deliveries:
        delivery.close(30.0)

    assert (len(kept.captures), [each.delivered for each in deliveries]) == (3, [3, 2])
    assert [(len(rows.asked), len(rows.answered)) for _, rows in rows_kept.items] == [(3, 3), (2, 0)]


def test_metrics_of_ones_own_are_counted_whether_or_not_rows_can_be_decoded(waiting: Waiting) -> None:
    sizes = CustomMetric(name="sizes", kind="counter", header="x-size", of="request")
    scores = CustomMetric(name="scores", kind="counter", pointer="/predictions/*")
    custom = Custom([sizes, scores], max_series=10)
    waiting.append(exchange({"instances": rows(2)}, [1.5, 2.0], lines=b"X-Size: 7\r\n"))
    waiting.append(exchange(None, [4.0], lines=b"X-Size: 1\r\n", body=b"neither rows nor JSON"))
    waiting.append(exchange(None, [8.0], lines=b"X-Size: 2\r\n", body=b" " * (DECODED_BYTES + 1)))
    line = pipeline(waiting)
    line.parts = line.parts._replace(custom=custom)
    asyncio.run(line.drain())
    totals = [{key: series.total for key, series in tally.series.items()} for tally in custom.tallies]
    assert totals == [{("champion", "3"): 10.0}, {("champion", "3"): 7.5}]
    assert line.rows == {"champion": 2}


def test_texts_are_counted_with_their_rows_when_a_batch_is_counted_in_parts(waiting: Waiting) -> None:
    batch = [{"amount": float(row), "country": "at" if row % 3 else "de"} for row in range(6000)]
    waiting.append(exchange({"instances": batch}))
    line = pipeline(waiting)
    asyncio.run(line.drain())
    features = line.windows["champion", "features"].snapshot().current(1e6)
    assert dict(features.texts[1].top) == {"at": 4000, "de": 2000}


@pytest.mark.parametrize(
    ("rows", "columns", "slices_of"),
    [
        (3, 2, [3]),
        (JUDGED_ROWS + 1, 2, [JUDGED_ROWS, 1]),
        (BATCH_CELLS // 50, 49, [BATCH_CELLS // 50]),
        (BATCH_CELLS // 50 + 1, 49, [BATCH_CELLS // 50, 1]),
        (2, BATCH_CELLS + 1, [1, 1]),
        (5, 0, [5]),
    ],
)
def test_a_slice_has_a_bounded_number_of_cells_or_one_row(rows: int, columns: int, slices_of: list[int]) -> None:
    values = np.arange(rows * columns, dtype=np.float64).reshape(rows, columns)
    texts = {0: [str(row) for row in range(rows)]} if columns else {}
    features = Table(tuple(map(str, range(columns))), values, texts)
    predictions = Table(("score",), np.arange(rows, dtype=np.float64)[:, None])
    sample = Sample("champion", "3", [""] * rows, np.zeros(rows), features, predictions)

    pieces = list(slices(sample))

    assert [(len(asked.values), len(answered.values)) for asked, answered in pieces] == [(n, n) for n in slices_of]
    np.testing.assert_array_equal(np.concatenate([asked.values for asked, _ in pieces]), values)
    np.testing.assert_array_equal(np.concatenate([answered.values for _, answered in pieces]), predictions.values)
    assert [cell for asked, _ in pieces for cell in asked.texts.get(0, ())] == list(texts.get(0, ()))


def test_what_watches_gets_every_row_and_judges_every_few_hundred(waiting: Waiting) -> None:
    waiting.extend(exchange({"instances": batch}, [sum(row) for row in batch]) for batch in map(rows, (1, 5000, 2)))
    line, watch = pipeline(waiting), Seen()
    line.watches = [watch]
    asyncio.run(line.drain())

    assert {(variant, version) for variant, version, *_ in watch.rows} == {("champion", "3")}
    assert all(asked == answered <= BATCH_CELLS // 3 for *_, asked, answered in watch.rows)
    seen = [rows for rows, _ in watch.judged]
    assert seen[-1] == sum(asked for *_, asked, _ in watch.rows) == 5003
    assert all(later - earlier <= BATCH_CELLS // 3 + JUDGED_ROWS for earlier, later in itertools.pairwise([0, *seen]))


def test_judging_is_done_in_a_thread(waiting: Waiting) -> None:
    waiting.append(exchange({"instances": rows(3)}))
    line, watch = pipeline(waiting), Seen()
    line.watches = [watch]
    asyncio.run(line.drain())

    ((_, thread),) = watch.judged
    assert thread != threading.current_thread().name


def test_a_watch_that_fails_disturbs_no_other(waiting: Waiting) -> None:
    waiting.append(exchange({"instances": rows(3)}))
    line, watch = pipeline(waiting), Seen()
    line.watches = [Seen(fails=True), watch]
    asyncio.run(line.drain())

    assert [row for *_, row, _ in watch.rows] == [3]
    assert line.failures["internal"] == 1
    assert line.rows["champion"] == 3


def test_nothing_is_judged_while_something_is_done_in_between(waiting: Waiting) -> None:
    waiting.append(exchange({"instances": rows(3)}))
    line, watch, go_on = pipeline(waiting), Seen(), threading.Event()
    line.watches = [watch]

    async def work() -> int:
        doing = asyncio.ensure_future(line.between(lambda: go_on.wait(60) and len(watch.judged)))
        await asyncio.sleep(0)
        draining = asyncio.ensure_future(line.drain())
        while not watch.rows:  # noqa: ASYNC110  (nobody else would say so)
            await asyncio.sleep(0)
        go_on.set()
        judged = await doing
        await draining
        return judged

    assert asyncio.run(work()) == 0
    assert len(watch.judged) == 1


def test_a_body_that_cannot_be_read_is_stored_and_counted_by_reason(waiting: Waiting) -> None:
    kept = Kept()
    delivery = Delivery(kept, name="kept", max_bytes=1 << 20)
    waiting.append(exchange(None, body=b"{not json"))
    waiting.append(exchange({"instances": [[1]]}, status=500))
    line = pipeline(waiting, delivery)
    asyncio.run(line.drain())
    delivery.close(5.0)
    assert dict(line.failures) == {"json": 1, "status": 1}
    assert [capture.status for capture in kept.captures] == [200, 500]
    assert line.captured == 2
    assert line.rows["champion"] == 1


class Broken(Window):
    """A window with a fault of ours."""

    def update(self, *_: object) -> None:
        raise ZeroDivisionError


def test_a_fault_of_ours_is_logged_once_and_counted_and_the_next_exchange_is_read(
    waiting: Waiting, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Window:
        return Broken(rows=10, panes=1, seconds=1.0, max_features=1, max_categories=1)

    line = pipeline(waiting, window=broken)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            waiting.append(exchange({"instances": [[1.0]]}))
            asyncio.run(line.drain())
    assert line.failures["internal"] == 3
    assert line.captured == 3
    assert len(caplog.records) == 1


def test_cancelling_is_not_survived(waiting: Waiting) -> None:
    async def cancel() -> None:
        task = asyncio.get_running_loop().create_task(pipeline(waiting).run())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())


def test_run_takes_what_comes_until_cancelled(waiting: Waiting) -> None:
    async def scenario() -> Pipeline:
        line = pipeline(waiting)
        task = asyncio.get_running_loop().create_task(line.run())
        for _ in range(200):
            waiting.append(exchange({"instances": [[1.0]]}))
        while line.rows["champion"] < 200:  # noqa: ASYNC110  (the pipeline has no event to wait for)
            await asyncio.sleep(0)
        task.cancel()
        return line

    assert asyncio.run(scenario()).captured == 200


@pytest.mark.parametrize(
    ("body", "lines", "heavy"),
    [
        (b"x" * 100, b"", False),
        (b"x" * 65536, b"", False),
        (b"x" * 65537, b"", True),
        (b"x" * 1025, b"content-encoding: gzip\r\n", True),
        (b"x" * 1024, b"content-encoding: gzip\r\n", False),
    ],
)
def test_large_and_compressed_bodies_are_heavy(body: bytes, lines: bytes, heavy: bool) -> None:
    assert is_heavy(exchange(None, body=body, lines=lines)) == heavy


def test_captures_are_noted_whether_they_can_be_decoded_or_not(waiting: Waiting) -> None:
    waiting.extend([exchange({"instances": rows(1)}, [1.0]), exchange(None, status=503, body=b"no JSON")])
    line = pipeline(waiting)
    noted: list[int] = []
    line.notes.append(lambda captures: noted.extend(each.status for each in captures))
    asyncio.run(line.drain())
    assert noted == [200, 503]


def test_a_note_that_fails_costs_no_other(waiting: Waiting) -> None:
    def fault(_: Sequence[Capture]) -> None:
        raise RuntimeError("a fault of ours")

    waiting.append(exchange({"instances": rows(1)}, [1.0]))
    line = pipeline(waiting)
    noted: list[Capture] = []
    line.notes += [fault, noted.extend]
    asyncio.run(line.drain())
    assert (len(noted), line.failures["internal"], line.rows["champion"]) == (1, 1, 1)


def test_what_the_work_takes_of_the_event_loop_is_counted_and_idleness_is_not(waiting: Waiting) -> None:
    line = pipeline(waiting)
    asyncio.run(line.step())
    assert sum(line.slices.counts) == 0
    waiting.append(exchange({"instances": rows(3)}, [1.0, 2.0, 3.0]))
    line.watches = [Seen()]
    asyncio.run(line.drain())
    # Read, stored, two windows, one watch.
    assert sum(line.slices.counts) == 5
    assert 0.0 < line.slices.total < 1.0


class Slow:
    """A format that takes its time, wherever it is read."""

    def reads(self, path: str, content_type: str, document: JSON) -> bool:  # noqa: ARG002  (as ports has it)
        return True

    def features(self, body: bytes, document: JSON) -> tuple[Sequence[str], list[list[object]]]:  # noqa: ARG002
        until_s = thread_time() + 0.02
        while thread_time() < until_s:
            pass
        return (), [[1.0]]

    predictions = features


@pytest.mark.parametrize(("padding", "on_the_loop"), [(70_000, False), (0, True)])
def test_the_time_of_a_thread_is_not_the_event_loops(waiting: Waiting, padding: int, on_the_loop: bool) -> None:
    waiting.append(exchange({"padding": " " * padding}))
    line = pipeline(waiting)
    line.parts = line.parts._replace(decoding=Decoding({"slow": Slow}))
    asyncio.run(line.drain())
    assert line.rows["champion"] == 1
    assert (line.slices.total > 0.02) is on_the_loop


def test_heavy_bodies_are_counted_like_others(waiting: Waiting) -> None:
    batch = rows(4000)
    body = gzip.compress(json.dumps({"instances": batch}).encode())
    waiting.append(exchange(None, body=body, lines=b"Content-Encoding: gzip\r\n"))
    line = pipeline(waiting)
    assert is_heavy(waiting[0])
    asyncio.run(line.drain())
    features = line.windows["champion", "features"].snapshot().current(1e6)
    np.testing.assert_allclose(features.mean, np.mean(batch, axis=0), rtol=1e-12)


def test_bodies_too_large_to_decode_are_stored_and_counted(waiting: Waiting) -> None:
    waiting.append(exchange(None, body=b"[" + b" " * DECODED_BYTES + b"]"))
    line = pipeline(waiting)
    asyncio.run(line.drain())
    assert (line.captured, dict(line.failures)) == (1, {"too_large": 1})


def test_the_latest_captures_are_kept_with_the_beginnings_of_their_bodies(waiting: Waiting) -> None:
    waiting.extend(exchange({"instances": [[number]]}) for number in range(RECENT + 7))
    waiting.append(exchange(None, body=b"[" + b" " * 20_000 + b"]"))
    line = pipeline(waiting)
    asyncio.run(line.drain())
    assert len(line.recent) == RECENT
    long = line.recent[-1].request
    assert (len(long.data), long.withheld) == (RECENT_BODY_BYTES, "truncated")
    assert line.recent[-2].request.data == b'{"instances": [[56]]}'


def test_nothing_is_counted_for_a_table_without_columns(waiting: Waiting) -> None:
    line = pipeline(waiting)
    line._update("champion", "predictions", Table((), np.empty((3, 0))))
    assert not line.windows


def test_exchanges_are_handed_over_whole_before_they_are_counted(waiting: Waiting) -> None:
    line = pipeline(waiting)
    kept: list[tuple[int, int, int]] = []

    def keep(batch: Sequence[tuple[Capture, Rows]]) -> None:
        kept.extend((capture.status, len(rows.asked), len(rows.answered)) for capture, rows in batch)
        assert not batch or not line.rows

    line.keeps = [keep]
    waiting.append(exchange({"instances": rows(3)}, [1, 2, 3]))
    waiting.append(exchange({"instances": rows(2)}, status=500))
    waiting.append(exchange(None, body=b"{not json"))
    asyncio.run(line.drain())

    assert kept == [(200, 3, 3), (500, 2, 0)]
    assert line.rows["champion"] == 5
    assert dict(line.failures) == {"status": 1, "json": 1}


def test_who_keeps_and_fails_disturbs_nobody(waiting: Waiting) -> None:
    line, kept = pipeline(waiting), deque[int]()

    def broken(batch: Sequence[tuple[Capture, Rows]]) -> None:
        if batch:
            raise ZeroDivisionError

    line.keeps = [broken, lambda batch: kept.append(len(batch))]
    waiting.append(exchange({"instances": rows(3)}, [1, 2, 3]))
    asyncio.run(line.drain())

    assert sum(kept) == 1
    assert (line.rows["champion"], line.failures["internal"]) == (3, 1)


def test_to_keep_exchanges_costs_the_loop_nothing_noticeable(waiting: Waiting) -> None:
    """Two microseconds each, of the hundred that reading and decoding take."""
    line, queue = pipeline(waiting), Awaiting(1 << 30)
    spent_s = deque[float]()

    def keep(batch: Sequence[tuple[Capture, Rows]]) -> None:
        begun_s = thread_time()
        queue.offer(batch)
        spent_s.append(thread_time() - begun_s)

    line.keeps = [keep]
    waiting.extend(exchange({"instances": [[1.0, 2.0]]}, [1]) for _ in range(2000))
    begun_s = thread_time()
    asyncio.run(line.drain())
    all_s = thread_time() - begun_s

    assert len(queue) == 2000
    assert sum(spent_s) < all_s / 10
