"""How far the numbers of quality may be off by chance: their standard errors, whatever the numbers are.

The delete-a-group jackknife: leave out each of G groups of rows in turn, and see how far the number moves,

    SE^2 = (G - 1) / G * sum over g of (number without g - mean of these)^2

which needs no formula for each number (Kott, "The Delete-a-Group Jackknife", Journal of Official Statistics, 2001).
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from sidecar.stats.moments import Floats

GROUPS = 20
"""With G groups the error is itself off by a share of 1 / sqrt(2 (G - 1)), which is 16 % for 20."""

MIN_ROWS = 200
"""As Model Monitor, below this no deviation is told."""


def deviations(
    score: Callable[[NDArray[np.intp]], Mapping[str, float]], rows: int, *, groups: int = GROUPS
) -> dict[str, float]:
    """The standard error of every number that `score` gives; NaN below 200 rows or where a replicate is undefined.

    Row i belongs to group i % groups, so that the same rows give the same errors. Rows are taken as independent and in
    an order that says nothing: of rows that resemble their neighbours, or are sorted, errors are larger than told. And
    the number must be smooth in its rows, as quality's are but for a calibration error near 0: no maximum, no quantile.

    Not Model Monitor's deviation over five random subsamples of 80 %: these share most of their rows, so that they
    differ by sqrt(0.2 / 0.8) = 1 / 2 of the standard error on average, and five of them miss even that half by a third.
    Its published accuracy of 0.629 over 2,096 rows carries 0.0038, where the binomial error is 0.0106.

    Args:
        score: From the places of the rows to keep, in order, to the numbers of these rows.
        rows: How many there are.
        groups: G, 2 to 200.

    Raises:
        ValueError: `groups` is out of its range.

    Example:
        >>> x = np.random.default_rng(1).exponential(size=1000)
        >>> told = deviations(lambda kept: {"mean": float(x[kept].mean())}, 1000)
        >>> 0.7 < told["mean"] / float(x.std() / 1000**0.5) < 1.3
        True
    """
    if not 2 <= groups <= MIN_ROWS:
        raise ValueError(f"groups: {groups}, expected 2 to {MIN_ROWS}")
    names = list(score(np.arange(rows)))
    if rows < MIN_ROWS:
        return dict.fromkeys(names, math.nan)
    group = np.arange(rows) % groups
    replicates = [score(np.flatnonzero(group != left_out)) for left_out in range(groups)]
    table = np.array([[replicate.get(name, math.nan) for name in names] for replicate in replicates])
    return dict(zip(names, _errors(table).tolist(), strict=True))


def _errors(table: Floats) -> Floats:
    """The standard error of each column of replicates, shape (G, numbers); NaN where one is not finite."""
    groups = len(table)
    defined = np.isfinite(table).all(axis=0)
    size = np.abs(np.where(defined, table, 1.0)).max(axis=0, initial=np.finfo(np.float64).smallest_normal)
    # Numbers of up to 1e308, such as squared errors, must not overflow when they are squared once more.
    scaled = np.where(defined, table, 0.0) / size
    rest = scaled - scaled.mean(axis=0)
    errors = np.sqrt((rest * rest).sum(axis=0) * ((groups - 1) / groups)) * size
    return np.where(defined, errors, np.nan)
