"""One version of one variant, as the bias monitor follows it: labelled rows to metrics of groups, and what breaks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np
from numpy.typing import NDArray

from sidecar.monitors.groups import FacetOf, Strata, column_of
from sidecar.quality.bias import MEANING, Facet, post_training, pre_training
from sidecar.quality.ledger import Ledger
from sidecar.quality.ranges import Measured, Violation, breaks, measured, no_farther, violation
from sidecar.quality.reading import Read, Reading, texts_of
from sidecar.records import Carrier, Finding, Key, Labelled
from sidecar.reference.bias_files import GroupBias
from sidecar.stats.keeping import Array, below, packed, unpacked
from sidecar.stats.moments import Counts, Flags, Floats
from sidecar.texts import shown

EVERY_S = 10.0
"""Between two times that groups are compared: 10 ms each for 10,000 rows, and 250 ms where FT is asked for."""

PRE_TRAINING = ("CI", "DPL", "KL", "JS", "LP", "TVD", "KS", "CDDL")

MAX_FEATURES = 64
"""Features by which neighbours are found, for the flip test."""

GREATEST = float(np.finfo(np.float32).max)
Floats32 = NDArray[np.float32]

COMPARED = ("labels", "predicted", "weights", "strata")
"""What is kept of each row, for metrics."""

NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """How groups are compared; see `Bias`.

    Args:
        outcomes: The classes that are the good outcome.
        allowed: By metric; it goes before the reference.
        reference: What groups were like.
    """

    facets: tuple[FacetOf, ...]
    outcomes: frozenset[str]
    outcome_above: float | None
    strata: str
    allowed: Mapping[str, tuple[float, float]]
    reference: Sequence[GroupBias]
    confidence: float
    least_rows: int

    @property
    def outcome(self) -> str:
        """The good outcome, as Clarify writes it."""
        return ",".join(sorted(self.outcomes)) if self.outcome_above is None else f"({self.outcome_above:g}, inf)"

    def limits(self, facet: FacetOf) -> dict[str, tuple[float, float]]:
        """The range of every metric that has one, for this group."""
        known = {
            metric.name: no_farther(metric.name, metric.value)
            for group in self.reference
            if facet.is_called(group.facet, group.value_or_threshold)
            for metric in group.metrics
            if metric.name in MEANING and np.isfinite(metric.value)
        }
        return {**known, **self.allowed}


@dataclass(frozen=True, slots=True)
class Group:
    """What is known of one group against all others.

    Args:
        facet: Which group.
        rows: Of the window, of the group and of all others.
        window: The metrics of the window with their intervals.
        lifetime: The metrics of all rows so far; without intervals, FT unknown.
    """

    facet: FacetOf
    rows: tuple[int, int]
    window: Mapping[str, Measured]
    lifetime: Mapping[str, float]


@dataclass(slots=True)
class Compared:
    """The rows of one version, and what they say of groups.

    Args:
        judging: How.
        reading: Reads the rows.
        rows: Of the window.
        seconds: Its age.

    Attributes:
        labelled: Rows so far that say anything.
        groups: What was said last, one for each facet; none before the first time.
        violations: The metrics that break their range.
    """

    judging: Judging
    reading: Reading
    rows: int
    seconds: float
    labelled: int = 0
    groups: Sequence[Group] = ()
    violations: Sequence[Violation] = ()
    _carriers: tuple[Carrier, ...] = ()
    _limits: Sequence[Mapping[str, tuple[float, float]]] = ()
    _ledger: Ledger = field(init=False)
    _strata: Strata = field(default_factory=Strata)
    _features: tuple[str, ...] = ()
    # Weight by stratum, group, class of the label, and whether the answer is the good outcome; of each facet.
    _totals: list[Floats] = field(init=False)
    _assessed_s: float = -inf
    # Rows of the window when last assessed; below 0 where others have come since.
    _assessed: int = -1

    def __post_init__(self) -> None:
        self._ledger = Ledger(rows=self.rows, seconds=self.seconds)
        self._limits = [self.judging.limits(facet) for facet in self.judging.facets]
        self._totals = [np.zeros((1, 2, 2, 2)) for _ in self.judging.facets]

    def take(self, rows: Labelled) -> None:
        """Take rows whose labels have come."""
        read = self.reading.read(rows)
        kept = read.kept
        if not len(kept):
            return
        labels, predicted = self._outcomes(read)
        columns = {
            "labels": labels,
            "predicted": predicted,
            "weights": rows.weights[kept],
            "strata": self._strata_of(rows)[kept],
            "members": np.column_stack([facet.members(rows)[kept] for facet in self.judging.facets]),
            "features": self._features_of(rows)[kept],
        }
        self._ledger.add(rows.times_s[kept], columns)
        self._totals = [_added(totals, columns, place) for place, totals in enumerate(self._totals)]
        self.labelled += len(kept)
        self._assessed = -1

    def assess(self, now_s: float) -> None:
        """Compare the groups, if there are other rows than at the last time, and that is long enough ago."""
        if not self.labelled or 0 <= now_s - self._assessed_s < EVERY_S:
            return
        self._assessed_s = now_s
        times_s, columns = self._ledger.current(now_s)
        if len(times_s) == self._assessed:
            return
        self._assessed = len(times_s)
        groups = [self._group(place, columns) for place in range(len(self.judging.facets))]
        broken = [
            (group, violation(group.facet.name, group.facet.value, name, group.window[name], limit), limit)
            for group, limits in zip(groups, self._limits, strict=True)
            for name, limit in limits.items()
            if breaks(group.window[name], limit)
        ]
        self.groups, self.violations = groups, [each for _, each, _ in broken]
        self._carriers = tuple(_carrier(*each, share=1 / len(broken)) for each in broken)

    def findings(self, variant: str, version: str) -> list[Finding]:
        """The metrics that break their range, as one finding."""
        carriers = self._carriers
        if not carriers:
            return []
        told = [f"{each.name} ({each.sentence})" for each in carriers[:NAMED]]
        more = [f"{len(carriers) - NAMED} more"] if len(carriers) > NAMED else []
        return [
            Finding(
                Key("bias", "bias_drift_check", variant, "groups"),
                version,
                carriers,
                rows=max(each.rows for each in carriers),
                reference_rows=0,
                sentence=f"{variant} treats groups unequally: {', '.join(told + more)}",
            )
        ]

    def state(self) -> dict[str, Array]:
        """What is to be known after a restart."""
        own = {"labelled": np.array(self.labelled), "strata": packed(self._strata.texts)}
        own |= {"classes": packed(self.reading.classes), "features": packed(self._features)}
        own |= {f"totals.{place}": totals for place, totals in enumerate(self._totals)}
        return own | {f"ledger.{name}": part for name, part in self._ledger.state().items()}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Go on from a state.

        Raises:
            KeyError: A part of it is missing.
            ValueError: A part of it cannot be read.
        """
        self.labelled = int(state["labelled"])
        self._strata = Strata(unpacked(state["strata"], list[str]))
        self.reading.classes = unpacked(state["classes"], tuple[str, ...])
        self._features = unpacked(state["features"], tuple[str, ...])
        self._totals = [state[f"totals.{place}"] for place in range(len(self.judging.facets))]
        self._ledger.restore(below("ledger.", state))
        self._assessed = -1

    def _outcomes(self, read: Read) -> tuple[Counts, Flags]:
        """The class of each label, and which answers are the good outcome."""
        if read.amounts is not None:
            limit = self.judging.outcome_above
            assert limit is not None
            return (read.amounts.actual > limit).astype(np.int64), read.amounts.predicted > limit
        assert read.answers is not None
        return read.answers.actual, self._good()[read.answers.predicted]

    def _good(self) -> Flags:
        """Which classes are the good outcome."""
        if self.reading.task == "regression":
            return np.array([False, True])
        return np.array([name in self.judging.outcomes for name in self.reading.classes])

    def _strata_of(self, rows: Labelled) -> Counts:
        name, count = self.judging.strata, len(rows.times_s)
        if not name:
            return np.zeros(count, dtype=np.int64)
        column = column_of(rows, name, features=True) or column_of(rows, name, features=False)
        return self._strata.places(texts_of(*column) if column else [None] * count)

    def _features_of(self, rows: Labelled) -> Floats32:
        """The features by which neighbours are found, those of the first rows; none where nobody asks for them."""
        if not any("FT" in limits for limits in self._limits):
            return np.empty((len(rows.times_s), 0), dtype=np.float32)
        table = rows.features
        self._features = self._features or table.names[:MAX_FEATURES]
        found = np.full((len(rows.times_s), len(self._features)), np.nan, dtype=np.float32)
        for place, name in enumerate(self._features):
            if name in table.names:
                found[:, place] = np.clip(table.values[:, table.names.index(name)], -GREATEST, GREATEST)
        return found

    def _group(self, place: int, columns: Mapping[str, Array]) -> Group:
        facet = self.judging.facets[place]
        members = columns["members"][:, place]
        known = np.flatnonzero(members >= 0)
        compared = self._facet(members[known], *(columns[name][known] for name in COMPARED))
        features = None
        if "FT" in self._limits[place]:
            others = [each for each, name in enumerate(self._features) if name != facet.feature]
            features = columns["features"][known][:, others].astype(np.float64)
        told = measured(
            compared, least_rows=self.judging.least_rows, features=features, confidence=self.judging.confidence
        )
        inside = int(compared.disfavoured.sum())
        return Group(facet, (inside, len(known) - inside), told, self._lifetime(place))

    def _lifetime(self, place: int) -> dict[str, float]:
        """The metrics of all rows: of the cells of the totals, each as one row of its weight."""
        totals = self._totals[place]
        strata, members, labels, predicted = np.nonzero(totals)
        facet = self._facet(members, labels, predicted == 1, totals[totals != 0], strata)
        return {**pre_training(facet), **post_training(facet)}

    def _facet(self, members: Array, labels: Counts, predicted: Flags, weights: Floats, strata: Counts) -> Facet:
        told = strata if self.judging.strata else None
        return Facet(members == 1, self._good()[labels], predicted, weights, strata=told, labels=labels)


def _added(totals: Floats, columns: Mapping[str, Array], place: int) -> Floats:
    """The totals of a facet with further rows; strata and classes may be new."""
    members = columns["members"][:, place]
    known = members >= 0
    where = [columns[name][known].astype(np.int64) for name in ("strata", "labels", "predicted")]
    wanted = (int(columns["strata"].max()) + 1, 2, int(columns["labels"].max()) + 1, 2)
    more = [(0, max(0, want - have)) for want, have in zip(wanted, totals.shape, strict=True)]
    totals = np.pad(totals, more)
    np.add.at(totals, (where[0], members[known].astype(np.int64), where[1], where[2]), columns["weights"][known])
    return totals


def _carrier(group: Group, broken: Violation, limit: tuple[float, float], *, share: float) -> Carrier:
    low, high = limit
    return Carrier(
        f"{broken.metric} of {broken.facet} {shown(broken.facet_value, 40)}",
        share,
        broken.value,
        high if broken.value > high else low,
        f"{broken.value:.3g}, expected {broken.limit}",
        rows=sum(group.rows),
    )
