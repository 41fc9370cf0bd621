"""One timer for one connection, moved at every step and firing rarely.

`call_later` for every request would cost more than parsing it. A deadline that only moves later leaves the pending
timer alone; when that fires too early it is armed again for what is left.
"""

import asyncio
from collections.abc import Callable
from math import inf


class Deadline:
    """Calls `expired` once, when the time last set has come.

    Args:
        loop: Whose clock the times are on.
        expired: Called without arguments.
    """

    __slots__ = ("_armed_s", "_at_s", "_expired", "_loop", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, expired: Callable[[], None]) -> None:
        self._loop = loop
        self._expired = expired
        self._at_s = inf
        self._armed_s = inf
        self._timer: asyncio.TimerHandle | None = None

    def after(self, delay_s: float) -> None:
        """Expire this long from now, unless set anew or cleared before."""
        self._at_s = at_s = self._loop.time() + delay_s
        if at_s < self._armed_s:
            self._arm(at_s)

    def clear(self) -> None:
        """Do not expire until set again."""
        self._at_s = inf

    def close(self) -> None:
        """Never expire, even if set again: drops the timer, and with it the references that it holds."""
        self._at_s, self._armed_s = inf, -inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, at_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._armed_s = None, inf
        if at_s < inf:
            self._timer, self._armed_s = self._loop.call_at(at_s, self._fire), at_s

    def _fire(self) -> None:
        self._timer, self._armed_s = None, inf
        if self._loop.time() < self._at_s:
            self._arm(self._at_s)
            return
        self._at_s = inf
        self._expired()
