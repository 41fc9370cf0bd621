"""What watches: the monitors, on the reference in force; and what learns a reference where there is none."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from itertools import chain
from pathlib import Path

from sidecar.alerts.alerting import Alerting
from sidecar.cataloguing import Cataloguing
from sidecar.explaining import Explaining
from sidecar.monitors.causes import Relation, explained
from sidecar.monitors.conformity import findings, violation_event
from sidecar.monitors.data import Data, Following
from sidecar.monitors.learning import Learning
from sidecar.monitors.quality import Grading
from sidecar.pipeline import Pipeline
from sidecar.records import Event, Finding
from sidecar.reference.archive import Archive
from sidecar.reference.checks import Violation
from sidecar.reference.constraints import suggested
from sidecar.reference.folder import Reference, write_folder
from sidecar.reference.hours import hour_file, write_hour
from sidecar.stats.window import Snapshot
from sidecar.tasks import Tasks
from sidecar.trials import Trials
from sidecar.truth import Truth

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""Between two looks at what has been found."""

CHECK_S = 10.0
"""Between two looks at whether the windows keep the constraints."""

SAVE_S = 60.0
"""Of evidence that a killed process forgets, at most."""

STATE = "data"
"""The name under which the data monitor's evidence is kept."""

EXPLAINED = "attribution"
"""Likewise of the attribution monitor."""

REFERENCE = "sidecar.reference"
"""The event of what becomes of references."""


class Watching:
    """Keeps the pipeline's watches in step with the reference, and brings what they find to the alerts.

    Args:
        pipeline: Feeds them.
        alerting: What becomes of findings.
        data: What to watch for; None for nothing.
        folder: Where a learned reference goes; None for nowhere.
        wall_s: Unix time.
        tell: Takes what is to be exported as log records; never waits.

    Attributes:
        truth: Joins labels, for the monitors that want them; to be set before the start, None where none does.
        explaining: Brings attributions to the monitor that wants them; likewise.
        trials: Looks at experiments and the rollout; likewise.
        cataloguing: Keeps the catalogue in step; likewise.
        reference: In force; None before there is one.
        learning: What learns the next one; None when nothing does.
        following: The data monitor at work; None where there is nothing to compare with.
        broken: What the current windows broke of the constraints, by variant, when it was last looked at.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        alerting: Alerting,
        *,
        data: Data | None,
        folder: Path | None,
        wall_s: Callable[[], float],
        tell: Callable[[Event], None],
    ) -> None:
        self.reference: Reference | None = None
        self.learning: Learning | None = None
        self.following: Following | None = None
        self.broken: Mapping[str, Sequence[Violation]] = {}
        self.pipeline = pipeline
        self.alerting = alerting
        self.truth: Truth | None = None
        self.explaining: Explaining | None = None
        self.trials: Trials | None = None
        self.cataloguing: Cataloguing | None = None
        self._data = data
        self._folder = folder
        self._wall_s = wall_s
        self._tell = tell
        self._variants: Collection[str] | None = None
        self._told: set[tuple[str, str, str]] = set()
        self._going: set[str] = set()
        self._archive = Archive(Path(data.violations)) if data is not None and data.violations else None
        self._unwritten = ""
        # One at a time: of two, the one that began first could end last.
        self._adopting = asyncio.Lock()
        self._tasks = Tasks()

    @property
    def watches(self) -> bool:
        """Whether there is a monitor at all: without one a reference is of no use."""
        return self._data is not None

    async def start(self, reference: Reference | None, rows: int | None, seconds: float | None) -> None:
        """Begin to watch; or to learn, where there is no reference.

        Args:
            rows: See `Learning`; without `rows` and `seconds` nothing is learned.
            seconds: Likewise.
        """
        if reference is not None:
            with self.pipeline.surviving:
                await self.adopt(reference)
        elif rows is not None or seconds is not None:
            self.learn(rows, seconds)
        if self.truth is not None:
            await self.truth.start()
        if self.explaining is not None:
            await self.explaining.start(await self.alerting.read(EXPLAINED))
        if self.trials is not None:
            self.trials.start()
        if self.cataloguing is not None:
            self.cataloguing.start()
        self._watch()
        for every_s, work in ((LOOK_S, self._look), (CHECK_S, self._check), (SAVE_S, self._save)):
            self._tasks.start(self._every(every_s, work))

    def learn(self, rows: int | None, seconds: float | None, variant: str | None = None) -> None:
        """Learn another reference from now on; until then, all is compared with the one in force. See `Learning`."""
        self.learning = Learning(rows=rows, seconds=seconds, variant=variant)
        self._watch()
        self._say(learning_event(rows, seconds, variant, self._wall_s()))

    async def adopt(self, reference: Reference) -> None:
        """Compare with this reference from now on; the evidence goes on where the two have the same bins."""
        async with self._adopting:
            if self._data is not None:
                self.following = await self._follow(self._data, reference)
            if self.explaining is not None:
                await self.explaining.rest_on(reference.sample)
            self.reference = reference
            self._watch()
            self._say(reference_event(reference, self._wall_s()))

    async def retain(self, variants: Collection[str]) -> None:
        """Forget all other variants; what was found of them is over."""
        following, self._variants = self.following, set(variants)
        if following is not None:
            await self.pipeline.between(lambda: following.retain(variants))

    async def violations(self) -> Mapping[str, Sequence[Violation]]:
        """What the current windows break of the constraints, by variant; nothing without a reference."""
        following = self.following
        if following is None:
            return {}
        snapshots = await self.pipeline.snapshots()
        return await asyncio.to_thread(_broken, following, snapshots, self.pipeline.now_s())

    async def close(self, timeout_s: float) -> None:
        """See what the last rows said, save what is to be known after a restart, and tell who is to be told."""
        await self._tasks.close()
        if self.trials is not None:
            await self.trials.close()
        if self.cataloguing is not None:
            await self.cataloguing.close()
        if self.explaining is not None:
            await self.explaining.close()
        for work in (self._look, self._save):
            with self.pipeline.surviving:
                await work()
        if self.truth is not None:
            await self.truth.close()
        await self.alerting.close(timeout_s)

    async def _follow(self, data: Data, reference: Reference) -> Following:
        """The monitor on this reference, with the evidence so far."""
        if reference.sample is not None and not _known(reference) & set(reference.sample.names):
            log.warning("the sample has none of the reference's columns: their dependence is not watched")
        earlier = self.following
        saved = await (self.pipeline.between(earlier.state) if earlier else self.alerting.read(STATE))
        following = await asyncio.to_thread(data.follow, reference, self._wall_s())
        if saved is not None and not await asyncio.to_thread(following.restore, saved):
            log.info("the evidence so far is of another reference or of other settings, and is left")
        return following

    async def _every(self, every_s: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(every_s)
            with self.pipeline.surviving:
                await work()

    async def _look(self) -> None:
        if self.learning is not None and self.learning.done:
            await self._take_up(self.learning)
        await self.alerting.judge(explained(self._found(), self._relations()))
        going = {alert.id for alert in self.alerting.alerts if alert.state != "resolved"}
        if going != self._going:
            # An alert that outlives the evidence for it would be resolved by a restart.
            self._going = going
            await self._save()

    def _found(self) -> list[Finding]:
        others = [each.findings for each in (self.trials, self.cataloguing) if each is not None]
        return [*self._of_data(), *self._of_labels(), *self._of_attributions(), *chain.from_iterable(others)]

    def _of_data(self) -> list[Finding]:
        """What the data monitor has found; while it cannot know, what fires goes on."""
        if self.following is not None:
            return [*self.following.findings, *self._breaches(self.following)]
        return self._firing({"data"}) if self.watches else []

    def _of_labels(self) -> list[Finding]:
        """Likewise what labels say."""
        if self.truth is None:
            return []
        found = self.truth.findings
        if found is None:
            return self._firing(set(self.truth.graders))
        return self._retained(found)

    def _of_attributions(self) -> list[Finding]:
        """Likewise what answers rest on."""
        if self.explaining is None:
            return []
        found = self.explaining.findings
        return self._firing({EXPLAINED}) if found is None else self._retained(found)

    def _retained(self, found: Sequence[Finding]) -> list[Finding]:
        """Those of variants that there still are."""
        return [each for each in found if self._variants is None or each.key.variant in self._variants]

    def _firing(self, monitors: Collection[str]) -> list[Finding]:
        """What was found of these monitors, and has an alert that is not resolved."""
        alerts = [alert for alert in self.alerting.alerts if alert.state != "resolved" and alert.gone_s is None]
        return [alert.finding for alert in alerts if alert.finding.key.monitor in monitors]

    def _relations(self) -> Mapping[str, Relation]:
        """By variant, whether labels relate to inputs as they did."""
        return self.truth.grading.relations() if self.truth is not None and self.truth.grading is not None else {}

    def _breaches(self, following: Following) -> list[Finding]:
        versions = {variant: followed.version for variant, followed in following.variants.items()}
        return [
            finding
            for variant, those in self.broken.items()
            for finding in findings(those, variant=variant, version=versions.get(variant, ""))
        ]

    async def _check(self) -> None:
        self.broken = await self.violations()
        told = {(variant, each.feature, each.check): each for variant, those in self.broken.items() for each in those}
        for key in told.keys() - self._told:
            self._tell(violation_event(key[0], told[key], self._wall_s()))
        self._told = set(told)
        await self._write()

    async def _write(self) -> None:
        """Bring files of the hour to the disk; a change of whether that can be is worth a line in the log."""
        error, grading = "", self.truth.grading if self.truth is not None else None
        try:
            await asyncio.to_thread(_write, self._archive, self.broken, grading, self._wall_s())
        except OSError as failed:
            error = str(failed)
        if error and not self._unwritten:
            log.error("violations cannot be written: %s", error)
        self._unwritten = error

    async def _save(self) -> None:
        if self.following is not None:
            await self.alerting.save(STATE, await self.pipeline.between(self.following.state))
        if self.explaining is not None:
            await self.alerting.save(EXPLAINED, await self.explaining.state())
        if self.trials is not None:
            for name, state in (await self.trials.state()).items():
                await self.alerting.save(name, state)

    async def _take_up(self, learning: Learning) -> None:
        """Go over to what was learned; how strict the checks were, they stay. Interrupted, it is done again."""
        earlier = self.reference.constraints if self.reference else None
        profiles = await asyncio.to_thread(learning.profiles)
        reference = Reference(profiles, suggested(profiles, earlier), learning.reservoir.sample())
        if self._folder is not None:
            await _keep(self._folder, reference)
        await self.adopt(reference)
        if self.learning is learning:  # and not another, asked for meanwhile
            self.learning = None
            self._watch()
        log.info("learned a reference from %d rows", profiles.rows)

    def _say(self, event: Event) -> None:
        log.info("%s", event.body, extra={"event_name": event.name})
        self._tell(event)

    def _watch(self) -> None:
        grading = self.truth.grading if self.truth is not None else None
        self.pipeline.watches = [each for each in (self.following, self.learning, grading) if each is not None]


def learning_event(rows: int | None, seconds: float | None, variant: str | None, now_s: float) -> Event:
    """A reference that is to be learned. See `Learning`."""
    attributes: dict[str, str | int | float | bool] = {"sidecar.reference.state": "learning"}
    wanted = []
    if rows is not None:
        attributes["sidecar.reference.rows"] = rows
        wanted.append(f"{rows} rows")
    if seconds is not None:
        attributes["sidecar.reference.learn_s"] = seconds
        wanted.append(f"{seconds:g} s")
    if variant is not None:
        attributes["feature_flag.result.variant"] = variant
    return Event(REFERENCE, now_s, "info", f"a reference is learned: of {' or '.join(wanted)}", attributes)


def reference_event(reference: Reference, now_s: float) -> Event:
    """A reference that is in force now."""
    rows = reference.profiles.rows
    attributes: dict[str, str | int | float | bool] = {
        "sidecar.reference.state": "in_force",
        "sidecar.reference.rows": rows,
        "sidecar.reference.features": len(reference.profiles.features),
    }
    return Event(REFERENCE, now_s, "info", f"a reference is in force: of {rows} rows", attributes)


def _write(
    archive: Archive | None, broken: Mapping[str, Sequence[Violation]], grading: Grading | None, now_s: float
) -> None:
    if archive is not None:
        for variant, those in broken.items():
            archive.keep(variant, those, now_s)
    if grading is not None and grading.folder is not None:
        for variant, named in grading.files():
            for name, data in named.items():
                write_hour(hour_file(grading.folder, variant, name, now_s), data)


def _known(reference: Reference) -> set[str]:
    return {profile.name for profile in reference.profiles.features}


async def _keep(folder: Path, reference: Reference) -> None:
    try:
        await asyncio.to_thread(write_folder, folder, reference)
    except (OSError, UnicodeEncodeError) as error:
        log.error("the learned reference is in force, but cannot be kept: %s", error)  # noqa: TRY400  (no fault of ours)


def _broken(
    following: Following, snapshots: Mapping[tuple[str, str], Snapshot], now_s: float
) -> Mapping[str, Sequence[Violation]]:
    """Summing windows takes milliseconds: in a thread."""
    current = {key: snapshot.current(now_s) for key, snapshot in snapshots.items()}
    return {
        variant: following.violations(
            variant, current.get((variant, "features")), current.get((variant, "predictions"))
        )
        for variant in dict.fromkeys(variant for variant, _ in current)
    }
