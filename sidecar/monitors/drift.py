"""Drift of one variant: its rows, counted over the reference's bins, and what they add up to."""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field

import numpy as np

from sidecar.detectors.returning import STATE, Returning
from sidecar.detectors.sequential import Change, Evidence, Sequential
from sidecar.monitors.faults import Fault, Latest, fault_of
from sidecar.monitors.placing import Placement, Rows, placement
from sidecar.monitors.telling import change_of
from sidecar.records import Carrier, Subject, Table
from sidecar.reference.binning import Bins
from sidecar.stats.keeping import Array, packed, put_back, taken, unpacked
from sidecar.stats.moments import Flags
from sidecar.stats.tally import Counted

LEVELS, SLOTS = 32, 16
"""Of the moments that are remembered, to tell when a change began: an age is known to a sixteenth or so."""

LEAST = 1e-9
"""Nats a row, so that shares add up whatever rounding leaves of a change."""


SEEN = ("seen", "answered")


@dataclass(frozen=True, slots=True)
class Drifting:
    """A feature that has changed and is not back.

    Args:
        sentence: What happened to it.
        information: Nats that a row of it says against the reference, on average: how much it carries.
        moved: Total variation between before and after, less what chance explains.
        nats: The evidence at the alarm.
        needed: For an alarm.
        since_s: Unix time at which the change most likely began.
        rows: Since then, up to the alarm.
        fault: What points to the pipeline.
    """

    sentence: str
    information: float
    moved: float
    nats: float
    needed: float
    since_s: float
    rows: int
    fault: Fault = ""


@dataclass(slots=True)
class Moments:
    """When so many rows had come: before each of the latest batches, and of every 2nd, 4th, ... of those before them.

    These are the detector's checkpoints, and more: what it dates is dated as exactly as it can.

    Attributes:
        batches: How many have come.
        rows: All of theirs.
        time_s: Unix time of the latest.
        marks: Rows and time before a batch, SLOTS of them 2^l batches apart for each l below LEVELS.
    """

    batches: int = 0
    rows: int = 0
    time_s: float = 0.0
    marks: list[list[tuple[int, float]]] = field(default_factory=lambda: [[] for _ in range(LEVELS)])

    def add(self, rows: int, now_s: float, since_s: float | None = None) -> None:
        """So many more rows have come; since a moment, or else since those before them."""
        if since_s is not None:
            self.time_s = since_s
        elif not self.batches:
            self.time_s = now_s  # nobody knows when the first began to come
        for marks in self.marks[: (self.batches & -self.batches).bit_length() or LEVELS]:
            marks.append((self.rows, self.time_s))
            del marks[:-SLOTS]
        self.batches += 1
        self.rows += rows
        self.time_s = now_s

    def ago_s(self, rows: int) -> float:
        """Unix time at which the last `rows` rows began to come; the first of all, where there were no more."""
        before = [mark for marks in self.marks for mark in marks if mark[0] <= self.rows - rows]
        return max(before, default=self.marks[-1][0])[1]


class Drift:
    """Follows one variant.

    A column counts as missing only once it has been there: one that never was is a matter of the constraints, since
    a reference from training data may have a label, or predictions, that no request carries. Where a reply could not
    be read, predictions are not missing: nothing is known of them.

    Args:
        bins: The reference.
        false_alarms_per: Rows, over all columns; see `Sequential`.
        tolerance: See `Sequential`.

    Attributes:
        drifting: What has changed and is not back, by column of the reference.
        evidence: The latest; None before the first.
        answered: The columns that came as predictions, shape (k,).
    """

    def __init__(self, bins: Bins, *, false_alarms_per: float, tolerance: float) -> None:
        self._bins = bins
        sequential = Sequential(
            reference=bins.trusted,
            ordered=bins.ordered,
            used=bins.used,
            false_alarms_per=false_alarms_per,
            tolerance=tolerance,
        )
        self._begin(sequential)

    def anew(self) -> "Drift":
        """The same before its first row, for another variant; what takes long to work out is shared."""
        fresh = copy(self)
        fresh._begin(self.sequential.anew())
        return fresh

    def _begin(self, sequential: Sequential) -> None:
        self.sequential = sequential
        self.returning = Returning(self._bins.reference.shape)
        self.moments = Moments()
        # Of predictions there are fewer rows: not every reply can be read.
        self.answers = Moments()
        self.drifting: dict[int, Drifting] = {}
        self.evidence: Evidence | None = None
        self.seen: Flags = np.zeros(len(self._bins.names), dtype=np.bool_)
        self.answered: Flags = np.zeros(len(self._bins.names), dtype=np.bool_)
        self._placement: tuple[tuple[str, ...], tuple[str, ...], Placement] | None = None

    def count(self, features: Table, predictions: Table) -> tuple[Counted, Rows]:
        """The rows of a table of features and one of predictions, by bin and whole."""
        place = self._placed(features.names, predictions.names)
        self.seen |= place.present
        self.answered |= place.answered >= 0
        rows = place.rows(features, predictions)
        counted = self._bins.count(rows.values, rows.texts)
        return self._known(counted, place.present, replies=bool(predictions.names)), rows

    def admit(self, counted: Counted, features: Flags, predictions: Flags) -> Counted:
        """Likewise of rows that were counted elsewhere: what of it is to be judged.

        Args:
            counted: As the reference's bins count them.
            features: The columns that came as features, shape (k,).
            predictions: Likewise as predictions.
        """
        self.seen |= features | predictions
        self.answered |= predictions
        return self._known(counted, features | predictions, replies=True)

    def _known(self, counted: Counted, present: Flags, *, replies: bool) -> Counted:
        """Without the columns of which these rows say nothing.

        Args:
            present: The columns that they have, shape (k,).
            replies: Whether they have predictions.
        """
        known = present | (self.seen & (~self.answered | replies))
        counted.counts[~known] = 0
        return counted

    def judge(self, counted: Counted, latest: Latest, now_s: float, since_s: float | None = None) -> None:
        """Weigh what was counted: what has changed, and what is back.

        Args:
            latest: Tells of the rows themselves.
            now_s: Unix time.
            since_s: When the first of them came; None where nobody knows.
        """
        self.moments.add(latest.rows, now_s, since_s)
        self.answers.add(int(counted.counts[self.answered].sum(axis=1).max(initial=0)), now_s, since_s)
        for feature in np.flatnonzero(self.returning.update(counted.counts)).tolist():
            del self.drifting[feature]
        evidence = self.evidence = self.sequential.update(counted.counts)
        needed = float(np.log(self.sequential.false_alarms_per * len(evidence.nats) / max(1, len(evidence.changes))))
        for change in evidence.changes:
            self.returning.start(change.feature, change.before, change.after, change.rows)
            self.drifting[change.feature] = self._told(change, needed, latest)

    def state(self) -> dict[str, Array]:
        """All that changes, to go on from after a restart."""
        own = {name: packed(getattr(self, name)) for name in ("drifting", "moments", "answers")}
        counted = self.sequential.state
        own |= taken(self, SEEN, "") | taken(self.returning, STATE, "returning.")
        return own | taken(counted, counted.__slots__, "sequential.")

    def restore(self, state: Mapping[str, Array]) -> None:
        """Go on from a state of the same reference and settings.

        Raises:
            KeyError: A part of it is missing.
            ValueError: A part of it has another shape, or cannot be read.
        """
        self.drifting = unpacked(state["drifting"], dict[int, Drifting])
        self.moments, self.answers = (unpacked(state[name], Moments) for name in ("moments", "answers"))
        counted = self.sequential.state
        put_back(self, SEEN, "", state)
        put_back(self.returning, STATE, "returning.", state)
        put_back(counted, counted.__slots__, "sequential.", state)

    def subject(self, column: int) -> Subject:
        """Which table of samples has the column."""
        return "predictions" if self.answered[column] else "features"

    def carriers(self, subject: Subject) -> tuple[Carrier, ...]:
        """The columns that have drifted, of features or of predictions, the one that says most first."""
        those = {column: each for column, each in self.drifting.items() if self.subject(column) == subject}
        whole = sum(each.information for each in those.values())
        ranked = sorted(those.items(), key=lambda item: -item[1].information)
        return tuple(
            Carrier(
                self._bins.names[column],
                share=each.information / whole,
                statistic=each.moved,
                threshold=self.sequential.tolerance / 2,  # what its relative changes of shares can add up to
                sentence=each.sentence,
                nats=each.nats,
                needed_nats=each.needed,
                since_s=each.since_s,
                rows=each.rows,
                fault=each.fault,
            )
            for column, each in ranked
        )

    def _told(self, change: Change, needed: float, latest: Latest) -> Drifting:
        """What an alarm says; of a change that lasts, and alarms again, the beginning stays."""
        used = change.before > 0
        after = np.where(used, (change.after * change.rows + change.before) / (change.rows + 1), 0.0)
        information = float((after[used] * np.log(after[used] / change.before[used])).sum())
        earlier = self.drifting.get(change.feature)
        came = self.answers if self.answered[change.feature] else self.moments
        return Drifting(
            sentence=change_of(self._bins, change.feature, change.before, change.after),
            information=max(information, LEAST),
            moved=change.moved,
            nats=change.nats,
            needed=needed,
            since_s=earlier.since_s if earlier else came.ago_s(change.rows),
            rows=change.rows + (earlier.rows if earlier else 0),
            fault=fault_of(self._bins, change.feature, (change.before, change.after), latest, change.rows),
        )

    def _placed(self, features: tuple[str, ...], predictions: tuple[str, ...]) -> Placement:
        """Where columns of these names go; the latest answer is remembered."""
        if self._placement is None or self._placement[:2] != (features, predictions):
            self._placement = features, predictions, placement(self._bins.names, features, predictions)
        return self._placement[2]
