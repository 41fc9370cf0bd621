"""The pulse of the event loop: a task that wakes ten times a second and counts how late."""

import asyncio
from collections.abc import Awaitable, Callable

from sidecar.stats.lag import count
from sidecar.stats.traffic import Histogram

EVERY_S = 0.1
"""Between two beats. A request that comes at any moment waits as a beat does; one of 5 µs costs nothing."""


async def beat(
    lag: Histogram,
    *,
    now_s: Callable[[], float],
    every_s: float = EVERY_S,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Count until cancelled.

    Args:
        lag: Where.
        now_s: A clock that does not go back, finer than the loop's own.
        sleep: The loop's.
    """
    while True:
        begun_s = now_s()
        await sleep(every_s)
        count(lag, now_s() - begun_s - every_s)
