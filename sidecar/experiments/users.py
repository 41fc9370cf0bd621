"""Who was dealt to whom: whether the split kept its shares, and whether users stayed on their side.

**Sample-ratio mismatch.** A split that does not keep its shares has lost some users of one variant, and who is lost is
seldom like who stays: its comparisons mean nothing. The test is that of Lindon and Malek: while users fall to K
variants with the probabilities theta of the weights,

    E = E_p[ prod_i p_i^n_i ] / prod_i theta_i^n_i          p ~ Dirichlet(c theta), n_i users so far,

is a martingale that begins at 1, so that it reaches 1 / a at any time whatever with probability a at most (Ville), and
1 / max E is a p-value at every look. Another time of other weights has another theta and begins with another factor;
the mean over several c is a martingale again.

A user counts once, where he is first seen at all, by the weights of that time. Counting him again in each such time
would multiply one chance by itself: a split by hash keeps him where he is.

Who is dealt to a variant is its user, whoever answers: also while it is ejected, and while it comes back and is spared
some of its requests. Else each ejection would look as if the split lost users.

**Users who changed sides.** Who is seen with two variants while the weights are constant `crossed`: another key for the
same person, a lost cookie, two sidecars of unlike salt. His answers are of both, and what the variants do to him is
not told apart. Who is elsewhere since the weights changed has `moved`, as he should where he must.

Memory: MAX_UNITS users of 14 bytes each, chosen by a hash of theirs; above it the half with the greater hashes is
forgotten, and nobody of that half is counted ever again, so that "first seen" stays true of those who are left.

References:
    Lindon, Malek, Anytime-valid inference for multinomial count data, arXiv 2011.03567.
    Fabijan et al., Diagnosing sample ratio mismatch in online controlled experiments, KDD 2019.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from sidecar.stats.keeping import Array, put_back
from sidecar.stats.moments import Counts, Flags, Floats, Units

MAX_UNITS = 20_000
"""At a share of a half, 1.8 points of mismatch are found with a power of 0.9 among so many; and each later half of them
adds its users to the counts."""

ALARM = 0.001
"""P-value from which on there is a mismatch: looked for in every experiment, and seldom there."""

CONCENTRATIONS = (100.0, 10_000.0)
"""Of the Dirichlet priors, c above: deviations of some 5 points, found at once; of half a point, found at all."""

MOST_LEVELS = 62
"""So often may the sample be halved: 10^23 users."""

MASKS = np.uint16
"""A bit for each of 16 variants."""

_STATE = ("keys", "seen", "counts", "shares", "due", "closed", "peak", "level")


class Mismatch(NamedTuple):
    """What speaks against the split having kept its shares.

    Args:
        p_value: Never greater than before, however often one looks; 1 of no users.
        nats: The evidence of now, the logarithm of the e-value.
        alarm: The shares were not kept.
        counts: Users by the variant that they were first seen with, K.
        shares: Those that the weights of their times would have given on average, K; NaN of no users.
    """

    p_value: float
    nats: float
    alarm: bool
    counts: tuple[int, ...]
    shares: tuple[float, ...]


class Sides(NamedTuple):
    """Where users were seen.

    Args:
        users: In the sample.
        crossed: Share of them who were seen with several variants while the weights were constant; NaN of none.
        moved: Of those who were so, but only since the weights changed; NaN of none.
    """

    users: int
    crossed: float
    moved: float


class Users:
    """A sample of users, and with whom they were seen.

    Args:
        variants: K, at most 16.

    Attributes:
        keys: Hashes of the users, ascending, shape (m,).
        seen: With whom each was seen, one bit a variant: while the weights are as they are; before; and both together
            of whom was seen with several at once, before, else 0; shape (3, m).
        counts: First seen with each variant: since the weights changed; before; shape (2, K).
        shares: By which the weights deal, shape (K,).
        due: How many should have been first seen with each before, shape (K,).
        closed: Nats until then for each concentration.
        peak: The most nats seen.
        level: Only users whose hash is below 2^(63 - level) are in the sample.

    Example:
        >>> users = Users(2)
        >>> users.begin(np.array([0.5, 0.5]))
        >>> users.take(0, np.arange(300, dtype=np.uint64))
        >>> users.take(1, np.arange(290, 500, dtype=np.uint64))
        >>> users.sides
        Sides(users=500, crossed=0.02, moved=0.0)
        >>> round(users.mismatch.p_value, 4)
        0.0011
    """

    def __init__(self, variants: int) -> None:
        self.keys: Units = np.empty(0, dtype=np.uint64)
        self.seen = np.empty((3, 0), dtype=MASKS)
        self.counts = np.zeros((2, variants), dtype=np.int64)
        self.shares = np.zeros(variants)
        self.due = np.zeros(variants)
        self.closed = np.zeros(len(CONCENTRATIONS))
        self.peak = 0.0
        self.level = 0

    def begin(self, shares: Floats) -> None:
        """Go on with other weights.

        Args:
            shares: Not negative, of any sum; shape (K,).
        """
        self.closed, self.due = self._paths, self._due
        self.counts = np.stack((np.zeros_like(self.counts[0]), self.counts.sum(axis=0)))
        self.shares = shares / (shares.sum() or 1.0)
        now, before, crossed = self.seen
        both = now | before
        self.seen = np.stack((np.zeros_like(now), both, np.where(_several(now), both, crossed)))

    def take(self, place: int, units: Units) -> None:
        """Note who was dealt to a variant.

        Args:
            place: The variant's, below K.
            units: Shape (n,).
        """
        hashes = np.unique(scattered(units))
        hashes = hashes[hashes < self._end]
        at = np.searchsorted(self.keys, hashes)
        known = np.zeros(len(hashes), dtype=np.bool_)
        inside = at < len(self.keys)
        known[inside] = self.keys[at[inside]] == hashes[inside]
        self.seen[0, at[known]] |= MASKS(1 << place)
        self._add(place, hashes[~known], at[~known])

    @property
    def mismatch(self) -> Mismatch:
        """What all users so far say."""
        self.peak = max(self.peak, nats := self._nats)
        due, users = self._due, int(self.counts.sum())
        shares = due / users if users else np.full_like(due, np.nan)
        alarm, counts = self.peak >= -math.log(ALARM), tuple(self.counts.sum(axis=0).tolist())
        return Mismatch(math.exp(-self.peak), nats, alarm, counts, tuple(shares.tolist()))

    @property
    def sides(self) -> Sides:
        """Who changed sides."""
        if not len(self.keys):
            return Sides(0, math.nan, math.nan)
        now, before, crossed = self.seen
        apart = _several(now) | (crossed != 0)
        moved = _several(now | before) & ~apart
        return Sides(len(self.keys), float(apart.mean()), float(moved.mean()))

    def state(self) -> dict[str, Array]:
        """All of it."""
        return {name: np.asarray(getattr(self, name)) for name in _STATE}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Go on from a state.

        Raises:
            KeyError: A part of it is missing.
            ValueError: It is no such state.
        """
        # Of users there may be any number.
        users = len(state["keys"])
        self.keys, self.seen = np.empty(users, dtype=np.uint64), np.empty((3, users), dtype=MASKS)
        put_back(self, _STATE, "", state)

    @property
    def _end(self) -> np.uint64:
        return np.uint64(1 << (63 - self.level))

    @property
    def _due(self) -> Floats:
        due: Floats = self.due + self.counts[0].sum() * self.shares
        return due

    def _add(self, place: int, hashes: Units, at: Counts) -> None:
        """Let users into the sample, each before the one at his place."""
        # Who comes by a variant without a share does so against the split's own decision: nothing is known of chance.
        if self.shares[place] > 0:
            self.counts[0, place] += len(hashes)
        self.keys = np.insert(self.keys, at, hashes)
        new = np.array([1 << place, 0, 0], dtype=MASKS)[:, None]
        self.seen = np.insert(self.seen, at, new, axis=1)
        while len(self.keys) > MAX_UNITS and self.level < MOST_LEVELS:
            self.level += 1
            kept = int(np.searchsorted(self.keys, self._end))
            self.keys, self.seen = self.keys[:kept].copy(), self.seen[:, :kept].copy()

    @property
    def _paths(self) -> Floats:
        """Nats for each concentration."""
        some = self.shares > 0
        each = [_evidence(self.counts[0, some], self.shares[some], size) for size in CONCENTRATIONS]
        paths: Floats = self.closed + np.array(each)
        return paths

    @property
    def _nats(self) -> float:
        return float(np.logaddexp.reduce(self._paths)) - math.log(len(CONCENTRATIONS))


def scattered(units: Units) -> Units:
    """Hashes in [0, 2^63) that say nothing of the bits by which the split goes (SplitMix64; Steele, Lea, Flood 2014).

    A sample by the split's own hash would hold the users of one variant only.

    >>> scattered(np.array([0, 1], dtype=np.uint64)).tolist() == [0, 0x5692161D100B05E5 >> 1]
    True
    """
    mixed = units.astype(np.uint64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    result: Units = (mixed ^ (mixed >> np.uint64(31))) >> np.uint64(1)
    return result


def _evidence(counts: Counts, shares: Floats, size: float) -> float:
    """Ln of the Dirichlet mixture's likelihood over that of the shares."""
    users = int(counts.sum())
    nats = math.lgamma(size) - math.lgamma(size + users)
    for count, share in zip(counts.tolist(), shares.tolist(), strict=True):
        nats += math.lgamma(size * share + count) - math.lgamma(size * share) - count * math.log(share)
    return nats


def _several(masks: Array) -> Flags:
    """Whether more than one bit is set."""
    several: Flags = (masks & (masks - MASKS(1))) != 0
    return several
