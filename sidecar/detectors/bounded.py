"""Sequential detector of a risen mean: evidence, row upon row, that values in [0, 1] are above a limit on average.

Each of G bets, of fixed size b in (0, 1 / limit), pays L = 1 + b (X - limit) for a value X (Waudby-Smith and Ramdas).
While E[X | past] <= limit, whatever else X does, E[L | past] <= 1, and the Shiryaev-Roberts e-detector (Shin, Ramdas,
Rinaldo) of each,

    M <- (M + 1) L        M = 0 at first and after the end of a change,

and so their mean with fixed weights, grow by 1 a row at most on average. An alarm is given when M reaches T: at most
R / T of them are expected in R rows, R being any number or any stopping time, and the first one not before T rows on
average, however often and whenever one looks. Two things lower that: a row whose value is the limit itself begins
nothing, and an alarm also takes LEAST_NATS of a single beginning. Else whoever is always near the limit would alarm
after T rows, M having grown by their number.

**Weights.** Rows that were kept with unequal probabilities have weights w, 1 over these. The bet is on
X' = limit + (X - limit) w / W instead, W the greatest weight there can be. X' lies between limit and X, so in [0, 1];
and E[X'] - limit = E[w (X - limit)] / W over the rows that were kept, which is a positive multiple of
E[X] - limit over all rows: <= 0 where that is. W has to be known beforehand: a scale that depends on the row's own
weight is not this null any more. A weight above W raises W from that row on, which is exact for what follows only.

**The end.** After an alarm it is asked whether the mean is back: see `Ending`.

References:
    Waudby-Smith, Ramdas, Estimating means of bounded random variables by betting, arXiv 2010.09686.
    Shin, Ramdas, Rinaldo, E-detectors: a nonparametric framework for sequential change detection, arXiv 2203.03532.
    Podkopaev, Ramdas, Tracking the risk of a deployed model and detecting harmful distribution shifts, arXiv
    2110.06177: what `limit_of` carries over of the reference's own uncertainty.
"""

import math
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np

from sidecar.stats.moments import Counts, Flags, Floats

STATE = ("wealth", "scores", "sums", "change", "away", "nats", "max_weight", "followed")
"""The attributes of `Rising` that change: what to save over a restart of the process."""

BETS = 8
"""On 0.10 against 0.13 to 0.20 as fast as 12, and hardly slower than the best single one."""

SHARES = 1 / (1 + np.linspace(-2, 2, BETS) ** 2)
LOG_SHARES: Floats = np.log(SHARES / SHARES.sum())
"""Of the bets in the mixture: the middle ones have five times those at the ends."""

LEAST_BET = 20.0
"""The relative variance over T rows that a bet must have, for rows as scattered as those that are 0 or 1: what has less
does little but count rows."""

MOST_BET = 0.95
"""Times 1 / limit: a single 0 does not ruin it."""

LEAST_LIMIT = 1e-6
"""A limit of 0 would be broken by the first error, whatever the evidence."""

LEAST_NATS = 2.0
"""What the best single beginning must have beside M: where all rows are next to the limit M does little but count."""

STAYS_FOR = 300.0
"""Rows, at least, in which a mean that stays at `level` is once taken for back."""

NEAR = 0.75
"""Where `level` lies on the way from the limit to the risen mean."""

LUCK = 0.25
"""Part of the rise seen at an alarm that is put down to luck, which is why it came so soon."""

LEAST_RISE = 1 / 8
"""Part of the rise seen at an alarm that is never doubted: `level` stays above the limit."""

LEARNED_ROWS = 128
"""After so many rows of a change `level` is worked out again."""

MAX_RANGE = 4096.0
"""Between the greatest bet and the least."""

CHUNK_ROWS = 4096
"""Bounds the memory of one update."""


class Verdict(NamedTuple):
    """The answer to one batch.

    Args:
        nats: Ln M; -inf before the first row, that of the alarm while the change is not over.
        needed: Nats at which an alarm is given, ln T.
        alarm: The mean has risen, as these rows show.
        away: It has, and is not known to be back.
        returned: It is back, as these rows show.
        rows: Since the change most likely began; 0 where nothing speaks for one.
        mean: Of these, weighted; NaN of none.
    """

    nats: float
    needed: float
    alarm: bool
    away: bool
    returned: bool
    rows: int
    mean: float


@dataclass(slots=True)
class Ending:
    """Tells when a risen mean is back, from the rows after the alarm.

    A CUSUM of a bet against "the mean is at `level` or above", W <- max(0, W + ln(1 + b (level - X))), up to
    ln STAYS_FOR. `level` lies between the limit and the mean since the change began; in a row whose E[X | past] is
    `level` or more the bet's expectation is 1 at most, so that W gets there once in STAYS_FOR rows at most (Lorden
    1971; the CUSUM e-detector of Shin, Ramdas, Rinaldo), and far more seldom while the mean stays where it was. The
    mean is learned from all rows since the change began but those since W was last 0, which may be of the return.

    In simulations (tests/bench/worsening.py) a lasting rise to 1.2 to 3 times the limit was taken for over once in
    12,000 rows at most, most of it early after an alarm, and its end was seen in one to three times the alarm's rows.

    Args:
        limit: Of the detector.

    Attributes:
        certain: Rows, weights, and weighted sums of X - limit and its square, of the change, shape (4,).
        doubtful: Likewise of the rows since W was last 0.
        nats: W.
        least: Rise above the limit that is never doubted.
        rows: Since the alarm.
    """

    limit: float
    certain: Floats = field(init=False)
    doubtful: Floats = field(init=False)
    nats: float = field(init=False, default=0.0)
    level: float = field(init=False, default=math.nan)
    least: float = field(init=False, default=0.0)
    rows: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.certain = np.zeros(4)
        self.doubtful = np.zeros(4)

    def start(self, change: Floats) -> None:
        """Begin with the rows of an alarm, summed as in `certain`."""
        self.certain = change * (1, 1, 1 - LUCK, 1)
        self.doubtful = np.zeros(4)
        self.nats, self.rows = 0.0, 0
        self.least = LEAST_RISE * float(change[2] / change[1])
        self._learn()

    def take(self, values: Floats, pulls: Floats, rows: Floats) -> tuple[int, bool]:
        """Bet on rows up to the one that shows the end, or to where `level` is due to be learned.

        Args:
            values: Shape (n,), as the next.
            pulls: w / W.
            rows: What each adds to `certain`, shape (n, 4).

        Returns:
            How many were taken, and whether the change is over.
        """
        due = LEARNED_ROWS - self.rows % LEARNED_ROWS
        path = np.log1p(self._bet() * (self.level - values[:due]) * pulls[:due]).cumsum()
        lowest = np.minimum(np.minimum.accumulate(path), -self.nats)
        nats = path - lowest
        enough = nats >= math.log(STAYS_FOR)
        over = bool(enough.any())
        read = int(enough.argmax()) + 1 if over else len(path)
        self._sort(rows[:read], np.flatnonzero(nats[:read] == 0))
        self.nats = float(nats[read - 1])
        self.rows += read
        if self.rows % LEARNED_ROWS == 0:
            self._learn()
        return read, over

    def _sort(self, rows: Floats, zeros: Counts) -> None:
        """Rows up to the last of those at which W was 0 are certain, those behind it are not."""
        last = int(zeros[-1]) + 1 if zeros.size else 0
        if last:
            self.certain = self.certain + self.doubtful + rows[:last].sum(axis=0)
        self.doubtful = (0 if last else self.doubtful) + rows[last:].sum(axis=0)

    def _learn(self) -> None:
        rise = float(self.certain[2] / self.certain[1])
        self.level = self.limit + NEAR * max(rise, self.least)

    def _bet(self) -> float:
        """What grows fastest where the mean is the limit and the rows are scattered as those of the change."""
        rise, square = self.certain[2:] / self.certain[1]
        gap = self.level - self.limit
        return min(gap / (max(float(square - rise**2), 0.0) + gap**2), MOST_BET / max(1 - self.level, LEAST_LIMIT))


@dataclass(kw_only=True, slots=True)
class Rising:
    """Follows the mean of values in [0, 1] that come row by row, in batches of any size.

    The answer depends on the rows and their order, not on how they were cut into batches. Rows that depend on their
    predecessors break the guarantee as far as E[X | past] goes above the limit. For a fall of the mean give 1 - X; for
    both, two detectors with 2 T each.

    Args:
        limit: What the mean may be, in [0, 1]; see `limit_of`.
        false_alarms_per: Rows, T above; at least 1.
        max_weight: The greatest weight there can be, W above.

    Attributes:
        sizes: Of the bets, shape (G,), as the next two.
        wealth: Ln M of each.
        scores: CUSUM of each: the same for the best single beginning.
        sums: Rows, weights, and weighted sums of X - limit and its square since that beginning, shape (G, 4).
        change: Likewise since the change that is not over began, shape (4,).

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> errors = np.tile([0.0, 0, 0, 1], 100)
        >>> detector = Rising(limit=0.1, false_alarms_per=10_000)
        >>> verdict = detector.update(errors)
        >>> verdict.alarm, verdict.away, round(verdict.mean, 2)
        (True, True, 0.25)
        >>> verdict = detector.update(np.zeros(100))
        >>> verdict.returned, verdict.away
        (True, False)
    """

    limit: float
    false_alarms_per: float = 1e6
    max_weight: float = 1.0
    sizes: Floats = field(init=False)
    wealth: Floats = field(init=False)
    scores: Floats = field(init=False)
    sums: Floats = field(init=False)
    change: Floats = field(init=False)
    away: bool = field(init=False, default=False)
    nats: float = field(init=False, default=-math.inf)
    ending: Ending = field(init=False)

    def __post_init__(self) -> None:
        if not 0 <= self.limit <= 1:
            raise ValueError(f"a limit of {self.limit}, expected one in [0, 1]")
        if not self.false_alarms_per >= 1:
            raise ValueError(f"a false alarm per {self.false_alarms_per} rows, expected at least 1")
        if not 0 < self.max_weight < math.inf:
            raise ValueError(f"a greatest weight of {self.max_weight}, expected a positive number")
        self.limit, self.max_weight = max(float(self.limit), LEAST_LIMIT), float(self.max_weight)
        self.sizes = bet_sizes(self.limit, self.false_alarms_per)
        self.change = np.zeros(4)
        self.ending = Ending(self.limit)
        self._begin()

    @classmethod
    def residual(cls, tolerance: float, *, false_alarms_per: float = 1e6, max_weight: float = 1.0) -> Self:
        """A detector for residuals r in [-1, 1] whose mean may be `tolerance`; it is given (1 + r) / 2."""
        return cls(limit=(1 + tolerance) / 2, false_alarms_per=false_alarms_per, max_weight=max_weight)

    def update(self, values: Floats, weights: Floats | None = None) -> Verdict:
        """Take rows; of none, say how things are.

        Args:
            values: In [0, 1], shape (n,); NaN where a row has none, which leaves it out.
            weights: Rows that each stands for, not negative, shape (n,); all 1 where there are none.

        Raises:
            ValueError: A value or a weight is out of its range, or there are more of one than of the other.
        """
        values, weights = _checked(values, weights)
        scales = np.maximum.accumulate(np.maximum(weights, self.max_weight))
        pulls = weights / scales
        beyond = values - self.limit
        rows = np.stack((np.ones_like(values), weights, weights * beyond, weights * beyond**2), axis=1)
        alarm, returned, done = False, False, 0
        while done < len(values):
            some = slice(done, done + CHUNK_ROWS)
            if self.away:
                read, over = self.ending.take(values[some], pulls[some], rows[some])
                self.change = self.change + rows[some][:read].sum(axis=0)
                returned |= over
                if over:
                    self._begin()
            else:
                read, risen = self._bet(beyond[some] * pulls[some], rows[some])
                alarm |= risen
                if risen:
                    self._follow()
            done += read
        self.max_weight = float(scales.max(initial=self.max_weight))
        return self._verdict(alarm=alarm, returned=returned)

    @property
    def followed(self) -> Floats:
        """What `ending` remembers, shape (12,)."""
        end = self.ending
        return np.array([*end.certain, *end.doubtful, end.nats, end.level, end.least, end.rows])

    @followed.setter
    def followed(self, state: Floats) -> None:
        end = self.ending
        end.certain, end.doubtful = state[:4].copy(), state[4:8].copy()
        end.nats, end.level, end.least = state[8:11].tolist()
        end.rows = int(state[11])

    def _verdict(self, *, alarm: bool, returned: bool) -> Verdict:
        count, weight, total, _ = self.change if self.away else self._since()
        mean = self.limit + float(total / weight) if weight > 0 else math.nan
        needed = math.log(self.false_alarms_per)
        return Verdict(self.nats, needed, alarm, self.away, returned, int(count), mean)

    def _begin(self) -> None:
        self.away, self.nats = False, -math.inf
        self.wealth = np.full(BETS, -np.inf)
        self.scores = np.zeros(BETS)
        self.sums = np.zeros((BETS, 4))

    def _follow(self) -> None:
        self.away = True
        self.change = self._since().copy()
        self.ending.start(self.change)

    def _bet(self, steps: Floats, rows: Floats) -> tuple[int, bool]:
        """Bet on rows up to the first at which the evidence is enough.

        Args:
            steps: X' - limit, shape (n,).
            rows: What each adds to `sums`, shape (n, 4).

        Returns:
            How many were taken, and whether the evidence is enough.
        """
        gains = np.log1p(steps[:, None] * self.sizes)
        paths = gains.cumsum(axis=0)
        # M after row t is exp(path_t) (M_0 + the sum of exp(-path) before each row up to t that begins something).
        begun = np.where(steps[:, None] != 0, gains - paths, -np.inf)
        wealth = paths + np.logaddexp.accumulate(np.concatenate((self.wealth[None], begun)), axis=0)[1:]
        nats = np.logaddexp.reduce(wealth + LOG_SHARES, axis=1)
        scores = paths - np.minimum(np.minimum.accumulate(paths, axis=0), -self.scores)
        enough = (nats >= math.log(self.false_alarms_per)) & (scores.max(axis=1) >= LEAST_NATS)
        risen = bool(enough.any())
        read = int(enough.argmax()) + 1 if risen else len(steps)
        self.wealth, self.nats = wealth[read - 1], float(nats[read - 1])
        self._begin_best(paths[:read], rows[:read])
        self.scores = scores[read - 1]
        return read, risen

    def _begin_best(self, paths: Floats, rows: Floats) -> None:
        """Move the best beginning of every bet behind the row where its path was lowest, if that is better."""
        last = len(paths) - 1 - paths[::-1].argmin(axis=0)
        lowest = paths[last, np.arange(BETS)]
        seen = rows.cumsum(axis=0)
        kept = -self.scores < lowest
        self.sums = seen[-1] + np.where(kept[:, None], self.sums, -seen[last])

    def _since(self) -> Floats:
        """Sums since the likeliest beginning, shape (4,)."""
        since: Floats = self.sums[int(self.scores.argmax())]
        return since


def bet_sizes(limit: float, rows: float) -> Floats:
    """From the least that matters within so many rows to the greatest, by equal factors; shape (G,)."""
    most = MOST_BET / limit
    least = math.sqrt(LEAST_BET / rows / max(limit * (1 - limit), LEAST_LIMIT))
    sizes: Floats = np.geomspace(min(max(least, most / MAX_RANGE), most / 8), most, BETS)
    return sizes


def limit_of(mean: float, rows: float = 0, *, tolerance: float = 0.0, confidence: float = 0.95) -> float:
    """What a mean may be that is to be no worse than a reference's.

    With a reference of n rows this is the upper confidence bound u of its mean, the greatest with
    n kl(mean, u) <= -ln(1 - confidence) (Chernoff; kl of two Bernoulli variables), which holds for all independent
    values in [0, 1], and the tolerance on top: an alarm's error is then that of the detector, or that of the bound.

    Args:
        mean: Of the reference, in [0, 1].
        rows: n; of unequal weights their sum over the greatest; 0 where the mean is stated, and is no estimate.
        tolerance: How much worse is not bad yet, in [0, 1].
        confidence: In (0, 1).

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> limit_of(0.1, tolerance=0.01), round(limit_of(0.1, 10_000), 4)
        (0.11, 0.1075)
    """
    if not (0 <= mean <= 1 and 0 <= tolerance <= 1 and rows >= 0 and 0 < confidence < 1):
        told = f"mean {mean}, rows {rows}, tolerance {tolerance}, confidence {confidence}"
        raise ValueError(f"{told}: expected mean and tolerance in [0, 1], rows >= 0, confidence in (0, 1)")
    upper = _upper_bound(mean, -math.log1p(-confidence) / rows) if rows else mean
    return min(upper + tolerance, 1.0)


def _upper_bound(mean: float, divergence: float) -> float:
    """The greatest u with kl(mean, u) <= divergence, rounded up."""
    low, high = mean, 1.0
    while (middle := (low + high) / 2) not in {low, high}:
        low, high = (middle, high) if _kl(mean, middle) <= divergence else (low, middle)
    return high


def _kl(p: float, q: float) -> float:
    """Divergence of Bernoulli variables, in nats; q is neither 0 nor 1."""
    return sum(a * math.log(a / b) for a, b in ((p, q), (1 - p, 1 - q)) if a > 0)


def _checked(values: Floats, weights: Floats | None) -> tuple[Floats, Floats]:
    """Those rows that have a value, with their weights."""
    values = np.asarray(values, dtype=np.float64)
    weights = np.ones_like(values) if weights is None else np.asarray(weights, dtype=np.float64)
    if values.ndim != 1 or values.shape != weights.shape:
        raise ValueError(f"values and weights of shapes {values.shape} and {weights.shape}, expected the same (n,)")
    known: Flags = ~np.isnan(values)
    values, weights = values[known], weights[known]
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"values from {values.min()} to {values.max()}, expected them in [0, 1]")
    if not ((weights >= 0) & (weights < np.inf)).all():
        raise ValueError(f"weights from {weights.min()} to {weights.max()}, expected finite ones, not negative")
    return values, weights
