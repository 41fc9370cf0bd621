"""Where predictions meet their labels: from the pipeline to the store, and from there to the monitors."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from math import inf

from sidecar.errors import DeliveryError
from sidecar.monitors.bias import Comparing
from sidecar.monitors.quality import Grading
from sidecar.monitors.remembered import recall, remembered
from sidecar.payload.assembling import assemble_labelled, prediction
from sidecar.payload.awaiting import Awaiting
from sidecar.pipeline import Pipeline
from sidecar.ports import Grader, Store
from sidecar.quality.outcomes import Outcomes
from sidecar.records import Capture, Finding, Joined, Label, LabelCounts, LabelStatus, Rows
from sidecar.store.apart import Apart
from sidecar.tasks import Tasks

log = logging.getLogger(__name__)

KEEP_S = 0.25
"""For which predictions are collected before they are written: one transaction for all of them."""

READ_S = 1.0
"""Between two looks for labels that have been joined."""

SAVE_S = 60.0
"""Between two times that what the monitors remember is written; what came since is read again after a restart."""

START_S = 2.0
"""That a start waits for what was saved; from a store that does not answer it comes later."""

CLOSE_S = 4.0
"""For everything to be brought into the store at the end."""

GAP_S = 5.0
"""Since the last look, from which on a sidecar looks first what another has saved meanwhile."""

GRACE_S = 3 * GAP_S
"""For which what is to be saved waits: who shares the store reads the same pairs, before it may let go of them."""

BATCH, BATCH_BYTES, BATCH_CELLS = 512, 4 << 20, 1 << 16
"""Predictions, and joined pairs, in one go, and about what those and these may hold: some milliseconds of a thread."""

LOOK_BATCHES = 20
"""Of pairs in one look; then the others have their turn, and whoever leads says so."""

WAITING_BYTES = 32 << 20
"""Of memory for exchanges on their way into the store; what comes beyond is dropped and counted."""

ADDING = 16
"""Posts of labels that wait for the store at once; further ones are refused."""

NOTHING = LabelCounts(awaiting=0, waiting=0, labels={}, predictions=0, missing=0, repeated=0)

STATE = "truth"
"""The name under which all that the monitors remember is kept, with the place up to which they have read."""


class Truth:
    """Keeps predictions, joins labels, and has both judged.

    Args:
        pipeline: Hands over every exchange with its rows.
        store: Where predictions await their labels.
        grading: The monitor of quality, if there is one.
        comparing: The monitor of bias, likewise.
        groups: The request's fields that say of whom an exchange is about, in lower case.
        wall_s: Unix time.

    Attributes:
        outcomes: What came of exchanges, besides their labels.
        graders: The monitors that there are, by the name under which each is remembered.
        weigh: Takes what has been joined too, in the thread that judges; others may be put there at any time.
        leading: This sidecar is the one that alerts, of those that share the store; None before that is known.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        store: Store,
        *,
        grading: Grading | None,
        comparing: Comparing | None,
        groups: Sequence[str],
        wall_s: Callable[[], float],
    ) -> None:
        self.outcomes = Outcomes()
        self.weigh: Callable[[Sequence[Joined]], None] | None = None
        self._counts = NOTHING
        self._refused = 0
        self.leading: bool | None = None
        self.store = store
        self.grading = grading
        self.comparing = comparing
        named: dict[str, Grader | None] = {"quality": grading, "bias": comparing}
        self.graders = {name: grader for name, grader in named.items() if grader is not None}
        self._pipeline = pipeline
        self._groups = tuple(groups)
        self._wall_s = wall_s
        self._queue = Awaiting(WAITING_BYTES)
        self._found: dict[str, Sequence[Finding]] = {}
        # The last pair that the monitors have taken; below 0 before anybody knows what was saved.
        self._upto = -1
        self._looked_s = -inf
        self._limit = BATCH // 8
        self._known = asyncio.Event()
        self._adding = 0
        # One at a time: what is saved is what has been read up to the place that is saved with it.
        self._reading = asyncio.Lock()
        self._apart = Apart("the store of labels")
        self._closing = asyncio.Event()
        self._tasks = Tasks()
        self._running: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin; where the store can tell what was saved, from there."""
        self._pipeline.keeps.append(self._queue.offer)
        for every_s, work in ((KEEP_S, self._keep), (READ_S, self._look), (SAVE_S, self._save)):
            self._running.append(self._tasks.start(self._every(every_s, work)))
        with suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                await self._known.wait()

    async def add(self, labels: Sequence[Label]) -> list[LabelStatus]:
        """Join labels with their predictions; what became of each.

        Raises:
            DeliveryError: The store takes none: nothing was done.
        """
        if self._closing.is_set():
            raise DeliveryError("this sidecar is stopping")
        if self._adding >= ADDING:
            raise DeliveryError(f"{ADDING} others wait for the store already")
        self._adding += 1
        try:
            return await self._apart.do(partial(self.store.add, labels, self._wall_s()))
        finally:
            self._adding -= 1

    def refuse(self, count: int) -> None:
        """Count labels that were malformed, and never came so far."""
        self._refused += count

    @property
    def counts(self) -> LabelCounts:
        """What became of predictions and labels, some second ago."""
        labels = self._counts.labels
        return replace(self._counts, labels={**labels, "malformed": labels.get("malformed", 0) + self._refused})

    @property
    def dropped(self) -> int:
        """Predictions that never reached the store."""
        return self._queue.dropped

    @property
    def findings(self) -> list[Finding] | None:
        """What the labels say now: nothing where another sidecar tells it, None before anybody knows."""
        if self.leading is None:
            return None
        return [finding for found in self._found.values() for finding in found] if self.leading else []

    async def close(self) -> None:
        """Bring everything into the store, and let go of it."""
        self._closing.set()
        self._pipeline.keeps = [each for each in self._pipeline.keeps if each != self._queue.offer]
        try:
            async with asyncio.timeout(CLOSE_S):
                # What is under way in a thread is not interrupted: of pairs that are taken, that must be noted.
                await asyncio.gather(*self._running)
                await self._finish()
        except TimeoutError:
            log.error("the store of labels does not answer; what it lacks is lost")  # noqa: TRY400  (no fault of ours)
        finally:
            await self._tasks.close()
            self._apart.close()
        if self._queue:
            log.error("%d predictions could not be kept, and are lost", len(self._queue))

    async def _finish(self) -> None:
        for work in (self._keep, self._look, self._save):
            more = True
            while more:
                more = False
                with self._pipeline.surviving:
                    more = await work()
        with self._apart.telling("the store cannot be closed"):
            await self._apart.do(self.store.close)

    async def _every(self, every_s: float, work: Callable[[], Awaitable[bool]]) -> None:
        """Until the end; at once again where there is more to do."""
        while not self._closing.is_set():
            more = False
            with self._pipeline.surviving:
                more = await work()
            await self._pause(0 if more else every_s)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()

    async def _keep(self) -> bool:
        """Bring what waits into the store; what it does not take is tried again."""
        while self._queue:
            batch = self._queue.first(BATCH, BATCH_BYTES)
            taken = None
            with self._pipeline.surviving:
                taken = await self._kept(batch)
            if taken is False:
                return False
            # A fault of ours would come again with the same ones, and hold back all others.
            self._queue.remove(len(batch), lost=taken is None)
        return False

    async def _kept(self, batch: Sequence[tuple[Capture, Rows]]) -> bool:
        """Whether the store has taken them."""
        what = "predictions cannot be kept"
        try:
            await self._apart.do(partial(self._write, batch))
        except DeliveryError as error:
            self._apart.fails(what, error)
            return False
        self._apart.works(what)
        return True

    def _write(self, batch: Sequence[tuple[Capture, Rows]]) -> None:
        made = [prediction(capture, rows, self._groups) for capture, rows in batch]
        self.store.keep(made, self._wall_s())

    async def _look(self) -> bool:
        """See what has been joined, have it judged, and let go of what is too old; whether there is more."""
        now_s = self._wall_s()
        more, leads = False, self.leading
        with self._apart.telling("labels cannot be read"):
            async with self._reading:
                more = await self._catch_up(now_s)
            leading = await self._apart.do(partial(self.store.leads, now_s))
            # Who has not read everything does not know yet what is over.
            leads = leading if self.leading is not None or not more else None
        await self._pipeline.between(partial(self._judge, now_s))
        self.leading = leads
        self._known.set()
        with self._apart.telling("the store cannot be tidied"):
            await self._apart.do(partial(self.store.tidy, now_s))
        return more

    async def _catch_up(self, now_s: float) -> bool:
        """Take what has been joined since the last time; whether there is more."""
        if not 0 <= now_s - self._looked_s < GAP_S:
            await self._go_on()
        counts = await self._apart.do(lambda: self.store.counts)
        if _is_another(counts, self._counts):
            log.warning("the store of labels has been emptied, and is read from its beginning")
            self._upto = 0
        self._counts = counts
        more = True
        for _ in range(LOOK_BATCHES):
            try:
                pairs = await self._apart.do(partial(self.store.joined, self._upto, self._limit))
            except DeliveryError:
                self._limit = max(1, self._limit // 2)  # so many may be too much to come in time
                raise
            more = len(pairs) == self._limit
            if pairs:
                await self._pipeline.between(partial(self._take, pairs))
            if not more:
                break
        self._looked_s = now_s
        return more

    async def _go_on(self) -> None:
        """Take over what was saved, where that is further on: of the pairs up to there some may be gone."""
        if (saved := await self._apart.do(partial(self.store.read, STATE))) and saved[1] > self._upto:
            await self._pipeline.between(partial(self._restore, *saved))
        self._upto = max(self._upto, 0)

    def _take(self, pairs: Sequence[Joined]) -> None:
        """Whatever fails at some of them, they are not read again: others would count twice."""
        with self._pipeline.surviving:
            for rows in assemble_labelled(pair for pair in pairs if not pair.label.metric):
                for grader in self.graders.values():
                    with self._pipeline.surviving:
                        grader.take(rows)
        with self._pipeline.surviving:
            for pair in pairs:
                if pair.label.metric:
                    self.outcomes.add(pair)
        if self.weigh is not None:
            with self._pipeline.surviving:
                self.weigh(pairs)
        self._upto = pairs[-1].number
        # Exchanges may have one row, or thousands.
        self._limit = min(BATCH, max(1, min(2 * self._limit, self._limit * BATCH_CELLS // (1 + _cells(pairs)))))

    def _judge(self, now_s: float) -> None:
        for name, grader in self.graders.items():
            with self._pipeline.surviving:
                grader.assess(now_s)
                self._found[name] = grader.findings

    async def _save(self) -> bool:
        if self.leading:
            async with self._reading:
                data = await self._pipeline.between(partial(remembered, self.graders, self.outcomes))
                upto = self._upto
            await self._pause(GRACE_S)
            with self._apart.telling("what labels say cannot be saved"):
                await self._apart.do(partial(self.store.save, STATE, data, upto))
        return False

    def _restore(self, data: bytes, upto: int) -> None:
        """What cannot go on from there begins anew."""
        self._upto = upto
        with self._pipeline.surviving:
            for name in recall(data, self.graders, self.outcomes):
                log.warning("what was known of labels: %s is damaged, or of other settings, and left", name)


def _is_another(counts: LabelCounts, before: LabelCounts) -> bool:
    """Whether the store is not the one that it was: what it counts never becomes less."""
    labels = any(counts.labels.get(status, 0) < number for status, number in before.labels.items())
    return labels or counts.predictions < before.predictions


def _cells(pairs: Sequence[Joined]) -> int:
    made = [each.prediction for each in pairs]
    return sum(len(each.asked) * (1 + len(each.features) + len(each.predictions)) for each in made)
