"""What tells rows of late from the reference's by how their columns depend on each other: a classifier of rows.

Were the columns normal, with correlations C before and C + D now, then the best score of a row a were the quadratic
form a (C^-1 - (C + D)^-1) a. D is taken from a window of rows, for those pairs of columns alone whose correlation has
moved by more than chance would move any of them, and so has a few rows and columns, S, in which it is not 0. With
P = C^-1, its part P_SS = L L' (Cholesky) and the eigenvectors V of L' D_SS L, mu their eigenvalues, the score is

    s(a) = sum over r of mu_r / (1 + mu_r) (q_r a)^2,        q_r = P_:S L'^-1 V_r.

Each q_r a has variance 1 in the reference and 1 + mu_r now. Columns need not be normal for the score to be of use, and
none of it is needed for a guarantee: `Dependence` tests the score on rows that it has not been learned from.
"""

import math
from dataclasses import InitVar, dataclass, field

import numpy as np

from sidecar.stats.moments import Counts, Floats

MAX_PAIRS = 12
"""Of columns in one contrast: those that moved most. They have up to twice as many columns."""

MARGIN = 0.5
"""Deviations beyond what chance is expected to reach: half the cost while nothing changes, alarms a tenth later."""

MIN_VARIANCE = 0.1
"""Of a direction now, where it was 1; also of a column now. An estimate cannot be trusted below."""


@dataclass(frozen=True, slots=True)
class Contrast:
    """A score of rows, and the pairs of columns that it was made for, the most moved first.

    Args:
        directions: Shape (K, R), R at most 2 MAX_PAIRS.
        weights: Of their squares, shape (R,).
        pairs: Shape (p, 2).
        before: Correlation of each pair in the reference, shape (p,).
        after: In the window, shape (p,).
        surprise: Deviations by which it moved, descending, shape (p,).
    """

    directions: Floats
    weights: Floats
    pairs: Counts
    before: Floats
    after: Floats
    surprise: Floats

    def score(self, rows: Floats) -> Floats:
        """Greater for rows that resemble the window more than the reference; shape (n,) for rows of shape (n, K)."""
        scores: Floats = np.square(rows @ self.directions) @ self.weights
        return scores


@dataclass(slots=True)
class Contrasts:
    """Makes contrasts to one reference.

    Args:
        sample: Rows of the reference, shape (m, K): a column of ones, then columns of mean 0 and variance 1.
        features: What each column is about, shape (K,); two columns of one feature are no pair. The second one is
            the first one's square, with all that a line through the first explains taken out.

    Attributes:
        correlations: Of the columns behind the first, shape (K - 1, K - 1) as the next two.
        certainty: 1 / the deviation of two columns' product; 0 for what is no pair, or is one already.
        precision: The inverse of the correlations.
        squares: Columns of a feature that has another before.
        lines: That other one of each.
        threshold: Deviations by which a correlation must have moved.
        rows: m.
    """

    sample: InitVar[Floats]
    features: InitVar[Counts]
    correlations: Floats = field(init=False)
    certainty: Floats = field(init=False)
    precision: Floats = field(init=False)
    squares: Counts = field(init=False)
    lines: Counts = field(init=False)
    threshold: float = field(init=False)
    rows: int = field(init=False)

    def __post_init__(self, sample: Floats, features: Counts) -> None:
        self.rows, k = sample.shape
        columns, about = sample[:, 1:], features[1:]
        self.correlations = columns.T @ columns / self.rows
        squares = np.square(columns)
        variances = np.maximum(squares.T @ squares / self.rows - self.correlations**2, MIN_VARIANCE)
        _, first, which = np.unique(about, return_index=True, return_inverse=True)
        self.squares = np.flatnonzero(first[which] < np.arange(k - 1))
        self.lines = first[which[self.squares]]
        pairs = np.triu(about[:, None] != about)
        self.certainty = pairs / np.sqrt(variances)
        # As if K rows more had come from independent columns: there is an inverse, and its noise is bounded.
        self.precision = np.linalg.inv((self.rows * self.correlations + k * np.eye(k - 1)) / (self.rows + k))
        # Above the greatest of so many normal variables: few windows are contrasted by chance alone, at a cost.
        self.threshold = math.sqrt(2 * math.log(max(2, int(pairs.sum())))) + MARGIN

    def of(self, products: Floats, rows: float) -> Contrast | None:
        """The contrast of a window to the reference; None where no correlation has moved more than chance would.

        Args:
            products: Sum of a a' over the window's rows, shape (K, K).
            rows: How many these are.
        """
        now = self._correlations(products, rows)
        moved = now - self.correlations
        surprise = np.abs(moved) * (self.certainty / math.sqrt(1 / rows + 1 / self.rows))
        if surprise.max(initial=0.0) <= self.threshold:
            return None
        first, second = np.nonzero(surprise > self.threshold)
        top = np.argsort(-surprise[first, second], kind="stable")[:MAX_PAIRS]
        pairs = np.stack((first[top], second[top]))
        found = surprise[pairs[0], pairs[1]]
        before, after = self.correlations[pairs[0], pairs[1]], now[pairs[0], pairs[1]]
        # The largest of many differences are larger than the truth behind them.
        directions, weights = self._best((after - before) * (1 - self.threshold / found), pairs)
        return Contrast(directions, weights, pairs.T + 1, before, after, found)

    def _correlations(self, products: Floats, rows: float) -> Floats:
        """Of the columns behind the first, from sums over rows that begin with a 1.

        A square is taken for what it has beyond a line of its own feature. When only the mean of a feature moves, its
        square gains a line, and with it a correlation with all that correlates with the feature.
        """
        mean = products[0, 1:] / rows
        covariance: Floats = products[1:, 1:] / rows
        covariance -= mean * mean[:, None]
        squares, lines = self.squares, self.lines
        slope = covariance[squares, lines] / np.maximum(covariance[lines, lines], MIN_VARIANCE)
        covariance[squares] -= slope[:, None] * covariance[lines]
        covariance[:, squares] -= slope * covariance[:, lines]
        scale = 1 / np.sqrt(np.maximum(covariance.diagonal(), MIN_VARIANCE))
        covariance *= scale
        covariance *= scale[:, None]
        return covariance

    def _best(self, moved: Floats, pairs: Counts) -> tuple[Floats, Floats]:
        """The directions, shape (K, R), and their weights; see the module."""
        support, places = np.unique(pairs.ravel(), return_inverse=True)
        first, second = places.reshape(2, -1)
        difference = np.zeros((len(support), len(support)))
        difference[first, second] = difference[second, first] = moved
        lower = np.linalg.cholesky(self.precision[np.ix_(support, support)])
        mu, vectors = np.linalg.eigh(lower.T @ difference @ lower)
        mu = np.maximum(mu, MIN_VARIANCE - 1)
        directions = self.precision[:, support] @ np.linalg.solve(lower.T, vectors)
        return np.pad(directions, ((1, 0), (0, 0))), mu / (1 + mu)
