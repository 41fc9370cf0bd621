"""Whether a feature that has drifted is back: evidence for what it was against what it drifted to.

A CUSUM of log-likelihood ratios, W <- max(0, W + c @ ln(before / after)) for the counts c of each batch. While the
feature stays where it drifted to, W reaches ln(R) once in R rows at most, on average (Lorden 1971); that is nominal,
since `after` is estimated: from the rows of the alarm, which was lucky to come so soon, and then from all that came
before W was last 0. Once it is back, W grows by the divergence of `before` from `after` a row: about as many
rows tell that a change is over as told that it had come.
"""

from dataclasses import dataclass, field

import numpy as np

from sidecar.stats.moments import Counts, Flags, Floats

STAYS_FOR = 10_000.0
"""Rows of a lasting drift, at least, in which it is once taken for over."""

STATE = ("away", "log_ratios", "nats", "before", "drifted", "doubtful")
"""The attributes that change: what to save over a restart of the process."""

MAX_RATIO = 50.0
"""No row counts for more than ln of it, as in the detector that found the change."""


@dataclass(slots=True)
class Returning:
    """Follows features that have drifted, until each is back.

    Args:
        shape: k features, B bins.

    Attributes:
        away: The features that are not back yet, shape (k,).
        log_ratios: Ln(before / after) by bin, shape (k, B); 0 where nothing drifted.
        nats: W, shape (k,).
        before: Shares while all was well, shape (k, B).
        drifted: Rows since the change, shape (k, B).
        doubtful: Rows since W was last 0, which may be those of before again, shape (k, B).

    Example:
        >>> returning = Returning(shape=(1, 2))
        >>> returning.start(0, before=np.array([0.5, 0.5]), after=np.array([0.1, 0.9]), rows=100)
        >>> returning.update(np.array([[3, 27]])), returning.update(np.array([[6, 6]]))
        (array([False]), array([False]))
        >>> returning.update(np.array([[6, 5]])), returning.away
        (array([ True]), array([False]))
    """

    shape: tuple[int, int]
    away: Flags = field(init=False)
    log_ratios: Floats = field(init=False)
    nats: Floats = field(init=False)
    before: Floats = field(init=False)
    drifted: Floats = field(init=False)
    doubtful: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.away = np.zeros(self.shape[0], dtype=np.bool_)
        self.log_ratios = np.zeros(self.shape)
        self.nats = np.zeros(self.shape[0])
        self.before = np.zeros(self.shape)
        self.drifted = np.zeros(self.shape)
        self.doubtful = np.zeros(self.shape)

    def start(self, feature: int, before: Floats, after: Floats, rows: int) -> None:
        """Follow a feature from now on; one that is followed already has alarmed again, and is not back.

        Args:
            before: Shares of the bins while all was well, shape (B,).
            after: Since the change; shrunk towards `before` as if one row a bin had come from there.
            rows: That `after` was read from.
        """
        used = before > 0
        if self.away[feature]:
            self.drifted[feature] += self.doubtful[feature]
        else:
            self.drifted[feature] = after * rows + before * used.sum()
        self.before[feature] = before
        self.doubtful[feature] = 0.0
        self.nats[feature] = 0.0
        self.away[feature] = True
        self._learn(self.away & (np.arange(len(self.away)) == feature))

    def update(self, counts: Counts) -> Flags:
        """Take the rows of one batch, shape (k, B); the features that are back with it, shape (k,)."""
        self.nats = np.maximum(self.nats + (counts * self.log_ratios).sum(axis=1), 0.0)
        self.doubtful[self.away] += counts[self.away]
        lasting = self.away & (self.nats == 0.0)
        self.drifted[lasting] += self.doubtful[lasting]
        self.doubtful[lasting] = 0.0
        self._learn(lasting)
        back: Flags = self.away & (self.nats >= np.log(STAYS_FOR))
        self.away &= ~back
        self.log_ratios[back] = 0.0
        self.nats[back] = 0.0
        return back

    def _learn(self, those: Flags) -> None:
        """Take what these features have drifted to from all rows that tell it."""
        before, drifted = self.before[those], self.drifted[those]
        after = drifted / drifted.sum(axis=1, keepdims=True)
        ratios = np.divide(before, after, out=np.ones_like(before), where=(before > 0) & (after > 0))
        self.log_ratios[those] = np.log(np.clip(ratios, 1 / MAX_RATIO, MAX_RATIO))
