"""Who serves whom, steered: the course in force, changed by people and by the rollout, kept, and shared with a fleet.

A change that somebody asks for is kept first and then takes effect: where it cannot be kept, nothing has changed. A
rollback takes effect first: it is kept as soon as that can be.

Of the configuration and of what was changed since, the later counts: a configuration whose routes are others than when
they were last taken from there is a change like any other. In a fleet a sidecar that starts may have an older one than
those that run; what was declared before and then replaced is left there.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from sidecar.config.routes import Routes, parse_routes, routes_of, with_routes
from sidecar.config.schema import Config
from sidecar.entries import Change
from sidecar.errors import ConfigError, ConflictError, DeliveryError, UnknownError
from sidecar.fleet.journal import Journal
from sidecar.ports import Fleet, Kept
from sidecar.records import JSON
from sidecar.routing.course import Course, decode, encode
from sidecar.routing.rollout import Command, Plan, Progress, Seen, Word, advance, order, weights
from sidecar.tasks import Tasks

log = logging.getLogger(__name__)

JOIN_S = 5.0
"""Between two attempts to find the fleet's routes at the start; those of the configuration are in force meanwhile."""

TRIES = 3
"""To be first of a fleet in one look; then it is tried again in the next one."""

CONFIGURATION = "configuration"
"""Who has changed what the configuration says."""


class Judged(NamedTuple):
    """What is known of the challenger.

    Args:
        rows: Since its step began.
        words: Of each guardrail.
        ready: It takes all of its part.
    """

    rows: int
    words: Mapping[str, Word]
    ready: bool


class Steering:
    """Keeps the course.

    Args:
        config: As the file and its like have it.
        journal: Keeps every change.
        fleet: Where others that serve the same have theirs; None for alone.
        prepare: Makes all that a configuration needs to be in force, and gives what puts it there; what it cannot use
            it raises as ConfigError or OSError.
        wall_s: Unix time.

    Attributes:
        course: In force.
        plan: Of the rollout, if there is to be one.
        unkept: Why the course in force could not be kept; empty where it is.
    """

    def __init__(
        self,
        config: Config,
        journal: Journal,
        *,
        fleet: Fleet | None,
        prepare: Callable[[Config], Callable[[], None]],
        wall_s: Callable[[], float],
    ) -> None:
        self.unkept = ""
        self.journal = journal
        self._config = config
        self._fleet = fleet
        self._mark: str | None = None
        self._prepare = prepare
        self._wall_s = wall_s
        self._turn = asyncio.Lock()
        self._tasks = Tasks()
        self.plan = plan_of(config)
        self.course = self._begun(config)
        self._in_force = self.routes

    @property
    def routes(self) -> Routes:
        """Who serves whom."""
        return parse_routes(self.course.routes)

    @property
    def effective(self) -> Config:
        """The configuration with the routes in force."""
        return with_routes(self._config, self.routes)

    def _begun(self, config: Config) -> Course:
        """The course at the start: as it was, unless the configuration says something else by now."""
        last = self._kept = next(self._known(), None)
        if last is None or last.declared[-1:] != [routes_of(config).fingerprint]:
            return self._declared(config, last)
        return self._fitted(last)

    def _known(self) -> Iterator[Course]:
        """Where all stood, the latest first; what another version has written, or what does not fit, is left."""
        for document in self.journal.documents():
            with suppress(ValueError, ConfigError):
                course = decode(document)
                with_routes(self._config, parse_routes(course.routes))
                yield course

    def start(self) -> None:
        """Keep the course, and follow the fleet's."""
        self._tasks.start(self._open())

    async def close(self) -> None:
        """Let go of the journal and the fleet."""
        await self._tasks.close()
        if self._fleet is not None:
            await self._fleet.close()
        self.journal.close()

    # What people ask for

    async def declare(self, config: Config) -> None:
        """Take up another configuration: its routes too, if they are others than it had."""
        async with self._turn:
            before, self._config, self.plan = self._config, config, plan_of(config)
            try:
                if self.course.declared[-1:] == [routes_of(config).fingerprint]:
                    await self._take(self._fitted(self.course))
                else:
                    await self._take(self._declared(config, self.course))
            except BaseException:
                self._config, self.plan = before, plan_of(before)
                raise

    async def put(self, document: JSON, *, revision: int | None, by: str, why: str) -> Course:
        """Put other routes in the place of those in force.

        Args:
            document: See `config.routes`.
            revision: That these have; None where that does not matter.

        Raises:
            ConfigError: They cannot be, by path.
            OSError: A file that they name cannot be used.
            ConflictError: Somebody else was first, or the rollout forbids it; nothing was changed.
            DeliveryError: They could not be kept; nothing was changed.
        """
        routes = parse_routes(document)
        with_routes(self._config, routes)

        def make(course: Course) -> Course:
            after = course.after(self._change(by, "routes", why), routes=routes.document, earlier=course.routes)
            fitted = self._fitted(after)
            if self.plan is not None and fitted.routes != after.routes:
                raise ConflictError(_owned(self.plan))
            return fitted

        return await self._ask(make, revision)

    async def weigh(self, name: str, percent: float, *, revision: int | None, by: str, why: str) -> Course:
        """Give a variant this part of the traffic; the others share the rest as they do now. Raises as `put`."""

        def make(course: Course) -> Course:
            routes = parse_routes(course.routes)
            variant = self.variant(name)
            if self.plan is not None and variant in {self.plan.champion, self.plan.challenger}:
                raise ConflictError(_owned(self.plan))
            weighed = routes.weighed(shared(routes, variant, percent))
            what = f"weight of {variant}: {percent:g} %"
            return course.after(self._change(by, what, why), routes=weighed.document, earlier=course.routes)

        return await self._ask(make, revision)

    async def order(self, command: Command, name: str | None, *, revision: int | None, by: str, why: str) -> Course:
        """Promote, roll back, start, hold or resume. Raises as `put`; UnknownError where there is no such variant.

        Args:
            name: Of the variant, or its version; the rollout's challenger by default.
        """

        def make(course: Course) -> Course:
            variant = None if name is None else self.variant(name)
            if self.plan is not None and (variant is None or variant == self.plan.challenger):
                return self._ordered(course, command, by, why)
            if command == "promote" and variant is not None:
                return self._promoted(course, variant, by, why)
            if command == "rollback" and variant is None:
                return self._returned(course, by, why)
            told = f"the rollout is of {self.plan.challenger}" if self.plan else "there is no rollout"
            raise ConflictError(f"cannot {command} {name or 'anything'}: {told}")

        return await self._ask(make, revision, urgent=command == "rollback")

    def variant(self, name: str) -> str:
        """The variant of this name, or with this version behind it.

        Raises:
            UnknownError: There is none, or more than one.
        """
        variants = self.routes.variants
        if name in variants:
            return name
        found = [each for each, variant in variants.items() if variant.version == name]
        if len(found) != 1:
            those = [f"{each} (version {variant.version or 'unnamed'})" for each, variant in variants.items()]
            told = ", ".join(those) or "none: the configuration has no variants"
            raise UnknownError(f"{name[:128]!r} is no variant or version of one; expected one of {told}")
        return found[0]

    # What the rollout does

    async def look(self, judged: Judged) -> None:
        """Bring the rollout to what is known now; what could not be kept before is tried again."""
        async with self._turn:
            for _ in range(TRIES):
                after = self._looked(self.course, judged)
                if after is self.course and self._kept == after:
                    break
                self.course = after
                self._enforce()
                if await self._kept_later():
                    break
            self._enforce()

    async def reject(self, variant: str, instead: str | None, version: str, *, why: str) -> None:
        """Take the traffic from a variant whose version was rejected.

        Args:
            instead: Who serves then; None where nobody can.
        """

        def make(course: Course) -> Course:
            who, told = "catalogue", f"version {version} was rejected{': ' if why else ''}{why}"
            if self.plan is not None and variant == self.plan.challenger and course.progress.phase != "waiting":
                return self._ordered(course, "rollback", who, told)
            if instead is None:
                raise ConflictError(f"{told}, and no approved one is there to return to")
            routes = parse_routes(course.routes)
            moved = routes.variants[variant].weight + routes.variants[instead].weight
            weighed = routes.weighed({variant: 0.0, instead: moved})
            return course.after(self._change(who, f"{instead} instead of {variant}", told), routes=weighed.document)

        await self._ask(make, None, urgent=True)

    def _looked(self, course: Course, judged: Judged) -> Course:
        plan = self.plan
        if plan is None:
            return course
        now_s, version = self._wall_s(), parse_routes(course.routes).variants[plan.challenger].version
        progress = advance(plan, course.progress, Seen(now_s, version, judged.rows, judged.words, judged.ready))
        rollout = self._config.rollout
        if progress.phase == "waiting" and rollout is not None and rollout.start == "auto" and judged.ready:
            progress = order(progress, "start", version=version, now_s=now_s, by="rollout")
        return course if progress is course.progress else self._moved(course, progress)

    def _ordered(self, course: Course, command: Command, by: str, why: str) -> Course:
        assert self.plan is not None
        version = parse_routes(course.routes).variants[self.plan.challenger].version
        progress = order(course.progress, command, version=version, now_s=self._wall_s(), by=by, why=why)
        return self._moved(course, progress)

    def _moved(self, course: Course, progress: Progress) -> Course:
        """The course with the rollout where it is now."""
        assert self.plan is not None
        told = _weights(parse_routes(course.routes), self.plan, progress)
        what = f"{progress.phase}: {', '.join(f'{name} {weight:g}' for name, weight in told.items())}"
        change = Change(self._wall_s(), progress.by, what, progress.reason)
        begins = progress.phase == "stepping" and course.progress.phase in {"waiting", "rolled_back"}
        begun_s = progress.since_s if begins else course.begun_s
        return self._fitted(course.after(change, progress=progress, begun_s=begun_s))

    # Routes

    def _declared(self, config: Config, before: Course | None) -> Course:
        """What the configuration says, from now on."""
        routes = routes_of(config)
        change = self._change(CONFIGURATION, "routes", "" if before else "the first")
        if before is None:
            return self._fitted(Course(1, [routes.fingerprint], routes.document, change))
        declared = before.declaring(routes.fingerprint)
        return self._fitted(before.after(change, declared=declared, routes=routes.document, earlier=before.routes))

    def _fitted(self, course: Course) -> Course:
        """The course with the weights that the rollout gives; of another challenger's rollout nothing is left."""
        plan = self.plan
        if plan is None:
            return course if not course.challenger else replace(course, challenger="", progress=Progress())
        routes = parse_routes(course.routes)
        version = routes.variants[plan.challenger].version
        same = course.challenger == plan.challenger and course.progress.version == version
        progress = course.progress if same else Progress(version=version)
        weighed = routes.weighed(_weights(routes, plan, progress))
        return replace(course, routes=weighed.document, challenger=plan.challenger, progress=progress)

    def _promoted(self, course: Course, variant: str, by: str, why: str) -> Course:
        routes = parse_routes(course.routes)
        weighed = routes.weighed({name: 100.0 * (name == variant) for name in routes.variants})
        change = self._change(by, f"promoted {variant}", why)
        return course.after(change, routes=weighed.document, earlier=course.routes)

    def _returned(self, course: Course, by: str, why: str) -> Course:
        if course.earlier is None:
            raise ConflictError("nothing to roll back to: the routes have not been changed")
        return course.after(self._change(by, "rolled back", why), routes=course.earlier, earlier=None)

    def _change(self, who: str, what: str, why: str) -> Change:
        return Change(self._wall_s(), who, what, why)

    # Keeping

    async def _ask(self, make: Callable[[Course], Course], revision: int | None, *, urgent: bool = False) -> Course:
        """Change the course as somebody wants it, or nothing."""
        async with self._turn:
            if revision is not None and revision != self.course.revision:
                raise ConflictError(f"revision {self.course.revision} is in force, expected {revision}: look again")
            after = make(self.course)
            if urgent:
                self.course = after
                self._enforce()
                await self._kept_later()
                self._enforce()
            else:
                await self._take(after)
            return self.course

    async def _take(self, after: Course) -> None:
        """Keep another course and put it in force; all of it or nothing."""
        put = self._prepare(with_routes(self._config, parse_routes(after.routes)))
        if after != self._kept:
            await self._keep(after)
        self.course, self._in_force = after, parse_routes(after.routes)
        put()

    def _enforce(self) -> None:
        """Put the course in force, if another one is."""
        routes = self.routes
        if routes != self._in_force:
            self._prepare(with_routes(self._config, routes))()
            self._in_force = routes

    async def _kept_later(self) -> bool:
        """Keep the course that is in force; False where somebody else was first, and theirs is to be followed."""
        if self._kept == self.course:
            return True
        try:
            await self._keep(self.course)
        except ConflictError:
            return False
        except DeliveryError as error:
            if not self.unkept:
                log.error("who serves whom cannot be kept, and is tried again: %s", error)  # noqa: TRY400  (no fault of ours)
            self.unkept = str(error)
        else:
            self.unkept = ""
        return True

    async def _keep(self, course: Course) -> None:
        document = encode(course)
        if self._fleet is not None:
            try:
                self._mark = await self._fleet.write(document, self._mark)
            except ConflictError:
                if (kept := await self._fleet.read()) is not None:
                    self._follow(kept)
                raise
        await asyncio.to_thread(self.journal.add, course.revision, course.change, document)
        self._kept = course

    # The fleet

    async def _open(self) -> None:
        """Keep the first course, where it is new; in a fleet, go on from where that is."""
        while True:
            if await self._joined():
                break
            await asyncio.sleep(JOIN_S)
        while self._fleet is not None:
            kept = await self._fleet.changed(self._mark)
            async with self._turn:
                if kept.mark != self._mark:
                    self._follow(kept)
                    self._enforce()

    async def _joined(self) -> bool:
        """Whether the course is kept, or another one is followed."""
        async with self._turn:
            if self._fleet is not None:
                try:
                    kept = await self._fleet.read()
                except DeliveryError as error:
                    log.warning("the fleet's routes cannot be read: %s", error)
                    return False
                if kept is not None:
                    self._join(kept)
            self._enforce()
            return await self._kept_later() and not self.unkept

    def _join(self, kept: Kept) -> None:
        """Follow the fleet, unless this sidecar brings a configuration that it has not seen yet."""
        own = self.course.declared[-1:]
        self._follow(kept)
        if not set(own) <= set(self.course.declared):
            self.course = self._declared(self._config, self.course)

    def _follow(self, kept: Kept) -> None:
        """Go on from what another of the fleet has written."""
        self._mark = kept.mark
        try:
            course = decode(kept.document)
            with_routes(self._config, parse_routes(course.routes))
        except (ValueError, ConfigError) as error:
            log.error("the fleet's routes cannot be used here, those in force stay: %s", error)  # noqa: TRY400  (the trace says nothing)
            return
        self.course = self._kept = self._fitted(course)
        log.info("revision %d of the fleet's routes in force: %s", course.revision, course.change.what)


def plan_of(config: Config) -> Plan | None:
    """How the configuration's rollout is to go."""
    rollout = config.rollout
    if rollout is None:
        return None
    return Plan(
        champion=rollout.champion,
        challenger=rollout.challenger,
        steps=rollout.steps,
        pause_s=rollout.pause_s,
        min_rows=rollout.min_rows,
        finish=rollout.finish,
    )


def shared(routes: Routes, variant: str, percent: float) -> dict[str, float]:
    """The weights with which the variant has so many percent, and the others share the rest as they did.

    Raises:
        ConflictError: There is nobody to take the rest.
    """
    if not 0 <= percent <= 100:
        raise ConflictError(f"{percent:g} percent, expected 0 to 100")
    others = {name: each.weight for name, each in routes.variants.items() if name != variant}
    total = sum(others.values())
    if percent < 100 and not total:
        raise ConflictError(f"no other variant has a weight above 0, so {variant} has all of the traffic")
    rest = {name: (100 - percent) * weight / total if total else 0.0 for name, weight in others.items()}
    return {**rest, variant: percent}


def _weights(routes: Routes, plan: Plan, progress: Progress) -> dict[str, float]:
    share = routes.variants[plan.champion].weight + routes.variants[plan.challenger].weight
    return weights(plan, progress, share)


def _owned(plan: Plan) -> str:
    told = f"the weights of {plan.champion} and {plan.challenger} are the rollout's"
    return f"{told}; expected start, hold, resume, promote or rollback"
