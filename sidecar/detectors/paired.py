"""Sequential detector of a challenger that is worse than the champion: evidence from pairs of their losses.

The k-th loss of the one is paired with the k-th of the other, in the order in which they come, whoever comes first; the
mean of their differences is watched by `bounded`. What moves both moves no difference, however it moves: no reference
is needed, and none grows old.

While E[challenger's loss | past] - E[champion's | past] <= tolerance in every pair, one false alarm is expected in
`false_alarms_per` pairs at most. Which losses are paired, and which are dropped, depends on how many have come, never
on what they are, so that bursts, delays and a split of 90 to 10 do no harm. The two of a pair may be as far apart in
time as `max_waiting` losses last: a change of both within less than that can seem to be one of their difference.
"""

from dataclasses import dataclass, field

import numpy as np

from sidecar.detectors.bounded import Rising, Verdict
from sidecar.stats.moments import Floats

STATE = ("waiting", "champions", "challengers", "dropped")
"""The attributes that change, beside those of `rising`: what to save over a restart of the process."""


@dataclass(kw_only=True, slots=True)
class Paired:
    """Follows by how much the challenger's mean loss is above the champion's, in [-1, 1].

    Args:
        tolerance: How much worse is not bad yet, in [-1, 1].
        false_alarms_per: Pairs, at least 1.
        max_waiting: Losses that may wait for their partner; on overflow the oldest go.

    Attributes:
        waiting: Losses of the one that is ahead, the oldest first, zeros behind them; shape (max_waiting,).
        champions: How many of these are the champion's.
        challengers: Or the challenger's; one of the two is 0.
        dropped: Losses that never had a partner, so far.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> paired = Paired(tolerance=0.01, false_alarms_per=10_000)
        >>> right, wrong = np.zeros(60), np.ones(60)
        >>> paired.update(champion=right, challenger=wrong[:5]).alarm, paired.champions
        (False, 55)
        >>> verdict = paired.update(champion=right[:0], challenger=wrong)
        >>> verdict.alarm, round(verdict.mean, 2), paired.challengers
        (True, 1.0, 5)
    """

    tolerance: float = 0.0
    false_alarms_per: float = 1e6
    max_waiting: int = 1000
    rising: Rising = field(init=False)
    waiting: Floats = field(init=False)
    champions: int = field(init=False, default=0)
    challengers: int = field(init=False, default=0)
    dropped: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        if self.max_waiting < 1:
            raise ValueError(f"{self.max_waiting} losses that may wait, expected at least 1")
        self.rising = Rising.residual(self.tolerance, false_alarms_per=self.false_alarms_per)
        self.waiting = np.zeros(self.max_waiting)

    def update(self, *, champion: Floats, challenger: Floats) -> Verdict:
        """Take losses of both, as many as have come; `rows` of the verdict are pairs, `mean` is that of differences.

        Args:
            champion: In [0, 1], shape (n,); NaN where there is none, which leaves the row out.
            challenger: Likewise, of any other length.

        Raises:
            ValueError: A loss is out of its range.
        """
        champion, challenger = _known(champion), _known(challenger)
        champion = np.concatenate((self.waiting[: self.champions], champion))
        challenger = np.concatenate((self.waiting[: self.challengers], challenger))
        pairs = min(len(champion), len(challenger))
        # The difference first: 1 + a - b is not 1 for every a = b.
        verdict = self.rising.update((1 + (challenger[:pairs] - champion[:pairs])) / 2)
        ahead = np.concatenate((champion[pairs:], challenger[pairs:]))  # one of the two is empty
        kept = ahead[-self.max_waiting :]
        self.dropped += len(ahead) - len(kept)
        self.waiting = np.pad(kept, (0, self.max_waiting - len(kept)))
        self.champions, self.challengers = (len(kept), 0) if len(champion) > pairs else (0, len(kept))
        return verdict._replace(mean=2 * verdict.mean - 1)


def _known(losses: Floats) -> Floats:
    losses = np.asarray(losses, dtype=np.float64)
    losses = losses[~np.isnan(losses)]
    if not ((losses >= 0) & (losses <= 1)).all():
        raise ValueError(f"losses from {losses.min()} to {losses.max()}, expected them in [0, 1]")
    return losses
