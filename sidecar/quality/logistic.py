"""Ridge regressions on the bins of k columns: a row is one 0 or 1 for every bin of every column that is known.

With the matrix X of these, an intercept a, effects b, row weights w and penalties l, one for each effect, they minimise

    least squares    sum w (y - a - X b)^2 + sum l b^2
    logistic         2 sum w (log(1 + exp(s)) - y s) + sum l b^2    s = a + X b, 0 <= y <= 1

which for a single penalty is what scikit-learn's Ridge(alpha=l) and LogisticRegression(C=1/l) do. All bins of a column
have effects, none is left out: the penalty makes them unique, and centres them.
"""

from dataclasses import dataclass

import numpy as np

from sidecar.stats.moments import Counts, Flags, Floats

MOST_PLACES = 320
"""Bins of all columns together that a regression has effects for: 4,000 rows take a tenth of a second with them."""

INTERCEPT_PENALTY = 1e-9
"""Too small to pull it; without rows the equations are solvable all the same."""

MOST_STEPS = 30
"""Of Newton's method; with a penalty it takes four to eight."""

SMALL_STEP = 1e-4
"""In logits. Steps shrink quadratically: what is left behind one of this size is some 1e-8."""

MOST_LOGITS = 30.0
"""Beyond these a probability is 0 or 1 to thirteen digits."""


@dataclass(frozen=True, slots=True)
class Coding:
    """Which bins of which columns have an effect, and its place among the effects.

    Args:
        places: Shape (k, B + 1); `size` for a bin without effect. The last of a column stands for codes not met before.
        size: How many bins have one.
    """

    places: Counts
    size: int

    @classmethod
    def learn(cls, codes: Counts, values: Floats, weights: Floats, most: int = MOST_PLACES) -> "Coding":
        """The bins that rows with weight fall into.

        Of columns that have more than `most` bins together, those are taken first whose bins tell most of the values:
        the share of their variance between the bins, less what chance would add (`association`).

        Args:
            codes: Bins of the rows, from 0 on, shape (n, k).
            values: What the regression will be of, shape (n,).
            weights: Shape (n,), not negative.
            most: At least 1.
        """
        width = int(codes.max(initial=-1)) + 1
        seen = by_bin(codes, width, weights) > 0
        order = np.argsort(-association(codes, values, weights), kind="stable")
        taken = np.zeros(len(seen), dtype=np.bool_)
        taken[order[np.cumsum(seen[order].sum(axis=1)) <= most]] = True
        kept = seen & taken[:, None]
        size = int(kept.sum())
        places = np.full((len(seen), width + 1), size)
        places[:, :-1][kept] = np.arange(size)
        return cls(places, size)

    def matrix(self, codes: Counts) -> Floats:
        """X with a last column of ones for the intercept, shape (n, size + 1)."""
        n, k = codes.shape
        out = np.zeros((n, self.size + 1))
        out[np.arange(n)[:, None], self.places[np.arange(k), known(codes, self.places.shape[1] - 1)]] = 1.0
        out[:, -1] = 1.0
        return out

    def of(self, column: int) -> Flags:
        """Which effects are this column's, shape (size + 1,) with the intercept last."""
        out = np.zeros(self.size + 1, dtype=np.bool_)
        out[self.places[column]] = True
        out[-1] = False
        return out

    def penalties(self, penalty: float) -> Floats:
        """The same for every effect, and next to none for the intercept, shape (size + 1,)."""
        out: Floats = np.full(self.size + 1, penalty)
        out[-1] = INTERCEPT_PENALTY
        return out

    def effects(self, solution: Floats) -> "Effects":
        """What a regression has found, shape (size + 1,), by column and bin."""
        return Effects(float(solution[-1]), np.append(solution[:-1], 0.0)[self.places])


@dataclass(frozen=True, slots=True)
class Effects:
    """A sum of one number for each column, by its bin.

    Args:
        intercept: What a row begins with.
        table: Shape (k, B + 1); the last of a column, 0, is for codes not met before.
    """

    intercept: float
    table: Floats

    def __call__(self, codes: Counts) -> Floats:
        """The sums of n rows, shape (n,)."""
        k, width = self.table.shape
        out: Floats = self.intercept + self.table[np.arange(k), known(codes, width - 1)].sum(axis=1)
        return out


def by_bin(codes: Counts, width: int, values: Floats) -> Floats:
    """Sums of the values, shape (n,), over the rows in each bin; shape (k, width). Codes beyond these are left out."""
    k = codes.shape[1]
    flat = (known(codes, width) + np.arange(k) * (width + 1)).ravel()
    sums = np.bincount(flat, np.repeat(values, k), minlength=k * (width + 1))
    return sums.astype(np.float64, copy=False).reshape(k, width + 1)[:, :width]


def association(codes: Counts, values: Floats, weights: Floats) -> Floats:
    """The share of the values' variance that lies between a column's bins, shape (k,).

    It is adjusted for the number of bins, as R^2 is: 0 on average where a column tells nothing, and then often below.
    -inf where a column has one bin only, or the values do not vary.
    """
    width = int(codes.max(initial=-1)) + 1
    rows = by_bin(codes, width, weights)
    used = (rows > 0).sum(axis=1)
    n = effective_rows(weights)
    mean = weights @ values / max(weights.sum(), np.finfo(float).tiny)
    total = weights @ (values - mean) ** 2
    sums = by_bin(codes, width, weights * (values - mean))
    between = np.divide(sums**2, rows, out=np.zeros_like(rows), where=rows > 0).sum(axis=1)
    out = np.full(len(rows), -np.inf)
    judged = (used > 1) & (total > 0) & (n > used)
    out[judged] = 1 - (1 - between[judged] / total) * (n - 1) / (n - used[judged])
    return out


def effective_rows(weights: Floats) -> float:
    """How many rows of equal weight tell as much: (sum w)^2 / sum w^2 (Kish); 0 without any weight."""
    top = weights.max(initial=0.0)
    if top == 0:
        return 0.0
    scaled = weights / top
    return float(scaled.sum() ** 2 / (scaled @ scaled))


def evened(weights: Floats) -> Floats:
    """The same weights, adding up to `effective_rows`: a penalty then weighs as much as with rows of weight 1."""
    rows = effective_rows(weights)
    if rows == 0:
        return np.zeros_like(weights)
    scaled: Floats = weights / weights.max()
    out: Floats = scaled * (rows / scaled.sum())
    return out


def least_squares(gram: Floats, cross: Floats, penalties: Floats) -> Floats:
    """The effects with the intercept last, shape (d,).

    Args:
        gram: X' W X of `Coding.matrix`, shape (d, d).
        cross: X' W y, shape (d,).
        penalties: Above 0 but for the intercept's, shape (d,).
    """
    return np.asarray(np.linalg.solve(gram + np.diag(penalties), cross), dtype=np.float64)


def logistic(matrix: Floats, values: Floats, weights: Floats, penalties: Floats) -> Floats:
    """Likewise, by Newton's method with steps halved where one would not help; NaN without any weight.

    Args:
        matrix: `Coding.matrix`, shape (n, d).
        values: In [0, 1], shape (n,).
        weights: Shape (n,).
        penalties: As for `least_squares`.
    """
    solution: Floats = np.zeros(matrix.shape[1])
    total, positive = float(weights.sum()), float(weights @ values)
    if not 0 < positive < total:
        # All alike: the intercept would go to infinity.
        solution[-1] = np.nan if total == 0 else MOST_LOGITS * (1 if positive > 0 else -1)
        return solution
    solution[-1] = np.log(positive / (total - positive))
    scores = matrix @ solution
    loss = _loss(scores, values, weights, solution, penalties)
    for _ in range(MOST_STEPS):
        shares = probabilities(scores)
        slope = matrix.T @ (weights * (values - shares)) - penalties * solution
        rooted = matrix * np.sqrt(weights * shares * (1 - shares))[:, None]
        step = np.linalg.solve(rooted.T @ rooted + np.diag(penalties), slope)
        change = matrix @ step
        size = 1.0
        while (
            after := _loss(scores + size * change, values, weights, solution + size * step, penalties)
        ) > loss and size >= SMALL_STEP:
            size /= 2
        solution, scores, loss = solution + size * step, scores + size * change, after
        if size * np.abs(change).max() < SMALL_STEP:
            break
    return solution


def probabilities(scores: Floats) -> Floats:
    """1 / (1 + exp(-s))."""
    out: Floats = 1 / (1 + np.exp(-np.clip(scores, -MOST_LOGITS, MOST_LOGITS)))
    return out


def _loss(scores: Floats, values: Floats, weights: Floats, solution: Floats, penalties: Floats) -> float:
    return float(weights @ (np.logaddexp(0, scores) - values * scores) + penalties @ solution**2 / 2)


def known(codes: Counts, width: int) -> Counts:
    """The codes, with `width` for those that are not below it, or below 0."""
    out: Counts = np.where((codes < 0) | (codes >= width), width, codes)
    return out
