"""One variant, as the data monitor follows it: from rows to findings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from sidecar.monitors.association import BETWEEN, Association
from sidecar.monitors.conformity import MONITOR, distances, drift_violations
from sidecar.monitors.drift import Drift, Drifting
from sidecar.monitors.faults import Batches, Latest
from sidecar.monitors.placing import Rows
from sidecar.monitors.telling import change_of, drifted, labels
from sidecar.monitors.windows import Windows
from sidecar.records import Carrier, Comparison, Finding, Key, Subject, Table
from sidecar.reference.binning import Bins
from sidecar.reference.checks import Violation
from sidecar.reference.constraints import Constraints
from sidecar.stats.keeping import Array, below
from sidecar.stats.moments import Counts, Flags, Floats
from sidecar.stats.tally import Counted, Tally

WINDOWS, PAIRS = "windows/", "pairs/"
"""What the names of their states begin with."""

SUBJECTS: tuple[Subject, ...] = ("features", "predictions")


class Statistic(NamedTuple):
    """What a detector of two windows says of one column; None where it says nothing."""

    statistic: float | None
    limit: float | None
    p_value: float | None
    drifted: bool


@dataclass(frozen=True, slots=True)
class Column:
    """What is known of one column of the reference.

    Args:
        seen: It has been in the variant's rows.
        nats: The evidence of the sequential detector; None before the first row. While the column drifts, that of its
            alarm at least: what is gathered after an alarm begins anew.
        drifting: What has changed and is not back.
        statistics: Of the latest whole window, by the detector's kind.
        labels: What each bin holds.
        reference: Shares of the bins, of the rows with a value.
        current: Likewise of the latest whole window, of all rows so far before the first; None before the first row.
        rows: That `current` is of, those without a value too.
        whole: Whether these are a whole window.
    """

    name: str
    subject: Subject
    seen: bool
    nats: float | None
    drifting: Drifting | None
    statistics: Mapping[str, Statistic]
    labels: Sequence[str]
    reference: Sequence[float]
    current: Sequence[float] | None
    rows: int
    whole: bool


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows of a stretch of time that were counted elsewhere, by columns of the reference.

    Args:
        first_s: Unix time of the first of them.
        last_s: Of the last.
        rows: How many they are.
        counted: As the reference's bins count them; a column without a value anywhere is missing in every row.
        features: The columns that came as features, shape (k,).
        predictions: Likewise as predictions.
        with_text: Rows with a text, shape (k,).
        with_number: Rows with a number.
        far_away: Rows with a number that is beyond the column's `reach`.
    """

    first_s: float
    last_s: float
    rows: int
    counted: Counted
    features: Flags
    predictions: Flags
    with_text: Counts
    with_number: Counts
    far_away: Counts

    def texts(self, feature: int) -> int:
        """As `Latest` has it; likewise the others."""
        return int(self.with_text[feature])

    def numbers(self, feature: int) -> int:
        """Of one column."""
        return int(self.with_number[feature])

    def far(self, feature: int) -> int:
        """Of one column."""
        return int(self.far_away[feature])


class Followed:
    """The rows of one variant, what they say, and what is found.

    Args:
        name: Of the variant.
        bins: The reference.
        constraints: What the data ought to be.
        drift: Weighs the rows column by column.
        windows: Compares them window by window.
        association: Weighs them whole; None where there is no sample to compare with.

    Attributes:
        rows: Counted so far, before a restart too.
        rows_here: Counted since the reference was taken up: what is restored may be less than what was counted before.
        rows_by_bin: Likewise, by bin, shape (k, B + 1); never changed in place, for who reads it.
        version: The build that answered last.
        findings: What holds now; violations aside.
        broken: Drift beyond what the constraints allow, in the latest whole window.
    """

    def __init__(
        self,
        name: str,
        *,
        bins: Bins,
        constraints: Constraints,
        drift: Drift,
        windows: Windows,
        association: Association | None,
    ) -> None:
        self.rows = 0
        self.rows_here = 0
        self.rows_by_bin = np.zeros_like(bins.reference)
        self.version = ""
        self.findings: Sequence[Finding] = ()
        self.broken: Sequence[Violation] = ()
        self._name = name
        self._bins = bins
        self._reference_rows = int(bins.reference.sum(axis=1).max(initial=0))
        self._constraints = constraints
        self._drift = drift
        self._windows = windows
        self._association = association
        self._waiting = Counted.nothing(bins.reference.shape)
        self._whole: list[Rows] = []
        self._beyond: Mapping[tuple[str, Subject], tuple[Carrier, ...]] = {}

    def count(self, version: str, features: Table, predictions: Table) -> None:
        """Count some rows.

        Args:
            version: The build that answered.
        """
        self.version = version
        counted, rows = self._drift.count(features, predictions)
        self._waiting = self._waiting.plus(counted)
        self._whole.append(rows)

    def judge(self, now_s: float) -> None:
        """Weigh what was counted since the last time, if anything was.

        Args:
            now_s: Unix time.
        """
        # Let go of first: what then fails must not keep them.
        counted, self._waiting = self._waiting, Counted.nothing(self._bins.reference.shape)
        whole, self._whole = self._whole, []
        latest = Batches(self._bins, whole)
        if not latest.rows or not self._bins.names:
            return
        self._weigh(counted, latest, now_s)
        if self._association:
            self._association.judge(whole, self._drift.seen & ~self._drift.answered, self._drift.moments.ago_s)
        self.findings = tuple(self._found())

    def take(self, version: str, rows: Slice) -> Counted:
        """Count and judge rows that were counted elsewhere; how they depend on each other, nobody sees.

        Returns:
            What of them was judged.
        """
        self.version = version
        counted = self._drift.admit(rows.counted, rows.features, rows.predictions)
        if rows.rows and self._bins.names:
            self._weigh(counted, rows, rows.last_s, rows.first_s)
            self.findings = tuple(self._found())
        return counted

    def compare(self, counted: Counted) -> None:
        """Take these rows for the latest whole window, whatever its size: all that there are, in a report."""
        if self._bins.names:
            self._windows.compare(counted)
            self._compare()
            self.findings = tuple(self._found())

    def _weigh(self, counted: Counted, latest: Latest, now_s: float, since_s: float | None = None) -> None:
        self.rows += latest.rows
        self.rows_here += latest.rows
        self.rows_by_bin = self.rows_by_bin + counted.counts
        self._drift.judge(counted, latest, now_s, since_s)
        if self._windows.add(counted, latest.rows):
            self._compare()

    def state(self) -> dict[str, Array]:
        """What is to be known after a restart."""
        own = {**self._drift.state(), "rows": np.array(self.rows), "version": np.array(self.version)}
        own |= {f"{WINDOWS}{name}": part for name, part in self._windows.state().items()}
        pairs = self._association.state() if self._association else {}
        return own | {f"{PAIRS}{name}": part for name, part in pairs.items()}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Go on from a state; see `Drift.restore`."""
        self._drift.restore(state)
        self._windows.restore(below(WINDOWS, state))
        if self._association:
            self._association.restore(below(PAIRS, state))
        self._compare()
        self.rows, self.version = int(state["rows"]), str(state["version"])
        self.findings = tuple(self._found())

    def columns(self) -> list[Column]:
        """What is known of each column of the reference, in its order."""
        drift, current = self._drift, self._current()
        evidence, then = self._evidence(), self._bins.reference_tally.shares
        nats = evidence.tolist() if evidence is not None else [None] * len(self._bins.names)
        now = current.shares if current else None
        rows = (current.n + current.missing).tolist() if current else [0] * len(self._bins.names)
        return [
            Column(
                name,
                drift.subject(column),
                seen=bool(drift.seen[column]),
                nats=nats[column],
                drifting=drift.drifting.get(column),
                statistics={kind: _statistic(each, column) for kind, each in self._windows.comparisons.items()},
                labels=self._labels[column],
                reference=then[column].tolist(),
                current=None if now is None else now[column].tolist(),
                rows=rows[column],
                whole=self._windows.current is not None,
            )
            for column, name in enumerate(self._bins.names)
        ]

    def statistics(self) -> Mapping[str, Floats]:
        """What detectors say of every column, shape (k,) each, by kind; `evidence_nats` first, once there are rows."""
        found = {kind: comparison.statistic for kind, comparison in self._windows.comparisons.items()}
        evidence = self._evidence()
        return {"evidence_nats": evidence, **found} if evidence is not None else found

    @property
    def needed_nats(self) -> float:
        """The evidence that an alarm of one column takes; of those that drift together each needs less."""
        return float(np.log(self._drift.sequential.false_alarms_per * max(1, len(self._bins.names))))

    def _evidence(self) -> Floats | None:
        """As `Column.nats` has it, shape (k,)."""
        evidence, drifting = self._drift.evidence, list(self._drift.drifting.items())  # what is back may go meanwhile
        if evidence is None and not drifting:
            return None
        nats = np.full(len(self._bins.names), -np.inf) if evidence is None else evidence.nats.copy()
        for column, each in drifting:
            nats[column] = max(nats[column], each.nats)
        return nats

    def _current(self) -> Tally | None:
        """The latest whole window; before the first, the rows since the reference was taken up, if there are any."""
        if self._windows.current is not None or not self.rows_here:
            return self._windows.current
        return self._bins.tally(Counted(self.rows_by_bin, np.zeros(self.rows_by_bin.shape)))

    def subjects(self) -> Mapping[str, Subject]:
        """Which table of samples has each column."""
        return {name: self._drift.subject(column) for column, name in enumerate(self._bins.names)}

    def distances(self) -> Mapping[str, float]:
        """How far features are from the reference by the constraints' methods, in the latest whole window."""
        current = self._windows.current
        if current is None:
            return {}
        return distances(self._constraints, self._bins.names, self._bins.reference_tally, current)

    @cached_property
    def _labels(self) -> Sequence[Sequence[str]]:
        """What each bin holds, by column: of 1,000 columns 15 ms, once."""
        return [labels(self._bins, column) for column in range(len(self._bins.names))]

    def _compare(self) -> None:
        """See what the latest whole window says, if there is one: it holds until the next."""
        current = self._windows.current
        if current is None:
            return
        found = drift_violations(self._constraints, self._bins.names, self._bins.reference_tally, current)
        subjects = self.subjects()
        self.broken = [each._replace(subject=subjects[each.feature]) for each in found]
        self._beyond = {
            (kind, subject): carriers
            for kind, comparison in self._windows.comparisons.items()
            for subject in SUBJECTS
            if (carriers := self._carriers(current, comparison, subject))
        }

    def _found(self) -> Iterator[Finding]:
        for subject in SUBJECTS:
            if carriers := self._drift.carriers(subject):
                yield self._finding("sequential", subject, carriers)
        for (kind, subject), carriers in self._beyond.items():
            yield self._finding(kind, subject, carriers)
        if self._association and (pairs := self._standing(self._association.carriers)):
            yield self._finding("dependence", "features", pairs)

    def _standing(self, pairs: tuple[Carrier, ...]) -> tuple[Carrier, ...]:
        """The pairs of which neither feature has moved by itself: such a move can seem to be one of the pair."""
        moved = [self._bins.names[column] for column in self._drift.drifting]
        kept = [each for each in pairs if not any(_is_in(name, each.name) for name in moved)]
        whole = sum(each.share for each in kept)
        return tuple(replace(each, share=each.share / whole) for each in kept)

    def _finding(self, check: str, subject: Subject, carriers: tuple[Carrier, ...]) -> Finding:
        return Finding(
            Key(MONITOR, check, self._name, subject),
            self.version,
            carriers,
            rows=max(each.rows for each in carriers),
            reference_rows=self._reference_rows,
            sentence=drifted(check, subject, self._name, carriers),
        )

    def _carriers(self, current: Tally, comparison: Comparison, subject: Subject) -> tuple[Carrier, ...]:
        """The columns that a detector of two windows takes for drifted, the farthest away first."""
        those = [each for each in np.flatnonzero(comparison.drifted).tolist() if self._drift.subject(each) == subject]
        if not those:
            return ()
        before, after = _shares(self._bins.reference_tally), _shares(current)
        weights = np.abs(comparison.statistic[those])
        weights = np.where(np.isfinite(weights) & (weights > 0), weights, np.finfo(np.float64).tiny)
        told = [
            Carrier(
                self._bins.names[column],
                share=float(weight / weights.sum()),
                statistic=float(comparison.statistic[column]),
                threshold=float(comparison.limit[column]),
                sentence=change_of(self._bins, column, before[column], after[column]),
                p_value=_known(comparison.p_value[column]),
                rows=int(current.n[column] + current.missing[column]),
            )
            for column, weight in zip(those, weights.tolist(), strict=True)
        ]
        return tuple(sorted(told, key=lambda each: -each.share))


def _is_in(name: str, pair: str) -> bool:
    """Whether a column is one of a pair, by what pairs are called."""
    return pair.startswith(f"{name}{BETWEEN}") or pair.endswith(f"{BETWEEN}{name}")


def _shares(tally: Tally) -> Floats:
    """Of all bins, the one of missing values last, shape (k, B + 1); 0 where there are no rows."""
    counts = np.column_stack([tally.counts, tally.missing])
    shares: Floats = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return shares


def _statistic(comparison: Comparison, column: int) -> Statistic:
    statistic, limit, p_value = (
        _known(each[column]) for each in (comparison.statistic, comparison.limit, comparison.p_value)
    )
    return Statistic(statistic, limit, p_value, drifted=bool(comparison.drifted[column]))


def _known(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None
