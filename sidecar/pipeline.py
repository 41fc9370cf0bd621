"""Behind the request path: read and redacted, shown and stored, decoded, counted, judged, in this order.

The work is done in slices of half a millisecond between requests, large bodies in a thread. The request path never
waits for any of it; what does not fit the tap's buffer is dropped and counted there.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter
from types import TracebackType
from typing import NamedTuple, Protocol, TypeVar

from sidecar.errors import PayloadError
from sidecar.exchange import Exchange, Message
from sidecar.payload.assembling import assemble
from sidecar.payload.custom import Custom
from sidecar.payload.decoding import Decoding
from sidecar.payload.reading import Reader
from sidecar.ports import Watch
from sidecar.records import Body, Capture, Rows, Sample, Table
from sidecar.sinks.delivery import AnyDelivery, Delivery, RowDelivery
from sidecar.stats.lag import SLICE_SECONDS, Timing
from sidecar.stats.traffic import Histogram
from sidecar.stats.window import Snapshot, Window

log = logging.getLogger(__name__)

T = TypeVar("T")

SLICE_S = 0.0005
"""Of reading and decoding before the loop is given back; a slice may overrun by one exchange that is not heavy."""

BATCH_EXCHANGES = 256
"""Counted into the windows together: numpy's fixed costs are shared by as many rows."""

BATCH_BYTES = 256 * 1024
"""Of bodies that wait to be counted together."""

JUDGED_ROWS = 256
"""Counted together at most, and between two looks at what they say: one request may have thousands."""

BATCH_S = 0.5
"""How long they wait for more."""

BATCH_CELLS = 256 * 32
"""Counted in one slice, in rows of all features: 0.2 ms for 30 features, 0.4 ms for 256."""

HEAVY_BYTES, HEAVY_COMPRESSED_BYTES = 64 * 1024, 1024
"""Bodies beyond this are read in a thread; a compressed one may hold a thousand times its size."""

DECODED_BYTES = 2 * 1024 * 1024
"""Of the bodies of one exchange; beyond that they are stored only. JSON is parsed under the interpreter's lock, in a
thread or not: 2 MiB take some 10 ms, in which no request moves."""

IDLE_S = 0.05
"""Between two looks at an empty tap; so long an exchange may wait to be seen."""

RECENT = 50
RECENT_BODY_BYTES = 8 * 1024


class Feed(Protocol):
    """Where exchanges wait: the tap."""

    def take(self) -> Exchange | None:
        """The oldest, if any."""
        ...

    def __len__(self) -> int: ...


class Parts(NamedTuple):
    """What a reload replaces.

    Args:
        custom: The user's own metrics; None where there are none.
    """

    reader: Reader
    decoding: Decoding
    deliveries: Sequence[AnyDelivery]
    custom: Custom | None = None


class Pipeline:
    """Drains the tap.

    Args:
        tap: Where exchanges come from.
        parts: What they pass.
        make_window: Makes the rolling statistics of one variant's features or predictions.
        now_s: A clock that does not go back, for the windows.
        wall_s: The time of day, Unix seconds, for what watches.

    Attributes:
        watches: What follows the rows; others may be put there at any time.
        keeps: Take exchanges whole, with their rows, before they are counted; never wait. Likewise.
        notes: Take captures as they are stored, decoded or not; never wait. Likewise.
        windows: By variant and kind: `features` or `predictions`.
        recent: The latest captures.
        captured: Captures read so far.
        rows: Rows decoded so far, by variant.
        failures: Bodies that could not be decoded, by reason; `internal` for a fault of ours.
        slices: Seconds that each piece of its work took on the event loop.
        surviving: Around work behind the request path: a fault of ours ends there, counted.
    """

    def __init__(
        self,
        tap: Feed,
        parts: Parts,
        *,
        make_window: Callable[[], Window],
        now_s: Callable[[], float],
        wall_s: Callable[[], float],
    ) -> None:
        self._tap = tap
        self.parts = parts
        self._make_window = make_window
        self.now_s = now_s
        self._wall_s = wall_s
        self.watches: Sequence[Watch] = ()
        self.keeps: list[Callable[[Sequence[tuple[Capture, Rows]]], None]] = []
        self.notes: list[Callable[[Sequence[Capture]], None]] = []
        self.windows: dict[tuple[str, str], Window] = {}
        self.recent: deque[Capture] = deque(maxlen=RECENT)
        self.captured = 0
        self.rows: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.slices = Histogram(SLICE_SECONDS)
        self.surviving = _Surviving(self.failures)
        self._timing = Timing(self.slices, perf_counter)
        self._judging = asyncio.Lock()
        self._batch: list[tuple[Capture, Rows]] = []
        self._batch_bytes = 0
        self._batch_since_s = 0.0

    async def run(self) -> None:
        """Drain until cancelled."""
        while True:
            await self.step()
            await asyncio.sleep(0 if len(self._tap) else IDLE_S)

    async def drain(self) -> None:
        """Work off everything that waits."""
        while len(self._tap):
            await self.step()
            await asyncio.sleep(0)
        await self._count()

    async def step(self) -> None:
        """Read for a moment; count what has been read when there is enough of it, or nothing more to read."""
        captures: list[Capture] = []
        heavy: Exchange | None = None
        if len(self._tap):
            with self.surviving, self._timing:
                heavy = self._read_some(captures)
        if heavy is not None:
            with self.surviving:
                await asyncio.to_thread(self._read, heavy, captures)
        if captures:
            with self._timing:
                self._store(captures)
        full = len(self._batch) >= BATCH_EXCHANGES or self._batch_bytes > BATCH_BYTES
        if self._batch and (full or self.now_s() - self._batch_since_s > BATCH_S):
            await self._count()

    def _read_some(self, captures: list[Capture]) -> Exchange | None:
        """Read for a moment, or until there is one that is heavy: that one."""
        end_s = perf_counter() + SLICE_S
        while perf_counter() < end_s and (exchange := self._tap.take()) is not None:
            if is_heavy(exchange):
                return exchange
            self._read(exchange, captures)
        return None

    def _read(self, exchange: Exchange, captures: list[Capture]) -> None:
        capture, documents = self.parts.reader.read(exchange)
        captures.append(capture)
        size_bytes = len(capture.request.data) + len(capture.reply.data)
        if self.parts.custom is not None:
            with self.surviving:
                bodies = size_bytes <= DECODED_BYTES
                documents = self.parts.custom.count(exchange, capture, documents, bodies=bodies)
        if size_bytes > DECODED_BYTES:
            self.failures["too_large"] += 1
            return
        try:
            rows = self.parts.decoding.decode(capture, documents)
        except PayloadError as error:
            self.failures[error.reason] += 1
            return
        if rows.fault:
            self.failures[rows.fault] += 1
        if not self._batch:
            self._batch_since_s = self.now_s()
        self._batch.append((capture, rows))
        self._batch_bytes += size_bytes

    def _store(self, captures: list[Capture]) -> None:
        self.captured += len(captures)
        self.recent.extend(map(shortened, captures[-RECENT:]))
        for delivery in self.parts.deliveries:
            if isinstance(delivery, Delivery):
                delivery.offer(captures)
        for note in self.notes:
            with self.surviving:
                note(captures)

    async def snapshots(self) -> dict[tuple[str, str], Snapshot]:
        """All windows as they are now; a wide one takes 0.2 ms, so the loop is given back between them."""
        found = {}
        for key in sorted(self.windows):
            found[key] = self.windows[key].snapshot()
            await asyncio.sleep(0)
        return found

    async def _count(self) -> None:
        """Count the batch, in slices, and see what it says."""
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        waiting = 0
        for delivery in self.parts.deliveries:
            if isinstance(delivery, RowDelivery):
                with self.surviving, self._timing:
                    delivery.offer(batch)
        for keep in self.keeps:
            with self.surviving, self._timing:
                keep(batch)
        with self.surviving:
            for sample in assemble(batch):
                self.rows[sample.variant] += len(sample.request_ids)
                for features, predictions in slices(sample):
                    for kind, table in (("features", features), ("predictions", predictions)):
                        await asyncio.sleep(0)
                        with self._timing:
                            self._update(sample.variant, kind, table)
                    await self._watch(sample, features, predictions)
                    waiting += len(features.values)
                    if waiting >= JUDGED_ROWS:
                        await self._judge()
                        waiting = 0
        if waiting:
            await self._judge()

    async def _watch(self, sample: Sample, features: Table, predictions: Table) -> None:
        for watch in self.watches:
            await asyncio.sleep(0)
            with self.surviving, self._timing:
                watch.count(sample.variant, sample.version, features, predictions)

    async def _judge(self) -> None:
        async with self._judging:
            for watch in self.watches:
                with self.surviving:
                    await asyncio.to_thread(watch.judge, self._wall_s())

    async def between(self, work: Callable[[], T]) -> T:
        """Do something in a thread while nothing is judged."""
        async with self._judging:
            return await asyncio.to_thread(work)

    def _update(self, variant: str, kind: str, table: Table) -> None:
        if not table.names:
            return
        window = self.windows.get((variant, kind))
        if window is None:
            window = self.windows[variant, kind] = self._make_window()
        window.update(table.names, table.values, table.texts, self.now_s())


def is_heavy(exchange: Exchange) -> bool:
    """Whether reading the bodies would keep the loop for more than a slice."""
    return _is_heavy(exchange.request) or _is_heavy(exchange.reply)


def _is_heavy(message: Message) -> bool:
    size = sum(map(len, message.chunks))
    return size > HEAVY_COMPRESSED_BYTES and (size > HEAVY_BYTES or bool(message.field(b"content-encoding")))


def slices(sample: Sample) -> Iterator[tuple[Table, Table]]:
    """The rows of features and predictions, in tables of at most BATCH_CELLS cells and JUDGED_ROWS, or of one row.

    A window takes a table whole: of many rows at once it would hold more than it should.
    """
    features, predictions = sample.features, sample.predictions
    rows = len(features.values)
    step = max(1, min(JUDGED_ROWS, BATCH_CELLS // max(1, len(features.names) + len(predictions.names))))
    if rows <= step:
        yield features, predictions
        return
    for start in range(0, rows, step):
        yield _part(features, start, start + step), _part(predictions, start, start + step)


def _part(table: Table, start: int, end: int) -> Table:
    return Table(table.names, table.values[start:end], {each: cells[start:end] for each, cells in table.texts.items()})


def shortened(capture: Capture) -> Capture:
    """The capture with the beginnings of its bodies, to be kept in memory and shown."""
    if max(len(capture.request.data), len(capture.reply.data)) <= RECENT_BODY_BYTES:
        return capture
    return capture._replace(request=_beginning(capture.request), reply=_beginning(capture.reply))


def _beginning(body: Body) -> Body:
    if len(body.data) <= RECENT_BODY_BYTES:
        return body
    return Body(body.content_type, body.data[:RECENT_BODY_BYTES], "truncated")


class _Surviving:
    """The one place where any error ends: serving must survive monitoring, and monitoring what it does not understand.

    Args:
        failures: Counts them, as `internal`: they are faults of ours.
    """

    def __init__(self, failures: Counter[str]) -> None:
        self._failures = failures

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, Exception):
            if not self._failures["internal"]:
                log.error("a fault behind the request path; further ones are only counted", exc_info=error)
            self._failures["internal"] += 1
        return error is None or isinstance(error, Exception)
