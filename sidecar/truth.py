"""Where predictions meet their labels: from the pipeline to the store, and from there to the monitors."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

import msgspec

from sidecar.errors import DeliveryError
from sidecar.payload.assembling import assemble_labelled, prediction
from sidecar.payload.decoding import Rows
from sidecar.pipeline import Pipeline
from sidecar.ports import Grader, Store
from sidecar.quality.outcomes import Outcomes
from sidecar.records import Capture, Finding, Joined, Label, LabelStatus
from sidecar.tasks import Tasks

log = logging.getLogger(__name__)

KEEP_S = 0.25
"""For which predictions are collected before they are written: one transaction for all of them."""

READ_S = 1.0
"""Between two looks for labels that have been joined."""

SAVE_S = 60.0
"""Between two times that what the monitors remember is written; what came since is read again after a restart."""

BATCH = 512
"""Predictions, and joined pairs, in one go: some milliseconds of a thread's work."""

WAITING_BYTES = 16 << 20
"""Of the bodies of exchanges on their way into the store; what comes beyond is dropped and counted."""

STATE = "truth"
"""The name under which all that the monitors remember is kept, with the place up to which they have read."""


class Truth:
    """Keeps predictions, joins labels, and has both judged.

    Args:
        pipeline: Hands over every exchange with its rows.
        store: Where predictions await their labels.
        graders: By the name under which each is remembered; they want labels.
        groups: The request's fields that say of whom an exchange is about, in lower case.
        wall_s: Unix time.

    Attributes:
        outcomes: What came of exchanges, besides their labels.
        dropped: Predictions that never reached the store.
        leading: This sidecar is the one that alerts, of those that share the store.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        store: Store,
        *,
        graders: Mapping[str, Grader],
        groups: Sequence[str],
        wall_s: Callable[[], float],
    ) -> None:
        self.outcomes = Outcomes()
        self.dropped = 0
        self.leading = False
        self.store = store
        self.graders = graders
        self._pipeline = pipeline
        self._groups = tuple(groups)
        self._wall_s = wall_s
        self._waiting: deque[tuple[Capture, Rows]] = deque()
        self._waiting_bytes = 0
        self._upto = 0
        self._reading = asyncio.Lock()
        self._failing = False
        self._tasks = Tasks()

    async def start(self) -> None:
        """Go on from what was saved, and begin."""
        try:
            saved = await asyncio.to_thread(self.store.read, STATE)
        except DeliveryError as error:
            saved = None
            log.warning("what is known of labels so far cannot be read: %s", error)
        if saved is not None:
            await asyncio.to_thread(self._restore, *saved)
        self._pipeline.keeps = self.offer
        for every_s, work in ((KEEP_S, self._keep), (READ_S, self._read), (SAVE_S, self._save)):
            self._tasks.start(self._every(every_s, work))

    def offer(self, batch: Sequence[tuple[Capture, Rows]]) -> None:
        """Take exchanges whose labels may come; those without an answer have nothing to be judged."""
        for capture, rows in batch:
            if not rows.predictions:
                continue
            size = _size_bytes(capture)
            if self._waiting_bytes + size > WAITING_BYTES:
                self.dropped += 1
                continue
            self._waiting.append((capture, rows))
            self._waiting_bytes += size

    async def add(self, labels: Sequence[Label]) -> list[LabelStatus]:
        """Join labels with their predictions; what became of each.

        Raises:
            DeliveryError: The store takes none: nothing was done.
        """
        return await asyncio.to_thread(self.store.add, labels, self._wall_s())

    @property
    def findings(self) -> list[Finding]:
        """What the labels say now; nothing where another sidecar tells it."""
        return [finding for grader in self.graders.values() for finding in grader.findings] if self.leading else []

    async def close(self) -> None:
        """Bring everything into the store, and let go of it."""
        await self._tasks.close()
        self._pipeline.keeps = None
        for work in (self._keep, self._read, self._save):
            with self._pipeline.surviving:
                await work()
        await asyncio.to_thread(self.store.close)

    async def _every(self, every_s: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(every_s)
            with self._pipeline.surviving:
                await work()

    async def _keep(self) -> None:
        """Bring what waits into the store; what it does not take is tried again."""
        while self._waiting:
            batch = [self._waiting[place] for place in range(min(BATCH, len(self._waiting)))]
            try:
                await asyncio.to_thread(self._write, batch)
            except DeliveryError as error:
                self._note(str(error))
                return
            self._note()
            for capture, _ in batch:
                self._waiting.popleft()
                self._waiting_bytes -= _size_bytes(capture)

    def _write(self, batch: Sequence[tuple[Capture, Rows]]) -> None:
        made = [prediction(capture, rows, self._groups) for capture, rows in batch]
        self.store.keep(made, self._wall_s())

    async def _read(self) -> None:
        """See what has been joined, have it judged, and let go of what is too old."""
        now_s = self._wall_s()
        try:
            async with self._reading:
                while pairs := await asyncio.to_thread(self.store.joined, self._upto, BATCH):
                    await self._pipeline.between(partial(self._take, pairs))
                    self._upto = pairs[-1].number
            await self._pipeline.between(partial(self._judge, now_s))
            self.leading = await asyncio.to_thread(self.store.leads, now_s)
            await asyncio.to_thread(self.store.tidy, now_s)
        except DeliveryError as error:
            self._note(str(error))
        else:
            self._note()

    def _take(self, pairs: Sequence[Joined]) -> None:
        for rows in assemble_labelled(pair for pair in pairs if not pair.label.metric):
            for grader in self.graders.values():
                with self._pipeline.surviving:
                    grader.take(rows)
        for pair in pairs:
            if pair.label.metric:
                self.outcomes.add(pair)

    def _judge(self, now_s: float) -> None:
        for grader in self.graders.values():
            with self._pipeline.surviving:
                grader.assess(now_s)

    async def _save(self) -> None:
        if not self.leading:
            return
        async with self._reading:
            data = await self._pipeline.between(self._state)
            try:
                await asyncio.to_thread(self.store.save, STATE, data, self._upto)
            except DeliveryError as error:
                self._note(str(error))

    def _state(self) -> bytes:
        states = {name: grader.state() for name, grader in self.graders.items()}
        return msgspec.msgpack.encode([states, self.outcomes.state()])

    def _restore(self, data: bytes, upto: int) -> None:
        """Go on from there. A monitor that cannot, since its settings have changed, begins anew."""
        self._upto = upto
        states, outcomes = msgspec.msgpack.decode(data, type=tuple[dict[str, bytes], bytes])
        self.outcomes.restore(outcomes)
        for name, grader in self.graders.items():
            if name in states and not grader.restore(states[name]):
                log.info("what %s knew is of other settings, and is left", name)

    def _note(self, problem: str = "") -> None:
        """A change is worth a line in the log, a state is not."""
        if bool(problem) != self._failing:
            self._failing = bool(problem)
            if problem:
                log.error("the store of labels: %s", problem)
            else:
                log.info("the store of labels works again")


def _size_bytes(capture: Capture) -> int:
    return len(capture.request.data) + len(capture.reply.data)
