"""How alike two variants answer the same requests, and how fast: counts that add up.

Statuses are counted by weight, one over the probability with which both exchanges were kept: where every error is kept
and only a part of what went well, plain counts would find more errors than there are. Seconds and predictions are
compared where both answered 2xx.
"""

from collections import defaultdict
from collections.abc import Sequence
from heapq import nlargest
from itertools import chain
from math import inf, isfinite
from typing import NamedTuple

import numpy as np

from sidecar.monitors.versions import VersionKey
from sidecar.payload.assembling import tabulate
from sidecar.records import JSON, Table
from sidecar.stats.moments import Counts, Flags, Floats
from sidecar.stats.traffic import FINE_SECONDS, Histogram
from sidecar.texts import encodable

MAX_COLUMNS = 32
"""Whose distances are told, the first ones of so many names; rows are compared in all of their columns."""

EXAMPLES = 5
"""Requests that are told as those that were answered most differently."""

DIFFERENCES_S = (*(-bound for bound in reversed(FINE_SECONDS)), 0.0, *FINE_SECONDS)

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}

OK = "2xx"
"""The kind of an answer that is whole and says that all went well."""


class Answer(NamedTuple):
    """What one variant made of a request.

    Args:
        whose: The variant and its version.
        kind: The class of its status: `2xx`; `cut` for a 2xx whose reply is not whole, `none` for no reply at all.
        seconds: That it took, without the sidecar's share.
        ratio: The probability with which its exchange is kept.
        columns: The names of its predictions; none where they could not be read.
        rows: The predictions.
        request_id: Of the request.
        time_s: Unix time of the request.
    """

    whose: VersionKey
    kind: str
    seconds: float
    ratio: float
    columns: tuple[str, ...]
    rows: Sequence[list[object]]
    request_id: str
    time_s: float


Pair = tuple[Answer, Answer]
"""The original's answer, and its copy's."""


class Example(NamedTuple):
    """A row that was answered differently.

    Args:
        texts: Columns in which it has a text on either side, and not the same.
        distance: The greatest difference of two of its numbers; infinite where one of them is none.
        request_id: Whose row it is.
        row: Which one of that.
        time_s: When the request came.
    """

    texts: int
    distance: float
    request_id: str
    row: int
    time_s: float


class Distance(NamedTuple):
    """How far the numbers of a column are apart: of `rows` with two finite ones, the sum and the greatest."""

    rows: int = 0
    total: float = 0.0
    greatest: float = 0.0

    def plus(self, other: "Distance") -> "Distance":
        """Of both together."""
        return Distance(self.rows + other.rows, self.total + other.total, max(self.greatest, other.greatest))


class Agreement:
    """What is counted of pairs of answers.

    Attributes:
        pairs: Counted.
        kinds: Their weight, by the original's and the copy's kind.
        rows: That were compared.
        equal: Of these, with the same predictions.
        incomparable: Rows of other numbers of columns, or with no value on either side: it may have been redacted.
        unread: Pairs that went well, and of which a prediction could not be read.
    """

    def __init__(self) -> None:
        self.pairs = self.rows = self.equal = self.incomparable = self.unread = 0
        self.kinds: defaultdict[tuple[str, str], float] = defaultdict(float)
        self._seconds = {
            "original": Histogram(FINE_SECONDS),
            "shadow": Histogram(FINE_SECONDS),
            "difference": Histogram(DIFFERENCES_S),
        }
        self._distances: dict[str, Distance] = {}
        self._examples: list[Example] = []

    def count(self, pairs: Sequence[Pair], tolerance: float) -> None:
        """Count some.

        Args:
            tolerance: By which equal numbers may differ: a part of the greater one, and as much where both are below 1.
        """
        self.pairs += len(pairs)
        for original, copy in pairs:
            self.kinds[original.kind, copy.kind] += _weight(original, copy)
        well = [pair for pair in pairs if pair[0].kind == pair[1].kind == OK]
        self._seconds["original"].extend(original.seconds for original, _ in well)
        self._seconds["shadow"].extend(copy.seconds for _, copy in well)
        self._seconds["difference"].extend(copy.seconds - original.seconds for original, copy in well)
        groups: dict[tuple[tuple[str, ...], tuple[str, ...]], list[Pair]] = {}
        for original, copy in well:
            if not (original.columns and copy.columns):
                self.unread += 1
            elif len(original.columns) != len(copy.columns) or len(original.rows) != len(copy.rows):
                self.incomparable += max(len(original.rows), len(copy.rows))
            else:
                groups.setdefault((original.columns, copy.columns), []).append((original, copy))
        for group in groups.values():
            self._compare(group, tolerance)

    def merge(self, other: "Agreement") -> None:
        """Add what another has counted."""
        self.pairs += other.pairs
        self.rows += other.rows
        self.equal += other.equal
        self.incomparable += other.incomparable
        self.unread += other.unread
        for kinds, weight in other.kinds.items():
            self.kinds[kinds] += weight
        for name, histogram in self._seconds.items():
            histogram.merge(other._seconds[name])
        for name, distance in other._distances.items():
            self._add(name, distance)
        self._remember(other._examples)

    def told(self) -> JSON:
        """For people and machines; None for what there is nothing to tell of."""
        ok = sum(weight for kinds, weight in self.kinds.items() if kinds == (OK, OK))
        original = sum(weight for (kind, _), weight in self.kinds.items() if kind == OK)
        copy = sum(weight for (_, kind), weight in self.kinds.items() if kind == OK)
        total = sum(self.kinds.values())
        return {
            "pairs": self.pairs,
            "statuses": {
                "both_ok_ratio": _ratio(ok, total),
                "only_original_ok_ratio": _ratio(original - ok, total),
                "only_shadow_ok_ratio": _ratio(copy - ok, total),
                "neither_ok_ratio": _ratio(total - original - copy + ok, total),
                "kinds": [
                    {"original": one, "shadow": other, "ratio": _ratio(weight, total)}
                    for (one, other), weight in sorted(self.kinds.items())
                ],
            },
            "seconds": {name: _quantiles(histogram) for name, histogram in self._seconds.items()},
            "rows": self.rows,
            "equal_ratio": _ratio(self.equal, self.rows),
            "incomparable_rows": self.incomparable,
            "unread_pairs": self.unread,
            "columns": [
                {
                    "name": encodable(name),
                    "rows": each.rows,
                    "mean_distance": _ratio(each.total, each.rows),
                    "greatest_distance": _finite(each.greatest) if each.rows else None,
                }
                for name, each in self._distances.items()
            ],
            "examples": [
                {**each._asdict(), "request_id": encodable(each.request_id), "distance": _finite(each.distance)}
                for each in self._examples
            ],
        }

    def _compare(self, pairs: Sequence[Pair], tolerance: float) -> None:
        """Compare pairs that all have the same columns, on either side."""
        names, others = pairs[0][0].columns, pairs[0][1].columns
        ours = tabulate(names, list(chain.from_iterable(original.rows for original, _ in pairs)))
        theirs = tabulate(others, list(chain.from_iterable(copy.rows for _, copy in pairs)))
        if others != names and set(others) == set(names):
            theirs = _ordered(theirs, names)
        found = compared(ours, theirs, tolerance)
        count = int(found.comparable.sum())
        self.rows += count
        self.equal += int((found.equal & found.comparable).sum())
        self.incomparable += len(found.comparable) - count
        finite = np.isfinite(found.distance)
        distance = np.where(finite, found.distance, 0.0)
        with np.errstate(over="ignore"):
            totals = distance.sum(axis=0)
        counts, greatest = finite.sum(axis=0), distance.max(axis=0, initial=0.0)
        for name, *numbers in zip(names[:MAX_COLUMNS], counts, totals, greatest, strict=False):
            self._add(name, Distance(int(numbers[0]), float(numbers[1]), float(numbers[2])))
        self._remember(_examples(pairs, found))

    def _add(self, name: str, distance: Distance) -> None:
        known = self._distances.get(name)
        if known is not None:
            self._distances[name] = known.plus(distance)
        elif distance.rows and len(self._distances) < MAX_COLUMNS:
            self._distances[name] = distance

    def _remember(self, examples: Sequence[Example]) -> None:
        best: dict[str, Example] = {}
        for example in nlargest(len(self._examples) + len(examples), [*self._examples, *examples]):
            best.setdefault(example.request_id, example)
        self._examples = list(best.values())[:EXAMPLES]


class Compared(NamedTuple):
    """Two tables side by side, of n rows and k columns each.

    Args:
        comparable: Rows with a value on either side, shape (n,).
        equal: Rows that are the same in every column, shape (n,).
        texts: Columns in which there is a text on either side, and not the same, shape (n,).
        distance: Of two numbers, shape (n, k); NaN where there are none on both sides, infinite where one is infinite
            or none.
    """

    comparable: Flags
    equal: Flags
    texts: Counts
    distance: Floats


def compared(ours: Table, theirs: Table, tolerance: float) -> Compared:
    """Compare two tables of the same shape, column by column, whatever their names.

    Example:
        >>> one, other = Table(("p",), np.array([[0.5], [1.0]])), Table(("p",), np.array([[0.5], [3.0]]))
        >>> compared(one, other, 1e-6).equal.tolist(), compared(one, other, 1e-6).distance.tolist()
        ([True, False], [[0.0], [2.0]])
    """
    one, other = ours.values, theirs.values
    missing, lacking = np.isnan(one), np.isnan(other)
    with np.errstate(invalid="ignore", over="ignore"):
        distance = np.where(one == other, 0.0, np.abs(one - other))
        near = distance <= tolerance * np.maximum(1.0, np.maximum(np.abs(one), np.abs(other)))
    distance[missing ^ lacking] = inf
    nothing = missing & lacking
    same, valued = nothing | (distance == 0.0) | (near & np.isfinite(distance)), ~nothing
    texts = np.zeros(len(one), dtype=np.int64)
    for position in {*ours.texts, *theirs.texts}:
        words, others = ours.texts.get(position), theirs.texts.get(position)
        there, differ = _words(words, others, len(one))
        same[:, position] &= ~differ
        valued[:, position] |= there
        texts += differ
        # A text and a number are no distance apart, they differ.
        distance[there, position] = np.nan
    comparable: Flags = np.logical_or.reduce(valued, axis=1)
    equal: Flags = np.logical_and.reduce(same, axis=1)
    return Compared(comparable, equal, texts, distance)


def _words(words: Sequence[str | None] | None, others: Sequence[str | None] | None, rows: int) -> tuple[Flags, Flags]:
    """In which rows of a column there is a text on either side; in which they differ."""
    one, other = words or [None] * rows, others or [None] * rows
    there = [a is not None or b is not None for a, b in zip(one, other, strict=True)]
    return np.array(there, dtype=np.bool_), np.array([a != b for a, b in zip(one, other, strict=True)], dtype=np.bool_)


def _ordered(table: Table, names: tuple[str, ...]) -> Table:
    """The same columns in this order."""
    places = [table.names.index(name) for name in names]
    texts = {at: table.texts[place] for at, place in enumerate(places) if place in table.texts}
    return Table(names, table.values[:, places], texts)


def _examples(pairs: Sequence[Pair], found: Compared) -> list[Example]:
    """The rows that differ most: in texts first, then in numbers."""
    differing = np.flatnonzero(found.comparable & ~found.equal)
    if not len(differing):
        return []
    farthest = np.fmax.reduce(found.distance[differing], axis=1, initial=0.0)
    order = np.lexsort((farthest, found.texts[differing]))[::-1]
    starts = np.cumsum([0, *(len(original.rows) for original, _ in pairs)])
    best: dict[str, Example] = {}
    for at in order.tolist():
        row = int(differing[at])
        place = int(np.searchsorted(starts, row, side="right")) - 1
        original = pairs[place][0]
        if original.request_id not in best:
            texts, distance = int(found.texts[row]), float(farthest[at])
            number = row - int(starts[place])
            best[original.request_id] = Example(texts, distance, original.request_id, number, original.time_s)
        if len(best) == EXAMPLES:
            break
    return list(best.values())


def _weight(original: Answer, copy: Answer) -> float:
    """How many pairs this one stands for: the same point of the request id decides on both."""
    kept = min(original.ratio, copy.ratio)
    return 1 / kept if kept > 0 else 1.0


def _quantiles(histogram: Histogram) -> JSON:
    count = sum(histogram.counts)
    told = {"mean": _ratio(histogram.total, count)}
    return told | {name: _finite(histogram.quantile(share)) for name, share in QUANTILES.items()}


def _ratio(part: float, whole: float) -> float | None:
    return _finite(part / whole) if whole else None


def _finite(number: float) -> float | None:
    return number if isfinite(number) else None
