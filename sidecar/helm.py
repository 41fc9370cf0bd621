"""The course in force: put there, kept, and shared with a fleet.

A change is made of what is in force, kept, and then put in force, all of it or nothing. What is urgent is put in force
first, at once, whatever is being kept meanwhile: that comes to it when it is kept.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from sidecar.config.routes import Routes, merged
from sidecar.config.schema import Config
from sidecar.entries import Change
from sidecar.errors import ConfigError, ConflictError, DeliveryError, UnknownError
from sidecar.frame import CONFIGURATION, Frame
from sidecar.journal import Journal
from sidecar.keeping import Keeping
from sidecar.ports import Fleet, Kept
from sidecar.records import Event
from sidecar.routing import changes
from sidecar.routing.course import Course, decode, encode, serving
from sidecar.routing.telling import change_event
from sidecar.tasks import Tasks

log = logging.getLogger(__name__)

JOIN_S = 5.0
"""Between two attempts to find the fleet's routes at the start; those of the configuration are in force meanwhile."""

TRIES = 5
"""To be first of a fleet in one go; what took effect already is tried again later."""


class Urgent(NamedTuple):
    """What took effect before it could be kept.

    Args:
        make: Makes it of another course: of one of the fleet's that comes first it is made again.
        since_s: When it took effect; of a rollout that was begun anew since it says nothing.
    """

    make: "Make"
    since_s: float


Make = Callable[[Course, Frame], Course]
"""Makes a course of the one in force, or of the fleet's; the same object where that changes nothing."""


class Helm:
    """Holds the course.

    Args:
        config: As the file and its like have it.
        journal: Keeps every change.
        fleet: Where others that serve the same have theirs; None for alone.
        prepare: Makes all that a configuration needs to be in force, and gives what puts it there; what it cannot use
            it raises as ConfigError or OSError.
        wall_s: Unix time.

    Attributes:
        frame: In force, as is `course`.
        tell: Takes an event of every course that is in force; never waits. To be set before the start.
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
        self.frame = Frame.of(config)
        self.tell: Callable[[Event], None] = _untold
        self._journal = journal
        self._prepare = prepare
        self._wall_s = wall_s
        self._keeping = Keeping(journal, fleet)
        self._turn = asyncio.Lock()
        self._tasks = Tasks()
        self._urgent: Urgent | None = None
        self._told: Course | None = None
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
    def effective(self) -> Config:
        """The configuration with the routes in force."""
        return merged(self.frame.config, self.routes)

    @property
    def unkept(self) -> str:
        """Why the course in force could not be kept; empty where it is."""
        return self._keeping.unkept

    def start(self) -> None:
        """Keep the course, and follow the fleet's."""
        self._tell()
        self._tasks.start(self._open())

    async def close(self) -> None:
        """Let go of the journal and the fleet."""
        await self._tasks.close()
        await self._keeping.close()

    async def declare(self, config: Config) -> None:
        """Take up another configuration: its routes too, if they are others than it had. Raises as `change`."""
        async with self._turn:
            before, course, frame = self.frame, self.course, Frame.of(config)
            earlier, shared = before.fingerprint, self._keeping.fleet is not None

            async def work() -> None:
                after = frame.taken_up(self.course, self._wall_s(), earlier=earlier, shared=shared)
                await self._take(after, frame)

            try:
                await self._first(work)
            except BaseException:
                if self.frame is frame:
                    # Others of the fleet were followed under it.
                    self._keeping.forget()
                    self.frame = before
                    self.course = self._again(course, before)
                    self._prepare(self.effective)()
                    self._tell()
                raise

    async def change(self, make: Make, revision: int | None = None, *, tries: int = 1) -> Course:
        """Change the course, or nothing.

        Args:
            revision: That it must have; None where that does not matter.
            tries: To be first of the fleet.

        Raises:
            ConfigError: It does not fit the configuration.
            OSError: A file that it names cannot be used.
            ConflictError: Somebody else was first.
            DeliveryError: It could not be kept.
        """

        async def work() -> None:
            self._expect(revision)
            await self._take(make(self.course, self.frame), self.frame)

        async with self._turn:
            await self._first(work, tries)
            return self.course

    async def change_now(self, make: Make, revision: int | None = None) -> Course:
        """Change the course at once, and keep that as soon as it can be. Raises what `make` does, and OSError."""
        # Whoever has the turn may wait for an answer of the fleet's place.
        self._expect(revision)
        self.force(make(self.course, self.frame), Urgent(make, self._wall_s()))
        await self.settle(lambda: None)
        return self.course

    def force(self, after: Course, urgent: "Urgent | None" = None) -> None:
        """Put a course in force that is to be kept later.

        Args:
            urgent: Makes it again of another one that comes first.
        """
        self._enforce(after, self.frame)
        self._urgent = urgent or self._urgent

    async def settle(self, step: Callable[[], None]) -> None:
        """Do this in turn, and keep what is in force then, if that can be now."""
        async with self._turn:
            step()
            await self._keep_on()

    def _begun(self) -> Course:
        """The course at the start: as it was, unless the configuration says something else by now."""
        try:
            documents, latest = self._journal.documents(), self._journal.changes(1)
        except DeliveryError as error:
            log.error("how all stood cannot be read, the configuration's routes are in force: %s", error)  # noqa: TRY400  (the trace says nothing)
            documents, latest = [], []
        top = latest[0][0] if latest else 0
        for place, document in enumerate(documents):
            # What another version has written, or what does not fit, is left.
            with suppress(ValueError, ConfigError):
                course = self._told = self.frame.usable(document)
                if place:
                    what = f"routes of revision {course.revision}"
                    change = Change(self._wall_s(), CONFIGURATION, what, "no later ones fit")
                    course = replace(course, revision=top).after(change)
                else:
                    self._keeping.known(document)
                return self.frame.taken_up(course, self._wall_s())
        return self.frame.declared(None, self._wall_s(), top + 1)

    # Keeping

    def _expect(self, revision: int | None) -> None:
        if revision is not None and revision != self.course.revision:
            raise ConflictError(f"revision {self.course.revision} is in force, expected {revision}: look again")

    async def _first(self, work: Callable[[], Awaitable[None]], tries: int = TRIES) -> None:
        """Try to be first of the fleet."""
        for _ in range(tries - 1):
            with suppress(ConflictError):
                return await work()
        return await work()

    async def _take(self, after: Course, frame: Frame) -> None:
        """Keep another course and put it in force, all of it or nothing. Raises as `_keep`, ConfigError and OSError."""
        put, before = self._prepare(frame.fitting(after)), self.course
        if after is before:
            # What could not be kept before is no reason to refuse what changes nothing of it.
            self.frame = frame
            put()
            await self._keep_on()
            return
        await self._keep(after, frame)
        if self.course is before:
            self.frame, self.course = frame, after
            put()
            self._tell()
        else:
            # Somebody has gone back meanwhile, and what was prepared is of what was in force before that.
            self._enforce(self._again(after, frame), frame)

    def _enforce(self, after: Course, frame: Frame) -> None:
        """Put a course in force that is not kept yet, or by somebody else: all of it or nothing."""
        routes = serving(after)
        if routes != self.routes or frame is not self.frame:
            # Not checked again: where only weights change, a file that is gone meanwhile keeps nobody from going back.
            self._prepare(merged(frame.config, routes))()
        self.frame, self.course = frame, after
        self._tell()

    def _tell(self) -> None:
        """Tell of the course in force, if it is another than was told of last."""
        before, self._told = self._told, self.course
        if (event := change_event(before, self.course, self.frame.plan, self._wall_s())) is not None:
            self.tell(event)

    async def _keep_on(self) -> None:
        """Keep the course in force, or the fleet's that comes first; what else fails is told, and tried again later."""
        for _ in range(TRIES):
            if await self._kept_now():
                break

    async def _kept_now(self) -> bool:
        """Whether no other of the fleet was before the course in force, and is followed; what else fails is told."""
        try:
            await self._keep(self.course, self.frame)
        except ConflictError:
            return False
        except DeliveryError as error:
            self._keeping.fails(error)
        return True

    async def _keep(self, course: Course, frame: Frame) -> None:
        """Keep a course.

        Args:
            frame: Under which another one is followed, if that was first.

        Raises:
            ConflictError: Another of the fleet was first; that is in force now.
            DeliveryError: It could not be kept.
        """
        before = self.course
        try:
            await self._keeping.keep(course.revision, course.change, encode(course))
        except ConflictError:
            if (kept := await self._keeping.read()) is not None:
                self._follow(kept, frame)
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
            self._follow(kept, self.frame)
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
            if self.frame.fingerprint in theirs.declared:
                return self._follow(kept, self.frame)
            self._enforce(self.frame.declared(theirs, self._wall_s()), self.frame)
        except (ValueError, ConfigError, OSError) as error:
            raise DeliveryError(f"the fleet's routes cannot be used here: {error}") from None
        self._keeping.follow(kept.mark, kept.document)
        return None

    def _follow(self, kept: Kept, frame: Frame) -> None:
        """Go on from what another of the fleet has written.

        Raises:
            DeliveryError: It cannot be used here; the course in force stays, and does not take its place.
        """
        try:
            course = changes.fitted(frame.usable(kept.document), frame.plan)
            self._enforce(self._again(course, frame), frame)
        except (ValueError, ConfigError, OSError) as error:
            raise DeliveryError(f"the fleet's routes cannot be used here: {error}") from None
        self._keeping.follow(kept.mark, encode(course))
        told = {"event_name": "sidecar.routes.changed"}
        log.info("revision %d of the fleet's routes in force: %s", course.revision, course.change.what, extra=told)

    def _again(self, course: Course, frame: Frame) -> Course:
        """The course with what took effect here before; where that cannot be, it is over."""
        if self._urgent is None or course.begun_s > self._urgent.since_s:
            return course
        try:
            return self._urgent.make(course, frame)
        except (ConfigError, ConflictError, UnknownError):
            return course


def _untold(event: Event) -> None:
    """Where nobody asked for events."""
