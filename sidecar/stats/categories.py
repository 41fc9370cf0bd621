"""Categories of one text column: the most frequent with their counts, how many there are, how long they are."""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from datasketches import hll_sketch

MAX_KEY = 256
"""Characters of a text that make its category: what differs only behind them is one category."""

LG_K = 12
"""Of the HyperLogLog sketch: 2^12 registers, 4 KiB, a relative standard error of 1.6 %."""


@dataclass(frozen=True, slots=True)
class Texts:
    """What is known of one text column, at one moment.

    Args:
        rows: Rows that held a text.
        distinct: How many different ones; exact while every one has its own count, estimated beyond.
        top: Categories and their counts, most frequent first.
        other: Rows in no category of `top`, which then counts too few for those that were folded for a while.
        length_min: In characters, as the other two; NaN without rows.
    """

    rows: int
    distinct: int
    top: tuple[tuple[str, int], ...]
    other: int
    length_min: float
    length_mean: float
    length_max: float


class Categories:
    """Counts of the texts of one column, exact for up to `limit` different ones.

    Beyond the limit the least frequent are folded into `other`, the latest first, after every batch; from then on a
    HyperLogLog sketch (Flajolet et al. 2007; datasketches) estimates how many different ones there were.
    """

    __slots__ = ("_characters", "_counts", "_limit", "_longest", "_other", "_shortest", "_sketch", "rows")

    def __init__(self, limit: int) -> None:
        self.rows = 0
        self._limit = limit
        self._counts: Counter[str] = Counter()
        self._other = 0
        self._sketch: hll_sketch | None = None
        self._characters = 0
        self._shortest = np.inf
        self._longest = -np.inf

    def update(self, texts: Sequence[str | None]) -> None:
        """Add the rows of one batch; None is no text."""
        cells = Counter(texts)
        cells.pop(None, None)
        batch: Counter[str] = cells  # type: ignore[assignment]  # None has just gone
        if not batch:
            return
        lengths = np.fromiter(map(len, batch), dtype=np.int64, count=len(batch))
        tallies = np.fromiter(batch.values(), dtype=np.int64, count=len(batch))
        self._measure(int(tallies.sum()), int(lengths @ tallies), float(lengths.min()), float(lengths.max()))
        if lengths.max() > MAX_KEY:
            batch = _cut(batch)
        self._count(batch)

    def merge(self, other: "Categories") -> None:
        """Add what another has seen; as if its rows had come here, while neither has folded anything."""
        self._measure(other.rows, other._characters, other._shortest, other._longest)
        self._other += other._other
        if other._sketch is not None:
            self._sketch = _union(self._sketch or _sketch_of(self._counts), other._sketch)
        self._count(other._counts)

    def copy(self) -> "Categories":
        """The same counts, which change no more when these do."""
        copy = Categories(self._limit)
        copy.merge(self)
        return copy

    def _measure(self, rows: int, characters: int, shortest: float, longest: float) -> None:
        self.rows += rows
        self._characters += characters
        self._shortest = min(self._shortest, shortest)
        self._longest = max(self._longest, longest)

    def _count(self, batch: Counter[str]) -> None:
        self._counts.update(batch)
        if self._sketch is not None:
            _feed(self._sketch, batch)
        if len(self._counts) > self._limit:
            if self._sketch is None:
                self._sketch = _sketch_of(self._counts)
            ranked = sorted(self._counts.items(), key=itemgetter(1), reverse=True)
            self._counts = Counter(dict(ranked[: self._limit]))
            self._other += sum(map(itemgetter(1), ranked[self._limit :]))

    def texts(self) -> Texts:
        """What has been seen so far."""
        kept = len(self._counts)
        return Texts(
            rows=self.rows,
            distinct=kept if self._sketch is None else max(kept, round(self._sketch.get_estimate())),
            top=tuple(self._counts.most_common()),
            other=self._other,
            length_min=self._shortest if self.rows else np.nan,
            length_mean=self._characters / self.rows if self.rows else np.nan,
            length_max=self._longest if self.rows else np.nan,
        )


def _cut(batch: Counter[str]) -> Counter[str]:
    """The same rows under keys of bounded length."""
    short: Counter[str] = Counter()
    for text, count in batch.items():
        short[text[:MAX_KEY]] += count
    return short


def _sketch_of(keys: Iterable[str]) -> "hll_sketch":
    # Imported here: most columns have few categories, and never need it.
    from datasketches import hll_sketch, tgt_hll_type

    sketch = hll_sketch(LG_K, tgt_hll_type.HLL_8)
    _feed(sketch, keys)
    return sketch


def _feed(sketch: "hll_sketch", keys: Iterable[str]) -> None:
    try:
        deque(map(sketch.update, keys), maxlen=0)
    except TypeError:
        # A lone surrogate, which JSON can spell and UTF-8 cannot. What was fed already does not count twice.
        encoded = (key.encode("utf-8", "backslashreplace").decode() for key in keys)
        deque(map(sketch.update, encoded), maxlen=0)


def _union(one: "hll_sketch", two: "hll_sketch") -> "hll_sketch":
    from datasketches import hll_union, tgt_hll_type

    union = hll_union(LG_K)
    union.update(one)
    union.update(two)
    return union.get_result(tgt_hll_type.HLL_8)
