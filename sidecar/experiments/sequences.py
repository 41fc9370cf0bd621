"""Confidence sequences: intervals for how two variants differ, valid at every look at once, however often one looks.

What they rest on is told in `pairs`. A verdict may be acted upon at any time, and the interval keeps its promise after.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from sidecar.experiments.pairs import Pair, compared
from sidecar.experiments.totals import Totals
from sidecar.stats.moments import Flags, Floats

FARTHEST = 1e9
"""Times the rows so far: what needs more of them will never be known."""


class Interval(NamedTuple):
    """A statement that is wrong with a stated probability, over all times at which one may look.

    Args:
        estimate: NaN where there is none.
        low: -inf where nothing is known, or nothing keeps it from being as low.
        high: Likewise.
        rows: Of both variants.
    """

    estimate: float
    low: float
    high: float
    rows: int


def contrast(champion: Totals, challenger: Totals, *, factor: float = 1.0, wrong: float) -> Interval:
    """The mean of the challenger less `factor` times that of the champion.

    Args:
        factor: 1 for the difference; positive.
        wrong: Probability, in (0, 1), that the interval ever misses.

    Raises:
        ValueError: The variants have not the same epochs, or a number is out of its range.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(1)
        >>> variants = Totals(most=1.0), Totals(most=1.0)
        >>> for totals, share in zip(variants, (0.02, 0.05)):
        ...     totals.take(rng.integers(0, 1 << 60, 5000, dtype=np.uint64), (rng.random(5000) < share).astype(float))
        >>> told = contrast(*variants, wrong=0.05)
        >>> [round(number, 4) for number in told]
        [0.0348, 0.0227, 0.0469, 10000]
    """
    pair, rows = compared(champion, challenger), champion.rows + challenger.rows
    _check(wrong, factor)
    if pair is None:
        return Interval(math.nan, -math.inf, math.inf, rows)
    estimate, radius = float(pair.difference(factor)), float(pair.radius(factor, wrong))
    return Interval(estimate, estimate - radius, estimate + radius, rows)


def ratio(champion: Totals, challenger: Totals, *, wrong: float) -> Interval:
    """The mean of the challenger over that of the champion: all factors that `contrast` cannot rule out.

    Where the champion's mean may be 0 there is no highest one. Where no value was ever negative, factors below 0 are
    none.

    Args:
        wrong: As in `contrast`.

    Raises:
        ValueError: As in `contrast`.
    """
    pair, rows = compared(champion, challenger), champion.rows + challenger.rows
    _check(wrong)
    if pair is None:
        return Interval(math.nan, -math.inf, math.inf, rows)
    x, y = (float(arm.centre + arm.excess) for arm in (pair.champion, pair.challenger))
    square = pair.square(wrong)
    floor = 0.0 if min(champion.least, challenger.least) >= 0 else -math.inf
    sets = [_fieller(x, y, float(square * a), float(square * b), floor) for a, b in pair.parts(square)]
    estimate = y / x if x else math.nan
    return Interval(estimate, min(low for low, _ in sets), max(high for _, high in sets), rows)


def rows_to_go(
    champion: Totals, challenger: Totals, *, excluding: float = 0.0, factor: float = 1.0, wrong: float
) -> float:
    """Further rows of both together until `contrast` is likely to exclude a number, if the estimate is right.

    It counts on the same split, users and scatter as so far. 0 where it is excluded already; inf where it never will
    be; NaN before there is an interval.

    Args:
        excluding: 0, or a margin.
        factor: As in `contrast`, as the next.
    """
    pair = compared(champion, challenger)
    _check(wrong, factor)
    if pair is None or not math.isfinite(float(pair.radius(factor, wrong))):
        return math.nan
    distance = abs(float(pair.difference(factor)) - excluding)
    times = times_until(lambda times: distance > later(pair, times).radius(factor, wrong))
    return further(times, champion.rows + challenger.rows)


def times_until(holds: Callable[[Floats], Flags]) -> float:
    """How many times the rows so far it takes until something holds; 1 where it does, inf where it never will.

    Args:
        holds: For each number of times, ascending, shape (t,), as the answer; false first, then true.

    Example:
        >>> round(times_until(lambda times: times > 50), 1)
        50.1
    """
    low, high = 1.0, FARTHEST
    for _ in range(2):
        times = np.geomspace(low, high, 66)
        found = holds(times)
        if not found.any():
            return math.inf
        place = int(np.argmax(found))
        if not place:
            return float(times[0])
        low, high = float(times[place - 1]), float(times[place])
    return high


def further(times: float, rows: int) -> float:
    """Rows that are missing from so many times as many; inf where they are endless.

    >>> further(1.5, 200)
    100.0
    """
    return float(math.ceil((times - 1) * rows)) if math.isfinite(times) else math.inf


def later(pair: Pair, times: Floats) -> Pair:
    """The two with so many times the rows, shape (t,), which becomes the last axis of all."""
    x, y = (
        replace(
            arm, variance=arm.variance / times, spread=arm.spread / times, row=arm.row / times, rows=arm.rows * times
        )
        for arm in (pair.champion, pair.challenger)
    )
    return replace(pair, champion=x, challenger=y, weight=pair.weight * times)


def _fieller(x: float, y: float, a: float, b: float, floor: float) -> tuple[float, float]:
    """Least and greatest f from `floor` on with (y - f x)^2 <= a + b f^2."""
    lead, half, last = x * x - b, x * y, y * y - a
    root = math.sqrt(max(half * half - lead * last, 0.0))
    if lead > 0:
        return max((half - root) / lead, floor), max((half + root) / lead, floor)
    # Else the champion's mean may be 0, and two rays are left, of either sign, or all numbers.
    if floor < 0 or not last > 0:
        return floor, math.inf
    return last / (half + root) if half + root > 0 else math.inf, math.inf


def _check(wrong: float, factor: float = 1.0) -> None:
    if not 0 < factor < math.inf:
        raise ValueError(f"a factor of {factor}, expected a positive number")
    if not 0 < wrong < 1:
        raise ValueError(f"wrong with probability {wrong}, expected one in (0, 1)")
