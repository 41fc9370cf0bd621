"""The ratio of two variants' quantiles, from counts over fine bounds: an interval that holds at every look at once.

**The likelihood.** If x is the champion's quantile of share s, the k of its n rows at or below x are a Binomial(s) of
them (ties at x broken by chance), and n kl(k / n, s) is the logarithm of how much likelier the share seen is than s. Of
a ratio f the loss L(f) is the least sum of it for both variants and all epochs (`totals`), with some x for each epoch's
champion and f x for the challenger. At the true f, L(f) - min L is half the square of a standard normal (Wilks), for
any two distributions; so the interval is of all f where it is at most z^2 / 2, z being that of `pairs`.

**Why so.** Beta-binomial mixtures for each variant (Howard and Ramdas), multiplied, are exact for every number of rows.
They pay for two unknown quantiles in each epoch where there is one unknown ratio, and took twice the rows in
simulation. This one is asymptotic; tests/bench/verdicts.py has its errors from 200 rows on.

**Bounds.** Only counts between bounds are known. Of all k that the quantile may have in its cell the likeliest counts,
and f is widened to the bounds: ties and cells make the interval wider, by 1 % either way.

**Users** of many rows that depend on each other have fewer rows than they seem. Groups of users by their hash tell how
much more the k of a group scatters than a binomial one, and all counts are divided by that. What all rows of a variant
suffer together, a stalled disk say, is not seen by any of this.

References:
    Howard, Ramdas, Sequential estimation of quantiles with applications to A/B testing and best-arm identification,
    arXiv 1906.09712.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from sidecar.experiments.pairs import reach
from sidecar.experiments.sequences import Interval
from sidecar.experiments.totals import EPOCHS
from sidecar.stats.moments import Counts, Floats, Units

STATE = ("counts", "groups", "epoch", "omitted")
"""The attributes of `Durations` that change: what to save over a restart of the process."""

STEP = 1.01
"""Of durations: what a ratio is known to at best. Margins are wider; 14 KiB an epoch."""

SHORTEST_S, LONGEST_S = 1e-5, 600.0

BOUNDS: Floats = np.exp(np.arange(math.log(SHORTEST_S), math.log(LONGEST_S) + math.log(STEP), math.log(STEP)))
"""Upper ends of the cells, in seconds; the last cell has none."""

CELLS = len(BOUNDS) + 1

CHUNK = 64
"""Cells at a time: bounds the memory of one look."""

GROUPS = 64
"""Of users. Their scatter is known to within 18 %, for 0.9 MiB."""


@dataclass(slots=True)
class Durations:
    """How many durations of one variant fell where.

    Attributes:
        counts: Rows by epoch and cell, shape (EPOCHS, CELLS).
        groups: Rows by group of users and cell, of all epochs, shape (GROUPS, CELLS).
        epoch: Where rows are added now.
        omitted: What was infinite or below 0, and is in nothing else.

    Example:
        >>> durations = Durations()
        >>> durations.take(np.arange(5, dtype=np.uint64), np.array([0.1, 0.2, 0.3, 0.4, 9.0]))
        >>> durations.rows, round(durations.quantile(0.5), 2)
        (5, 0.3)
    """

    counts: Counts = field(init=False)
    groups: Counts = field(init=False)
    epoch: int = field(init=False, default=0)
    omitted: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.counts = np.zeros((EPOCHS, CELLS), dtype=np.int64)
        self.groups = np.zeros((GROUPS, CELLS), dtype=np.int64)

    @property
    def rows(self) -> int:
        """Durations that were counted."""
        return int(self.counts[: self.epoch + 1].sum())

    def begin(self) -> None:
        """Begin an epoch, of all variants at once; as in `Totals`."""
        if self.epoch < EPOCHS - 1:
            self.epoch += 1
            return
        self.counts[1] += self.counts[0]
        self.counts[:-1] = self.counts[1:].copy()
        self.counts[-1] = 0

    def take(self, units: Units, values: Floats) -> None:
        """Add rows.

        Args:
            units: Hashes of whom the split goes by, shape (n,).
            values: In seconds, shape (n,); NaN where a row has none, which leaves it out.

        Raises:
            ValueError: There are more of one than of the other.
        """
        units, values = np.asarray(units, dtype=np.uint64), np.asarray(values, dtype=np.float64)
        if values.ndim != 1 or values.shape != units.shape:
            raise ValueError(f"units and values of shapes {units.shape} and {values.shape}, expected the same (n,)")
        usable = (values >= 0) & (values < np.inf)
        self.omitted += int((~usable & ~np.isnan(values)).sum())
        cells = np.searchsorted(BOUNDS, values[usable])
        groups = (units[usable] & np.uint64(GROUPS - 1)).astype(np.intp)
        np.add.at(self.counts[self.epoch], cells, 1)
        np.add.at(self.groups, (groups, cells), 1)

    def quantile(self, share: float) -> float:
        """The duration that a share of all rows do not exceed, in the middle of its cell; NaN without rows."""
        return _quantile(self.counts[: self.epoch + 1].sum(axis=0), share)

    def crowding(self, share: float) -> float:
        """By how much rows are fewer than they seem, 1 or more: variance between groups over that of independent rows.

        inf while one group has more than half of the rows.
        """
        sizes = self.groups.sum(axis=1).astype(np.float64)
        rows = sizes.sum()
        if not rows or 2 * sizes.max() > rows:
            return math.inf
        below = self.groups.sum(axis=0).cumsum()
        cell = int(np.searchsorted(below, share * rows))
        few = self.groups[:, : cell + 1].sum(axis=1)
        told = few.sum() / rows
        effective = rows**2 / (sizes @ sizes)
        scatter = ((few - told * sizes) ** 2).sum() * effective / (effective - 1)
        return max(1.0, float(scatter / (rows * told * (1 - told)))) if told < 1 else 1.0


def ratio_of_quantiles(champion: Durations, challenger: Durations, share: float, *, wrong: float) -> Interval:
    """A quantile of the challenger over that of the champion.

    Where rows are too few for an upper bound there is none: the 0.99 quantile needs some 500 of each variant.

    Args:
        share: 0.5 for the median, in (0, 1).
        wrong: Probability, in (0, 1), that the interval ever misses.

    Raises:
        ValueError: The variants have not the same epochs, or a number is out of its range.
    """
    if champion.epoch != challenger.epoch:
        raise ValueError(f"epochs {champion.epoch} and {challenger.epoch}, expected the same: begin both at once")
    if not (0 < share < 1 and 0 < wrong < 1):
        raise ValueError(f"share {share} and wrong {wrong}, expected both in (0, 1)")
    rows = champion.rows + challenger.rows
    fewer = champion.crowding(share), challenger.crowding(share)
    used = slice(champion.epoch + 1)
    both = [pair for pair in zip(champion.counts[used], challenger.counts[used], strict=True) if _any(pair)]
    if not both or math.inf in fewer:
        return Interval(math.nan, 0.0, math.inf, rows)
    limit = _reach(both, fewer, wrong) / 2
    seen = np.flatnonzero(sum(old + new for old, new in both))
    # What is beyond the rows is one open cell on either side: nothing is known of how far a quantile is in there.
    cells = slice(max(int(seen[0]) - 1, 0), int(seen[-1]) + 2)
    lost = [_by_ratio(losses(old[cells] / fewer[0], share), losses(new[cells] / fewer[1], share)) for old, new in both]
    low, high = _ends(np.sum(lost, axis=0), limit)
    return Interval(_estimate(both, share), low, high, rows)


def _any(pair: tuple[Counts, Counts]) -> bool:
    return bool(pair[0].any() and pair[1].any())


def _reach(both: Sequence[tuple[Counts, Counts]], fewer: tuple[float, float], wrong: float) -> float:
    """z^2 for so many rows, with what not knowing their crowding exactly costs."""
    sizes = [(old.sum() / fewer[0], new.sum() / fewer[1]) for old, new in both]
    square = float(reach(np.asarray(sum(m * n / (m + n) for m, n in sizes)), wrong))
    return (GROUPS - 1) * math.expm1(square / GROUPS)


def losses(counts: Floats, share: float) -> Floats:
    """What it costs to take the quantile to be in a cell: n kl(k / n, share) of the k nearest to it that it may have.

    Args:
        counts: Of one variant's rows over cells, shape (..., c), as the answer.
        share: As in `ratio_of_quantiles`.
    """
    below = counts.cumsum(axis=-1)
    rows = below[..., -1:]
    told = np.clip(share, (below - counts) / rows, below / rows)
    with np.errstate(divide="ignore", invalid="ignore"):
        less = np.where(told > 0, told * np.log(told / share), 0.0)
        more = np.where(told < 1, (1 - told) * (np.log1p(-told) - math.log1p(-share)), 0.0)
    out: Floats = rows * np.maximum(less + more, 0.0)
    return out


def _by_ratio(old: Floats, new: Floats) -> Floats:
    """The least loss for a ratio from STEP^d to STEP^(d + 1), d from 1 - c on, shape (2 c - 2,).

    Cells i and j hold quantiles whose ratio is from STEP^(d - 1) to STEP^(d + 1), d = j - i; or any that is greater, or
    less, where one is the first or the last, which are open.
    """
    last = len(old) - 1
    beyond = np.full(last, np.inf)
    windows = sliding_window_view(np.concatenate((beyond, new, beyond)), 2 * last + 1)
    up, down = old[0] + windows[0], old[last] + windows[last]
    up[last:] = np.minimum(up[last:], (old + new[last])[::-1])
    down[: last + 1] = np.minimum(down[: last + 1], (old + new[0])[::-1])
    least = np.minimum(np.minimum.accumulate(up), np.minimum.accumulate(down[::-1])[::-1])
    for start in range(0, last + 1, CHUNK):
        some = slice(start, start + CHUNK)
        least = np.minimum(least, (old[some, None] + windows[some]).min(axis=0))
    out: Floats = np.minimum(least[:-1], least[1:])
    return out


def _ends(losses: Floats, limit: float) -> tuple[float, float]:
    """Where the ratios begin and end that lose no more than the limit beside the best."""
    fits = np.flatnonzero(losses <= losses.min() + limit)
    first, last, half = int(fits[0]), int(fits[-1]), len(losses) // 2
    low = STEP ** (first - half) if first else 0.0
    return low, STEP ** (last + 1 - half) if last < len(losses) - 1 else math.inf


def _estimate(both: Sequence[tuple[Counts, Counts]], share: float) -> float:
    """The mean of the ratio's logarithm over epochs, by how many rows the smaller variant has about."""
    old, new = (np.array([counts.sum() for counts in side]) for side in zip(*both, strict=True))
    weights = old * (new / (old + new))
    logs = [math.log(_quantile(later, share) / _quantile(earlier, share)) for earlier, later in both]
    return math.exp(float(weights @ logs / weights.sum()))


def _quantile(counts: Counts, share: float) -> float:
    """In the middle of its cell, by ratio; NaN without rows."""
    below = counts.cumsum()
    if not below[-1]:
        return math.nan
    cell = int(np.searchsorted(below, share * below[-1]))
    return SHORTEST_S * float(STEP ** (cell - 0.5))
