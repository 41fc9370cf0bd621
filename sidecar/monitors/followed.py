"""One variant, as the data monitor follows it: from rows to findings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from sidecar.monitors.association import BETWEEN, Association
from sidecar.monitors.conformity import MONITOR, distances, drift_violations
from sidecar.monitors.drift import Drift, Drifting
from sidecar.monitors.placing import Rows
from sidecar.monitors.telling import change_of, drifted, labels
from sidecar.monitors.windows import Windows
from sidecar.records import Carrier, Comparison, Finding, Key, Subject, Table
from sidecar.reference.binning import Bins
from sidecar.reference.checks import Violation
from sidecar.reference.constraints import Constraints
from sidecar.stats.keeping import Array, below
from sidecar.stats.moments import Floats
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
        nats: The evidence of the sequential detector; None before the first row.
        drifting: What has changed and is not back.
        statistics: Of the latest whole window, by the detector's kind.
        labels: What each bin holds.
        reference: Shares of the bins, of the rows with a value.
        current: Likewise of the latest whole window; None before the first.
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
        rows = sum(len(batch.values) for batch in whole)
        if not rows or not self._bins.names:
            return
        self.rows += rows
        self.rows_here += rows
        self.rows_by_bin = self.rows_by_bin + counted.counts
        self._drift.judge(counted, whole, now_s)
        if self._association:
            self._association.judge(whole, self._drift.seen & ~self._drift.answered, self._drift.moments.ago_s)
        if self._windows.add(counted, rows):
            self._compare()
        self.findings = tuple(self._found())

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
        drift, current = self._drift, self._windows.current
        nats = drift.evidence.nats.tolist() if drift.evidence else [None] * len(self._bins.names)
        then, now = self._bins.reference_tally.shares, current.shares if current else None
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
            )
            for column, name in enumerate(self._bins.names)
        ]

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
