"""What a store of predictions and labels is to do, in plain lists: slow, in memory, and short enough to be read whole.

Every store is held against this one, call by call: the same statuses, the same counts, the same pairs in the same
order. What it leaves open: the numbers of the pairs (they ascend), what `joined` says of places before the least that
was saved, and how many calls of `tidy` it takes until nothing is too old.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from sidecar.records import Joined, Label, LabelCounts, LabelStatus, Prediction


@dataclass(eq=False)
class Kept:
    """A prediction that came.

    Args:
        number: Its place among all that came.
        place: Of the one that came next after it was joined last.
        pairs: What joined it, by metric.
        gone: It was let go; its ids are remembered.
    """

    prediction: Prediction
    kept_s: float
    number: int
    place: int = 0
    pairs: dict[str, Joined] = field(default_factory=dict)
    gone: bool = False

    @property
    def rows(self) -> int:
        return max(len(self.prediction.asked), len(self.prediction.answered))

    @property
    def labelled(self) -> bool:
        return "" in self.pairs


@dataclass
class Oracle:
    keep_s: float = 604_800.0
    rows: int = 200_000
    wait_s: float = 3600.0
    _kept: list[Kept] = field(default_factory=list)
    _waiting: list[tuple[Label, float]] = field(default_factory=list)
    _log: list[Joined] = field(default_factory=list)
    _joins: int = 0
    _labels: Counter[LabelStatus] = field(default_factory=Counter)
    _saved: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    _predictions: int = 0
    _missing: int = 0
    _repeated: int = 0

    def keep(self, predictions: Sequence[Prediction], now_s: float) -> None:
        for prediction in predictions:
            self._keep(prediction, now_s)
        # The bound by number holds after every call, not only after `tidy`; after the call, not within it.
        while len(present := self._present()) > self.rows:
            self._let_go(min(present, key=self._turn))
        self._forget(self._gone()[: -self.rows])

    def _keep(self, prediction: Prediction, now_s: float) -> None:
        """A prediction that shares an id with one of its variant is that one, even if that is gone already.

        Labels that joined a prediction of another variant by an id that this one has too come before those that wait.
        The one waits no more, whatever becomes of it.
        """
        ids = set(prediction.ids)
        twins = [each for each in self._kept if not ids.isdisjoint(each.prediction.ids)]
        if any(each.prediction.variant == prediction.variant for each in twins):
            self._repeated += 1
            return
        self._predictions += 1
        kept = Kept(prediction, now_s, self._predictions)
        self._kept.append(kept)
        pairs = [pair for twin in twins for pair in twin.pairs.values() if pair.label.id in ids]
        for pair in sorted(pairs):
            self._join([kept], pair.label)  # the label has been counted
        for label in [label for label, _ in self._waiting if label.id in ids]:
            self._labels[self._join([kept], label)] += 1
        self._waiting = [each for each in self._waiting if each[0].id not in ids]

    def add(self, labels: Sequence[Label], now_s: float) -> list[LabelStatus]:
        statuses = [self._add(label, now_s) for label in labels]
        self._labels.update(status for status in statuses if status != "waiting")
        return statuses

    def _add(self, label: Label, now_s: float) -> LabelStatus:
        called = [each for each in self._kept if label.id in each.prediction.ids]
        present = [each for each in called if not each.gone]
        had = [pair for each in present for pair in each.pairs.values()]
        if any((pair.label.id, pair.label.metric) == (label.id, label.metric) for pair in had):
            return "duplicate"  # of this id it is known already, even where it was malformed for one of its variants
        if present:
            return self._join(present, label)
        if called:
            return "expired"
        if any((each.id, each.metric) == (label.id, label.metric) for each, _ in self._waiting):
            return "duplicate"
        if self.wait_s > 0 and len(self._waiting) < self.rows:
            self._waiting.append((label, now_s))
            return "waiting"
        return "unknown"

    def _join(self, present: Sequence[Kept], label: Label) -> LabelStatus:
        """With those that have none of this metric yet, in the order in which they came."""
        free = [each for each in present if label.metric not in each.pairs]
        fitting = [each for each in free if each.rows == len(label.values)]
        for each in fitting:
            self._joins += 1
            each.place = self._predictions + 1
            each.pairs[label.metric] = pair = Joined(self._joins, each.prediction, label)
            self._log.append(pair)
        if fitting:
            return "joined"
        return "malformed" if free else "duplicate"

    def joined(self, after: int, limit: int) -> list[Joined]:
        return [pair for pair in self._log if pair.number > after][:limit]

    def tidy(self, now_s: float) -> None:
        """What has been joined and not been read does not leave by age."""
        for each in self._present():
            if now_s - each.kept_s >= self.keep_s and not self._unread(each):
                self._let_go(each)
        # The gone are remembered for as long again as they were kept at most, and not more of them.
        self._forget([each for each in self._gone() if now_s - each.kept_s >= 2 * self.keep_s])
        self._forget(self._gone()[: -self.rows])
        for label, added_s in list(self._waiting):
            if now_s - added_s >= self.wait_s:
                self._waiting.remove((label, added_s))
                self._labels["unknown"] += 1

    def _present(self) -> list[Kept]:
        return [each for each in self._kept if not each.gone]

    def _turn(self, kept: Kept) -> tuple[bool, int, int]:
        """When it leaves if there are too many: first what is labelled and read, then what is the oldest.

        What is still to be read is as old as the last label that joined it.
        """
        unread = self._unread(kept)
        return (unread or not kept.labelled, kept.place if unread else kept.number, kept.number)

    def _unread(self, kept: Kept) -> bool:
        """Not by all who have ever saved."""
        read = min((upto for _, upto in self._saved.values()), default=0)
        return any(pair.number > read for pair in kept.pairs.values())

    def _let_go(self, kept: Kept) -> None:
        kept.gone = True
        self._missing += not kept.labelled
        self._log = [pair for pair in self._log if pair not in kept.pairs.values()]
        kept.pairs = {}

    def _gone(self) -> list[Kept]:
        return [each for each in self._kept if each.gone]

    def _forget(self, gone: Sequence[Kept]) -> None:
        self._kept = [each for each in self._kept if each not in gone]

    def save(self, name: str, data: bytes, upto: int) -> None:
        self._saved[name] = (data, upto)

    def read(self, name: str) -> tuple[bytes, int] | None:
        return self._saved.get(name)

    def leads(self, now_s: float) -> bool:
        return now_s > 0

    @property
    def counts(self) -> LabelCounts:
        known: tuple[LabelStatus, ...] = ("joined", "duplicate", "unknown", "expired", "malformed")
        return LabelCounts(
            awaiting=sum(not each.labelled for each in self._present()),
            waiting=len(self._waiting),
            labels={status: self._labels[status] for status in known},
            predictions=self._predictions,
            missing=self._missing,
            repeated=self._repeated,
        )

    def close(self) -> None:
        pass
