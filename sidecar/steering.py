"""Who serves whom, steered: the course in force, changed by people and by the rollout, kept, and shared with a fleet.

A change that somebody asks for is kept first and then takes effect: where it cannot be kept, nothing has changed. A
rollback takes effect first: it is kept as soon as that can be.

Of the configuration and of what was changed since, the later counts: a configuration whose routes are others than when
they were last taken from there is a change like any other. In a fleet a sidecar that starts may have an older one than
those that run; what was declared before and then replaced is left there.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from sidecar.config.routes import Routes, merged, parse_routes, routes_of, with_routes
from sidecar.config.schema import Config
from sidecar.entries import Change
from sidecar.errors import ConfigError, ConflictError, DeliveryError, UnknownError
from sidecar.journal import Journal
from sidecar.keeping import Keeping
from sidecar.ports import Fleet, Kept
from sidecar.records import JSON
from sidecar.routing import changes
from sidecar.routing.changes import variant_of, version_of
from sidecar.routing.course import Course, decode, encode, serving
from sidecar.routing.rollout import Command, Plan, Progress, Seen, Word, advance, order
from sidecar.tasks import Tasks

log = logging.getLogger(__name__)

JOIN_S = 5.0
"""Between two attempts to find the fleet's routes at the start; those of the configuration are in force meanwhile."""

TRIES = 5
"""To be first of a fleet in one go; what took effect already is tried again later."""

CONFIGURATION, CATALOGUE = "configuration", "catalogue"
"""Who has changed what the configuration says, and what the catalogue does."""


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
        rejected: Variants whose version must not serve, as the catalogue has it; nobody gives them traffic.
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
        self.journal = journal
        self.plan = plan_of(config)
        self.rejected: Collection[str] = ()
        self._config = config
        self._prepare = prepare
        self._wall_s = wall_s
        self._keeping = Keeping(journal, fleet)
        self._turn = asyncio.Lock()
        self._tasks = Tasks()
        # What took effect before it could be kept; of a course of the fleet's that comes first it is made again.
        self._urgent: Callable[[Course], Course] | None = None
        self.course = self._begun()
        self._read = (self.course, serving(self.course))

    @property
    def routes(self) -> Routes:
        """Who serves whom; a version that is said by an alias is the one that it means."""
        read, course = self._read[0], self.course
        if read.routes is not course.routes or read.versions is not course.versions:
            self._read = (course, serving(course))
        return self._read[1]

    @property
    def aliases(self) -> Mapping[str, str]:
        """By variant, of those whose version is said by an alias of the catalogue."""
        return parse_routes(self.course.routes).aliases

    @property
    def effective(self) -> Config:
        """The configuration with the routes in force."""
        return merged(self._config, self.routes)

    @property
    def unkept(self) -> str:
        """Why the course in force could not be kept; empty where it is."""
        return self._keeping.unkept

    def start(self) -> None:
        """Keep the course, and follow the fleet's."""
        self._tasks.start(self._open())

    async def close(self) -> None:
        """Let go of the journal and the fleet."""
        await self._tasks.close()
        await self._keeping.close()

    # What people ask for

    async def declare(self, config: Config) -> None:
        """Take up another configuration: its routes too, if they are others than it had. Raises as `put`."""
        async with self._turn:
            before, course, earlier = self._config, self.course, routes_of(self._config).fingerprint
            self._config, self.plan = config, plan_of(config)
            try:
                await self._first(lambda: self._take(self._taken_up(self.course, earlier)))
            except BaseException:
                self._config, self.plan = before, plan_of(before)
                if self.course is not course:
                    self._keeping.forget()
                    self.course = course
                    self._prepare(self.effective)()
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

        def make(course: Course) -> Course:
            with_routes(self._config, routes)
            return changes.replaced(course, self.plan, routes, self._change(by, "routes", why))

        return await self._ask(make, revision)

    async def weigh(self, name: str, percent: float, *, revision: int | None, by: str, why: str) -> Course:
        """Give a variant this part of the traffic; the others share the rest as they do now. Raises as `order`."""

        def make(course: Course) -> Course:
            if percent > 0:
                self._allow(course, name)
            change = self._change(by, f"weight of {name}: {percent:g} %", why)
            return changes.weighed(course, self.plan, name, percent, change)

        return await self._ask(make, revision)

    async def order(self, command: Command, name: str | None, *, revision: int | None, by: str, why: str) -> Course:
        """Promote, roll back, start, hold or resume.

        Raises as `put`; UnknownError where there is no such variant. A rollback takes effect though it cannot be kept.

        Args:
            name: Of the variant, or its version; the rollout's challenger by default.
        """

        def make(course: Course) -> Course:
            plan = self.plan
            if command in {"start", "resume", "promote"}:
                self._allow(course, name or (plan.challenger if plan else ""))
            if plan is not None and (name is None or variant_of(serving(course), name) == plan.challenger):
                return changes.ordered(course, plan, command, self._change(by, command, why))
            if plan is None and command == "promote" and name is not None:
                return changes.promoted(course, name, self._change(by, f"promoted {name}", why))
            if plan is None and command == "rollback" and name is None:
                return self._returned(course, self._change(by, "rolled back", why))
            told = f"the rollout is of {plan.challenger}" if plan else "there is no rollout"
            raise ConflictError(f"cannot {command} {name or 'anything'}: {told}")

        return await self._ask(make, revision, urgent=command == "rollback")

    # What the sidecar does by itself

    async def look(self, judged: Judged | None) -> None:
        """Bring the rollout to what is known now; what could not be kept before is tried again.

        Args:
            judged: None where there is no rollout.
        """
        self.heed(judged)
        async with self._turn:
            if judged is not None and self.plan is not None:
                after = self._looked(self.plan, self.course, judged)
                if after is not self.course:
                    self._follow_through(after)
            # Whoever was first has made a step, or somebody ordered something: of that, what is known says nothing.
            for _ in range(TRIES):
                if await self._kept_now():
                    break

    def heed(self, judged: Judged | None) -> None:
        """Go back at once where a guardrail is breached: whoever keeps courses may not answer for a while."""
        if judged is not None and self.plan is not None:
            after = self._looked(self.plan, self.course, judged)
            if after is not self.course and after.progress.phase == "rolled_back":
                self._follow_through(after)

    def _follow_through(self, after: Course) -> None:
        self._enforce(after)
        if after.progress.phase == "rolled_back":
            self._urgent = partial(self._back, after.progress)

    async def reject(self, variant: str, instead: str | None, version: str, *, why: str) -> None:
        """Take the traffic from a variant whose version was rejected. Raises as `order`.

        Args:
            instead: Who serves then; None where nobody can.
        """
        told = f"version {version} was rejected{': ' if why else ''}{why}"

        def make(course: Course) -> Course:
            return changes.rejected(course, self.plan, variant, instead, self._change(CATALOGUE, "rejected", told))

        await self._ask(make, None, urgent=True)

    async def resolve(self, meant: Mapping[str, str]) -> None:
        """Have variants follow the aliases that say their versions. Raises as `put`.

        Args:
            meant: Version by alias, as far as the catalogue has them.
        """

        def make(course: Course) -> Course:
            return changes.resolved(course, self.plan, meant, self._change(CATALOGUE, "", "as the alias says"))

        async def ask() -> None:
            await self._ask(make, None)

        if make(self.course) is not self.course:
            await self._first(ask)

    def _looked(self, plan: Plan, course: Course, judged: Judged) -> Course:
        """The course as the rollout has it now; the same object where nothing changes."""
        now_s, version = self._wall_s(), version_of(course, plan)
        progress = advance(plan, course.progress, Seen(now_s, version, judged.rows, judged.words, judged.ready))
        rollout = self._config.rollout
        starts = rollout is not None and rollout.start == "auto" and plan.challenger not in self.rejected
        if progress.phase == "waiting" and starts and judged.ready:
            progress = order(progress, "start", version=version, now_s=now_s, by="rollout")
        return course if progress is course.progress else changes.moved(course, plan, progress, now_s)

    def _back(self, progress: Progress, course: Course) -> Course:
        """Another course, of the same version, after the same breach."""
        if self.plan is None or version_of(course, self.plan) != progress.version:
            return course
        return changes.ordered(course, self.plan, "rollback", self._change(progress.by, "rollback", progress.reason))

    # Courses

    def _begun(self) -> Course:
        """The course at the start: as it was, unless the configuration says something else by now."""
        try:
            documents, latest = self.journal.documents(), self.journal.changes(1)
        except DeliveryError as error:
            log.error("how all stood cannot be read, the configuration's routes are in force: %s", error)  # noqa: TRY400  (the trace says nothing)
            documents, latest = [], []
        top = latest[0][0] if latest else 0
        for place, document in enumerate(documents):
            # What another version has written, or what does not fit, is left.
            with suppress(ValueError, ConfigError):
                course = self._usable(document)
                if place:
                    change = self._change(CONFIGURATION, f"routes of revision {course.revision}", "no later ones fit")
                    course = replace(course, revision=top).after(change)
                else:
                    self._keeping.known(document)
                return self._taken_up(course)
        return self._declared(None, top + 1)

    def _usable(self, document: bytes) -> Course:
        """What was kept.

        Raises:
            ValueError: It is something else.
            ConfigError: It does not fit this configuration.
        """
        course = decode(document)
        self._fitting(course)
        return course

    def _taken_up(self, course: Course, earlier: str = "") -> Course:
        """The course under this configuration; the same object where that changes nothing.

        Args:
            earlier: Fingerprint of the routes of the configuration before; empty at the start.
        """
        own, last = routes_of(self._config).fingerprint, "".join(course.declared[-1:])
        # Others of the fleet have gone on meanwhile, and this one comes after them, one step behind.
        late = self._keeping.fleet is not None and earlier not in {"", last} and own in course.declared
        if own not in {last, earlier} and not late:
            return self._declared(course)
        self._fitting(course)
        fitted = changes.fitted(course, self.plan)
        return course if fitted == course else fitted.after(self._change(CONFIGURATION, "rollout", ""))

    def _declared(self, before: Course | None, revision: int = 1) -> Course:
        change = self._change(CONFIGURATION, "routes", "" if before else "the first")
        return changes.declared(before, self.plan, routes_of(self._config), change, revision)

    def _returned(self, course: Course, change: Change) -> Course:
        after = changes.returned(course, change)
        self._fitting(after)
        return after

    def _fitting(self, course: Course) -> Config:
        """The configuration with the routes of a course; raises ConfigError where these do not fit the rest of it."""
        with_routes(self._config, parse_routes(course.routes))
        return merged(self._config, serving(course))

    def _change(self, who: str, what: str, why: str) -> Change:
        return Change(self._wall_s(), who, what, why)

    # Keeping

    async def _ask(self, make: Callable[[Course], Course], revision: int | None, *, urgent: bool = False) -> Course:
        """Change the course as somebody wants it, or nothing."""
        if urgent:
            # At once: whoever has the turn may wait for an answer of the fleet's place.
            self._expect(revision)
            self._enforce(make(self.course))
            self._urgent = make
        async with self._turn:
            if not urgent:
                self._expect(revision)
                await self._take(make(self.course))
                return self.course
            for _ in range(TRIES):
                if await self._kept_now():
                    break
            return self.course

    def _allow(self, course: Course, name: str) -> None:
        routes = serving(course)
        if name and (variant := variant_of(routes, name)) in self.rejected:
            version = routes.variants[variant].version
            raise ConflictError(f"version {version} of {variant} was rejected; expected another one, or its approval")

    def _expect(self, revision: int | None) -> None:
        if revision is not None and revision != self.course.revision:
            raise ConflictError(f"revision {self.course.revision} is in force, expected {revision}: look again")

    async def _first(self, work: Callable[[], Awaitable[None]]) -> None:
        """Try to be first of the fleet."""
        for _ in range(TRIES - 1):
            with suppress(ConflictError):
                return await work()
        return await work()

    async def _take(self, after: Course) -> None:
        """Keep another course and put it in force, all of it or nothing. Raises as `_keep`, ConfigError and OSError."""
        put, before = self._prepare(self._fitting(after)), self.course
        if after is before:
            # What could not be kept before is no reason to refuse what changes nothing of it.
            put()
            for _ in range(TRIES):
                if await self._kept_now():
                    break
            return
        await self._keep(after)
        overtaken, self.course = self.course is not before, after
        put()
        if overtaken:
            # Somebody has gone back meanwhile.
            self._enforce(self._again(after))

    def _enforce(self, after: Course) -> None:
        """Put a course in force that is not kept yet, or by somebody else: all of it or nothing."""
        routes = serving(after)
        if routes != self.routes:
            # Not checked again: where only weights change, a file that is gone meanwhile keeps nobody from going back.
            self._prepare(merged(self._config, routes))()
        self.course = after

    async def _kept_now(self) -> bool:
        """Whether no other of the fleet was before the course in force, and is followed; what else fails is told."""
        try:
            await self._keep(self.course)
        except ConflictError:
            return False
        except DeliveryError as error:
            self._keeping.fails(error)
        return True

    async def _keep(self, course: Course) -> None:
        """Keep a course.

        Raises:
            ConflictError: Another of the fleet was first; that is in force now.
            DeliveryError: It could not be kept.
        """
        before = self.course
        try:
            await self._keeping.keep(course.revision, course.change, encode(course))
        except ConflictError:
            if (kept := await self._keeping.read()) is not None:
                self._follow(kept)
            raise
        if self.course is before:
            self._urgent = None

    # The fleet

    async def _open(self) -> None:
        """Keep the first course, where it is new; in a fleet, go on from where that is."""
        while not await self._joined():  # noqa: ASYNC110  (nobody tells when the fleet answers)
            await asyncio.sleep(JOIN_S)
        while self._keeping.fleet is not None:
            seen = self._keeping.seen
            kept = await self._keeping.fleet.changed(seen)
            async with self._turn:
                # Otherwise a later one has been read or written meanwhile.
                if seen == self._keeping.seen:
                    await self._heed(kept)

    async def _heed(self, kept: Kept) -> None:
        self._keeping.seen = kept.mark
        try:
            self._follow(kept)
        except DeliveryError as error:
            self._keeping.fails(error)
        else:
            await self._kept_now()

    async def _joined(self) -> bool:
        """Whether the course is kept, or another one is followed."""
        async with self._turn:
            try:
                if (kept := await self._keeping.read()) is not None:
                    self._join(kept)
            except DeliveryError as error:
                self._keeping.fails(error)
                return False
            return await self._kept_now() and not (self.unkept and self._keeping.fleet is None)

    def _join(self, kept: Kept) -> None:
        """Follow the fleet, unless this sidecar brings a configuration that it has not seen yet."""
        try:
            theirs = decode(kept.document)
            if routes_of(self._config).fingerprint in theirs.declared:
                return self._follow(kept)
            self._enforce(self._declared(theirs))
        except (ValueError, ConfigError, OSError) as error:
            raise DeliveryError(f"the fleet's routes cannot be used here: {error}") from None
        self._keeping.follow(kept.mark, kept.document)
        return None

    def _follow(self, kept: Kept) -> None:
        """Go on from what another of the fleet has written.

        Raises:
            DeliveryError: It cannot be used here; the course in force stays, and does not take its place.
        """
        try:
            course = changes.fitted(self._usable(kept.document), self.plan)
            self._enforce(self._again(course))
        except (ValueError, ConfigError, OSError) as error:
            raise DeliveryError(f"the fleet's routes cannot be used here: {error}") from None
        self._keeping.follow(kept.mark, encode(course))
        log.info("revision %d of the fleet's routes in force: %s", course.revision, course.change.what)

    def _again(self, course: Course) -> Course:
        """The course with what took effect here before; where that cannot be, it is over."""
        if self._urgent is None:
            return course
        try:
            return self._urgent(course)
        except (ConfigError, ConflictError, UnknownError):
            return course


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
