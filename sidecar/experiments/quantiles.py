"""The ratio of two variants' quantiles, from counts over fine bounds: an interval that holds at every look at once.

**The likelihood.** If x is the champion's quantile of share s, the k of its n rows at or below x are a Binomial(s) of
them (ties at x broken by chance), and n kl(k / n, s) is the logarithm of how much likelier the share seen is than s. Of
a ratio f the loss L(f) is the least sum of it for both variants and all epochs (`totals`), with some x for each epoch's
champion and f x for the challenger. At the true f, L(f) - min L is half the square of a standard normal (Wilks), for
any two distributions; so the interval is of all f where it is at most z^2 / 2, z being that of `pairs`.

**Why so.** Beta-binomial mixtures for each variant (Howard and Ramdas), multiplied, are exact for every number of rows.
They pay for two unknown quantiles in each epoch where there is one unknown ratio, and took twice the rows in
simulation. This one is asymptotic; tests/bench/verdicts.py has its errors from 200 rows on. With fewer the exact one
is asked whether the challenger is beyond its margin: whether L itself is above what `few` demands for every f up to
there. At the 0.99 quantile, beside a champion of 2,000 rows, 4 rows tell it that are all slower than that allows.

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
from dataclasses import dataclass
from typing import Self

import numpy as np

from sidecar.experiments.durations import GROUPS, STEP, Durations, quantile_of
from sidecar.experiments.few import divergence, penalty, worth
from sidecar.experiments.pairs import reach
from sidecar.experiments.sequences import Interval, further, times_until
from sidecar.stats.moments import Counts, Flags, Floats


def ratio_of_quantiles(champion: Durations, challenger: Durations, share: float, *, wrong: float) -> Interval:
    """A quantile of the challenger over that of the champion.

    Where rows are too few for an upper bound there is none: the 0.99 quantile needs some 500 of each variant.

    Args:
        share: 0.5 for the median, in (0, 1).
        wrong: Probability, in (0, 1), that the interval ever misses.

    Raises:
        ValueError: The variants have not the same epochs, or a number is out of its range.
    """
    sides = _sides(champion, challenger, share, wrong)
    rows = champion.rows + challenger.rows
    if sides is None:
        return Interval(math.nan, 0.0, math.inf, rows)
    limit = float(sides.limit(np.asarray(1.0), wrong))
    lost = sides.losses(sides.at_most() + limit)
    fits = np.flatnonzero(lost <= lost.min() + limit)
    first, last = int(fits[0]), int(fits[-1])
    low = STEP ** (first - sides.half) if first else 0.0
    high = STEP ** (last + 1 - sides.half) if last < len(lost) - 1 else math.inf
    return Interval(sides.estimate, low, high, rows)


def rows_to_go(champion: Durations, challenger: Durations, share: float, *, margin: float, wrong: float) -> float:
    """Further rows of both together until the ratio is likely to be known to be above 1, below it, or near it.

    It counts on the same split and the same distributions as so far. 0 where that is known; inf where it never will be;
    NaN before there is an estimate.

    Args:
        share: As in `ratio_of_quantiles`, as what is raised.
        margin: How far from 1 is near.
        wrong: As in `ratio_of_quantiles`.
    """
    sides = _sides(champion, challenger, share, wrong)
    if sides is None:
        return math.nan
    lost = sides.losses(sides.at_most() + float(sides.limit(np.asarray(1.0), wrong)))
    steps = np.arange(len(lost)) - sides.half
    other = steps <= 0 if sides.estimate > 1 else steps >= -1
    away = (STEP**steps <= 1 - margin) | (STEP ** (steps + 1) >= 1 + margin)
    # Of all that is to be excluded what is lost the least is excluded last; the more rows, the more is lost in each.
    gap = max(lost[each].min(initial=math.inf) for each in (other, away)) - lost.min()
    times = times_until(lambda times: times * gap > sides.limit(times, wrong))
    return further(times, champion.rows + challenger.rows)


def surely_beyond(champion: Durations, challenger: Durations, share: float, *, margin: float, wrong: float) -> bool:
    """Whether the challenger's quantile exceeds the champion's by more than a part of it, however few rows say so.

    Rows of one group of users count as one of the challenger's; of the champion's, which has more, as in the ratio.

    Args:
        share: As in `ratio_of_quantiles`, as what is raised.
        margin: Part of the champion's; 0.25 for a quarter.
        wrong: Probability, in (0, 1), that this is ever said where it is not so.
    """
    sides = _sides(champion, challenger, share, wrong, few=True)
    if sides is None:
        return False
    needed = penalty(*(counts.sum(axis=1) for counts in sides.seen)) - math.log(wrong)
    lost = sides.losses(needed)
    # A ratio counts as possible where any of its cell is.
    possible = lost[STEP ** (np.arange(len(lost)) - sides.half) <= 1 + margin]
    return bool(possible.min(initial=math.inf) >= needed)


@dataclass(frozen=True, slots=True)
class Sides:
    """Two variants over the epochs in which both have rows.

    Args:
        share: Of the rows that the quantile is not below.
        seen: Rows of champion and challenger by epoch and cell, shapes (e, c). What is beyond the rows is one open
            cell on either side: nothing is known of how far a quantile is in there.
        worths: As how many rows each row of theirs counts, 1 or less.
        lost: Nats that it costs to take the quantile to be in a cell, likewise.
    """

    share: float
    seen: tuple[Counts, Counts]
    worths: tuple[float, float]
    lost: tuple[Floats, Floats]

    @classmethod
    def of(cls, share: float, seen: tuple[Counts, Counts], worths: tuple[float, float]) -> Self:
        """With what is lost."""
        old, new = (losses(np.float64(each) * counts, share) for counts, each in zip(seen, worths, strict=True))
        return cls(share, seen, worths, (old, new))

    @property
    def half(self) -> int:
        """Where in the losses by ratio those from 1 to STEP are."""
        return len(self.seen[0][0]) - 1

    @property
    def estimate(self) -> float:
        """The mean of the ratio's logarithm over epochs, by how many rows the smaller variant has about."""
        old, new = (counts.sum(axis=1) for counts in self.seen)
        weights = old * (new / (old + new))
        pairs = zip(*self.seen, strict=True)
        logs = [math.log(quantile_of(later, self.share) / quantile_of(earlier, self.share)) for earlier, later in pairs]
        return math.exp(float(weights @ logs / weights.sum()))

    def limit(self, times: Floats, wrong: float) -> Floats:
        """z^2 / 2 for so many times the rows, with what not knowing their crowding exactly costs."""
        m, n = (counts.sum(axis=1) * each for counts, each in zip(self.seen, self.worths, strict=True))
        square = reach(float((m * n / (m + n)).sum()) * np.asarray(times), wrong)
        out: Floats = (GROUPS - 1) * np.expm1(square / GROUPS) / 2
        return out

    def at_most(self) -> float:
        """What the best ratio may lose at most: what the one estimated does."""
        shift = int(np.clip(round(math.log(self.estimate) / math.log(STEP)), -self.half, self.half))
        old, new = self.lost
        cells = old.shape[1]
        both = old[:, max(-shift, 0) : cells - max(shift, 0)] + new[:, max(shift, 0) : cells - max(-shift, 0)]
        return float(both.min(axis=1).sum())

    def losses(self, most: float) -> Floats:
        """What each ratio loses, from STEP^d to STEP^(d + 1), d from 1 - c on, shape (2 c - 2,).

        Args:
            most: What loses more has inf, if not what it loses.
        """
        out: Floats = np.sum([_by_ratio(*epoch, most) for epoch in zip(*self.lost, strict=True)], axis=0)
        return out


def _sides(
    champion: Durations, challenger: Durations, share: float, wrong: float, *, few: bool = False
) -> Sides | None:
    """What is compared; None where there is nothing.

    Args:
        few: The challenger's rows are too few to tell how crowded they are: the worst is taken.
    """
    if champion.epoch != challenger.epoch:
        raise ValueError(f"epochs {champion.epoch} and {challenger.epoch}, expected the same: begin both at once")
    if not (0 < share < 1 and 0 < wrong < 1):
        raise ValueError(f"share {share} and wrong {wrong}, expected both in (0, 1)")
    old, new = (durations.counts[: champion.epoch + 1] for durations in (champion, challenger))
    both = old.any(axis=1) & new.any(axis=1)
    if not both.any():
        return None
    worths = 1 / champion.crowding(share), 1 / challenger.crowding(share)
    if few:
        worths = worths[0], worth(challenger.groups.sum(axis=1))
    return Sides.of(share, _narrowed(old[both], new[both]), worths) if all(worths) else None


def _narrowed(old: Counts, new: Counts) -> tuple[Counts, Counts]:
    """The cells of rows, and one on either side."""
    seen = np.flatnonzero(old.any(axis=0) | new.any(axis=0))
    cells = slice(max(int(seen[0]) - 1, 0), int(seen[-1]) + 2)
    return old[:, cells], new[:, cells]


def losses(counts: Floats, share: float) -> Floats:
    """What it costs to take the quantile to be in a cell: n kl(k / n, share) of the k nearest to it that it may have.

    Args:
        counts: Of one variant's rows over cells, shape (..., c), as the answer.
        share: As in `ratio_of_quantiles`.
    """
    below = counts.cumsum(axis=-1)
    rows = below[..., -1:]
    out: Floats = rows * divergence(np.clip(share, (below - counts) / rows, below / rows), share)
    return out


def _by_ratio(old: Floats, new: Floats, most: float) -> Floats:
    """The least loss of one epoch, as in `Sides.losses`.

    Cells i and j hold quantiles whose ratio is from STEP^(d - 1) to STEP^(d + 1), d = j - i; or any that is greater, or
    less, where one is the first or the last, which are open.
    """
    last = len(old) - 1
    old, new = (np.where(each <= most, each, np.inf) for each in (old, new))
    beyond = np.full(last, np.inf)
    up, down = old[0] + np.concatenate((beyond, new)), old[last] + np.concatenate((new, beyond))
    up[last:] = np.minimum(up[last:], (old + new[last])[::-1])
    down[: last + 1] = np.minimum(down[: last + 1], (old + new[0])[::-1])
    least = np.minimum(np.minimum.accumulate(up), np.minimum.accumulate(down[::-1])[::-1])
    _meet(least, old, new)
    out: Floats = np.minimum(least[:-1], least[1:])
    return out


def _meet(least: Floats, old: Floats, new: Floats) -> None:
    """Lower the losses by d to those of any pair of cells; only pairs of finite ones can."""
    last = len(old) - 1
    possible: list[Flags] = [np.isfinite(each) for each in (old, new)]
    rows, columns = (np.flatnonzero(each) for each in possible)
    if not (len(rows) and len(columns)):
        return
    if len(columns) < len(rows):
        _meet(least[::-1], new, old)
        return
    first, end = int(columns[0]), int(columns[-1]) + 1
    few = new[first:end]
    for i in rows.tolist():
        at = least[last - i + first : last - i + end]
        np.minimum(at, old[i] + few, out=at)
