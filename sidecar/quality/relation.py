"""Whether the relation P(y | x) has moved, or only the inputs P(x): what is true now beside what x makes one expect.

`Expectation` says from the reference what loss or target a row x has. While only inputs move, what comes differs from
what was expected by little on average.

`decompose` compares the labelled rows of now with those of the reference where both have rows like each other, weighted
so that they are distributed alike (`overlap`). With r = l - e(x), what the loss l is more than expected,

    relation = mean of r over the weighted rows of now - mean of r over the weighted rows of the reference
    inputs   = change of mean l - relation.

The relation's part is 0 on average while P(l | x) stays, if either the weights or e are right (doubly robust). Inputs
that left the reference's range count as moved inputs: the reference cannot tell what the relation was there.

References:
    Cai, Namkoong, Yadlowsky, Diagnosing model performance under distribution shift, arXiv 2303.02011; Chernozhukov et
    al., Double/debiased machine learning, The Econometrics Journal 21, 2018 (cross-fitting).
"""

import math
from dataclasses import dataclass

import numpy as np

from sidecar.quality.carriers import Carrier, carriers, moved
from sidecar.quality.logistic import Coding, Effects, association, effective_rows, evened, least_squares
from sidecar.quality.overlap import Matched
from sidecar.stats.moments import Counts, Floats

FOLDS = 5
"""Row i is in fold i mod 5: of rows in the order of time, every fold has all times."""

PENALTIES = (10.0, 30.0, 100.0, 300.0, 1000.0)
"""Of the effects of all columns but the leading one; which, the folds say. With 10 an effect of a bin of 200 rows keeps
95 % of its size, with 1000 a sixth."""

LEADING_PENALTY = 1.0
"""Of the column that tells most, as a rule the model's own score: shrunk with the others, it would leave them a part of
what it knows better than they do, and errors with it."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """n rows of one version whose labels have come.

    Args:
        codes: The bin of each of k columns, from 0 to 20 or so, shape (n, k); the model's own answers are columns too,
            the last ones. A code not met in the reference tells nothing.
        loss: In [0, 1], shape (n,): 0 or 1 of a classifier, a scaled and clipped error of a regression.
        target: In [0, 1], shape (n,): whether the label is the positive class, whether it is the predicted one of
            several, or an amount scaled to the reference's range.
        weights: Rows of the traffic that each row stands for, shape (n,).
    """

    codes: Counts
    loss: Floats
    target: Floats
    weights: Floats


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the reference makes one expect of a loss or a target in [0, 1], given the bins of a row.

    A ridge regression by least squares on the bins; the column that tells most is hardly penalised. From 2,000 rows,
    the mean of what 1,000 rows bring less what is expected of them is in 95 % of simulations within 0.03 where nothing
    moves, 0.04 where up to three inputs move by half a standard deviation or one by a whole one, 0.08 where three
    inputs do (`python -m tests.bench.relation`).

    Args:
        effects: The regression.
        cross_fitted: What a regression on the other folds expects of each of the reference's m rows, shape (m,).

    Example:
        >>> codes = np.arange(400)[:, None] % 2
        >>> expectation = Expectation.learn(codes, 0.25 + 0.5 * codes[:, 0], np.ones(400))
        >>> expectation(np.array([[0], [1], [7]])).round(2)
        array([0.25, 0.75, 0.5 ])
    """

    effects: Effects
    cross_fitted: Floats

    @classmethod
    def learn(cls, codes: Counts, target: Floats, weights: Floats) -> "Expectation":
        """Learn from the reference's rows; without any with a weight, everything expected is NaN.

        Args:
            codes: Shape (m, k).
            target: In [0, 1], shape (m,).
            weights: Shape (m,).
        """
        if effective_rows(weights) == 0:
            nothing = Effects(math.nan, np.zeros((codes.shape[1], 1)))
            return cls(nothing, np.full(len(target), np.nan))
        weights = evened(weights)
        coding = Coding.learn(codes, target, weights)
        matrix = coding.matrix(codes)
        folds = [slice(fold, None, FOLDS) for fold in range(FOLDS)]
        parts = [_normal(matrix[fold], target[fold], weights[fold]) for fold in folds]
        gram, cross = np.sum([part[0] for part in parts], axis=0), np.sum([part[1] for part in parts], axis=0)
        leading = int(np.argmax(association(codes, target, weights))) if codes.shape[1] else 0

        def fitted(penalty: float) -> Floats:
            penalties, out = _penalties(coding, leading, penalty), np.empty(len(target))
            for fold, part in zip(folds, parts, strict=True):
                out[fold] = matrix[fold] @ least_squares(gram - part[0], cross - part[1], penalties)
            return np.clip(out, 0, 1)

        tried = [(penalty, fitted(penalty)) for penalty in PENALTIES]
        penalty, best = min(tried, key=lambda each: float(weights @ (target - each[1]) ** 2))
        return cls(coding.effects(least_squares(gram, cross, _penalties(coding, leading, penalty))), best)

    def __call__(self, codes: Counts) -> Floats:
        """What is expected of n rows, shape (n,)."""
        out: Floats = np.clip(self.effects(codes), 0, 1)
        return out


def _normal(matrix: Floats, target: Floats, weights: Floats) -> tuple[Floats, Floats]:
    weighted = matrix * weights[:, None]
    return weighted.T @ matrix, weighted.T @ target


def _penalties(coding: Coding, leading: int, penalty: float) -> Floats:
    out = coding.penalties(penalty)
    if len(coding.places):
        out[coding.of(leading)] = LEADING_PENALTY
    return out


@dataclass(frozen=True, slots=True)
class Reference:
    """The labelled rows to compare with, and what they make one expect.

    Args:
        rows: Themselves.
        loss: Expected loss of a row.
        target: Expected target of a row.
    """

    rows: Labelled
    loss: Expectation
    target: Expectation

    @classmethod
    def learn(cls, rows: Labelled) -> "Reference":
        """Learn both expectations, in a tenth of a second or two."""
        loss = Expectation.learn(rows.codes, rows.loss, rows.weights)
        return cls(rows, loss, Expectation.learn(rows.codes, rows.target, rows.weights))


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a change, with its standard error; both NaN where there is nothing to tell it from."""

    change: float
    error: float

    @property
    def z(self) -> float:
        """The change in standard errors: about standard normal where this part is none."""
        return self.change / self.error


@dataclass(frozen=True, slots=True)
class Change:
    """Of the mean of a loss or a target.

    Args:
        before: Mean in the reference.
        after: Mean now.
        inputs: What moved inputs account for.
        relation: What a moved relation does; with `inputs` it adds up to after - before.
        carriers: Along which columns the relation moved.
    """

    before: float
    after: float
    inputs: Part
    relation: Part
    carriers: tuple[Carrier, ...]


@dataclass(frozen=True, slots=True)
class Decomposition:
    """What has moved between the reference and now.

    Args:
        loss: Of the model.
        target: Which a moved relation can change without the loss.
        overlap: How much of now the reference has rows like, in [0, 1]: 1 where both are distributed alike. What is
            said of the relation is said of that part.
        reference_rows: Effective rows of the reference that take part.
        current_rows: Of now.
        moved: How clearly the inputs have moved, by column: normal scores, shape (k,).
    """

    loss: Change
    target: Change
    overlap: float
    reference_rows: float
    current_rows: float
    moved: Floats


def decompose(reference: Reference, current: Labelled, outputs: int = 0) -> Decomposition:
    """Tell what moved inputs do from what a moved relation does; all NaN where either has no row with a weight.

    Args:
        reference: Of the same columns and version.
        current: Some hundreds of rows or more.
        outputs: How many of the last columns are the model's own answers, which carry nothing.
    """
    rows = reference.rows
    matched = Matched.of((rows.codes, rows.weights), (current.codes, current.weights))
    loss = _change(matched, (rows.loss, current.loss), reference.loss, outputs)
    target = _change(matched, (rows.target, current.target), reference.target, outputs)
    inputs = moved(*matched.sides(matched.plain, np.zeros(len(matched.now))))
    return Decomposition(loss, target, matched.overlap, *matched.rows(matched.weights), inputs)


def _change(matched: Matched, values: tuple[Floats, Floats], expectation: Expectation, outputs: int) -> Change:
    """Of a loss or a target, which the reference's rows and those of now have."""
    every = np.concatenate(values)
    m, columns = len(values[0]), matched.codes.shape[1]
    rest = every - np.concatenate((expectation.cross_fitted, expectation(matched.codes[m:])))
    before, after, pulls = matched.difference(matched.plain, every)
    rest_before, rest_after, rest_pulls = matched.difference(matched.weights, rest)
    relation = rest_after - rest_before
    return Change(
        before,
        after,
        inputs=Part(after - before - relation, _error(pulls - rest_pulls, matched)),
        relation=Part(relation, _error(rest_pulls, matched)),
        carriers=carriers(*matched.sides(matched.weights, rest), columns - outputs),
    )


def _error(pulls: Floats, matched: Matched) -> float:
    """The standard error of a difference that the rows pull so.

    As if either side had one row more, half a unit off: rows that are all alike are not certain yet.
    """
    doubt = sum(0.25 / rows**2 if rows else math.nan for rows in matched.rows(matched.plain))
    return math.sqrt(float(pulls @ pulls) + doubt)
