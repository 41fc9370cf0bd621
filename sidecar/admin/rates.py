"""Requests per second of late, from counts that only grow."""

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

STEP_S = 1.0
SPAN_S = 10.0


class Tally(NamedTuple):
    """Requests so far, and how many of them failed: status 500 and above, none at all, or an error of ours."""

    requests: int = 0
    errors: int = 0


class Rate(NamedTuple):
    """How many a second, and over how many seconds; NaN over none."""

    requests_per_s: float
    errors_per_s: float
    over_s: float


class Rates:
    """Counts of before, to compare with.

    Looked at every second the rates are those of the last SPAN_S; looked at more rarely, those since the last look.

    Args:
        now_s: When all counts were 0, on the clock of the looks.
    """

    def __init__(self, now_s: float) -> None:
        self._past: deque[tuple[float, Mapping[str, Tally]]] = deque([(now_s, {})])

    def look(self, now_s: float, tallies: Mapping[str, Tally]) -> Mapping[str, Rate]:
        """The rates up to now, by variant."""
        while len(self._past) > 1 and now_s - self._past[1][0] >= SPAN_S:
            self._past.popleft()
        before_s, before = self._past[0]
        over_s = now_s - before_s
        rates = {}
        for variant, tally in tallies.items():
            old = before.get(variant, Tally())
            per_s = 1 / over_s if over_s > 0 else float("nan")
            grown = tally.requests - old.requests, tally.errors - old.errors
            rates[variant] = Rate(grown[0] * per_s, grown[1] * per_s, over_s)
        if now_s - self._past[-1][0] >= STEP_S:
            self._past.append((now_s, dict(tallies)))
        return rates
