"""Where attributions come from: replies that carry them; or calls of our own to the model, few and bounded.

A call goes to the model directly, never through the listener: it is no client's, so it is neither captured nor counted
as traffic, and a header field tells the model what it is. It is made one at a time, within its budget, and not while
the sidecar drains; after one that failed the next ones wait longer and longer.
"""

import asyncio
import logging
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from aiohttp.connector import BaseConnector, UnixConnector
from numpy.random import Generator
from yarl import URL

from sidecar import __version__
from sidecar.errors import PayloadError, UpstreamError
from sidecar.monitors.asking import Background, Question, answer, may_be_repeated, question
from sidecar.monitors.attribution import Attributing
from sidecar.monitors.calls import Budget
from sidecar.payload.awaiting import Awaiting
from sidecar.pipeline import DECODED_BYTES, Pipeline
from sidecar.records import Body, Capture, Finding, Rows, Table
from sidecar.tasks import Tasks
from sidecar.texts import shown

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""Between two looks at what replies carry."""

EXCHANGES = 256
"""Whose attributions are read in one look; a ranking needs no more, and reading them takes the interpreter's time."""

WAITING_BYTES = 4 << 20
"""Of memory for them."""

TICK_S = 0.05
"""Between two looks at whether there is a row to explain, when a call may be made."""

SHOWN = 300
"""Characters of a failure in the log: some are the model's words."""

MARK = "x-sidecar-explanation"
"""The header field of our calls."""


class Upstream(NamedTuple):
    """Whom to call.

    Args:
        url: Scheme, host and port.
        socket: Path of a Unix socket; empty for TCP.
        tls: To verify it; None where it speaks none.
    """

    url: str
    socket: str = ""
    tls: ssl.SSLContext | None = None


class Explaining:
    """Brings attributions to their monitor.

    Args:
        pipeline: Hands over every exchange with its rows.
        monitor: Compares them.
        upstreams: Whom to call, by variant.
        paused: Whether no call may be made: the sidecar drains.
        wall_s: Unix time.
        rng: Chooses what is asked.

    Attributes:
        upstreams: Those in force; others may be put there at any time.
        calls: By what became of them: `made`, of which `failed`; `skipped` are rows that nothing was asked of.
        left_out: Exchanges whose attributions were not read: more than are needed.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        monitor: Attributing,
        *,
        upstreams: Mapping[str, Upstream],
        paused: Callable[[], bool],
        wall_s: Callable[[], float],
        rng: Generator,
    ) -> None:
        self.upstreams = upstreams
        self.monitor = monitor
        self.calls: Counter[str] = Counter(made=0, failed=0, skipped=0)
        self._left = 0
        self._pipeline = pipeline
        self._paused = paused
        self._wall_s = wall_s
        self._rng = rng
        self._queue = Awaiting(WAITING_BYTES)
        self._background: Background | None = None
        # The latest exchange of each variant; of those the first is asked about next, so that each has its turn.
        self._candidates: dict[str, tuple[Capture, Rows]] = {}
        self._findings: Sequence[Finding] | None = None
        self._failure = ""
        # One at a time: the monitor is worked on in threads.
        self._turn = asyncio.Lock()
        self._tasks = Tasks()

    @property
    def findings(self) -> Sequence[Finding] | None:
        """What holds now; None before anybody knows."""
        return self._findings

    @property
    def left_out(self) -> int:
        """Exchanges whose attributions were not read: more than are needed."""
        return self._left + self._queue.dropped

    async def start(self, saved: bytes | None) -> None:
        """Begin, from what was saved.

        Args:
            saved: By an earlier process; None where there is nothing.
        """
        if saved is not None and not await asyncio.to_thread(self.monitor.restore, saved):
            log.info("what was known of attributions is of other settings, and is left")
        per_minute = self.monitor.options.calls_per_minute
        self._pipeline.keeps.append(self._propose if per_minute else self._offer)
        self._tasks.start(self._every(LOOK_S, self._look))
        if per_minute:
            if self._background is None:
                log.warning("nothing can be explained before there is a reference with a sample of whole rows")
            self._tasks.start(self._ask(Budget(per_minute, self._pipeline.now_s())))

    async def rest_on(self, sample: Table | None) -> None:
        """Explain against rows of this sample from now on; without one nothing is explained."""
        if not self.monitor.options.calls_per_minute:
            return
        if sample is None or not len(sample.values):
            self._background = None
            log.warning("the reference has no sample of whole rows: nothing can be explained")
            return
        background = await asyncio.to_thread(Background, sample, self.monitor.options.background_rows)
        async with self._turn:
            await asyncio.to_thread(self.monitor.rest_on, sample)
            self._background = background

    async def state(self) -> bytes:
        """What is to be known after a restart."""
        async with self._turn:
            return await asyncio.to_thread(self.monitor.state)

    async def close(self) -> None:
        """Make no more calls, and see what has come so far."""
        await self._tasks.close()
        ours = (self._propose, self._offer)
        self._pipeline.keeps = [each for each in self._pipeline.keeps if each not in ours]
        with self._pipeline.surviving:
            await self._look()

    def _offer(self, batch: Sequence[tuple[Capture, Rows]]) -> None:
        """Take exchanges whose replies may carry attributions."""
        room = EXCHANGES - len(self._queue)
        self._left += max(0, len(batch) - room)
        self._queue.offer(batch[:room])

    def _propose(self, batch: Sequence[tuple[Capture, Rows]]) -> None:
        """Take the latest exchange that may be explained, of each variant."""
        latest = {capture.variant: (capture, rows) for capture, rows in batch if may_be_repeated(capture, rows)}
        self._candidates |= latest

    async def _every(self, every_s: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(every_s)
            with self._pipeline.surviving:
                await work()

    async def _look(self) -> None:
        """Read what replies carry, and compare."""
        batch = self._queue.first(EXCHANGES, WAITING_BYTES)
        self._queue.remove(len(batch), lost=False)
        async with self._turn:
            await asyncio.to_thread(self._read, batch)

    def _read(self, batch: Sequence[tuple[Capture, Rows]]) -> None:
        self.monitor.read(batch)
        self.monitor.assess(self._wall_s())
        self._findings = self.monitor.findings

    async def _ask(self, budget: Budget) -> None:
        """Call, as often as the budget allows."""
        while True:
            await asyncio.sleep(max(TICK_S, min(LOOK_S, budget.due_s(self._pipeline.now_s()))))
            with self._pipeline.surviving:
                await self._explain(budget)

    async def _explain(self, budget: Budget) -> None:
        """Have one row explained, where there is one and a call may be made."""
        due = not budget.due_s(self._pipeline.now_s())
        if not due or self._paused() or self._background is None or not self._candidates:
            return
        capture, rows = self._candidates.pop(next(iter(self._candidates)))
        upstream = self.upstreams.get(capture.variant)
        decoding = self._pipeline.parts.decoding
        try:
            asked = await asyncio.to_thread(question, capture, rows, self._background, decoding, self._rng)
        except PayloadError as error:
            self.calls["skipped"] += 1
            self._note(str(error))
            return
        if upstream is None or self._paused() or not budget.take(self._pipeline.now_s()):
            self.calls["skipped"] += 1
            return
        self.calls["made"] += 1
        well = False
        try:
            status, reply = await _call(upstream, asked, self.monitor.options.timeout_s)
            output = self.monitor.options.output
            found = await asyncio.to_thread(answer, asked, status, reply, decoding, output)
            well = True
        except (PayloadError, UpstreamError) as error:
            self._note(str(error))
        finally:
            budget.ended(well=well)
            self.calls["failed"] += not well
        if well:
            self._note("")
            async with self._turn:
                await asyncio.to_thread(self.monitor.take, capture, found.names, found.values)

    def _note(self, problem: str) -> None:
        """A change is worth a line in the log, a state is not."""
        if problem and not self._failure:
            log.warning("a row could not be explained: %s", shown(problem, SHOWN))
        elif not problem and self._failure:
            log.info("rows can be explained again")
        self._failure = problem


async def _call(upstream: Upstream, asked: Question, timeout_s: float) -> tuple[int, Body]:
    """Ask the model; what it answers.

    Raises:
        UpstreamError: It does not, or not with 2xx.
        PayloadError: It says too much.
    """
    fields = {
        "User-Agent": f"sidecar/{__version__}",
        "Accept-Encoding": "identity",
        "Content-Type": asked.capture.request.content_type or "application/json",
        MARK: "1",
    }
    connector: BaseConnector = (
        UnixConnector(upstream.socket) if upstream.socket else TCPConnector(ssl=upstream.tls or True)
    )
    # A session for each call: one is rare, and leaves nothing behind.
    session = ClientSession(
        connector=connector,
        cookie_jar=DummyCookieJar(),
        timeout=ClientTimeout(total=timeout_s),
        auto_decompress=False,
    )
    where = URL(upstream.url + asked.capture.path, encoded=True)
    try:
        async with session, session.post(where, data=asked.body, headers=fields, allow_redirects=False) as reply:
            if not 200 <= reply.status < 300:
                raise UpstreamError(502, "status", f"the model answered {reply.status}, expected 2xx")
            return reply.status, Body(reply.headers.get("Content-Type", ""), await _bounded(reply))
    except (ClientError, OSError, ValueError) as error:
        # ValueError: a head that aiohttp takes apart and cannot put together.
        raise UpstreamError(502, "connect_failed", f"no answer: {str(error) or type(error).__name__}") from error


async def _bounded(reply: ClientResponse) -> bytes:
    data = b""
    async for piece in reply.content.iter_any():
        data += piece
        if len(data) > DECODED_BYTES:
            raise PayloadError("too_large", f"reply: expected at most {DECODED_BYTES} bytes")
    return data
