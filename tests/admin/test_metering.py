import asyncio
from time import thread_time

import pytest

from sidecar.admin.metering import Spent, aside, metered, waiting


def burn(seconds: float) -> None:
    end_s = thread_time() + seconds
    while thread_time() < end_s:
        pass


def spent_by(*, here_s: float = 0.0, aside_s: float = 0.0) -> float:
    """What is counted of work on the event loop and in a thread, while others burn ten times as much."""

    async def others() -> None:
        for _ in range(10):
            burn(0.01)
            await asyncio.sleep(0)

    async def making() -> str:
        burn(here_s / 2)
        await asyncio.sleep(0.0)
        await aside(lambda: burn(aside_s))
        await asyncio.sleep(0.0)
        burn(here_s / 2)
        return "made"

    async def run() -> float:
        spent = Spent()
        found, _ = await asyncio.gather(metered(making(), spent), others())
        assert found == "made"
        return spent.seconds

    return asyncio.run(run())


@pytest.mark.parametrize(("here_s", "aside_s"), [(0.02, 0.0), (0.0, 0.02), (0.01, 0.01)])
def test_the_work_counts_wherever_it_is_done_and_nobody_elses(here_s: float, aside_s: float) -> None:
    assert 0.02 <= spent_by(here_s=here_s, aside_s=aside_s) < 0.06


def test_what_others_do_for_us_counts_by_the_clock() -> None:
    async def making() -> None:
        with waiting():
            await asyncio.sleep(0.01)

    spent = Spent()
    asyncio.run(metered(making(), spent))
    assert spent.seconds >= 0.009


def test_what_failed_counts_and_fails() -> None:
    async def making() -> None:
        burn(0.005)
        await asyncio.sleep(0)
        raise ValueError("no")

    spent = Spent()
    with pytest.raises(ValueError, match="no"):
        asyncio.run(metered(making(), spent))
    assert spent.seconds >= 0.005


def test_an_error_of_what_is_awaited_reaches_the_work() -> None:
    async def failing() -> None:
        await asyncio.sleep(0)
        raise KeyError("there")

    async def making() -> str:
        try:
            await asyncio.get_running_loop().create_task(failing())
        except KeyError:
            return "handled"
        return "missed"

    assert asyncio.run(metered(making(), Spent())) == "handled"


def test_it_can_be_cancelled() -> None:
    async def run() -> bool:
        task = asyncio.get_running_loop().create_task(metered(asyncio.sleep(60), Spent()))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        return task.cancelled()

    assert asyncio.run(run())


def test_without_anybody_who_counts_work_is_done_all_the_same() -> None:
    assert asyncio.run(aside(lambda: 3)) == 3
