"""Between the outbox and the channels: one loop for each, so that a channel that fails or hangs delays no other.

A notice leaves the outbox after its channel has taken it: it arrives at least once, and has the same id when it arrives
again. What a channel does not take is sent again, later and later; the store knows what waits, here nothing does.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from sidecar import __version__
from sidecar.alerts.store import RETRY_MAX_S, Pending, Store
from sidecar.errors import DeliveryError
from sidecar.ports import Channel
from sidecar.records import Notice
from sidecar.tasks import Tasks

if TYPE_CHECKING:
    from aiohttp import ClientSession

log = logging.getLogger(__name__)

TIMEOUT_S = 10.0
"""For a channel to take one notice."""
GRACE_S = 1.0
"""Beyond the limit of a channel that has its own (`timeout_s`)."""
RETRY_MIN_S = 0.1
MAX_CONNECTIONS = 32
"""Of all channels together; each sends one notice at a time."""

T = TypeVar("T")


def retry_s(failures: int, chance: float) -> float:
    """How long to wait before the next attempt: exponential backoff with full jitter, from RETRY_MIN_S to RETRY_MAX_S.

    Args:
        failures: Before the latest one.
        chance: In [0, 1).

    Reference: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/

    >>> [retry_s(failures, 0.5) for failures in (0, 1, 2, 20)]
    [0.5, 1.0, 2.0, 150.0]
    """
    return max(RETRY_MIN_S, chance * min(RETRY_MAX_S, 2.0 ** min(failures, 32)))


@dataclass(frozen=True, slots=True)
class _Means:
    """What all couriers share."""

    store: Store
    http: "ClientSession"
    now_s: Callable[[], float]
    chance: Callable[[], float]
    timeout_s: float


class Courier:
    """Brings the notices of one channel to it, one at a time.

    Attributes:
        channel: Whom it sends to; may be replaced while it does not run.
        delivered: Notices that the channel took.
        failed: Attempts at which it did not.
        last_error: Why, the last time, or why the store held it up; empty before the first.
        waiting: Notices in the outbox, when it last looked.
    """

    def __init__(self, name: str, channel: Channel, means: _Means) -> None:
        self.name = name
        self.channel = channel
        self.delivered = self.failed = self.waiting = 0
        self.last_error = ""
        self._means = means
        self._failing = False
        self._woken = asyncio.Event()
        self._until_s = float("inf")

    @property
    def dropped(self) -> int:
        """Notices that the channel will never be told."""
        return self._means.store.dropped.get(self.name, 0)

    def wake(self) -> None:
        """Look again at what is due."""
        self._woken.set()

    def finish(self) -> None:
        """Send what is due now, once, and end."""
        self._until_s = self._means.now_s()
        self._woken.set()

    async def run(self) -> None:
        """Send what is due whenever it is; at first what waits from before, whatever its channel made of it then."""
        store = self._means.store
        await self._ask(partial(store.hasten, self.name))
        while (pending := await self._next()) is not None:
            error = await self._send(pending.notice)
            self._count(error)
            if error:
                due_s = self._means.now_s() + retry_s(pending.attempts, self._means.chance())
                await self._ask(partial(store.failed, pending, due_s))
            else:
                await self._ask(partial(store.sent, pending))

    async def _next(self) -> Pending | None:
        """What is due, when something is; None at the end."""
        while True:
            self._woken.clear()
            ending = self._until_s < float("inf")  # read before looking: nothing that is there by then is missed
            # What fails at the end is due later than the moment that the end began.
            now_s = min(self._means.now_s(), self._until_s)
            pending, self.waiting, next_s = await self._ask(partial(self._look, now_s))
            if pending or ending:
                return pending
            await self._pause(None if next_s is None else min(next_s - now_s, RETRY_MAX_S))

    def _look(self, now_s: float) -> tuple[Pending | None, int, float | None]:
        """What is due, how many wait, and when the next is due where none is."""
        store = self._means.store
        pending = store.due(self.name, now_s)
        return pending, store.waiting(self.name), None if pending else store.next_due_s(self.name)

    async def _ask(self, work: Callable[[], T]) -> T:
        """What the store answers, however long its disk is full: to go on before it does would be to send twice."""
        failures = 0
        while True:
            try:
                answer = await asyncio.to_thread(work)
            except DeliveryError as error:
                self.last_error = str(error)
                if failures == 0:
                    log.warning("alert channel %s is held up: %s", self.name, error)
            else:
                if failures:
                    log.info("alert channel %s is held up no more", self.name)
                return answer
            await self._pause(retry_s(failures, self._means.chance()))
            self._woken.clear()
            failures += 1

    async def _pause(self, wait_s: float | None) -> None:
        """Until somebody wakes it, or that long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._woken.wait()

    async def _send(self, notice: Notice) -> str:
        """Why the channel did not take it; empty when it did."""
        # A channel that bounds its own work says more of why it ended than we could.
        own_s: float | None = getattr(self.channel, "timeout_s", None)
        limit_s = self._means.timeout_s if own_s is None else own_s + GRACE_S
        limit = asyncio.timeout(limit_s)
        try:
            async with limit:
                await self.channel.send(notice, self._means.http)
        except DeliveryError as error:
            return str(error) or repr(error)
        except asyncio.CancelledError:
            if _cancelled():
                raise
            return "the channel cancelled its own work"
        except Exception as error:  # noqa: BLE001 - a channel's own mistake; the next attempt may do better
            return f"not taken within {limit_s:g} s" if limit.expired() else _told(error)
        return ""

    def _count(self, error: str) -> None:
        """A change is worth a line in the log, a state is not."""
        if error and not self._failing:
            log.warning("alert channel %s fails: %s", self.name, error)
        elif self._failing and not error:
            log.info("alert channel %s works again", self.name)
        self._failing = bool(error)
        self.last_error = error or self.last_error
        self.failed += self._failing
        self.delivered += not self._failing


def _cancelled() -> bool:
    """Whether somebody wants the running task to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _told(error: Exception) -> str:
    """An error that a channel should have told in its own words."""
    from aiohttp import ClientError

    # Aiohttp's show the whole URL, which may be a secret.
    return type(error).__name__ if isinstance(error, ClientError) else repr(error)


class Deliveries:
    """Tells every channel what the outbox has for it. Lives in one event loop; the store is called on threads.

    Args:
        channels: By name.
        now_s: Unix time.
        chance: In [0, 1), for jitter.
        timeout_s: For a channel to take one notice.
    """

    def __init__(
        self,
        store: Store,
        channels: Mapping[str, Channel],
        *,
        now_s: Callable[[], float],
        chance: Callable[[], float],
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._store = store
        self._channels = dict(channels)
        self._now_s = now_s
        self._chance = chance
        self._timeout_s = timeout_s
        self._means: _Means | None = None
        self._tasks = Tasks()
        self._couriers: dict[str, Courier] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    @property
    def outlets(self) -> Sequence[Courier]:
        """One for each channel, in the channels' order; none before the start."""
        return list(self._couriers.values())

    async def start(self) -> None:
        """Begin to send; what waits for channels that are no more is dropped."""
        http = _session(self._timeout_s)
        self._means = _Means(self._store, http, self._now_s, self._chance, self._timeout_s)
        await self._adopt(self._means)

    def wake(self) -> None:
        """There are new notices. To be called in the event loop, after the commit."""
        for courier in self._couriers.values():
            courier.wake()

    async def replace(self, channels: Mapping[str, Channel]) -> None:
        """Send to these from now on. A channel that is as it was is not disturbed; another one's notices are due now.

        What was being sent to a channel that is not as it was may arrive there, and is sent to the new one as well.
        """
        self._channels = dict(channels)
        if self._means is not None:
            await self._adopt(self._means)

    async def close(self, timeout_s: float) -> None:
        """Send what is due once more; what is not taken within `timeout_s` stays in the store."""
        try:
            for courier in self._couriers.values():
                courier.finish()
            if self._running:
                _, late = await asyncio.wait(self._running.values(), timeout=timeout_s)
                if late:
                    log.warning("alert channels: %d not done within %g s of closing", len(late), timeout_s)
        finally:
            await self._tasks.close()
            if self._means is not None:
                await self._means.http.close()

    async def _adopt(self, means: _Means) -> None:
        """Make the couriers what the channels are; the counters of a name go on."""
        before = self._couriers
        await self._stop(name for name, courier in before.items() if self._channels.get(name) != courier.channel)
        self._couriers = {}
        for name, channel in self._channels.items():
            self._couriers[name] = courier = before.get(name) or Courier(name, channel, means)
            if name not in self._running:
                courier.channel = channel
                self._running[name] = self._tasks.start(courier.run())
        await self._retain()

    async def _stop(self, names: Iterable[str]) -> None:
        ended = [self._running.pop(name) for name in names]
        for task in ended:
            task.cancel()
        await asyncio.gather(*ended, return_exceptions=True)

    async def _retain(self) -> None:
        try:
            dropped = await asyncio.to_thread(self._store.retain, list(self._channels))
        except DeliveryError as error:
            log.warning("alerts: the outboxes of channels that are no more stay until the next start: %s", error)
        else:
            if dropped:
                log.warning("alerts: %d notices dropped, of channels that are no more", dropped)


def _session(timeout_s: float) -> "ClientSession":
    """What channels send with: no proxies or passwords of the environment, no cookies from one to another."""
    from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

    return ClientSession(
        connector=TCPConnector(limit=MAX_CONNECTIONS),
        cookie_jar=DummyCookieJar(),
        headers={"User-Agent": f"sidecar/{__version__}"},
        timeout=ClientTimeout(total=timeout_s),
        trust_env=False,
    )
