"""Two variants side by side: how their means differ, and how far chance may carry that, at every look at once.

**The martingale.** In epoch e the challenger has n rows of mean y, the champion m of mean x. With h = n m / (n + m),
which depends on counts only, S = sum h (y - f x) is a sum of rows of mean 0 while the means differ by the factor f in
every epoch. Were S normal, with variance Q, exp(l S - l^2 Q / 2) would be a martingale for every l, and so their
mixture over l ~ N(0, H / (Q g)), H = sum h, for a few scales g in rows. It reaches 1 / wrong with probability `wrong`
at most, whenever one looks (Ville). So S^2 <= z^2 Q at all times, where z solves

    sum p_g sqrt(g / (H + g)) exp(z^2 / 2 * H / (H + g)) = 1 / wrong.

S is normal in the limit only. What is done while rows are few follows, and tests/bench/verdicts.py measures it.

**The variance** is that of buckets of users (`totals`), so that users of many rows that depend on each other are
allowed for. It is itself an estimate: z^2 becomes k (exp(z^2 / (k + 1)) - 1), which turns a normal tail into that of
Student's t with k degrees of freedom. k + 1 is the number of buckets that would be as sure of the variance were all of
one size, in the variant that has fewer.

**Skewed rows.** A small variant that has not had its large values yet has a mean that is too low and a variance that is
too small: with its own variance alone, errors of 1 % split 90 to 10 give 12 % of wrong verdicts where 5 % are allowed,
all of them from there. So the variance is never less than if both variants had the one of all rows together. While they
are alike that is the better estimate, which does not fall with the mean; where they are not, each one's own counts.
That a challenger of few rows has rarer and larger values than the champion ever had, nothing can know in time: its mean
is then told too low (lognormal of sigma 1.5 against 0.5, 90 to 10: 14 % wrong where 5 % are allowed).

**Rare events.** Values in [0, most] that have been 0 in n rows may have a mean of z^2 / 2n: it has a likelihood of
exp(-z^2 / 2), like all else at the interval's ends. So z^2 / 4 rows of the value `most` are added to each variance.
That speaks of rows: that a user of many may begin to fail is nothing that data without a failure could tell.

References:
    Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, Time-uniform central limit theory and asymptotic confidence sequences,
    arXiv 2103.06476.
    Robbins, Statistical methods related to the law of the iterated logarithm, 1970: the mixture.
    Fieller, Some problems in interval estimation, 1954: the ratio.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from sidecar.experiments.totals import Totals
from sidecar.stats.moments import Counts, Flags, Floats

SCALES = np.array([70.0, 10_000.0])
"""Of the mixture, in harmonic rows, of which two variants of 140 rows each have 70."""

SHARES: Floats = np.array([0.8, 0.2])
"""Of the scales. For a budget of 5 % z is 3.5 at 100 harmonic rows, 3.1 at 700, 3.4 at 20,000 and at 100,000."""

MOST_DOUBT = 60.0
"""Keeps z^2 of very few buckets a number, beyond any use as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """The mean of one variant over the epochs, weighted; each field of the same shape, () for one comparison.

    Args:
        centre: What `excess` is above of.
        excess: The mean less the centre.
        variance: Of the mean, from what each bucket adds to it.
        spread: Sum of w^2 / n: the variance that rows of variance 1 would give.
        row: Most weight of one row, w / n.
        rows: In the epochs that count.
        buckets: As many of one size would be as sure of the variance.
    """

    centre: Floats
    excess: Floats
    variance: Floats
    spread: Floats
    row: Floats
    rows: Floats
    buckets: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two variants that can be compared.

    Args:
        weight: H, harmonic rows.
        most: Values are in [0, most]; NaN where nobody knows.
    """

    champion: Arm
    challenger: Arm
    weight: Floats
    most: float

    def difference(self, factor: float) -> Floats:
        """Mean of the challenger less `factor` times that of the champion."""
        x, y = self.champion, self.challenger
        return (y.centre - factor * x.centre) + (y.excess - factor * x.excess)

    def parts(self, square: Floats) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
        """Two variances of the difference as a + b factor^2, of which the greater counts: (a, b) of either.

        Args:
            square: Of z.
        """
        x, y = self.champion, self.challenger
        row = (x.rows * x.variance / x.spread + y.rows * y.variance / y.spread) / (x.rows + y.rows)
        alike = row * (x.spread + y.spread) / 2
        rare_x, rare_y = (square / 4 * (self._most() * arm.row) ** 2 for arm in (x, y))
        return (y.variance + rare_y, x.variance + rare_x), (alike + rare_y, alike + rare_x)

    def radius(self, factor: float, wrong: float) -> Floats:
        """Of the interval around the difference."""
        square = self.square(wrong)
        (a, b), (c, d) = self.parts(square)
        out: Floats = np.sqrt(square * np.maximum(a + b * factor**2, c + d * factor**2))
        return out

    def square(self, wrong: float) -> Floats:
        """z^2, with what the variance's own uncertainty costs."""
        degrees = np.minimum(self.champion.buckets, self.challenger.buckets) - 1
        out: Floats = degrees * np.expm1(np.minimum(reach(self.weight, wrong) / (degrees + 1), MOST_DOUBT))
        return out

    def _most(self) -> Floats:
        """What a rare row may differ by: `most`, or where nothing has ever varied, the values' own size."""
        if not math.isnan(self.most):
            return np.asarray(self.most)
        x, y = self.champion, self.challenger
        size = np.maximum(np.abs(x.centre + x.excess), np.abs(y.centre + y.excess))
        constant = (x.variance == 0) & (y.variance == 0)
        return np.where(constant, np.where(size > 0, size, np.inf), 0.0)


def reach(weight: Floats, wrong: float) -> Floats:
    """z^2 of the mixture, by Newton's method from above: the logarithm of the sum is convex in z^2.

    Args:
        weight: H, above 0.
    """
    weight = np.asarray(weight, dtype=np.float64)[..., None]
    rate = weight / (weight + SCALES) / 2
    base = np.log(SHARES * wrong) + np.log(SCALES / (weight + SCALES)) / 2
    square = (-base / rate).min(axis=-1)
    for _ in range(6):  # four are exact, for every weight and budget
        terms = base + rate * square[..., None]
        top = terms.max(axis=-1, keepdims=True)
        parts = np.exp(terms - top)
        total = parts.sum(axis=-1)
        square = square - (top[..., 0] + np.log(total)) * total / (parts * rate).sum(axis=-1)
    out: Floats = square
    return out


def compared(champion: Totals, challenger: Totals) -> Pair | None:
    """The two over the epochs in which both can be judged; None where there are none.

    An epoch counts when in neither variant one bucket has more than half of the rows: without it there would be no
    telling what the mean is. That depends on counts only.
    """
    if champion.epoch != challenger.epoch:
        raise ValueError(f"epochs {champion.epoch} and {challenger.epoch}, expected the same: begin both at once")
    used = slice(champion.epoch + 1)
    usable = _usable(champion.counts[used]) & _usable(challenger.counts[used])
    if not usable.any():
        return None
    m, n = (totals.counts[used][usable].sum(axis=1).astype(np.float64) for totals in (champion, challenger))
    harmonic = m * n / (m + n)
    shares = harmonic / harmonic.sum()
    known = not math.isnan(champion.most + challenger.most)
    return Pair(
        champion=_arm(champion, usable, shares),
        challenger=_arm(challenger, usable, shares),
        weight=np.asarray(harmonic.sum()),
        most=max(champion.most, challenger.most) if known else math.nan,
    )


def stacked(pairs: Sequence[Pair]) -> Pair:
    """Several comparisons of values in the same range as one; of shape (b, 1)."""
    champion, challenger = (_stack([getattr(pair, side) for pair in pairs]) for side in ("champion", "challenger"))
    weight = np.stack([pair.weight for pair in pairs])[:, None]
    return Pair(champion=champion, challenger=challenger, weight=weight, most=pairs[0].most)


def _stack(arms: Sequence[Arm]) -> Arm:
    return Arm(**{each.name: np.stack([getattr(arm, each.name) for arm in arms])[:, None] for each in fields(Arm)})


def _usable(counts: Counts) -> Flags:
    rows = counts.sum(axis=1)
    out: Flags = (rows > 0) & (2 * counts.max(axis=1) <= rows)
    return out


def _arm(totals: Totals, usable: Flags, shares: Floats) -> Arm:
    """The weighted mean, and what each bucket adds to it."""
    counts = totals.counts[: len(usable)][usable].astype(np.float64)
    sums = totals.sums[: len(usable)][usable]
    rows = counts.sum(axis=1)
    means = sums.sum(axis=1) / rows
    pulls = (shares / rows) @ (sums - means[:, None] * counts)
    held = (shares / rows) @ counts
    buckets = 1 / (held @ held)
    return Arm(
        centre=np.asarray(totals.centre),
        excess=np.asarray(shares @ means),
        variance=np.asarray(pulls @ pulls * buckets / (buckets - 1)),
        spread=np.asarray((shares**2 / rows).sum()),
        row=np.asarray((shares / rows).max()),
        rows=np.asarray(rows.sum()),
        buckets=np.asarray(buckets),
    )
