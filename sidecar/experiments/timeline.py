"""When weights were constant, so that a row is counted where its request was dealt, however late it comes."""

from dataclasses import dataclass, field
from math import inf

import numpy as np

from sidecar.experiments.totals import EPOCHS
from sidecar.stats.moments import Counts, Floats


@dataclass(slots=True)
class Timeline:
    """The epochs of an experiment, as many as `Totals` keeps, the oldest merged alike.

    Weights change between two calls, and nobody knows when: what was dealt between the last moment at which the old
    ones were seen in force and the first of the new ones is of neither epoch. Whoever calls once a second loses what
    was dealt within that second.

    Attributes:
        begun_s: Unix time from which each epoch's weights were in force; ascending, as the next.
        seen_s: When they were last seen to be.

    Example:
        >>> timeline = Timeline()
        >>> for begin, now_s in ((True, 10.0), (False, 19.0), (True, 20.0)):
        ...     timeline.begin(now_s) if begin else timeline.stay(now_s)
        >>> timeline.places(np.array([9.0, 15.0, 19.5, 25.0])).tolist()
        [-1, 0, -1, 1]
    """

    begun_s: list[float] = field(default_factory=list)
    seen_s: list[float] = field(default_factory=list)

    @property
    def since_s(self) -> float:
        """When the first epoch began; inf before it has."""
        return self.begun_s[0] if self.begun_s else inf

    @property
    def epoch_s(self) -> float:
        """When the last one did."""
        return self.begun_s[-1] if self.begun_s else inf

    @property
    def epoch(self) -> int:
        """Index of the last one; -1 before it has begun."""
        return len(self.begun_s) - 1

    def begin(self, now_s: float) -> None:
        """Begin an epoch."""
        self._turn_back(now_s)
        if len(self.begun_s) == EPOCHS:
            del self.begun_s[1], self.seen_s[0]
        self.begun_s.append(now_s)
        self.seen_s.append(now_s)

    def stay(self, now_s: float) -> None:
        """The last epoch's weights are still in force."""
        self._turn_back(now_s)
        self.seen_s[-1] = now_s

    def places(self, times_s: Floats) -> Counts:
        """The epoch of each row, by its place; -1 where nobody knows the weights.

        Args:
            times_s: Unix time at which each request was dealt, shape (n,), as the answer.
        """
        places = np.searchsorted(self.begun_s, times_s, side="right") - 1
        # The last one is not over, and before the first one is none.
        ends_s = np.array([*self.seen_s[:-1], inf])
        out: Counts = np.where(times_s <= ends_s[places], places, -1).astype(np.int64)
        return out

    def _turn_back(self, now_s: float) -> None:
        """Where the clock went back, what is dealt from now on is of now, not of what seems to lie ahead."""
        if now_s < self.epoch_s:
            self.begun_s = [min(each, now_s) for each in self.begun_s]
        self.seen_s = [min(each, now_s) for each in self.seen_s]
