import asyncio

from sidecar.proxy.deadline import Deadline
from tests.proxy.rig import SHORT_S, on_both_loops, turn


class Bell:
    """Rings once for each expiry."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.rang_s: list[float] = []
        self._rung = asyncio.Event()
        self.deadline = Deadline(self.loop, self._ring)

    def _ring(self) -> None:
        self.rang_s.append(self.loop.time())
        self._rung.set()

    async def rings(self) -> float:
        """When it rings next."""
        await self._rung.wait()
        self._rung.clear()
        return self.rang_s[-1]


async def pass_s(duration_s: float) -> None:
    loop = asyncio.get_running_loop()
    end_s = loop.time() + duration_s
    while loop.time() < end_s:
        await turn()


@on_both_loops
async def test_expires_once_and_not_before_its_time() -> None:
    bell = Bell()
    set_s = bell.loop.time()
    bell.deadline.after(SHORT_S)

    assert await bell.rings() >= set_s + SHORT_S
    await pass_s(2 * SHORT_S)
    assert len(bell.rang_s) == 1


@on_both_loops
async def test_set_later_expires_later() -> None:
    bell = Bell()
    bell.deadline.after(SHORT_S)
    set_s = bell.loop.time()
    bell.deadline.after(3 * SHORT_S)

    assert await bell.rings() >= set_s + 3 * SHORT_S


@on_both_loops
async def test_set_sooner_expires_sooner() -> None:
    bell = Bell()
    bell.deadline.after(1000.0)
    bell.deadline.after(SHORT_S)

    await bell.rings()


@on_both_loops
async def test_cleared_does_not_expire_until_set_again() -> None:
    bell = Bell()
    bell.deadline.after(SHORT_S)
    bell.deadline.clear()
    await pass_s(2 * SHORT_S)
    assert bell.rang_s == []

    bell.deadline.after(SHORT_S)
    await bell.rings()


@on_both_loops
async def test_closed_never_expires_even_if_set_again() -> None:
    bell = Bell()
    bell.deadline.after(SHORT_S)
    bell.deadline.close()
    bell.deadline.after(0.0)
    bell.deadline.close()
    await pass_s(2 * SHORT_S)

    assert bell.rang_s == []


@on_both_loops
async def test_may_be_set_from_its_own_expiry() -> None:
    bell = Bell()
    bell.deadline.after(0.0)
    await bell.rings()
    bell.deadline.after(0.0)

    await bell.rings()
