"""Requests that an experiment weighs, one by one: every request, not only sampled ones.

The request path adds, whoever judges takes all of them every second or so.
"""

from typing import NamedTuple

LIMIT = 200_000
"""Requests held between two looks; more are dropped and counted. They take some 20 MB, and a second brings a tenth."""


class Outcome(NamedTuple):
    """How one request went.

    Args:
        variant: That the split drew, whoever answered in the end.
        unit: 64-bit hash of whom the split goes by.
        failed: There was no reply, or not all of it; or it was a 5xx, or another variant's.
        time_s: Unix time at which it came.
        duration_s: Of the whole of it.
        spared: Another variant was asked, while this one comes back and may not have all of its requests yet. Only
            the user counts, who is this one's as before; it has not failed.
    """

    variant: str
    unit: int
    failed: bool
    time_s: float
    duration_s: float
    spared: bool = False


class Served:
    """The outcomes since they were last taken.

    Attributes:
        dropped: Those for which there was no room.
    """

    def __init__(self) -> None:
        self._outcomes: list[Outcome] = []
        self.dropped = 0

    def add(self, outcome: Outcome) -> None:
        """Add one."""
        if len(self._outcomes) < LIMIT:
            self._outcomes.append(outcome)
        else:
            self.dropped += 1

    def take(self) -> list[Outcome]:
        """All of them; they are the caller's now."""
        taken, self._outcomes = self._outcomes, []
        return taken
