"""The quality monitor: how good every version is, whether it has become worse, and whether that is concept drift."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Annotated, get_args

from msgspec import Meta, MsgspecError

from sidecar.detectors.bounded import Verdict
from sidecar.errors import ConfigError, Fault
from sidecar.monitors.causes import Relation
from sidecar.monitors.graded import Graded, Terms
from sidecar.monitors.grades import Grade, grade_findings, relation_of
from sidecar.monitors.rivals import RIVALS, Rivals
from sidecar.monitors.settling import Settling
from sidecar.monitors.statements import files
from sidecar.monitors.training import Bound, limits_of, reference_of
from sidecar.monitors.versions import VersionKey, Versions
from sidecar.monitors.yardstick import losses_of
from sidecar.quality.reading import Read, Reading
from sidecar.records import Finding, Labelled, Table
from sidecar.reference.quality_files import Limit, Operator
from sidecar.stats.keeping import below, sealed, unsealed

KIND, SETTLING = "quality", "settling"

LAYOUT = 3
"""Of what is saved; another one with every change of what the arrays of a state are called and mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Grades every version by the labels that come.

    Args:
        tolerance: How much greater the share of wrong answers may be; of a regression, of 4 times the mean error.
        relation_tolerance: How far a mean may be from what inputs make one expect; farther below 2,000 reference_rows.
        false_alarms_per: Labelled rows of a version in which one false alarm may be given.
        reference_rows: Labelled rows of a version with which its later ones are compared: its first.
        reference: Folder of Model Monitor's statistics.json and constraints.json of model quality, from training.
        alert_when: Limits by metric, as in `f1: {below: 0.9}`; they go before those of constraints.json.
        champion: Variant with which all others are compared; none are without it.
        settle_s: Age of a request from which on its label counts: where labels of one kind come sooner than others.
        rows: Labelled rows of the window, the latest by the time of their request.
        window_s: Age at which they leave it.
        files: Folder for a statistics.json and constraint_violations.json of every hour and variant; none without it.
    """

    tolerance: Annotated[float, Meta(ge=0, le=0.5)] = 0.02
    relation_tolerance: Annotated[float, Meta(ge=0, le=0.5)] = 0.03
    false_alarms_per: Annotated[float, Meta(ge=100, le=1e15)] = 1e5
    reference_rows: Annotated[int, Meta(ge=200, le=20_000)] = 2000
    reference: Annotated[str, Meta(min_length=1)] | None = None
    alert_when: dict[str, Bound] | None = None
    champion: str = ""
    settle_s: Annotated[float, Meta(ge=0, le=366 * 86_400)] = 0.0
    rows: Annotated[int, Meta(ge=200, le=1_000_000)] = 5000
    window_s: Annotated[float, Meta(gt=0, le=366 * 86_400)] = 604_800.0
    files: Annotated[str, Meta(min_length=1)] | None = None

    def __post_init__(self) -> None:
        for name, bound in (self.alert_when or {}).items():
            if (bound.below is None) == (bound.above is None):
                raise ConfigError(Fault(f"alert_when.{name}", "expected one of below and above"))

    @property
    def checks(self) -> list[str]:
        """What a finding may be called after."""
        return ["performance", "champion", *get_args(Operator)]

    def grade(self, reading: Callable[[], Reading]) -> "Grading":
        """Begin to watch.

        Args:
            reading: Makes what reads the rows of a version.

        Raises:
            ConfigError: The reference cannot be used.
        """
        return Grading(self, reading)


class Grading:
    """The quality monitor at work.

    Attributes:
        versions: What is known of each, by variant and version.
        limits: What metrics may be.
        tolerance: How much worse than the champion is not bad yet.
        folder: Where files of every hour go; None for nowhere.
    """

    def __init__(self, options: Quality, reading: Callable[[], Reading]) -> None:
        task = reading().task
        stated, limits = reference_of(options.reference, task)
        self.limits: Mapping[str, Limit] = {**limits, **limits_of(options.alert_when or {}, task)}
        testing = Terms(
            reference_rows=options.reference_rows,
            stated_loss=stated,
            tolerance=options.tolerance,
            relation_tolerance=options.relation_tolerance,
            false_alarms_per=options.false_alarms_per,
        )
        self.versions = Versions(lambda: Graded(testing, reading(), rows=options.rows, seconds=options.window_s))
        self._belongs_to = sha256(repr((KIND, LAYOUT, testing, reading())).encode("utf-8", "backslashreplace")).digest()
        self.folder = Path(options.files) if options.files else None
        self.tolerance = options.tolerance
        self._champion = options.champion
        self._no_rivals = partial(
            Rivals, options.champion, tolerance=options.tolerance, false_alarms_per=options.false_alarms_per
        )
        self._rivals = self._no_rivals()
        self._settle_s = options.settle_s
        self._settling = Settling(options.settle_s)
        self._written_s: dict[tuple[str, str], float] = {}
        self._grades: dict[tuple[str, str], Grade] = {}
        self._waiting: list[tuple[str, str, Table]] = []

    # What the pipeline hands over

    def count(self, variant: str, version: str, features: Table, predictions: Table) -> None:  # noqa: ARG002  # answers only
        """Take predictions, labels or not: of these quality is estimated."""
        self._waiting.append((variant, version, predictions))

    def judge(self, now_s: float) -> None:
        """Keep what was taken."""
        waiting, self._waiting = self._waiting, []
        for variant, version, predictions in waiting:
            self.versions.of(variant, version, now_s).scored.predicted(predictions, now_s)

    # What labels say

    @property
    def findings(self) -> Sequence[Finding]:
        """What holds now, of the latest version of each variant."""
        latest = self.versions.latest()
        found = [
            finding
            for key, graded in latest
            for finding in grade_findings(key, graded, self._grades.get(key), self.limits)
        ]
        return [*found, *self._rivals.findings(dict(key for key, _ in latest))]

    @property
    def grades(self) -> Mapping[tuple[str, str], Grade]:
        """Scores by variant and version, as they were when last worked out."""
        return self._grades

    @property
    def rivals(self) -> Mapping[tuple[str, str], Verdict]:
        """How versions of other variants stand against the champion's, by variant and version."""
        return {(key.variant, key.version): said for key, said in list(self._rivals.verdicts.items())}

    def relations(self) -> dict[str, Relation]:
        """Of each variant whether labels relate to inputs as they did."""
        return {key.variant: relation_of(graded) for key, graded in self.versions.latest()}

    def take(self, rows: Labelled) -> None:
        """Take rows whose labels have come."""
        if self._settle_s:
            self._settling.add(rows)
        else:
            self._count(rows)

    def _count(self, rows: Labelled) -> None:
        if len(rows.times_s):
            graded = self.versions.of(rows.variant, rows.version, float(rows.times_s.max()))
            graded.take(rows)
            if self._champion:
                self._compare(graded.reading.read(rows), VersionKey(rows.variant, rows.version))

    def assess(self, now_s: float) -> None:
        """Work out anew what has changed."""
        for rows in self._settling.due(now_s):
            self._count(rows)
        self.versions.until(now_s)
        known = list(self.versions)
        for key, graded in known:
            graded.assess(now_s)
            before = self._grades.get(key)
            if before is None or before.outdated(graded, now_s):
                self._grades[key] = Grade.of(graded, now_s)
        self._grades = {key: self._grades[key] for key, _ in known}
        self._written_s = {key: made_s for key, made_s in self._written_s.items() if key in self._grades}

    def files(self) -> list[tuple[str, dict[str, bytes]]]:
        """Model Monitor's files by variant, of the latest versions whose scores are new since the last time."""
        found = []
        for key, graded in self.versions.latest():
            grade = self._grades.get(key)
            if grade is not None and grade.made_s != self._written_s.get(key):
                self._written_s[key] = grade.made_s
                found.append((key.variant, files(graded.reading.task, key.variant, grade, self.limits)))
        return found

    def state(self) -> bytes:
        """What is to be known after a restart."""
        parts = self.versions.arrays(Graded.state)
        parts |= {f"{RIVALS}.{name}": part for name, part in self._rivals.state().items()}
        parts |= {f"{SETTLING}.{name}": part for name, part in self._settling.state().items()}
        return sealed(parts, self._belongs_to)

    def restore(self, state: bytes) -> bool:
        """Go on from a saved state; False, and nothing done, where it is of other settings, or damaged."""
        parts, rivals = unsealed(state, self._belongs_to), self._no_rivals()
        settling = Settling(self._settle_s)
        if parts is None:
            return False
        try:
            rivals.restore(below(f"{RIVALS}.", parts))
            settling.restore(below(f"{SETTLING}.", parts))
        except (KeyError, ValueError, MsgspecError):
            return False
        if not self.versions.restore(parts, lambda each, name: each.restore(below(name, parts))):
            return False
        self._rivals, self._settling = rivals, settling
        self._grades = {}  # of what was known before
        return True

    def _compare(self, read: Read, key: VersionKey) -> None:
        """Hand losses on, where there is a champion, and it is known on which scale these are."""
        if not len(read.kept):
            return
        scale = 1.0
        if read.amounts is not None:
            known = [each.yardstick for (variant, _), each in self.versions.latest() if variant == self._champion]
            if not known or known[0] is None:
                return
            scale = known[0].scale.error
        self._rivals.take(*key, losses_of(read, scale))
