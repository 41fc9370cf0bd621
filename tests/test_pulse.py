import asyncio
import time
from contextlib import suppress

import pytest
import uvloop

from sidecar.pulse import beat
from sidecar.stats.lag import LAG_SECONDS
from sidecar.stats.traffic import Histogram


class Clock:
    """Goes on while somebody sleeps, and by as much as he oversleeps."""

    def __init__(self, *late_s: float) -> None:
        self.now_s = 1000.0
        self.late_s = list(late_s)
        self.asked: list[float] = []

    def time(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)
        if not self.late_s:
            raise asyncio.CancelledError
        self.now_s += seconds + self.late_s.pop(0)


def test_every_beat_is_counted_by_how_late_it_is() -> None:
    lag, clock = Histogram(LAG_SECONDS), Clock(0.0, 0.003, 0.003, 7.0, -0.0004)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(beat(lag, now_s=clock.time, every_s=0.1, sleep=clock.sleep))
    assert clock.asked == [0.1] * 6
    assert (sum(lag.counts), lag.counts[5], lag.counts[-1]) == (5, 2, 1)
    assert lag.total == pytest.approx(7.006, abs=1e-6)


def test_a_loop_that_is_kept_is_late() -> None:
    lag = Histogram(LAG_SECONDS)

    async def scenario() -> None:
        beating = asyncio.get_running_loop().create_task(beat(lag, now_s=time.perf_counter, every_s=0.001))
        await asyncio.sleep(0)
        until_s = time.perf_counter() + 0.03
        while time.perf_counter() < until_s:
            pass
        while not sum(lag.counts):  # noqa: ASYNC110  (it tells nobody)
            await asyncio.sleep(0)
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())
    assert lag.total > 0.025
