"""Detector of a changed dependence between features, whose own distributions need not have moved.

A sample of the reference's rows is split at random. From half A and the live rows of late it is learned what tells
them apart (`Contrast`), as a score of a row; whether live rows after these still score as half B does is one feature
more for the betting of `Sequential`. Windows of several lengths are learned from side by side: SLOTS stages at a time,
each with its score and its evidence M, begun at 0, and an alarm is given when one of them has M >= SLOTS T.

**At most R / T alarms are expected in R rows without drift.** Proven for independent rows, whatever the features are:
numbers, atoms, categories, missing values, and whatever the dependence between them; for every number of rows R, also
past alarms; on average over references as over rows.

Given half A and the live rows before a stage, its score is a fixed function; rows of half B and rows of the stage are
drawn from one distribution, independently, and so are their scores, which have no ties, since each has a random number
too small to matter added to it. The edges of the bins are order statistics of half B's, so that the bins' masses are
Dirichlet, whose parameters are the gaps between the ranks of the edges, m + 1 in all: exactly the urn of `betting`.
M less the rows of the stage is a supermartingale then, M reaches SLOTS T in a stage of n rows with probability
n / (SLOTS T) at most, and it alarms at most once. Stages begin at fixed numbers of rows, never for the sake of what
half B says, SLOTS of them at a time: the sum over all stages is R / T, whatever they have in common. Stages that are
broken off, at an alarm or when a change is over, lower it only.

What is seen: a changed correlation of the normal scores of two features, of their squares, or of one with the other's
square. Where the margin of a feature moves far that others depend on, by a standard deviation or so, that dependence
may seem to have changed as well.
"""

import math
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field

import numpy as np

from sidecar.detectors.contrast import Contrast, Contrasts
from sidecar.detectors.returning import Returning
from sidecar.detectors.scores import NormalScores, scores_of
from sidecar.detectors.sequential import Sequential
from sidecar.detectors.windows import LEVELS, Window, Windows
from sidecar.stats.columns import Cells
from sidecar.stats.moments import Counts, Floats

MAX_ROWS = 5000
"""Of the sample that are used; memory and the cost of a contrast grow with them."""

MIN_ROWS = 200
"""Of the sample; from fewer nothing can be learned."""

SLICE_RATIO = 1 / 8
"""Rows that are taken at a time, at most, for each of half B: bets on more would have to be held back."""

SLOTS = 2 * LEVELS
"""A stage lasts twice its window, so that two of every length are under way."""

MIN_NAMED = 64
"""Rows of a window that features may be named by."""

BINS = 10
"""Of the scores of half B, of equal mass."""

JITTER = 1e-6
"""Of a score's size: what breaks ties."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two features whose dependence has changed.

    Args:
        features: Their positions.
        squares: Of which of them the square of the score is meant, and not the score itself; see `scores`.
        before: Correlation in the reference.
        after: In the rows that it was learned from.
    """

    features: tuple[int, int]
    squares: tuple[bool, bool]
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Association:
    """What an alarm says.

    Args:
        nats: Ln (M / SLOTS), which has reached ln T.
        pairs: The most surprising first; each two features once.
        rows: Since the beginning of the window in which it was learned.
        before: Shares of the score's bins in the reference, shape (BINS,).
        after: In the rows since it was learned.
        moved: Total variation between the two, in (0, 1), less what chance alone would add.
    """

    nats: float
    pairs: tuple[Pair, ...]
    rows: int
    before: Floats
    after: Floats
    moved: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to one batch.

    Args:
        nats: The greatest evidence, ln (M / SLOTS); -inf while there is nothing to test.
        changes: One for each alarm; a lasting change alarms again.
        away: A change has been found that is not over.
        returned: It is over with this batch.
    """

    nats: float
    changes: tuple[Association, ...]
    away: bool
    returned: bool


@dataclass(frozen=True, slots=True)
class Stage:
    """A score, and how it is counted.

    Args:
        edges: Of the bins, shape (BINS - 1,).
        learned: Rows that the contrast was learned from.
    """

    contrast: Contrast
    edges: Floats
    learned: int

    def count(self, rows: Floats, chance: Floats) -> Counts:
        """The rows by bin, shape (BINS,)."""
        return np.bincount(np.searchsorted(self.edges, _untied(self.contrast, rows, chance)), minlength=BINS)


@dataclass(slots=True)
class State:
    """All that changes besides the evidence and what is returning: what to save over a restart of the process.

    Args:
        windows: Rows to learn from.
        slices: How many there have been; each has its own random numbers.
        stages: Those under way, by slot.
        standing: The stage that found the change that is not over.
    """

    windows: Windows
    slices: int = 0
    stages: dict[int, Stage] = field(default_factory=dict)
    standing: Stage | None = None


@dataclass(kw_only=True, slots=True)
class Dependence:
    """Follows how the features of a row depend on each other; see the module.

    Rows that depend on their predecessors break the guarantee. Features beyond MAX_FEATURES are not looked at.

    Args:
        values: A uniform sample of the reference's rows, shape (m, k), NaN for what is missing or a text; at least
            MIN_ROWS, and no more than MAX_ROWS of them are used.
        texts: By feature, each of length m.
        false_alarms_per: Rows, T above; at least 1.
        seed: Of the split of the sample, and of what breaks ties.

    Raises:
        ValueError: There are fewer than MIN_ROWS, or no features.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> apart = rng.normal(size=(3000, 5))
        >>> detector = Dependence(values=apart, texts={})
        >>> together = rng.normal(size=(500, 5))
        >>> together[:, 3] = 0.8 * together[:, 1] + 0.6 * together[:, 3]
        >>> verdict = detector.update(together, {})
        >>> [pair.features for pair in verdict.changes[0].pairs], verdict.away
        ([(1, 3)], True)
    """

    values: InitVar[Floats]
    texts: InitVar[Mapping[int, Cells]]
    false_alarms_per: float = 1e6
    seed: int = 0
    scores: NormalScores = field(init=False)
    contrasts: Contrasts = field(init=False)
    held_out: Floats = field(init=False)
    chance: Floats = field(init=False)
    ranks: Counts = field(init=False)
    urn: Floats = field(init=False)
    evidence: Sequential = field(init=False)
    returning: Returning = field(init=False)
    state: State = field(init=False)

    def __post_init__(self, values: Floats, texts: Mapping[int, Cells]) -> None:
        if len(values) < MIN_ROWS or not values.shape[1]:
            raise ValueError(f"a sample of shape {values.shape}, expected at least {MIN_ROWS} rows and a feature")
        rng = np.random.default_rng(self.seed)
        order = rng.permutation(len(values))[:MAX_ROWS]
        half = len(order) // 2
        learned, held_out = ((values[rows], _rows_of(texts, rows)) for rows in np.split(order, [half]))
        # Nothing but half A goes into the scores: what is learned knows nothing of half B.
        self.scores = scores_of(*learned)
        self.contrasts = Contrasts(self.scores.score(*learned), self.scores.features)
        self.held_out = self.scores.score(*held_out)
        m = len(self.held_out)
        self.chance = rng.random(m)
        self.ranks = np.arange(1, BINS) * m // BINS
        self.urn = np.diff(self.ranks, prepend=0, append=m + 1).astype(np.float64)
        reference = np.tile(np.diff(self.ranks, prepend=0, append=m), (SLOTS, 1))
        every = np.ones(reference.shape, dtype=np.bool_)
        # Evidence only: it is known here when an alarm is due, and what follows.
        self.evidence = Sequential(
            reference=reference, ordered=every, used=every, false_alarms_per=math.inf, tolerance=0.0
        )
        self.returning = Returning(shape=(1, BINS))
        self.state = State(Windows(len(self.scores.table)))

    def update(self, values: Floats, texts: Mapping[int, Cells]) -> Verdict:
        """Take one batch.

        Args:
            values: Shape (n, k), columns as in the sample; NaN for what is missing or a text.
            texts: By feature, each of length n.
        """
        scored = self.scores.score(values, texts)
        slices = max(1, math.ceil(len(scored) / (SLICE_RATIO * len(self.held_out))))
        verdicts = [self._take(rows) for rows in np.array_split(scored, slices)]
        return Verdict(
            nats=max(verdict.nats for verdict in verdicts),
            changes=tuple(change for verdict in verdicts for change in verdict.changes),
            away=verdicts[-1].away,
            returned=any(verdict.returned for verdict in verdicts),
        )

    def _take(self, rows: Floats) -> Verdict:
        """Test first, learn then: no row is tested by what has been learned from it."""
        chance = np.random.default_rng((self.seed, self.state.slices)).random(len(rows))
        self.state.slices += 1
        returned = self._follow(rows, chance)
        nats, slot = self._test(rows, chance)
        changes = (self._alarm(slot, nats),) if nats >= math.log(self.false_alarms_per) else ()
        for window in self.state.windows.add(rows):
            self._begin(window)
        return Verdict(nats, changes, self.state.standing is not None, returned)

    def _follow(self, rows: Floats, chance: Floats) -> bool:
        """Whether the change that was found is over with these rows."""
        standing = self.state.standing
        if standing is None or not self.returning.update(standing.count(rows, chance)[None])[0]:
            return False
        self.state.standing = None
        self._break_off()
        return True

    def _test(self, rows: Floats, chance: Floats) -> tuple[float, int]:
        """The greatest evidence, as in `Verdict`, and its slot."""
        if not self.state.stages:
            return -math.inf, 0
        counts = np.zeros((SLOTS, BINS), dtype=np.int64)
        for slot, stage in self.state.stages.items():
            counts[slot] = stage.count(rows, chance)
        nats = self.evidence.update(counts).nats
        best = int(np.argmax(nats))
        return float(nats[best]) - math.log(SLOTS), best

    def _alarm(self, slot: int, nats: float) -> Association:
        """Say what has changed, follow it until it is over, and begin anew."""
        stage, evidence = self.state.stages[slot], self.evidence.state
        counts = evidence.seen[slot] - evidence.restarted[slot]
        rows = int(counts.sum())
        before, after = self.urn / self.urn.sum(), counts / rows
        excess = (after - before) ** 2 - before * (1 - before) / rows
        moved = 0.5 * float(np.sqrt(np.maximum(excess, 0)).sum())
        # A later alarm of a lasting change knows it better, and shows that it is not over.
        self.state.standing = stage
        # What alarms first has been lucky: half of the shift that it saw is still a shift.
        self.returning.start(0, before, (before + after) / 2, rows)
        pairs = self._pairs(stage.contrast)
        self._break_off()
        return Association(nats, pairs, stage.learned + rows, before, after, moved)

    def _pairs(self, contrast: Contrast) -> tuple[Pair, ...]:
        """By the window in which they moved most: a score made by chance may have met a change of another pair."""
        waiting = [each for each in self.state.windows.waiting() if each.rows >= MIN_NAMED]
        late = [self.contrasts.of(each.products, each.rows) for each in waiting]
        contrast = max((contrast, *filter(None, late)), key=lambda each: float(each.surprise[0]))
        found: dict[tuple[int, int], Pair] = {}
        for pair, before, after in zip(contrast.pairs, contrast.before, contrast.after, strict=True):
            (one, other), (first, second) = self.scores.features[pair].tolist(), self.scores.squares[pair].tolist()
            features, squares = ((one, other), (first, second)) if one < other else ((other, one), (second, first))
            found.setdefault(features, Pair(features, squares, float(before), float(after)))
        return tuple(found.values())

    def _begin(self, window: Window) -> None:
        """A stage in the place of the older one of its length; none where there is nothing to test."""
        stages, evidence = self.state.stages, self.evidence.state
        slot = 2 * window.level + window.turn
        evidence.urn[slot] = self.urn
        evidence.wealth[slot] = -np.inf
        evidence.recent[slot] = 0
        evidence.restarted[slot] = evidence.seen[slot]
        stages.pop(slot, None)
        contrast = self.contrasts.of(window.products, window.rows)
        if contrast is not None:
            ordered = np.sort(_untied(contrast, self.held_out, self.chance))
            stages[slot] = Stage(contrast, ordered[self.ranks - 1], window.rows)

    def _break_off(self) -> None:
        """End all stages; others begin in their turn."""
        self.state.stages.clear()
        self.evidence.state.wealth[:] = -np.inf


def _untied(contrast: Contrast, rows: Floats, chance: Floats) -> Floats:
    """Scores without ties; also without those differences between equal rows that come of rounding."""
    scores: Floats = contrast.score(rows) + JITTER * np.abs(contrast.weights).sum() * chance
    return scores


def _rows_of(texts: Mapping[int, Cells], rows: Counts) -> dict[int, Cells]:
    return {feature: [cells[row] for row in rows] for feature, cells in texts.items()}
