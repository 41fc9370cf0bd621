"""Sequential detector of drift: evidence against the reference's bins, row upon row, within a budget of false alarms.

Every feature has a Shiryaev-Roberts e-detector (Shin, Ramdas, Rinaldo, arXiv 2203.03532) for each of A alternatives,

    M <- (M + n) L        n rows of a batch, L its likelihood ratio (`betting`), M = 0 at first and after an alarm,

mixed with fixed weights; M <- M L where the alternative does not bet on the batch. While nothing changes
E[L | past] <= 1, so that E[M] grows by n a batch at most, restarts included: in R rows M reaches k T at most R / (k T)
times on average, and k features together R / T times.

Proven: this, for independent rows, whatever the dependence of features within a row, for continuous features with
edges at order statistics of the reference and no tolerance; on average over references as over rows; up to a feature's
first alarm. Simulated only: categories, atoms, what is missing (there the urn holds on average over a prior of the
shares, not for each), edges from a sketch, a tolerance, and what follows an alarm, whose rows then leave the urn.
"""

import math
from copy import copy
from dataclasses import dataclass, field

import numpy as np

from sidecar.detectors.betting import WINDOWS, Fixed, describe, fixed_bets, free_ratios, log_likelihood_ratios
from sidecar.detectors.combining import e_bh
from sidecar.stats.moments import Counts, Flags, Floats

DOUBT = 4.0
"""Nats by which a beginning may be less likely than the likeliest, for its rows still to count as those of the change.
Rows of a lasting change that stay in the urn would hide it in the end."""

LEAST_BET = 20.0
"""The relative variance over T rows that a bet must have; with 2, a constant still alarmed after 5 T rows."""

LEVELS, SLOTS = 14, 8
"""Checkpoints: SLOTS of them 2^l batches apart for each l below LEVELS. An age is known to an eighth or so."""


@dataclass(frozen=True, slots=True)
class Change:
    """What an alarm says of one feature.

    Args:
        feature: Its position.
        nats: The evidence.
        alternative: The alternative that carries most of it.
        rows: Rows since the change most likely began (maximum likelihood over the checkpoints).
        before: Shares of the bins in the reference and the live rows before the change, shape (B,).
        after: Shares since then, shape (B,).
        moved: Total variation between the two, in (0, 1), less what chance alone would add.
    """

    feature: int
    nats: float
    alternative: str
    rows: int
    before: Floats
    after: Floats
    moved: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """The answer to one batch.

    Args:
        nats: ln M of each feature, shape (k,), before any restart; -inf before the first row.
        alarms: Features whose evidence is enough, shape (k,).
        changes: One for every alarm.
    """

    nats: Floats
    alarms: Flags
    changes: tuple[Change, ...]


@dataclass(slots=True)
class State:
    """All that changes, in plain arrays: what to save over a restart of the process.

    Args:
        urn: alpha, shape (k, B).
        wealth: ln M of each alternative, shape (k, A).
        recent: Counts that fade over WINDOWS rows, shape (k, W, B).
        seen: Counts of all live rows, shape (k, B).
        marks: `seen` at the checkpoints, shape (LEVELS, SLOTS, k, B).
        restarted: `seen` at the last restart of each feature, shape (k, B).
        batches: How many have come.
    """

    urn: Floats
    wealth: Floats
    recent: Floats
    seen: Counts
    marks: Counts
    restarted: Counts
    batches: int = 0


@dataclass(kw_only=True, slots=True)
class Sequential:
    """An e-detector for every feature, restarted on alarm.

    Without drift at most one alarm per `false_alarms_per` rows is expected, over all features together. With drift in
    some, alarms are given by e-BH on M / T at level 1, so that features that drift together help each other; the budget
    then bounds the expected sum, over all alarms, of the share of features named wrongly.

    Rows that depend on their predecessors break the guarantee. Batches of more than m / 20 rows lose power only. Counts
    of several workers are added before they come here.

    Args:
        reference: Counts of the reference's m rows, shape (k, B).
        ordered: Bins on the number line, in their order, shape (k, B); not categories, not `missing`.
        used: Bins that a row can fall into, shape (k, B); the others are padding.
        false_alarms_per: Rows, T above; at least 1.
        tolerance: Relative change of every bin's share that is no drift yet: 0.01 admits a normal mean that differs by
            0.005 standard deviations, or 2.02 % of missing values for 2 %. It delays alarms for shifts near above it.

    Example:
        >>> reference = np.full((1, 10), 1000)
        >>> detector = Sequential(reference=reference, ordered=reference > 0, used=reference > 0)
        >>> shifted = np.array([[16, 20, 22, 24, 25, 26, 28, 29, 31, 35]])
        >>> [round(float(detector.update(shifted).nats[0]), 1) for _ in range(4)]
        [8.0, 12.4, 16.8, 8.0]
    """

    reference: Counts
    ordered: Flags
    used: Flags
    false_alarms_per: float = 1e6
    tolerance: float = 0.005
    fixed: Fixed = field(init=False)
    state: State = field(init=False)

    def __post_init__(self) -> None:
        self.fixed = fixed_bets(self._urn(), self.ordered, self.used)
        self.state = self._begin()

    def anew(self) -> "Sequential":
        """The same detector before its first row; what follows from the reference is shared, not worked out again."""
        fresh = copy(self)
        fresh.state = self._begin()
        return fresh

    def _urn(self) -> Floats:
        urn: Floats = np.where(self.used, self.reference + 1 / self.used.sum(axis=1, keepdims=True), 0.0)
        return urn

    def _begin(self) -> State:
        k, bins = self.used.shape
        return State(
            urn=self._urn(),
            wealth=np.full(self.fixed.weights.shape, -np.inf),
            recent=np.zeros((k, len(WINDOWS), bins)),
            seen=np.zeros((k, bins), dtype=np.int64),
            marks=np.zeros((LEVELS, SLOTS, k, bins), dtype=np.int64),
            restarted=np.zeros((k, bins), dtype=np.int64),
        )

    def update(self, counts: Counts) -> Evidence:
        """Take one batch.

        Args:
            counts: Of its rows over the bins, shape (k, B); features may have different numbers of rows, or none.
        """
        state, batch = self.state, counts.astype(np.float64)
        _mark(state)
        rows = batch.sum(axis=1, keepdims=True)
        free = free_ratios(state.recent, state.urn, self.fixed.used, rows)
        gains, bets = log_likelihood_ratios(
            self.fixed, state.urn, free, batch, self.tolerance, LEAST_BET / self.false_alarms_per
        )
        with np.errstate(divide="ignore"):
            # Who does not bet begins nothing: what neither loses nor wins would grow by a row a row, of all features
            # that are constant alike, until they alarm together.
            state.wealth = np.logaddexp(state.wealth, np.log(rows * bets)) + gains
        state.urn += batch
        state.seen += counts
        state.recent *= np.exp(-rows / WINDOWS)[:, :, None]
        state.recent += batch[:, None]
        nats = _log_sum(state.wealth + self.fixed.weights)
        alarms = e_bh(nats - math.log(self.false_alarms_per), level=1.0)
        changes = tuple(self._restart(int(feature), float(nats[feature]), free) for feature in np.flatnonzero(alarms))
        return Evidence(nats, alarms, changes)

    def _restart(self, feature: int, nats: float, free: Floats) -> Change:
        """Describe the change of one feature, take its rows out of the urn and begin anew."""
        state = self.state
        best = int(np.argmax(state.wealth[feature] + self.fixed.weights[feature]))
        ratios, name = describe(self.fixed, free, feature, best)
        since, doubtful = _since(state, feature, np.log(ratios))
        state.urn[feature] -= doubtful
        state.wealth[feature] = -np.inf
        state.recent[feature] = 0
        state.restarted[feature] = state.seen[feature]
        before = state.urn[feature] / state.urn[feature].sum()
        rows = int(since.sum())
        after = since / rows
        chance = before * (1 - before) / rows
        moved = 0.5 * float(np.sqrt(np.maximum((after - before) ** 2 - chance, 0)).sum())
        return Change(feature, nats, name, rows, before, after, moved)


def _log_sum(nats: Floats) -> Floats:
    """Logarithms of the sums of exp over the last axis, shape (k,)."""
    top = nats.max(axis=1)
    finite = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        out: Floats = finite + np.log(np.exp(nats - finite[:, None]).sum(axis=1))
    return out


def _mark(state: State) -> None:
    """Keep what had been seen before this batch, for the levels whose turn it is."""
    for level in range(min(LEVELS, (state.batches & -state.batches).bit_length() or LEVELS)):
        state.marks[level, (state.batches >> level) % SLOTS] = state.seen
    state.batches += 1


def _since(state: State, feature: int, log_ratios: Floats) -> tuple[Floats, Floats]:
    """Counts, shape (B,), since the change to an alternative most likely began, and since it may have begun.

    Both begin at a checkpoint, not before the feature's last restart.
    """
    base = state.restarted[feature]
    marks = state.marks[:, :, feature].reshape(-1, len(base))
    marks = np.concatenate((base[None], marks[marks.sum(axis=1) > base.sum()]))
    since = (state.seen[feature] - marks).astype(np.float64)
    rows = since.sum(axis=1)
    before = state.urn[feature] - since
    mean = before @ np.exp(log_ratios) / before.sum(axis=1)
    likely = np.where(rows > 0, since @ log_ratios - rows * np.log(mean), -np.inf)
    plausible = np.where(likely >= likely.max() - DOUBT, rows, 0)
    return since[int(np.argmax(likely))], since[int(np.argmax(plausible))]
