"""Variants on trial: every second the experiments are looked at, and the rollout is told what they say."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import islice
from math import nan

import msgspec

from sidecar.config.schema import Config, Shadow
from sidecar.errors import ConfigError
from sidecar.experiments import cautions
from sidecar.experiments.experiment import Experiment
from sidecar.experiments.standing import Standing
from sidecar.monitors.shadowed import Shadowed
from sidecar.monitors.weighing import Weighing
from sidecar.pipeline import Pipeline
from sidecar.records import Carrier, Finding, Key
from sidecar.routing.availability import State
from sidecar.routing.rollout import Word
from sidecar.stats.served import Served
from sidecar.stats.traffic import Traffic
from sidecar.steering import Judged, Steering
from sidecar.tasks import Tasks
from sidecar.truth import Truth

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""Between two looks."""

PATIENCE_S = 1.0
"""For which a look waits until a step of the rollout is kept."""

CAPTURED_S = 30.0
"""That a capture may be on its way to its comparison."""

TOLD_S = 3600.0
"""For which a rollback is told: it is over when it happens, but somebody is to know."""

REQUESTS = ""
"""Under which name a challenger's requests are counted, beside its rows by measure."""

Rows = dict[str, int]
"""Of the challenger, by what they are rows of."""

Step = tuple[float, Rows]
"""When a step of the rollout began, and the rows by then."""

EXPERIMENT, ROLLOUT = "experiment", "rollout"
"""What variants are weighed for."""

STEP = "rollout_step"
"""The name under which the place of the rollout's step is kept: when it began, and with how many rows."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What the request path counts, how the upstreams are, which answer, and what time it is: Unix time."""

    served: Served
    traffic: Traffic
    states: Callable[[], Mapping[str, tuple[State, float]]]
    well: Callable[[], Collection[str]]
    wall_s: Callable[[], float]


class Trials:
    """Looks at experiments.

    Args:
        pipeline: Hands over exchanges; what is judged is judged between its batches.
        steering: Knows who serves whom.
        sources: Of the request path.
        truth: Joins labels, if anybody wants them.
        make: Makes what variants are weighed by, for the configuration and the course in force.
        read: What was saved last under a name.

    Attributes:
        weighing: What variants are weighed by; None where there is neither an experiment nor a rollout.
        standings: Of each experiment, as it was last looked at.
        judged: What the rollout was told last; None before it was told anything.
        shadowed: Compares a shadow's answers; None before there is one.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        steering: Steering,
        sources: Sources,
        *,
        truth: Truth | None,
        make: Callable[[Config, float], Weighing | None],
        read: Callable[[str], Awaitable[bytes | None]],
    ) -> None:
        self.weighing: Weighing | None = None
        self.standings: Mapping[str, Standing] = {}
        self.judged: Judged | None = None
        self.shadowed: Shadowed | None = None
        self.steering = steering
        self._pipeline = pipeline
        self._sources = sources
        self._truth = truth
        self._make = make
        self._read = read
        self._subject: object = None
        self._wall_s = sources.wall_s
        # Of the rollout's challenger: when its step began, and its rows by then; its rows at the last look, if known.
        self._step: Step = (0.0, {})
        self._rows: Rows | None = {}
        # Requests when what is weighed now began, and those without a key.
        self._before = (0, 0)
        self._steering: asyncio.Task[None] | None = None
        self._tasks = Tasks()

    def start(self) -> None:
        """Begin to look."""
        self._tasks.start(self._every())

    async def _follow(self) -> None:
        """Weigh what there is to be weighed now: another experiment, another version, a rollout begun anew."""
        config = self.steering.effective
        if config.shadow is not None:
            self._compare(config.shadow, config.timeouts.copy_s)
        subject = self._wanted(config)
        if subject == self._subject:
            return
        weighing = None
        try:
            weighing = self._make(config, self.steering.course.begun_s)
        except ConfigError as error:
            log.error("variants cannot be weighed: %s", error)  # noqa: TRY400  (the trace says nothing)
        rows: Rows | None = {}
        step: Step = (self.steering.course.progress.since_s, {})
        for name, experiment in weighing.experiments.items() if weighing is not None else ():
            if await self._restored(name, experiment) and name == ROLLOUT:
                step, rows = await self._reached()
        self._subject, self._step, self._rows = subject, step, rows
        self._replace(weighing)

    def _wanted(self, config: Config) -> object:
        """What is to be weighed; another one is another experiment, or of other settings."""
        versions = [(name, variant.version) for name, variant in config.variants.items()]
        return config.experiment, config.rollout, config.model, versions, self.steering.course.begun_s

    async def _restored(self, name: str, experiment: Experiment) -> bool:
        """Whether an experiment goes on from where it is, or from where it was when it was saved last."""
        running = self._running(name)
        saved = await (self._read(name) if running is None else self._pipeline.between(running.state))
        return saved is not None and await asyncio.to_thread(experiment.restore, saved)

    async def _reached(self) -> tuple[Step, Rows | None]:
        """How far the rollout that goes on is within its step; see `_step`."""
        if self._running(ROLLOUT) is not None:
            return self._step, self._rows
        return _place(await self._read(STEP)), None

    def _running(self, name: str) -> Experiment | None:
        return self.weighing.experiments.get(name) if self.weighing is not None else None

    def _compare(self, shadow: Shadow, copy_s: float) -> None:
        if self.shadowed is None:
            self.shadowed = Shadowed(shadow.variant)
            self._pipeline.keeps = [*self._pipeline.keeps, self.shadowed.offer]
        self.shadowed.follow(shadow.variant, shadow.ratio, copy_s + CAPTURED_S)

    def _replace(self, weighing: Weighing | None) -> None:
        keeps = [keep for keep in self._pipeline.keeps if self.weighing is None or keep != self.weighing.offer]
        self._pipeline.keeps = keeps if weighing is None else [*keeps, weighing.offer]
        self.weighing, self.standings = weighing, {}
        self._before = (_requests(self._sources.traffic), self._sources.traffic.unkeyed)
        if self._truth is not None:
            self._truth.weigh = None if weighing is None else weighing.join

    async def look(self) -> None:
        """See how all stands, and have the rollout go on, stay, or go back."""
        await self._follow()
        if self.shadowed is not None:
            await self._pipeline.between(self.shadowed.settle)
        if self.weighing is None:
            self._sources.served.take()
        else:
            await self._weigh(self.weighing)
        if self._wanted(self.steering.effective) == self._subject:
            self.judged = self._judge(self.standings.get(ROLLOUT))
            await self._steer(self.judged)
            self._note_step(self._rows or {})

    async def _steer(self, judged: Judged | None) -> None:
        """Tell the rollout; while what it did before is still being kept, a breach takes effect all the same."""
        if self._steering is None or self._steering.done():
            self._steering = self._tasks.start(self.steering.look(judged))
        else:
            self.steering.heed(judged)
        done, _ = await asyncio.wait({self._steering}, timeout=PATIENCE_S)
        for each in done:
            each.result()

    async def _weigh(self, weighing: Weighing) -> None:
        outcomes = self._sources.served.take()
        in_flight, now_s = dict(self._sources.traffic.active_by_variant), self._wall_s()
        shares = {name: variant.weight for name, variant in self.steering.routes.variants.items()}

        def work() -> dict[str, Standing]:
            weighing.begin(shares, now_s)
            weighing.take(outcomes)
            return weighing.look(in_flight, now_s)

        found = await self._pipeline.between(work)
        self.standings = {name: self._told(name, standing) for name, standing in found.items()}

    def _told(self, name: str, standing: Standing) -> Standing:
        """With what the routes say of it: a mere shadow is no challenger, and who has no weight gets no rows."""
        routes, traffic, (requests, unkeyed) = self.steering.routes, self._sources.traffic, self._before
        said: list[str] = []
        if name == EXPERIMENT:
            standing = standing.without(self._mere_shadows(standing))
            weights = {each: variant.weight for each, variant in routes.variants.items()}
            said += cautions.weightless(standing.variants, weights)
        # To count all requests takes longer than to see that there is no need to.
        if routes.split.sticky is not None and traffic.unkeyed - unkeyed >= cautions.LEAST_USERS:
            said += cautions.unkeyed(_requests(traffic) - requests, traffic.unkeyed - unkeyed)
        return standing._replace(cautions=(*standing.cautions, *said))

    def _mere_shadows(self, standing: Standing) -> list[str]:
        """Who only gets copies, never served anybody, and was not named as a challenger."""
        config = self.steering.effective
        if config.shadow is None or config.experiment is None:
            return []
        name = config.shadow.variant
        serves = config.variants[name].weight > 0 or standing.rows.get(name)
        return [] if serves or name in config.experiment.challengers else [name]

    @property
    def findings(self) -> list[Finding]:
        """What somebody should know of."""
        return [*self._rolled_back(), *self._doubts()]

    async def state(self) -> dict[str, bytes]:
        """What is to be known after a restart, by name."""
        weighing, step = self.weighing, msgspec.json.encode(self._step)
        if weighing is None:
            return {}
        states = await self._pipeline.between(
            lambda: {name: experiment.state() for name, experiment in weighing.experiments.items()}
        )
        return {**states, STEP: step} if ROLLOUT in states else states

    async def close(self) -> None:
        """Look no more."""
        await self._tasks.close()
        with self._pipeline.surviving:
            await self.look()
        await self._tasks.close()

    async def _every(self) -> None:
        while True:
            with self._pipeline.surviving:
                await self.look()
            await asyncio.sleep(LOOK_S)

    def _judge(self, standing: Standing | None) -> Judged | None:
        """What the rollout is told; None where there is none."""
        plan = self.steering.plan
        if plan is None:
            return None
        rows = _rows(standing, plan.challenger)
        self._note_step(rows if self._rows is None else self._rows)
        self._rows = rows
        fresh = {name: count - self._step[1].get(name, 0) for name, count in rows.items()}
        _, available = self._sources.states().get(plan.challenger, ("taking", 1.0))
        words: dict[str, Word] = {"anything": "missing"}
        sentences: dict[str, str] = {}
        if standing is not None:
            words = {each.measure: each.word for each in standing.guards}
            sentences = {each.measure: each.sentence for each in standing.guards}
        # Labels may take longer than a step: who has seen none since it began has not judged it.
        few = [
            name for name, word in words.items() if word != "breach" and fresh.get(name, plan.min_rows) < plan.min_rows
        ]
        words.update(dict.fromkeys(few, "missing"))
        # A server that has not answered yet has not failed either, and one beside a dead champion proves nothing.
        both = {plan.champion, plan.challenger} <= set(self._sources.well())
        return Judged(fresh[REQUESTS], words, both and available >= 1.0, sentences)

    def _note_step(self, rows: Rows) -> None:
        since_s = self.steering.course.progress.since_s
        if self._step[0] != since_s:
            self._step = (since_s, rows)

    def _rolled_back(self) -> list[Finding]:
        plan, course = self.steering.plan, self.steering.course
        progress = course.progress
        if plan is None or progress.phase != "rolled_back" or self._wall_s() - progress.changed_s > TOLD_S:
            return []
        standing = self.standings.get(ROLLOUT)
        breached = [each for each in standing.guards if each.word == "breach"] if standing is not None else []
        carriers = [_carrier(each.measure, 1 / len(breached), each.sentence) for each in breached]
        sentence = f"{plan.challenger} was rolled back, {plan.champion} serves: {progress.reason}"
        made = tuple(carriers) or (_carrier(progress.by, 1.0, progress.reason),)
        rows = standing.rows if standing is not None else {}
        key = Key(ROLLOUT, "rollback", plan.challenger, "traffic")
        return [
            Finding(
                key,
                progress.version,
                made,
                rows.get(plan.challenger, 0),
                rows.get(plan.champion, 0),
                sentence,
                at_s=progress.changed_s,
            )
        ]

    def _doubts(self) -> list[Finding]:
        """What an experiment finds out: a challenger that is worse, or that it cannot be trusted itself."""
        standing = self.standings.get(EXPERIMENT)
        if standing is None:
            return []
        variants = self.steering.routes.variants
        found = [
            Finding(
                Key(EXPERIMENT, "mismatch", standing.variants[0], "traffic"),
                "",
                (_carrier("users", 1.0, caution),),
                sum(standing.rows.values()),
                0,
                caution,
            )
            for caution in islice(cautions.broken(standing.variants, standing.mismatch, standing.sides), 1)
        ]
        for verdict in standing.verdicts:
            if verdict.word == "worse" and verdict.challenger in variants:
                both = verdict.compared
                carrier = Carrier(verdict.measure, 1.0, both.estimate, verdict.margin, verdict.sentence)
                key = Key(EXPERIMENT, verdict.measure, verdict.challenger, "traffic")
                version = variants[verdict.challenger].version
                found.append(
                    Finding(key, version, (carrier,), both.challenger_rows, both.champion_rows, verdict.sentence)
                )
        return found


def _carrier(name: str, share: float, sentence: str) -> Carrier:
    return Carrier(name, share, statistic=nan, threshold=nan, sentence=sentence)


def _rows(standing: Standing | None, challenger: str) -> Rows:
    """What there is of the challenger: its requests, and rows by measure."""
    if standing is None:
        return {REQUESTS: 0}
    judged = {
        each.measure: each.compared.challenger_rows for each in standing.verdicts if each.challenger == challenger
    }
    return {REQUESTS: standing.rows.get(challenger, 0), **judged}


def _requests(traffic: Traffic) -> int:
    """That are over."""
    return sum(sum(series.duration_s.counts) for _, series in traffic)


def _place(saved: bytes | None) -> Step:
    """When the step began, and with how many rows; nothing where that was not saved so."""
    try:
        return msgspec.json.decode(saved or b"", type=tuple[float, dict[str, int]])
    except msgspec.MsgspecError:
        return 0.0, {}
