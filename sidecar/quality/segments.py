"""The slices of the rows where the loss rose most: one column's bin, or one bin each of two columns.

A slice is named if the mean loss in it rose against the reference, and by more than among all other rows. A rise that
is the same everywhere has no slices. The score of a slice with mean m of n rows now and M of N rows in the reference is
the signed root of a likelihood ratio, which unlike a difference in standard errors holds for rare losses too:

    z = sqrt(2 (n KL(m, p + d) + N KL(M, p)) c / v)      p = (n (m - d) + N M) / (n + N)

with d the rise among all other rows, if they rose, c < 1 for what is not known of d, KL the divergence between coins
and v the variance of a loss per that of a coin: 1 if losses are 0 or 1.

The tails of these are adjusted for all slices looked at (Benjamini & Hochberg 1995), so that of those named a share
`level` at most is expected to be named wrongly, and where nothing rose any is named with probability `level`. That
holds for scores that rise together, as those of slices that share rows do; others pull against each other, by d,
slightly: simulated, not proven.

Of slices that share rows the clearest is named first; another one only if the rows that it does not share with those
before it are as clear as any named. A pair whose parent explains it is left out thereby, and so is a parent whose rise
lies in one pair.

Of more than MOST_PAIRED columns those are paired whose bins tell most of the reference's loss. What comes now has no
say in that: else more slices would have been looked at than are counted.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from sidecar.quality.logistic import association
from sidecar.quality.relation import Labelled
from sidecar.stats.moments import Counts, Flags, Floats

LEAST_ROWS = 50
"""Of a slice, in the reference and now."""

LEVEL = 0.01
"""Of the false discovery rate."""

PRIOR_ROWS = 10.0
"""With the variance of all rows that a slice's own is mixed with: no slice is certain for having had no loss yet."""

_Name = tuple[tuple[int, ...], tuple[int, ...]]
"""Columns and bins of a slice."""

ROUNDING = 1e-9
"""Of a score: sums over a mask and over cells are not added up in the same order."""

TINY = 1e-12
"""The least probability of a loss, and of none."""

MOST_SEGMENTS = 10

MOST_PAIRED = 64
"""Columns of which pairs are looked at: 900,000 slices, a tenth of a second's work. Of 1,000 columns it would be
220 million of them, a minute's work and six gigabytes."""

MOST_TRIED = 300
"""Significant slices, the clearest first, that are compared with those named before."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A slice where the loss rose.

    Args:
        columns: One or two positions.
        bins: The bin of each.
        rows: Of now in it.
        reference_rows: Of the reference in it.
        loss: Mean now.
        reference_loss: Mean in the reference.
        z: Normal score of the rise beyond that of all other rows.
        p_value: Adjusted for all slices looked at.
    """

    columns: tuple[int, ...]
    bins: tuple[int, ...]
    rows: int
    reference_rows: int
    loss: float
    reference_loss: float
    z: float
    p_value: float


@dataclass(frozen=True, slots=True)
class _Side:
    """The reference or now, column by column.

    Args:
        codes: Shape (k, n).
        loss: Shape (n,).
        weights: Shape (n,); 1 on average.
    """

    codes: Counts
    loss: Floats
    weights: Floats

    @classmethod
    def of(cls, rows: Labelled, columns: Counts) -> "_Side":
        total = rows.weights.sum()
        scale = len(rows.weights) / total if total > 0 else 0.0
        return cls(np.ascontiguousarray(rows.codes.T[columns]), rows.loss, rows.weights * scale)

    def inside(self, columns: tuple[int, ...], bins: tuple[int, ...]) -> Flags:
        """The rows of a slice, shape (n,)."""
        out: Flags = (self.codes[list(columns)] == np.array(bins)[:, None]).all(axis=0)
        return out

    def sums(self, rows: Flags | slice = slice(None)) -> Floats:
        """Rows, w, w^2, w l and w l^2 added up over these rows, by default all, shape (5, 1)."""
        loss, weights = self.loss[rows], self.weights[rows]
        each = len(loss), weights.sum(), weights @ weights, weights @ loss, weights @ loss**2
        return np.array(each, dtype=np.float64)[:, None]


@dataclass(frozen=True, slots=True)
class _Slices:
    """Every bin of k columns, and behind them every pair of bins of every pair of the first columns.

    Args:
        k: Columns.
        paired: How many of them are paired.
        width: Bins of each.
    """

    k: int
    paired: int
    width: int

    def sums(self, side: _Side) -> Floats:
        """As `_Side.sums`, of all slices, shape (5, S)."""
        n = len(side.loss)
        values = [np.tile(each, self.k) for each in self._values(side)]
        parts = []
        for column in range(-1, self.paired - 1):
            # The bins of the columns behind this one, together with its own: all pairs of this column at once.
            others = side.codes[column + 1 : self.paired] if column >= 0 else side.codes
            size = self.width * self.width if column >= 0 else self.width
            cells = others + np.arange(len(others))[:, None] * size
            if column >= 0:
                cells += side.codes[column] * self.width
            flat, most = cells.ravel(), len(others) * size
            counts = np.bincount(flat, minlength=most).astype(np.float64)
            weighted = [np.bincount(flat, each[: len(others) * n], most) for each in values]
            parts.append(np.stack([counts, *([counts] * (4 - len(weighted))), *weighted]))
        return np.concatenate(parts, axis=1)

    def _values(self, side: _Side) -> list[Floats]:
        """What is added up beside the rows; w and w^2 only where they are not 1."""
        weights = side.weights
        if (weights == 1).all():
            return [side.loss, side.loss**2]
        return [weights, weights**2, weights * side.loss, weights * side.loss**2]

    def name(self, place: int) -> _Name:
        """Columns and bins of the slice that is in this place."""
        pairs = place - self.k * self.width
        if pairs < 0:
            return (place // self.width,), (place % self.width,)
        pair, cell = divmod(pairs, self.width * self.width)
        first, second = (int(column[pair]) for column in np.triu_indices(self.paired, 1))
        return (first, second), (cell // self.width, cell % self.width)


def segments(
    reference: Labelled,
    current: Labelled,
    outputs: int = 0,
    least_rows: int = LEAST_ROWS,
    level: float = LEVEL,
    most: int = MOST_SEGMENTS,
) -> tuple[Segment, ...]:
    """The slices where the loss rose most, the greatest excess (rows times rise) first.

    Args:
        reference: To compare with.
        current: Of the same columns; every loss is a number.
        outputs: How many of the last columns are the model's own answers, which make no slices.
        least_rows: A slice with fewer, on either side, is not looked at; normal tails ask for some 30.
        level: In (0, 0.1].
        most: How many are named.
    """
    k = reference.codes.shape[1] - outputs
    columns = _paired_first(reference, k)
    old, new = _Side.of(reference, columns), _Side.of(current, columns)
    slices = _Slices(k, min(k, MOST_PAIRED), int(max(old.codes.max(initial=-1), new.codes.max(initial=-1))) + 1)
    if not (k and slices.width):
        return ()
    before, after = slices.sums(old), slices.sums(new)
    places = np.flatnonzero((before[0] >= least_rows) & (after[0] >= least_rows))
    before, after = before[:, places], after[:, places]
    scores = _scores(before, after, old.sums(), new.sums())
    p_values = _adjusted(scores)
    named = np.flatnonzero(p_values <= level)
    named = named[np.argsort(-scores[named], kind="stable")]
    names = [slices.name(int(places[at])) for at in named[:MOST_TRIED]]
    least = float(scores[named].min(initial=np.inf))
    kept = list(islice(_apart(old, new, names, least_rows, least), most))
    found = [
        Segment(
            tuple(columns[list(names[place][0])].tolist()),
            names[place][1],
            rows=int(after[0, at]),
            reference_rows=int(before[0, at]),
            loss=float(after[3, at] / after[1, at]),
            reference_loss=float(before[3, at] / before[1, at]),
            z=float(scores[at]),
            p_value=float(p_values[at]),
        )
        for place, at in zip(kept, named[kept], strict=True)
    ]
    return tuple(sorted(found, key=lambda each: -each.rows * (each.loss - each.reference_loss)))


def _paired_first(reference: Labelled, k: int) -> Counts:
    """The columns, those that are paired first, else in their order."""
    if k <= MOST_PAIRED:
        return np.arange(k)
    telling = association(reference.codes[:, :k], reference.loss, reference.weights)
    paired = np.zeros(k, dtype=np.bool_)
    paired[np.argsort(-telling, kind="stable")[:MOST_PAIRED]] = True
    return np.concatenate((np.flatnonzero(paired), np.flatnonzero(~paired)))


def _apart(old: _Side, new: _Side, names: Sequence[_Name], least_rows: int, least: float) -> Iterator[int]:
    """Of the slices, the clearest first, those that are clear still without the rows of those told before."""
    left_old, left_new = np.ones(len(old.loss), dtype=np.bool_), np.ones(len(new.loss), dtype=np.bool_)
    for place, name in enumerate(names):
        inside_old, inside_new = old.inside(*name) & left_old, new.inside(*name) & left_new
        if min(np.count_nonzero(inside_old), np.count_nonzero(inside_new)) < least_rows:
            continue
        rest = _scores(old.sums(inside_old), new.sums(inside_new), old.sums(left_old), new.sums(left_new))
        if rest[0] >= least * (1 - ROUNDING):
            left_old, left_new = left_old & ~inside_old, left_new & ~inside_new
            yield place


def _scores(before: Floats, after: Floats, all_before: Floats, all_after: Floats) -> Floats:
    """Normal scores of the rise in slices beyond that of all other rows, shape (S,).

    Args:
        before: Sums of the slices in the reference, shape (5, S).
        after: Now.
        all_before: Sums of all rows, shape (5, 1).
        all_after: Now.
    """
    old, new = _Means.of(before), _Means.of(after)
    other_old, other_new = _Means.of(all_before - before), _Means.of(all_after - after)
    margin = np.maximum(other_new.mean - other_old.mean, 0)
    share = np.clip((new.rows * (new.mean - margin) + old.rows * old.mean) / (new.rows + old.rows), TINY, 1 - TINY)
    raised = np.clip(share + margin, TINY, 1 - TINY)
    nats = new.rows * _divergence(new.mean, raised) + old.rows * _divergence(old.mean, share)
    variance = old.variance / old.rows + new.variance / new.rows
    its_variance = other_old.variance / other_old.rows + other_new.variance / other_new.rows
    known = _ratio(variance, variance + np.where(margin > 0, its_variance, 0.0))
    out: Floats = np.sign(new.mean - old.mean - margin) * np.sqrt(2 * nats * known / _dispersion(old, new))
    return out


@dataclass(frozen=True, slots=True)
class _Means:
    """Of the rows of S slices on one side, all of shape (S,): effective rows, mean of the loss and its variance."""

    rows: Floats
    mean: Floats
    variance: Floats

    @classmethod
    def of(cls, sums: Floats) -> "_Means":
        # What is left of sums after others were taken off may be a rounding error below 0.
        rows, weight, square, loss, squared = np.maximum(sums, 0)
        some = np.where(rows > 0.5, weight, 0.0)
        mean = np.clip(_ratio(loss, some), 0, 1)
        return cls(_ratio(some**2, square), mean, np.maximum(_ratio(squared, some) - mean**2, 0))


def _divergence(mean: Floats, share: Floats) -> Floats:
    """Kullback and Leibler's, in nats, between coins that show heads with these probabilities."""
    tails = 1 - mean
    out: Floats = mean * np.log(np.maximum(mean, TINY) / share) + tails * np.log(np.maximum(tails, TINY) / (1 - share))
    return np.maximum(out, 0)


def _dispersion(old: _Means, new: _Means) -> Floats:
    """The variance of a row's loss per what it would be if every loss were 0 or 1, in (0, 1].

    Mixed with PRIOR_ROWS for which it is 1: where all losses are alike so far, they need not stay so.
    """
    n = old.rows + new.rows
    coins = old.rows * old.mean * (1 - old.mean) + new.rows * new.mean * (1 - new.mean)
    ratio = np.nan_to_num(_ratio(old.rows * old.variance + new.rows * new.variance, coins), nan=1.0)
    out: Floats = np.minimum((n * ratio + PRIOR_ROWS) / (n + PRIOR_ROWS), 1)
    return out


def _ratio(above: Floats, below: Floats) -> Floats:
    """The quotient; NaN where that is not a positive number."""
    out: Floats = np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 0)
    return out


def _adjusted(scores: Floats) -> Floats:
    """Benjamini & Hochberg's p-values of the scores' upper tails, shape (S,); 1 for NaN, and for tails above 0.16."""
    tails = np.ones(len(scores))
    for at in np.flatnonzero(scores >= 1):
        tails[at] = 0.5 * math.erfc(scores[at] / math.sqrt(2))
    order = np.argsort(tails, kind="stable")
    raised = tails[order] * len(tails) / np.arange(1, len(tails) + 1)
    out = np.empty(len(tails))
    out[order] = np.minimum(np.minimum.accumulate(raised[::-1])[::-1], 1.0)
    return out
