"""The rows of the reference and those of now, weighted so that both are distributed alike: overlap weights.

With p(x) the probability that a row x is one of now, by a logistic regression between the two, which weigh alike, rows
of now weigh 1 - p and rows of the reference p. Both are then distributed as the product of the two densities over their
sum, and no row weighs more than 1, however far the inputs have moved: where one side has no rows, the other's count
little.

References:
    Li, Morgan, Zaslavsky, Balancing covariates via propensity score weighting, Journal of the American Statistical
    Association 113, 2018.
"""

import math
from dataclasses import dataclass

import numpy as np

from sidecar.quality.carriers import Side
from sidecar.quality.logistic import Coding, effective_rows, evened, logistic, probabilities
from sidecar.stats.moments import Counts, Flags, Floats

PENALTY = 1.0
"""Of the regression. With 30 or 100, simulated shifts of several inputs by a standard deviation leave it too flat: what
the inputs do is then taken for the relation's."""


@dataclass(frozen=True, slots=True)
class Matched:
    """The m rows of the reference, and behind them the n rows of now.

    Args:
        codes: Bins, from 0 on, shape (m + n, k).
        now: Which rows are of now, shape (m + n,).
        plain: Weights as they came; those of the reference add up to 1, and those of now; NaN where they are all 0.
        weights: Overlap weights, likewise.
        overlap: How much of now the reference has rows like, in [0, 1]: 1 where both are distributed alike.
    """

    codes: Counts
    now: Flags
    plain: Floats
    weights: Floats
    overlap: float

    @classmethod
    def of(cls, before: tuple[Counts, Floats], after: tuple[Counts, Floats]) -> "Matched":
        """From codes and weights of the reference's rows and of now's.

        Args:
            before: Shapes (m, k) and (m,).
            after: Shapes (n, k) and (n,).
        """
        codes = np.concatenate((before[0], after[0]))
        now = np.arange(len(codes)) >= len(before[0])
        plain = _shares(now, np.concatenate((before[1], after[1])))
        if np.isnan(plain).any() or now.all() or not now.any():
            return cls(codes, now, plain, np.full(len(codes), np.nan), math.nan)
        is_now, weights = now.astype(np.float64), evened(plain)
        coding = Coding.learn(codes, is_now, weights)
        matrix = coding.matrix(codes)
        chances = probabilities(matrix @ logistic(matrix, is_now, weights, coding.penalties(PENALTY)))
        matched = plain * np.where(now, 1 - chances, chances)
        return cls(codes, now, plain, _shares(now, matched), min(1.0, 2 * float(matched[now].sum())))

    def difference(self, weights: Floats, values: Floats) -> tuple[float, float, Floats]:
        """The means of the reference and of now, and by how much each row pulls their difference, shape (m + n,).

        Args:
            weights: `plain`, or those of overlap.
            values: Shape (m + n,).
        """
        now = self.now
        before, after = _mean(weights[~now], values[~now]), _mean(weights[now], values[now])
        return before, after, weights * np.where(now, values - after, before - values)

    def sides(self, weights: Floats, rest: Floats) -> tuple[Side, Side]:
        """The rows of the reference and those of now, with these weights and values of all."""
        old, now = ~self.now, self.now
        return Side(self.codes[old], rest[old], weights[old]), Side(self.codes[now], rest[now], weights[now])

    def rows(self, weights: Floats) -> tuple[float, float]:
        """Effective rows of the reference and of now; 0 where there are none."""
        return effective_rows(np.nan_to_num(weights[~self.now])), effective_rows(np.nan_to_num(weights[self.now]))


def _mean(weights: Floats, values: Floats) -> float:
    """By weights that add up to 1; NaN of nothing."""
    return float(weights @ values) if len(weights) else math.nan


def _shares(now: Flags, weights: Floats) -> Floats:
    """Weights that add up to 1 on either side; NaN on one where they are all 0."""
    out = np.full(len(weights), np.nan)
    for side in (now, ~now):
        total = weights[side].sum()
        if total > 0:
            out[side] = weights[side] / total
    return out
