"""Who serves whom, steered: changed by people, by the rollout, and by what the catalogue says of versions.

A change that somebody asks for is kept first and then takes effect: where it cannot be kept, nothing has changed. A
rollback takes effect first: it is kept as soon as that can be.
"""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

from sidecar.config.routes import Routes, parse_routes, with_routes
from sidecar.config.rules import ALIAS
from sidecar.config.schema import Config
from sidecar.entries import Change
from sidecar.errors import ConflictError
from sidecar.frame import Frame
from sidecar.helm import TRIES, Helm, Urgent
from sidecar.journal import Journal
from sidecar.ports import Fleet
from sidecar.records import JSON, Event
from sidecar.routing import changes
from sidecar.routing.changes import variant_of, version_of
from sidecar.routing.course import Course, serving
from sidecar.routing.rollout import Command, Plan, Progress, Seen, Word, advance, order

CATALOGUE = "catalogue"
"""Who has changed what the catalogue says."""


class Judged(NamedTuple):
    """What is known of the challenger.

    Args:
        rows: Since its step began.
        words: Of each guardrail.
        ready: It takes all of its part.
        sentences: Of each guardrail, for people.
    """

    rows: int
    words: Mapping[str, Word]
    ready: bool
    sentences: Mapping[str, str] = MappingProxyType({})


class Steering:
    """Changes the course.

    Args:
        config, journal, fleet, prepare, wall_s: As a `Helm` has them.

    Attributes:
        rejected: Variants and the version behind them that must not serve, as the catalogue has it: nobody gives them
            traffic. None while that is not known; no rollout begins by itself then.
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
        self.rejected: Collection[tuple[str, str]] | None = ()
        self._helm = Helm(config, journal, fleet=fleet, prepare=prepare, wall_s=wall_s)
        self._wall_s = wall_s

    def telling(self, tell: Callable[[Event], None]) -> None:
        """Have every change told as an event, from the start on.

        Args:
            tell: Never waits.
        """
        self._helm.tell = tell

    @property
    def course(self) -> Course:
        """In force."""
        return self._helm.course

    @property
    def plan(self) -> Plan | None:
        """Of the rollout, if there is to be one."""
        return self._helm.frame.plan

    @property
    def routes(self) -> Routes:
        """Who serves whom; a version that is said by an alias is the one that it means."""
        return self._helm.routes

    @property
    def aliases(self) -> Mapping[str, str]:
        """By variant, of those whose version is said by an alias of the catalogue."""
        return parse_routes(self.course.routes).aliases

    @property
    def effective(self) -> Config:
        """The configuration with the routes in force."""
        return self._helm.effective

    @property
    def unkept(self) -> str:
        """Why the course in force could not be kept; empty where it is."""
        return self._helm.unkept

    @property
    def hindrance(self) -> str:
        """What must come before a rollout that waits may begin, for people; empty where nothing must."""
        rollout, plan = self._helm.frame.config.rollout, self.plan
        if rollout is None or plan is None:
            return "a rollout"
        version = self.routes.variants[plan.challenger].version
        if rollout.start != "auto":
            return "an order to start"
        if self.rejected is None:
            return "what the catalogue says of the versions"
        if version.startswith(ALIAS):
            return f"the version that {version} means"
        return "another version, as this one was rejected" if (plan.challenger, version) in self.rejected else ""

    def start(self) -> None:
        """Keep the course, and follow the fleet's."""
        self._helm.start()

    async def close(self) -> None:
        """Let go of the journal and the fleet."""
        await self._helm.close()

    # What people ask for

    async def declare(self, config: Config) -> None:
        """Take up another configuration: its routes too, if they are others than it had. Raises as `put`."""
        await self._helm.declare(config)

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

        def make(course: Course, frame: Frame) -> Course:
            with_routes(frame.config, routes)
            return changes.replaced(course, frame.plan, routes, self._change(by, "routes", why))

        return await self._helm.change(make, revision)

    async def weigh(self, name: str, percent: float, *, revision: int | None, by: str, why: str) -> Course:
        """Give a variant this part of the traffic; the others share the rest as they do now. Raises as `order`."""

        def make(course: Course, frame: Frame) -> Course:
            if percent > 0:
                self._allow(course, name)
            change = self._change(by, f"weight of {name}: {percent:g} %", why)
            return changes.weighed(course, frame.plan, name, percent, change)

        return await self._helm.change(make, revision)

    async def order(self, command: Command, name: str | None, *, revision: int | None, by: str, why: str) -> Course:
        """Promote, roll back, start, hold or resume.

        Raises as `put`; UnknownError where there is no such variant. A rollback takes effect though it cannot be kept.

        Args:
            name: Of the variant, or its version; the rollout's challenger by default.
        """

        def make(course: Course, frame: Frame) -> Course:
            plan = frame.plan
            if command in {"start", "resume", "promote"}:
                self._allow(course, name or (plan.challenger if plan else ""))
            if plan is not None and (name is None or variant_of(serving(course), name) == plan.challenger):
                return changes.ordered(course, plan, command, self._change(by, command, why))
            if plan is None and command == "promote" and name is not None:
                return changes.promoted(course, name, self._change(by, f"promoted {name}", why))
            if plan is None and command == "rollback" and name is None:
                after = changes.returned(course, self._change(by, "rolled back", why))
                frame.fitting(after)
                return after
            told = f"the rollout is of {plan.challenger}" if plan else "there is no rollout"
            raise ConflictError(f"cannot {command} {name or 'anything'}: {told}")

        change = self._helm.change_now if command == "rollback" else self._helm.change
        return await change(make, revision)

    # What the sidecar does by itself

    async def look(self, judged: Judged | None) -> None:
        """Bring the rollout to what is known now; what could not be kept before is tried again.

        Args:
            judged: None where there is no rollout.
        """
        self.heed(judged)
        seen = self.course.progress

        def step() -> None:
            # What the turn was waited for may have begun another step, of which this says nothing.
            if judged is not None and self.plan is not None and self.course.progress == seen:
                self._follow_through(self._looked(self.plan, self.course, judged))

        await self._helm.settle(step)

    def heed(self, judged: Judged | None) -> None:
        """Go back at once where a guardrail is breached: whoever keeps courses may not answer for a while."""
        if judged is not None and self.plan is not None:
            after = self._looked(self.plan, self.course, judged)
            if after.progress.phase == "rolled_back":
                self._follow_through(after)

    def _follow_through(self, after: Course) -> None:
        """Put in force what the rollout has come to, if that is another course; what went back goes back again."""
        if after is self.course:
            return
        progress = after.progress
        back = Urgent(partial(self._back, progress), progress.changed_s) if progress.phase == "rolled_back" else None
        self._helm.force(after, back)

    async def reject(self, variant: str, instead: str | None, version: str, *, why: str) -> None:
        """Take the traffic from a variant whose version was rejected. Raises as `order`.

        Args:
            instead: Who serves then; None where nobody can.
        """
        told = f"version {version} was rejected{': ' if why else ''}{why}"

        def make(course: Course, frame: Frame) -> Course:
            return changes.rejected(course, frame.plan, variant, instead, self._change(CATALOGUE, "rejected", told))

        await self._helm.change_now(make)

    async def resolve(self, meant: Mapping[str, str]) -> None:
        """Have variants follow the aliases that say their versions. Raises as `put`.

        Args:
            meant: Version by alias, as far as the catalogue has them.
        """

        def make(course: Course, frame: Frame) -> Course:
            return changes.resolved(course, frame.plan, meant, self._change(CATALOGUE, "", "as the alias says"))

        if make(self.course, self._helm.frame) is not self.course:
            await self._helm.change(make, tries=TRIES)

    def _looked(self, plan: Plan, course: Course, judged: Judged) -> Course:
        """The course as the rollout has it now; the same object where nothing changes."""
        now_s, version = self._wall_s(), version_of(course, plan)
        progress = advance(plan, course.progress, Seen(now_s, version, *judged))
        if progress.phase == "waiting" and judged.ready and not self.hindrance:
            progress = order(progress, "start", version=version, now_s=now_s, by="rollout")
        return course if progress is course.progress else changes.moved(course, plan, progress, now_s)

    def _back(self, progress: Progress, course: Course, frame: Frame) -> Course:
        """Another course, of the same version, after the same breach."""
        if frame.plan is None or version_of(course, frame.plan) != progress.version:
            return course
        return changes.ordered(course, frame.plan, "rollback", self._change(progress.by, "rollback", progress.reason))

    def _allow(self, course: Course, name: str) -> None:
        routes = serving(course)
        if not name or not self.rejected:
            return
        variant = variant_of(routes, name)
        version = routes.variants[variant].version
        if (variant, version) in self.rejected:
            raise ConflictError(f"version {version} of {variant} was rejected; expected another one, or its approval")

    def _change(self, who: str, what: str, why: str) -> Change:
        return Change(self._wall_s(), who, what, why)
