"""Simulated experiments, thousands side by side, row by row, and the intervals of all of them at once.

Each is looked at by the arithmetic of `pairs` itself, over the same sums by bucket that `Totals` keeps (tests/
experiments/test_pairs.py holds the two against each other).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator, default_rng

from sidecar.experiments.pairs import Arm, Pair
from sidecar.experiments.totals import BUCKETS
from sidecar.stats.moments import Counts, Flags, Floats

BUDGETS = (0.05, 0.01)
MIN_ROWS = 200
EVERY = 10
CHUNK = 200

Draw = Callable[[Generator, Flags], Floats]
"""Values of rows, given which of them are the challenger's."""


@dataclass(slots=True)
class Running:
    """The totals of many experiments at once: what `compared` would make of each, row by row, without its buckets.

    Attributes:
        counts: By challenger or not, experiment and bucket, flat, as the next.
        sums: Around 0.
        rows: Shape (2, experiments), as all that follow.
        total: Of the values.
        squares: Of the buckets' sums, added up over buckets.
        products: Of sums and counts, likewise.
        sizes: Of the squared counts, likewise.
    """

    experiments: int
    most: float = math.nan
    counts: Floats = field(init=False)
    sums: Floats = field(init=False)
    rows: Floats = field(init=False)
    total: Floats = field(init=False)
    squares: Floats = field(init=False)
    products: Floats = field(init=False)
    sizes: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.counts, self.sums = np.zeros((2, 2 * self.experiments * BUCKETS))
        self.rows, self.total, self.squares, self.products, self.sizes = np.zeros((5, 2, self.experiments))

    def take(self, arms: Flags, buckets: Counts, values: Floats) -> None:
        """One row of each experiment."""
        of = arms * self.experiments + np.arange(self.experiments)
        place = of * BUCKETS + buckets
        count, total = self.counts[place], self.sums[place]
        self.rows.reshape(-1)[of] += 1
        self.total.reshape(-1)[of] += values
        self.squares.reshape(-1)[of] += values * (2 * total + values)
        self.products.reshape(-1)[of] += total + values * (count + 1)
        self.sizes.reshape(-1)[of] += 2 * count + 1
        self.counts[place] = count + 1
        self.sums[place] = total + values

    def pair(self) -> Pair:
        n = self.rows
        means = self.total / n
        pulls = (self.squares - 2 * means * self.products + means**2 * self.sizes) / n**2
        buckets = n**2 / self.sizes
        variances = np.maximum(pulls, 0) * buckets / (buckets - 1)
        champion, challenger = (
            Arm(
                centre=np.zeros(self.experiments),
                excess=means[i],
                variance=variances[i],
                spread=1 / n[i],
                row=1 / n[i],
                rows=n[i],
                buckets=buckets[i],
            )
            for i in (0, 1)
        )
        return Pair(champion=champion, challenger=challenger, weight=n[0] * n[1] / n.sum(axis=0), most=self.most)


def bernoulli(p: float, other: float | None = None) -> Draw:
    """Shares p, and of the challenger `other`."""
    worse = p if other is None else other
    return lambda rng, arms: (rng.random(arms.shape) < np.where(arms, worse, p)).astype(np.float64)


def lognormal(sigma: float, shift: float = 0.0, factor: float = 1.0) -> Draw:
    return lambda rng, arms: np.exp(sigma * rng.standard_normal(arms.shape)) * np.where(arms, factor, 1) + shift * arms


def student(shift: float = 0.0) -> Draw:
    return lambda rng, arms: rng.standard_t(3, arms.shape) + shift * arms


def pareto(factor: float = 1.0) -> Draw:
    return lambda rng, arms: rng.random(arms.shape) ** (-1 / 2.2) * np.where(arms, factor, 1)


def amounts(share: float = 0.02, other: float | None = None) -> Draw:
    """Zero, but for a share of lognormal ones."""
    worse = share if other is None else other
    some = lognormal(1.0)
    return lambda rng, arms: np.where(rng.random(arms.shape) < np.where(arms, worse, share), some(rng, arms), 0.0)


def mixed(champion: Draw, challenger: Draw) -> Draw:
    return lambda rng, arms: np.where(arms, challenger(rng, arms), champion(rng, arms))


@dataclass(frozen=True, slots=True)
class Case:
    """Variants of which the truth is known: the challenger's mean is `factor` times the champion's plus `margin`."""

    name: str
    draw: Draw
    margin: float = 0.0
    factor: float = 1.0
    most: float = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """Users who come again: their rows share what is theirs.

    Args:
        arms: Who gets the challenger, shape (experiments, users), as the next two.
        buckets: Of their hashes.
        effects: Their own means.
        often: Probabilities with which the next row is each one's, shape (users,).
        share: Rows are 0 or 1.
    """

    arms: Flags
    buckets: Counts
    effects: Floats
    often: Floats
    share: bool

    def rows(self, rng: Generator, rows: int) -> tuple[Flags, Counts, Floats]:
        """Arms, buckets and values, shape (rows, experiments)."""
        shape = (rows, len(self.arms))
        who = np.searchsorted(self.often.cumsum(), rng.random(shape)).clip(0, len(self.often) - 1)
        of = np.arange(len(self.arms))
        effects = self.effects[of, who]
        values = rng.random(shape) < effects if self.share else effects + rng.standard_normal(shape)
        return self.arms[of, who], self.buckets[of, who], values.astype(np.float64)


def users(rng: Generator, *, share: float, errors: bool, experiments: int, number: int = 2000) -> Users:
    """Of 1 to 200 requests each in the long run; users differ as much as their rows, or have errors of their own."""
    often = 1 / (rng.permutation(number) + 10.0)
    shape = (experiments, number)
    effects = rng.beta(0.2, 3.8, shape) if errors else rng.standard_normal(shape)
    return Users(
        arms=rng.random(shape) < share,
        buckets=rng.integers(BUCKETS, size=shape),
        effects=effects,
        often=often / often.sum(),
        share=errors,
    )


Source = Callable[[Generator, int], tuple[Flags, Counts, Floats]]


def apart(many: Users) -> Source:
    """The same rows, every one in a bucket by chance, as if each were of a user of its own."""

    def rows(rng: Generator, number: int) -> tuple[Flags, Counts, Floats]:
        arms, buckets, values = many.rows(rng, number)
        return arms, rng.integers(BUCKETS, size=buckets.shape), values

    return rows


def strangers(case: Case, share: float, experiments: int) -> Source:
    """Rows that are all of different users."""

    def rows(rng: Generator, number: int) -> tuple[Flags, Counts, Floats]:
        arms = rng.random((number, experiments)) < share
        return arms, rng.integers(BUCKETS, size=arms.shape), case.draw(rng, arms)

    return rows


@dataclass(frozen=True, slots=True)
class Looked:
    """What one look at all experiments finds, or the first row at which it was found; shape (budgets, experiments)."""

    low: Flags
    high: Flags


def look(running: Running, case: Case, budgets: Sequence[float]) -> Looked:
    """Whose interval is wholly below the truth, or above it."""
    with np.errstate(divide="ignore", invalid="ignore"):
        pair = running.pair()
        enough = (running.rows >= MIN_ROWS).all(axis=0)
        beyond = pair.difference(case.factor) - case.margin
        radius = np.array([pair.radius(case.factor, wrong) for wrong in budgets])
        return Looked(enough & (beyond < -radius), enough & (beyond > radius))


def misses(source: Source, case: Case, rows: int, experiments: int, seed: int) -> tuple[Floats, Floats]:
    """Share of the experiments whose interval was ever below, and ever above the truth, by budget."""
    rng, running = default_rng(seed), Running(experiments, case.most)
    low, high = np.zeros((2, len(BUDGETS), experiments), dtype=bool)
    for start in range(0, rows, CHUNK):
        for index, row in enumerate(zip(*source(rng, CHUNK), strict=True)):
            running.take(*row)
            if (start + index + 1) % EVERY == 0 and start >= 2 * MIN_ROWS - CHUNK:
                seen = look(running, case, BUDGETS)
                low, high = low | seen.low, high | seen.high
    below, above = low.mean(axis=1), high.mean(axis=1)
    return np.asarray(below), np.asarray(above)
