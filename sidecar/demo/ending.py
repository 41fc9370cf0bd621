"""How the demo ends: because it was told to, or because it cannot go on."""

import asyncio
import signal
from contextlib import suppress

from sidecar.errors import SidecarError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DemoError(SidecarError):
    """The demo cannot go on; the message says to its user why."""


def stop_on_signals() -> asyncio.Event:
    """An event that is set when somebody tells this process to end. Telling it twice changes nothing."""
    stop = asyncio.Event()
    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def is_set_within(stop: asyncio.Event, seconds: float) -> bool:
    """Wait for `stop`, but not longer than this; whether it is set."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
    return stop.is_set()
