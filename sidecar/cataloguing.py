"""The catalogue, kept in step with who serves: deployments are noted, and a version that is rejected serves no more."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from math import nan
from typing import TypeVar

from sidecar.entries import Change, Version
from sidecar.errors import ConfigError, ConflictError, DeliveryError, SidecarError, UnknownError
from sidecar.ports import Catalog, Serving
from sidecar.records import Carrier, Finding, Key
from sidecar.steering import Steering
from sidecar.store.apart import Apart
from sidecar.tasks import Tasks

log = logging.getLogger(__name__)

T = TypeVar("T")

LOOK_S = 1.0
"""Between two looks at whether the catalogue has changed; and at the end, for the last deployments to be noted."""

REPORT_S = 60.0
"""Between two notes of what is measured."""

CLOSE_S = 4.0
"""For the last notes, at the end."""


class Cataloguing:
    """Keeps the catalogue in step.

    Args:
        catalog: Where it is.
        group: The model that is served here.
        steering: Knows who serves.
        live: What is measured now, by variant and version, and name.
        wall_s: Unix time.

    Attributes:
        versions: Of the model, by name of the variant behind which each is; of those that the catalogue knows.
    """

    def __init__(
        self,
        catalog: Catalog,
        group: str,
        steering: Steering,
        *,
        live: Callable[[], Mapping[tuple[str, str], Mapping[str, float]]],
        wall_s: Callable[[], float],
    ) -> None:
        self.group = group
        self.versions: Mapping[str, Version] = {}
        self._catalog = catalog
        self._steering = steering
        self._live = live
        self._wall_s = wall_s
        self._apart = Apart("the catalogue")
        self._tasks = Tasks()
        self._mark = ""
        self._noted: tuple[int, Change] | None = None
        self._stuck: Mapping[str, str] = {}

    def start(self) -> None:
        """Begin to look."""
        self._tasks.start(self._every(LOOK_S, self.look))
        self._tasks.start(self._every(REPORT_S, self._report))

    async def do(self, work: Callable[[Catalog], T]) -> T:
        """Ask the catalogue for something, or have it note something; raises what that raises."""
        return await self._apart.do(partial(work, self._catalog))

    async def look(self) -> None:
        """Note who serves, if that has changed; and see whether all of them may."""
        course, now_s = self._steering.course, self._wall_s()
        with self._telling("deployments cannot be noted"):
            if self._noted != (course.revision, course.change):
                change = course.change
                note = partial(
                    self._catalog.deploy, self.group, self._serving(), by=change.who, why=change.why, now_s=now_s
                )
                await self._apart.do(note)
                self._noted, self._mark = (course.revision, course.change), ""
            mark = await self._apart.do(partial(self._catalog.mark, self.group))
            if mark != self._mark:
                self.versions = await self._apart.do(self._known)
                self._mark = mark
                await self._reject()

    @property
    def findings(self) -> list[Finding]:
        """What somebody should know of: a version that was rejected and serves all the same."""
        return [
            Finding(
                Key("catalogue", "rejected", variant, "traffic"),
                self._steering.routes.variants[variant].version,
                (Carrier("approval", 1.0, statistic=nan, threshold=nan, sentence=why),),
                0,
                0,
                f"{variant} serves a version that was rejected: {why}",
            )
            for variant, why in self._stuck.items()
            if variant in self._steering.routes.variants
        ]

    async def close(self) -> None:
        """Note what is still to be noted, and let go of it."""
        await self._tasks.close()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self.look()
                await self._report()
                with self._telling("the catalogue cannot be closed"):
                    await self._apart.do(self._catalog.close)
        except TimeoutError:
            log.error("the catalogue does not answer; what it lacks is lost")  # noqa: TRY400  (no fault of ours)
        finally:
            self._apart.close()

    @contextmanager
    def _telling(self, what: str) -> Iterator[None]:
        """Around what the catalogue may refuse, for whatever reason: it is told, and tried again."""
        with self._apart.telling(what):
            try:
                yield
            except (ConfigError, ConflictError, UnknownError) as error:
                raise DeliveryError(str(error)) from error

    async def _every(self, every_s: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await work()
            await asyncio.sleep(every_s)

    def _serving(self) -> list[Serving]:
        variants = self._steering.routes.variants
        total = sum(variant.weight for variant in variants.values()) or 1.0
        return [Serving(name, each.version, 100 * each.weight / total) for name, each in variants.items()]

    def _known(self) -> dict[str, Version]:
        """What the catalogue says of those that serve."""
        found = {}
        for variant, version, _ in self._serving():
            if version:
                try:
                    found[variant] = self._catalog.version(self.group, version)
                except (UnknownError, ConfigError):
                    continue
        return found

    async def _reject(self) -> None:
        """Take the traffic from every version that was rejected, to the latest one that was approved."""
        stuck = {}
        self._steering.rejected = {name for name, each in self.versions.items() if each.approval == "rejected"}
        weights = {name: variant.weight for name, variant in self._steering.routes.variants.items()}
        approved = [variant for variant, version in self.versions.items() if version.approval == "approved"]
        latest = max(approved, key=lambda variant: self.versions[variant].number, default=None)
        for variant, version in self.versions.items():
            if version.approval != "rejected" or not weights.get(variant):
                continue
            why = version.decisions[-1].why
            try:
                await self._steering.reject(variant, latest, str(version.number), why=why)
            except (SidecarError, OSError) as error:
                stuck[variant] = str(error)
                if stuck[variant] != self._stuck.get(variant):
                    log.warning("%s serves on: %s", variant, error)
        self._stuck = stuck

    async def _report(self) -> None:
        """Note what is measured beside what was measured in training."""
        course = self._steering.course
        if self._noted != (course.revision, course.change):
            return  # who stands behind which variant is not known yet
        live, now_s = self._live(), self._wall_s()
        named = {name: variant.version for name, variant in self._steering.routes.variants.items()}
        for variant, version in self.versions.items():
            if measured := live.get((variant, named.get(variant, ""))):
                with self._telling("measurements cannot be noted"):
                    name = str(version.number)
                    await self._apart.do(partial(self._catalog.report, self.group, name, measured, now_s=now_s))
