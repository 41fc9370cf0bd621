import asyncio
import os
import signal

import pytest

from sidecar.demo.ending import SIGNALS, is_set_within, stop_on_signals


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_stops_and_a_second_one_changes_nothing(number: signal.Signals) -> None:
    async def told_twice() -> bool:
        stop = stop_on_signals()
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        return await is_set_within(stop, 60.0)

    assert asyncio.run(told_twice()) is True


def test_waiting_ends_with_its_time() -> None:
    assert asyncio.run(is_set_within(asyncio.Event(), 0.001)) is False


def test_what_is_set_is_seen_without_waiting() -> None:
    async def late() -> bool:
        stop = asyncio.Event()
        stop.set()
        return await is_set_within(stop, -1.0)

    assert asyncio.run(late()) is True
