"""Labels as they come in life: some seconds late, in bursts, out of order, some twice, some never."""

import heapq
from typing import NamedTuple

import numpy as np

LATE_S = (3.0, 8.0)
"""From the answer to the label, at least and at most; in life it is days, for which nobody watches a demo."""

BURST_S = 2.0
"""Between two posts."""

NEVER_RATIO, TWICE_RATIO = 0.1, 0.05


class Truth(NamedTuple):
    """What turned out of a payment.

    Args:
        id: By which the sidecar knows it.
        fraud: 1 where it was fraud, else 0.
        changed: It was made after fraudsters had changed their way.
        again: It has been told before.
    """

    id: str
    fraud: int
    changed: bool
    again: bool = False


class Late:
    """Holds labels back.

    Args:
        rng: Draws how long, and which come twice or never.

    Attributes:
        first: Labels handed over so far, repetitions aside.
        changed: Those of them that are of payments made after the change.
        again: Repetitions handed over.
        never: Labels that will not come.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._held: list[tuple[float, Truth]] = []
        self._burst_s = -np.inf
        self.first = 0
        self.changed = 0
        self.again = 0
        self.never = 0

    def take(self, truth: Truth, now_s: float) -> None:
        """Take a label that will be known later."""
        if self._rng.random() < NEVER_RATIO:
            self.never += 1
            return
        due_s = now_s + self._rng.uniform(*LATE_S)
        heapq.heappush(self._held, (due_s, truth))
        if self._rng.random() < TWICE_RATIO:
            heapq.heappush(self._held, (due_s + self._rng.uniform(*LATE_S), truth._replace(again=True)))

    def due(self, now_s: float) -> list[Truth]:
        """What is to be posted now, in no order; nothing between two bursts."""
        if now_s - self._burst_s < BURST_S:
            return []
        self._burst_s = now_s
        found: list[Truth] = []
        while self._held and self._held[0][0] <= now_s:
            found.append(heapq.heappop(self._held)[1])
        self._rng.shuffle(found)
        self.again += sum(each.again for each in found)
        self.first += sum(not each.again for each in found)
        self.changed += sum(each.changed and not each.again for each in found)
        return found
