"""The catalogue, kept in step with who serves: deployments are noted, and a version that is rejected serves no more.

And who serves, kept in step with the catalogue: a variant whose version is said by an alias follows that.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from math import nan
from typing import TypeVar

from sidecar.entries import Change, Version
from sidecar.errors import ConfigError, DeliveryError, SidecarError, UnknownError
from sidecar.ports import Catalog, Serving
from sidecar.records import Carrier, Finding, Key
from sidecar.steering import Steering
from sidecar.store.apart import Apart
from sidecar.tasks import Tasks

log = logging.getLogger(__name__)

T = TypeVar("T")

LOOK_S, MOST_S = 1.0, 10.0
"""Between two looks at whether the catalogue has changed; where that takes long, up to the other."""

PART = 0.1
"""Of the time, that looks may take."""

REPORT_S = 60.0
"""Between two notes of what is measured."""

CLOSE_S = 4.0
"""For the last notes, at the end."""


class _Aliases:
    """Has variants follow the aliases that say their versions.

    Attributes:
        lost: Those that are not in the catalogue, each with what is said of that, by variant.
        hindered: Why versions cannot follow; empty where they can.
    """

    def __init__(self, group: str, steering: Steering) -> None:
        self.lost: Mapping[str, tuple[str, str]] = {}
        self.hindered = ""
        self._group = group
        self._steering = steering

    async def follow(self, meant: Mapping[str, str]) -> None:
        """Have versions be those that aliases mean; what cannot be is told, once.

        Args:
            meant: Version by alias, of those that are in the catalogue.
        """
        self._lose({name: alias for name, alias in self._steering.aliases.items() if alias not in meant})
        before, self.hindered = self.hindered, ""
        try:
            await self._steering.resolve(meant)
        except (SidecarError, OSError) as error:
            self.hindered = str(error)
            if self.hindered != before:
                log.warning("versions cannot follow their aliases: %s", error)

    def _lose(self, aliases: Mapping[str, str]) -> None:
        known, before, self.lost = self._steering.course.versions, self.lost, {}
        for variant, alias in aliases.items():
            stays = f"version {known[alias]} stays" if alias in known else "its version is not known"
            told = (alias, f"{self._group} has no such alias in the catalogue; {stays}")
            self.lost = {**self.lost, variant: told}
            if told != before.get(variant):
                log.warning("%s is to follow %s: %s", variant, *told)


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
        steering.rejected = None
        self._live = live
        self._wall_s = wall_s
        self._apart = Apart("the catalogue")
        self._tasks = Tasks()
        self._mark: str | None = None
        self._known_of: tuple[int, Change] | None = None
        self._noted: tuple[int, Change] | None = None
        self._stuck: Mapping[str, str] = {}
        self._unknown: Mapping[str, str] = {}
        self._faults: set[tuple[str, type[Exception]]] = set()
        self._aliases = _Aliases(group, steering)

    def start(self) -> None:
        """Begin to look."""
        self._tasks.start(self._every(LOOK_S, self.look))
        self._tasks.start(self._every(REPORT_S, self._report))

    async def do(self, work: Callable[[Catalog], T]) -> T:
        """Ask the catalogue for something, or have it note something; raises what that raises."""
        return await self._apart.do(partial(work, self._catalog))

    async def look(self) -> None:
        """Follow aliases that were moved, see whether all who serve may, and note who does, if that has changed."""
        with self._telling("the catalogue cannot be followed"):
            mark = await self._apart.do(partial(self._catalog.mark, self.group))
            if mark != self._mark or self._known_of != self._now or self._aliases.hindered:
                await self._read()
                # What has happened since, our own notes too, is for the next look.
                self._mark = mark
            if self._known_of == self._now:  # or it would be somebody else who is taken from the traffic
                await self._reject()
            if self._noted != self._now:
                # Who may only read the catalogue follows it all the same.
                with self._telling("deployments cannot be noted"):
                    await self._note()

    @property
    def unknown(self) -> Mapping[str, str]:
        """Versions that serve and are not in the catalogue, by name of the variant."""
        variants = self._steering.routes.variants
        return {
            name: version
            for name, version in self._unknown.items()
            if name in variants and variants[name].version == version
        }

    @property
    def findings(self) -> list[Finding]:
        """What somebody should know of: a rejected version that serves all the same, an alias that is not there."""
        rejected = [
            self._finding("rejected", variant, "approval", why, f"serves a version that was rejected: {why}")
            for variant, why in self._stuck.items()
        ]
        lost = [
            self._finding("alias", variant, alias, why, f"is to follow {alias}: {why}")
            for variant, (alias, why) in self._aliases.lost.items()
        ]
        return [each for each in (*rejected, *lost) if each is not None]

    def _finding(self, check: str, variant: str, carrier: str, why: str, told: str) -> Finding | None:
        """Of a variant; None where that is gone."""
        if (serving := self._steering.routes.variants.get(variant)) is None:
            return None
        carried = Carrier(carrier, 1.0, statistic=nan, threshold=nan, sentence=why)
        key = Key("catalogue", check, variant, "traffic")
        return Finding(key, serving.version, (carried,), 0, 0, f"{variant} {told}")

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
            except SidecarError as error:
                raise DeliveryError(str(error)) from error
            except Exception as error:
                # A mistake, of ours or a catalogue's: the next look may do better.
                if (fault := (what, type(error))) not in self._faults:
                    self._faults.add(fault)
                    log.exception("%s; further faults of this kind are told without their trace", what)
                raise DeliveryError(repr(error)) from error

    async def _every(self, every_s: float, work: Callable[[], Awaitable[None]]) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            begun_s = clock()
            await work()
            await asyncio.sleep(pause_s(every_s, clock() - begun_s))

    def _serving(self) -> list[Serving]:
        variants = self._steering.routes.variants
        total = sum(variant.weight for variant in variants.values()) or 1.0
        return [Serving(name, each.version, 100 * each.weight / total) for name, each in variants.items()]

    @property
    def _now(self) -> tuple[int, Change]:
        """Which course is in force."""
        course = self._steering.course
        return course.revision, course.change

    async def _read(self) -> None:
        """Follow aliases, and ask what the catalogue knows of those that serve then."""
        await self._follow()
        now, serving = self._now, self._serving()
        self.versions = await self._apart.do(partial(self._known, serving))
        self._known_of = now
        self._miss(serving)

    async def _follow(self) -> None:
        await self._aliases.follow(await self._apart.do(partial(self._meant, set(self._steering.aliases.values()))))

    async def _note(self) -> None:
        """Note who serves; aliases that move with that are seen to have moved, before who serves changes again."""
        now, now_s = self._now, self._wall_s()
        by, why = now[1].who, now[1].why
        note = partial(self._catalog.deploy, self.group, self._serving(), by=by, why=why, now_s=now_s)
        await self._apart.do(note)
        self._noted = now
        await self._follow()

    def _meant(self, aliases: Iterable[str]) -> dict[str, str]:
        """The version of each alias that the catalogue has."""
        found = {}
        for alias in aliases:
            with suppress(UnknownError, ConfigError):
                found[alias] = str(self._catalog.version(self.group, alias).number)
        return found

    def _known(self, serving: Iterable[Serving]) -> dict[str, Version]:
        """What the catalogue says of those that serve."""
        found = {}
        for variant, version, _ in serving:
            if version:
                with suppress(UnknownError, ConfigError):
                    found[variant] = self._catalog.version(self.group, version)
        return found

    def _miss(self, serving: Iterable[Serving]) -> None:
        """Tell whose version is not in the catalogue, if that is new: of them nothing is noted there."""
        unknown = {each.variant: each.version for each in serving if each.version and each.variant not in self.versions}
        for variant, version in unknown.items():
            if version != self._unknown.get(variant) and variant not in self._aliases.lost:
                told = "version %s of %s, behind %s, is not in the catalogue: nothing is noted of it"
                log.info(told, version, self.group, variant)
        self._unknown = unknown

    async def _reject(self) -> None:
        """Take the traffic from every version that was rejected, to the latest one that was approved."""
        stuck = {}
        self._steering.rejected = {
            (name, str(each.number)) for name, each in self.versions.items() if each.approval == "rejected"
        }
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
        if self._known_of != self._now:
            return  # who stands behind which variant is not known yet
        live, now_s = self._live(), self._wall_s()
        named = {name: variant.version for name, variant in self._steering.routes.variants.items()}
        for variant, version in self.versions.items():
            if measured := live.get((variant, named.get(variant, ""))):
                with self._telling("measurements cannot be noted"):
                    name = str(version.number)
                    await self._apart.do(partial(self._catalog.report, self.group, name, measured, now_s=now_s))


def pause_s(every_s: float, took_s: float) -> float:
    """Seconds until something is done again that should be done every so many, and took so long.

    Example:
        >>> pause_s(1.0, 0.03), pause_s(1.0, 0.5), pause_s(1.0, 5.0), pause_s(60.0, 5.0)
        (1.0, 5.0, 10.0, 60.0)
    """
    return max(every_s, min(took_s / PART, MOST_S))
