"""Which labels join which predictions, decided on what is known of the ids in question: nothing is read or written.

Ids and metrics are texts here, whatever they stand for.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sidecar.records import LabelStatus

TRUTH = ""
"""The metric of a label that is no outcome."""


class Told(NamedTuple):
    """A label.

    Args:
        id: By which it calls its prediction.
        size: How many values it has.
        document: All of it.
    """

    id: str
    metric: str
    size: int
    document: bytes


class Pair(NamedTuple):
    """A label that has joined.

    Args:
        number: Its place in the order in which labels were joined.
        prediction: The other's number.
    """

    number: int
    prediction: int
    told: Told


@dataclass(slots=True)
class Known:
    """A prediction that is there, or was.

    Args:
        rows: How many values its labels have.
        gone: It was let go, and can be joined no more.
        pairs: What joined it, by metric.
    """

    number: int
    variant: bytes
    rows: int
    gone: bool = False
    pairs: dict[str, Pair] = field(default_factory=dict)

    @property
    def labelled(self) -> bool:
        """Whether the truth is known."""
        return TRUTH in self.pairs


@dataclass(slots=True)
class Board:
    """All that is known of some ids, and what comes of predictions and labels that have them.

    Args:
        last: The number of the last pair.
        room: For so many more labels to wait.
        known: Predictions by each of these ids that they have, and by number, in the order in which they came.
        waiting: Labels that wait, by id and metric, with their numbers.

    Attributes:
        joined: The pairs that came of it.
        resolved: The numbers of the labels that wait no more.
        begun: The labels that wait from now on.
        labels: Those that were decided, by what became of them.
    """

    last: int
    room: int = 0
    known: dict[str, dict[int, Known]] = field(default_factory=dict)
    waiting: dict[str, dict[str, tuple[int, Told]]] = field(default_factory=dict)
    joined: list[Pair] = field(default_factory=list)
    resolved: list[int] = field(default_factory=list)
    begun: list[Told] = field(default_factory=list)
    labels: Counter[LabelStatus] = field(default_factory=Counter)

    def meet(self, name: str, known: Known) -> None:
        """A prediction has this id."""
        self.known.setdefault(name, {})[known.number] = known

    def keep(self, ids: Sequence[str], fresh: Known) -> bool:
        """Whether this prediction is none that is known; then it is, and joined with the labels that are there.

        One that shares an id with one of its variant is that one, even if that is gone. What has joined a prediction of
        another variant by an id that this one has too comes before what waits; that then waits no more, in any case.
        """
        twins = [each for name in ids for each in self.known.get(name, {}).values()]
        if any(each.variant == fresh.variant for each in twins):
            return False
        for name in ids:
            self.meet(name, fresh)
        pairs = {pair for twin in twins for pair in twin.pairs.values() if pair.told.id in ids}
        for pair in sorted(pairs):
            self._join([fresh], pair.told)  # as a label it has been counted
        for number, told in sorted(each for name in ids for each in self.waiting.pop(name, {}).values()):
            self.resolved.append(number)
            self.labels[self._join([fresh], told)] += 1
        return True

    def add(self, told: Told) -> LabelStatus:
        """What becomes of a label."""
        status = self._status(told)
        if status != "waiting":
            self.labels[status] += 1
        return status

    def _status(self, told: Told) -> LabelStatus:
        called = self.known.get(told.id, {})
        present = [each for each in called.values() if not each.gone]
        had = [each.pairs[told.metric] for each in present if told.metric in each.pairs]
        if any(pair.told.id == told.id for pair in had):
            return "duplicate"  # the first one stands, even for a variant for which it was malformed
        if present:
            return self._join(present, told)
        if called:
            return "expired"
        return self._wait(told)

    def _wait(self, told: Told) -> LabelStatus:
        waiting = self.waiting.setdefault(told.id, {})
        if told.metric in waiting:
            return "duplicate"
        if len(self.begun) >= self.room:
            return "unknown"
        waiting[told.metric] = (0, told)
        self.begun.append(told)
        return "waiting"

    def _join(self, present: list[Known], told: Told) -> LabelStatus:
        """With those that have none of this metric yet."""
        free = [each for each in present if told.metric not in each.pairs]
        fitting = [each for each in free if each.rows == told.size]
        for each in fitting:
            self.last += 1
            each.pairs[told.metric] = pair = Pair(self.last, each.number, told)
            self.joined.append(pair)
        if fitting:
            return "joined"
        return "malformed" if free else "duplicate"
