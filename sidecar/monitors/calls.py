"""When a model may be called beyond what clients ask of it."""

MARGIN_S = 1e-6
"""Above what subtracting two times rounds off: as many gaps as calls are allowed last a minute and no less."""

MAX_BACKOFF_S = 600.0


class Budget:
    """So many calls a minute at most, evenly spread: a bucket of one token.

    The first may be made only after a gap, as if one had just been made before: so the budget holds over restarts,
    too. After a failure gaps are longer, each twice the one before, until a call succeeds.

    Args:
        per_minute: Calls in any minute, at least 1.
        now_s: On a clock that does not go back, as in all methods.
    """

    def __init__(self, per_minute: int, now_s: float) -> None:
        self._gap_s = 60 / per_minute + MARGIN_S
        self._last_s = now_s
        self._failures = 0

    def due_s(self, now_s: float) -> float:
        """Seconds until the next call may be made; 0 when it may."""
        gap_s = max(self._gap_s, min(MAX_BACKOFF_S, 2.0 ** min(self._failures, 32))) if self._failures else self._gap_s
        return 0.0 if now_s - self._last_s >= gap_s else max(self._last_s + gap_s - now_s, MARGIN_S)

    def take(self, now_s: float) -> bool:
        """Whether a call may be made now; then it is taken for made."""
        if self.due_s(now_s):
            return False
        self._last_s = now_s
        return True

    def ended(self, *, well: bool) -> None:
        """Note how the call ended."""
        self._failures = 0 if well else self._failures + 1
