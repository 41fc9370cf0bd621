"""How long a variant has had too many requests at once: no statistics, only a clock."""

from math import inf

from sidecar.experiments.guardrails import Saturation
from sidecar.experiments.verdicts import Guard, Guarded

STALE_S = 60.0
"""After so long without news nothing is known of the load."""


class Load:
    """Requests in flight of one variant, as they were told.

    Example:
        >>> load = Load(Saturation(in_flight=8, for_s=10))
        >>> for now_s in (0.0, 5.0, 10.0):
        ...     load.take(now_s, 9)
        >>> load.look("challenger", 10.0).word
        'breach'
    """

    def __init__(self, limit: Saturation) -> None:
        self._limit = limit
        self._in_flight = 0
        self._told_s = -inf
        self._since_s = inf

    def take(self, now_s: float, in_flight: int) -> None:
        """Note how many there are."""
        self._in_flight, self._told_s = in_flight, now_s
        # Also where the clock went back: nobody knows then how long it was.
        if in_flight < self._limit.in_flight:
            self._since_s = inf
        else:
            self._since_s = min(self._since_s, now_s)

    def look(self, variant: str, now_s: float) -> Guarded:
        """Broken after all that time; unknown until then, and before there is news."""
        limit, name = self._limit, self._limit.name
        if not abs(now_s - self._told_s) <= STALE_S:
            return Guarded(name, variant, "missing", f"{name} of {variant}: no news of its requests in flight")
        told = f"{variant} has {self._in_flight:,} requests in flight, {limit.in_flight:,} are the limit"
        if self._since_s == inf:
            return Guarded(name, variant, "fine", f"{told}: fine")
        lasted_s = self._told_s - self._since_s
        word: Guard = "breach" if lasted_s >= limit.for_s else "unknown"
        return Guarded(name, variant, word, f"{told}: {word}, for {lasted_s:,.0f} of {limit.for_s:g} s")
