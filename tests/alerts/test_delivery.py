import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import ClientSession, web
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from sidecar import __version__
from sidecar.alerts.delivery import RETRY_MIN_S, Courier, Deliveries, retry_s
from sidecar.alerts.store import MAX_AGE_S, RETRY_MAX_S, Pending, Store
from sidecar.errors import DeliveryError
from sidecar.ports import Channel
from sidecar.records import Alert, Finding, Key, Notice

NOW_S = 1_785_412_800.0
PATIENCE_S = 30.0
CHANCE = 0.5
DOWN = DeliveryError("hook.test answered 503, expected 2xx")


def notice(name: str, number: int = 1) -> Notice:
    finding = Finding(Key("data", "psi", "champion", "features"), "3", (), 1, 1, "drift")
    alert = Alert(id=name, state="firing", severity="info", finding=finding, pending_s=NOW_S, told=number)
    return Notice(f"{name}-{number}", alert, NOW_S, "", 3600.0)


@dataclass
class Clock:
    now_s: float = NOW_S

    def __call__(self) -> float:
        return self.now_s


@dataclass(eq=False)
class Hook:
    """A channel that keeps the ids that it is given; `behave` says what then becomes of it."""

    behave: Callable[[Notice], Awaitable[None] | BaseException | None] = lambda _: None
    ids: list[str] = field(default_factory=list)
    given: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: int = 0

    async def send(self, notice: Notice, http: ClientSession) -> None:
        assert not http.closed
        self.ids.append(notice.id)
        self.given.set()
        outcome = self.behave(notice)
        if isinstance(outcome, BaseException):
            raise outcome
        try:
            if outcome is not None:
                await outcome
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


@dataclass(frozen=True)
class Equal:
    """A channel that is another one only if its address is."""

    address: str
    behind: Hook

    async def send(self, notice: Notice, http: ClientSession) -> None:
        await self.behind.send(notice, http)


def hanging(_: Notice) -> Awaitable[None]:
    async def hang() -> None:
        await asyncio.Event().wait()

    return hang()


def down(_: Notice) -> DeliveryError:
    return DOWN


class Watched(Store):
    """A store that says who looked and found nothing due, and whose disk can be full."""

    def __init__(self, path: Path | None) -> None:
        super().__init__(path)
        self.full = False
        self.refused = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._idle: dict[str, asyncio.Queue[None]] = {}

    def idle(self, channel: str) -> asyncio.Queue[None]:
        return self._idle.setdefault(channel, asyncio.Queue())

    def next_due_s(self, channel: str) -> float | None:
        due_s = super().next_due_s(channel)
        if threading.current_thread() is not threading.main_thread():  # a courier, not a test
            self._loop.call_soon_threadsafe(self.idle(channel).put_nowait, None)
        return due_s

    def sent(self, pending: Pending) -> None:
        self._write()
        super().sent(pending)

    def retain(self, channels: object) -> int:
        self._write()
        assert isinstance(channels, list)
        return super().retain(channels)

    def _write(self) -> None:
        if self.full:
            self._loop.call_soon_threadsafe(self.refused.set)
            raise DeliveryError("the disk is full")


@dataclass
class Rig:
    """Deliveries, their store and their clock."""

    store: Watched
    clock: Clock
    deliveries: Deliveries

    def post(self, *notices: Notice, to: tuple[str, ...] = ("hook",)) -> None:
        self.store.commit([], notices, to, self.clock.now_s)
        self.deliveries.wake()

    async def settle(self, *channels: str) -> None:
        """Until these have done what can be done now.

        The second look that ends has begun after this has; when a third one ends, that has been counted.
        """
        for _ in range(3):
            for channel in channels or ("hook",):
                idle = self.store.idle(channel)
                while not idle.empty():
                    idle.get_nowait()
                self.deliveries.wake()
                await idle.get()

    def outlet(self, name: str = "hook") -> Courier:
        return next(each for each in self.deliveries.outlets if each.name == name)


@asynccontextmanager
async def running(
    channels: Mapping[str, Channel], *, path: Path | None = None, timeout_s: float = PATIENCE_S
) -> AsyncIterator[Rig]:
    clock = Clock()
    async with asyncio.timeout(PATIENCE_S):
        with closing(Watched(path)) as store:
            deliveries = Deliveries(store, channels, now_s=clock, chance=lambda: CHANCE, timeout_s=timeout_s)
            await deliveries.start()
            try:
                yield Rig(store, clock, deliveries)
            finally:
                store.full = False
                await deliveries.close(0)


def counts(outlet: Courier) -> tuple[int, int, int, int]:
    return outlet.delivered, outlet.dropped, outlet.failed, outlet.waiting


async def looks(count: int) -> None:
    """As long as so many calls of the store take, and more."""
    for _ in range(20 * count):
        await asyncio.to_thread(lambda: None)


def test_what_is_posted_is_sent_in_order_and_leaves_the_outbox() -> None:
    async def scenario() -> None:
        hook = Hook()
        async with running({"hook": hook}) as rig:
            rig.post(notice("a"), notice("b"))
            rig.post(notice("a", 2))
            await rig.settle()
            assert hook.ids == ["a-1", "b-1", "a-2"]
            assert (counts(rig.outlet()), rig.outlet().last_error) == ((3, 0, 0, 0), "")
            assert rig.store.waiting("hook") == 0

    asyncio.run(scenario())


def test_every_channel_is_told() -> None:
    async def scenario() -> None:
        hook, slack = Hook(), Hook()
        async with running({"hook": hook, "slack": slack}) as rig:
            rig.post(notice("a"), to=("hook", "slack"))
            await rig.settle("hook", "slack")
            assert (hook.ids, slack.ids) == (["a-1"], ["a-1"])

    asyncio.run(scenario())


def test_what_fails_is_sent_again_when_its_time_has_come_and_holds_back_its_own_alert_only() -> None:
    async def scenario() -> None:
        hook = Hook(lambda each: DOWN if each.id == "a-1" and len(hook.ids) < 3 else None)
        async with running({"hook": hook}) as rig:
            rig.post(notice("a"), notice("a", 2), notice("b"))
            await rig.settle()
            assert (hook.ids, rig.store.next_due_s("hook")) == (["a-1", "b-1"], NOW_S + retry_s(0, CHANCE))
            assert counts(rig.outlet()) == (1, 0, 1, 2)
            rig.clock.now_s += retry_s(0, CHANCE)
            await rig.settle()
            assert (hook.ids, counts(rig.outlet())) == (["a-1", "b-1", "a-1", "a-2"], (3, 0, 1, 0))

    asyncio.run(scenario())


def test_the_wait_doubles_with_every_failure_of_a_notice() -> None:
    async def scenario() -> list[float]:
        waits = []
        async with running({"hook": Hook(down)}) as rig:
            rig.post(notice("a"))
            for _ in range(11):
                await rig.settle()
                due_s = rig.store.next_due_s("hook")
                assert due_s
                waits.append(due_s - rig.clock.now_s)
                rig.clock.now_s = due_s
        return waits

    assert asyncio.run(scenario()) == [0.5, 1, 2, 4, 8, 16, 32, 64, 128, 150, 150]


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_wait_is_within_its_bounds(failures: int, chance: float) -> None:
    assert RETRY_MIN_S <= retry_s(failures, chance) <= max(RETRY_MIN_S, min(RETRY_MAX_S, 2**failures) * chance)


def test_what_is_due_later_is_sent_without_being_woken() -> None:
    async def scenario() -> None:
        retried = asyncio.Event()

        def once(_: Notice) -> DeliveryError | None:
            if len(hook.ids) == 1:
                return DOWN
            retried.set()
            return None

        hook = Hook(once)
        start_s = asyncio.get_running_loop().time()
        store = Watched(None)
        store.commit([], [notice("a")], ["hook"], start_s)
        deliveries = Deliveries(store, {"hook": hook}, now_s=asyncio.get_running_loop().time, chance=lambda: 0.0)
        await deliveries.start()
        async with asyncio.timeout(PATIENCE_S):
            await retried.wait()
        assert asyncio.get_running_loop().time() - start_s >= RETRY_MIN_S
        await deliveries.close(PATIENCE_S)
        store.close()

    asyncio.run(scenario())


def test_a_channel_that_fails_or_hangs_delays_no_other() -> None:
    async def scenario() -> None:
        broken, stuck, fine = Hook(down), Hook(hanging), Hook()
        async with running({"broken": broken, "stuck": stuck, "fine": fine}) as rig:
            rig.post(notice("a"), notice("b"), to=("broken", "stuck", "fine"))
            await stuck.given.wait()
            await rig.settle("broken", "fine")
            assert (broken.ids, stuck.ids, fine.ids) == (["a-1", "b-1"], ["a-1"], ["a-1", "b-1"])
            rig.post(notice("c"), to=("broken", "stuck", "fine"))
            await rig.settle("broken", "fine")
            assert (stuck.ids, fine.ids) == (["a-1"], ["a-1", "b-1", "c-1"])

    asyncio.run(scenario())


def test_a_channel_that_hangs_is_given_up_in_time_and_asked_again() -> None:
    async def scenario() -> None:
        hook = Hook(hanging)
        async with running({"hook": hook}, timeout_s=0.001) as rig:
            rig.post(notice("a"))
            await rig.settle()
            assert (counts(rig.outlet()), hook.cancelled) == ((0, 0, 1, 1), 1)
            assert rig.outlet().last_error == "not taken within 0.001 s"

    asyncio.run(scenario())


SECRET = URL("https://hooks.test/services/SECRET")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (DOWN, "hook.test answered 503, expected 2xx"),
        (DeliveryError(), "DeliveryError()"),
        (ZeroDivisionError("by 0"), "ZeroDivisionError('by 0')"),
        (TimeoutError(), "TimeoutError()"),
        (aiohttp.InvalidURL(SECRET), "InvalidURL"),
        (aiohttp.ServerTimeoutError(str(SECRET)), "ServerTimeoutError"),
        (asyncio.CancelledError(), "the channel cancelled its own work"),
    ],
)
def test_whatever_a_channel_raises_is_a_failure_and_is_tried_again(
    error: BaseException, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        hook = Hook(lambda _: error if len(hook.ids) == 1 else None)
        async with running({"hook": hook}) as rig:
            rig.post(notice("a"))
            await rig.settle()
            assert (counts(rig.outlet()), rig.outlet().last_error) == ((0, 0, 1, 1), told)
            rig.clock.now_s += 1
            await rig.settle()
            assert (counts(rig.outlet()), hook.ids) == ((1, 0, 1, 0), ["a-1", "a-1"])

    asyncio.run(scenario())
    assert "SECRET" not in caplog.text


def test_a_change_is_logged_and_a_state_is_not(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        hook = Hook(lambda _: DOWN if len(hook.ids) in {1, 2, 3, 6} else None)
        async with running({"hook": hook}) as rig:
            for number in range(7):
                rig.post(notice(str(number)))
                await rig.settle()
            await rig.deliveries.close(PATIENCE_S)

    caplog.set_level(logging.INFO, logger="sidecar.alerts.delivery")
    asyncio.run(scenario())
    fails, works = f"alert channel hook fails: {DOWN}", "alert channel hook works again"
    assert caplog.messages == [fails, works, fails, works]


def test_what_was_sent_but_not_yet_deleted_at_a_crash_is_sent_again_with_the_same_id(tmp_path: Path) -> None:
    async def crash() -> list[str]:
        hook = Hook()
        async with running({"hook": hook}, path=tmp_path) as rig:
            rig.store.full = True
            rig.post(notice("a"))
            await rig.store.refused.wait()
            await rig.deliveries.close(0)
        return hook.ids

    async def restart() -> list[str]:
        hook = Hook()
        async with running({"hook": hook}, path=tmp_path) as rig:
            await rig.settle()
        return hook.ids

    assert [asyncio.run(each()) for each in (crash, restart, restart)] == [["a-1"], ["a-1"], []]


def test_a_restart_keeps_the_outbox_and_tries_at_once(tmp_path: Path) -> None:
    async def scenario(hook: Hook) -> list[str]:
        async with running({"hook": hook}, path=tmp_path) as rig:
            if hook.behave is down:
                rig.post(notice("a"), notice("b"), notice("a", 2))
            await rig.settle()
        return hook.ids

    assert asyncio.run(scenario(Hook(down))) == ["a-1", "b-1"]
    assert asyncio.run(scenario(Hook())) == ["a-1", "b-1", "a-2"]


def test_a_full_disk_holds_delivery_up_sends_nothing_twice_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        hook = Hook()
        async with running({"hook": hook}) as rig:
            rig.store.full = True
            rig.post(notice("a"), notice("b"))
            for _ in range(3):
                await rig.store.refused.wait()
                rig.store.refused.clear()
                rig.deliveries.wake()
            assert (hook.ids, rig.outlet().last_error) == (["a-1"], "the disk is full")
            rig.store.full = False
            await rig.settle()
            assert (hook.ids, counts(rig.outlet())) == (["a-1", "b-1"], (2, 0, 0, 0))
            await rig.deliveries.close(PATIENCE_S)

    caplog.set_level(logging.INFO, logger="sidecar.alerts.delivery")
    asyncio.run(scenario())
    assert caplog.messages == [
        "alert channel hook is held up: the disk is full",
        "alert channel hook is held up no more",
    ]


def test_who_has_nothing_to_do_rests_until_woken() -> None:
    async def scenario() -> None:
        async with running({"hook": Hook()}) as rig:
            rig.post(notice("a"))
            await rig.settle()
            idle = rig.store.idle("hook")
            await looks(3)
            assert idle.empty()

    asyncio.run(scenario())


def test_a_full_disk_is_not_asked_all_the_time() -> None:
    async def scenario() -> None:
        async with running({"hook": Hook()}) as rig:
            await rig.settle()
            rig.store.full = True
            rig.post(notice("a"))
            await rig.store.refused.wait()
            await looks(1)
            rig.store.refused.clear()
            rig.deliveries.wake()
            await rig.store.refused.wait()
            await looks(1)
            rig.store.refused.clear()
            await looks(3)
            assert not rig.store.refused.is_set()

    asyncio.run(scenario())


def test_a_full_disk_at_the_start_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        hook = Hook()
        with closing(Watched(None)) as store:
            store.full = True
            deliveries = Deliveries(store, {"hook": hook}, now_s=Clock(), chance=lambda: CHANCE)
            await deliveries.start()
            store.full = False
            store.commit([], [notice("a")], ["hook"], NOW_S)
            await deliveries.close(PATIENCE_S)
            assert hook.ids == ["a-1"]

    asyncio.run(scenario())
    assert caplog.messages == [
        "alerts: the outboxes of channels that are no more stay until the next start: the disk is full"
    ]


def test_what_is_too_old_is_dropped_and_counted() -> None:
    async def scenario() -> None:
        async with running({"hook": Hook(down)}) as rig:
            rig.post(notice("a"))
            await rig.settle()
            rig.clock.now_s += MAX_AGE_S + 1
            await rig.settle()
            assert counts(rig.outlet()) == (0, 1, 1, 0)

    asyncio.run(scenario())


def test_a_channel_that_is_as_it_was_is_not_disturbed_by_a_reload() -> None:
    async def scenario() -> None:
        opened = asyncio.Event()
        hook = Hook(lambda _: opened.wait())  # type: ignore[arg-type, return-value]  # what it returns is not looked at
        async with running({"hook": Equal("here", hook)}) as rig:
            rig.post(notice("a"))
            await hook.given.wait()
            before = rig.outlet()
            await rig.deliveries.replace({"new": Hook(), "hook": Equal("here", hook)})
            opened.set()
            await rig.settle()
            assert (hook.ids, hook.cancelled, counts(before)) == (["a-1"], 0, (1, 0, 0, 0))
            assert [each.name for each in rig.deliveries.outlets] == ["new", "hook"]
            assert rig.outlet() is before

    asyncio.run(scenario())


def test_a_changed_channel_is_told_at_once_what_the_old_one_did_not_take_and_its_counters_go_on() -> None:
    async def scenario() -> None:
        old, new = Hook(lambda each: DOWN if each.id == "a-1" else hanging(each)), Hook()
        async with running({"hook": old}) as rig:
            rig.post(notice("a"), notice("b"), notice("a", 2))
            old.given.clear()
            while len(old.ids) < 2:
                await old.given.wait()
                old.given.clear()
            await rig.deliveries.replace({"hook": new})
            await rig.settle()
            assert (old.ids, old.cancelled, new.ids) == (["a-1", "b-1"], 1, ["a-1", "b-1", "a-2"])
            assert counts(rig.outlet()) == (3, 0, 1, 0)

    asyncio.run(scenario())


def test_a_channel_that_is_gone_is_told_no_more_and_loses_its_notices(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        hook, slack = Hook(hanging), Hook()
        async with running({"hook": hook, "slack": slack}) as rig:
            rig.post(notice("a"), notice("b"), to=("hook", "slack"))
            await hook.given.wait()
            await rig.settle("slack")
            await rig.deliveries.replace({"slack": slack})
            assert (hook.ids, hook.cancelled, rig.store.waiting("hook")) == (["a-1"], 1, 0)
            assert rig.store.dropped["hook"] == 2
            assert [counts(each) for each in rig.deliveries.outlets] == [(2, 0, 0, 0)]
            await rig.deliveries.replace({"hook": Hook()})
            rig.post(notice("c"))
            await rig.settle()
            assert counts(rig.outlet()) == (1, 2, 0, 0)
            await rig.deliveries.close(PATIENCE_S)

    asyncio.run(scenario())
    assert caplog.messages == ["alerts: 2 notices dropped, of channels that are no more"]


def test_channels_that_were_replaced_before_the_start_are_those_that_it_starts() -> None:
    async def scenario() -> None:
        hook = Hook()
        with closing(Watched(None)) as store:
            store.commit([], [notice("a")], ["hook"], NOW_S)
            deliveries = Deliveries(store, {"old": Hook()}, now_s=Clock(), chance=lambda: CHANCE)
            deliveries.wake()
            await deliveries.replace({"hook": hook})
            assert deliveries.outlets == []
            await deliveries.start()
            await deliveries.close(PATIENCE_S)
            assert hook.ids == ["a-1"]

    asyncio.run(scenario())


def test_closing_sends_what_is_due_once_and_leaves_the_rest_however_long_it_takes() -> None:
    async def scenario() -> None:
        def slow(each: Notice) -> DeliveryError | None:
            rig.clock.now_s += 100
            return DOWN if each.id == "a-1" else None

        hook = Hook(down)
        async with running({"hook": hook}) as rig:
            rig.post(notice("a"))
            await rig.settle()
            rig.clock.now_s += retry_s(0, CHANCE)
            rig.store.commit([], [notice("a", 2), notice("b"), notice("c")], ["hook"], rig.clock.now_s)
            hook.behave = slow
            await rig.deliveries.close(PATIENCE_S)
            assert hook.ids == ["a-1", "a-1", "b-1", "c-1"]
            assert (rig.store.waiting("hook"), counts(rig.outlet())) == (2, (2, 0, 2, 2))

    asyncio.run(scenario())


def test_closing_does_not_wait_for_what_is_due_later() -> None:
    async def scenario() -> None:
        hook = Hook(down)
        async with running({"hook": hook}) as rig:
            rig.post(notice("a"))
            await rig.settle()
            await rig.deliveries.close(PATIENCE_S)
            assert (hook.ids, rig.store.waiting("hook")) == (["a-1"], 1)

    asyncio.run(scenario())


def test_closing_lets_a_notice_arrive_that_is_on_its_way() -> None:
    async def scenario() -> None:
        opened = asyncio.Event()
        hook = Hook(lambda _: opened.wait())  # type: ignore[arg-type, return-value]  # what it returns is not looked at
        async with running({"hook": hook}) as rig:
            rig.post(notice("a"))
            await hook.given.wait()
            closed = asyncio.gather(rig.deliveries.close(PATIENCE_S))
            opened.set()
            await closed
            assert (hook.ids, hook.cancelled, rig.store.waiting("hook")) == (["a-1"], 0, 0)

    asyncio.run(scenario())


def test_closing_gives_up_a_channel_that_hangs_and_its_notices_stay(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        stuck, fine = Hook(hanging), Hook()
        async with running({"stuck": stuck, "fine": fine}) as rig:
            rig.post(notice("a"), to=("stuck", "fine"))
            await stuck.given.wait()
            await rig.settle("fine")
            rig.store.commit([], [notice("b")], ["stuck", "fine"], NOW_S)
            await rig.deliveries.close(0.02)
            assert (stuck.ids, stuck.cancelled, fine.ids) == (["a-1"], 1, ["a-1", "b-1"])
            assert (rig.store.waiting("stuck"), rig.store.waiting("fine")) == (2, 0)
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scenario())
    assert caplog.messages == ["alert channels: 1 not done within 0.02 s of closing"]


def test_closing_what_was_not_started_does_nothing() -> None:
    async def scenario() -> None:
        with closing(Watched(None)) as store:
            await Deliveries(store, {"hook": Hook()}, now_s=Clock(), chance=lambda: CHANCE).close(PATIENCE_S)

    asyncio.run(scenario())


def test_a_close_that_is_cancelled_leaves_no_task_and_no_session_behind() -> None:
    async def scenario() -> None:
        hook = Hook(hanging)
        async with running({"hook": hook}) as rig:
            rig.post(notice("a"))
            await hook.given.wait()
            closed = asyncio.gather(rig.deliveries.close(PATIENCE_S))
            await asyncio.sleep(0)
            closed.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closed
            assert (hook.cancelled, asyncio.all_tasks()) == (1, {asyncio.current_task()})

    asyncio.run(scenario())


@dataclass(frozen=True)
class Posting:
    """A channel over HTTP."""

    url: str

    async def send(self, notice: Notice, http: ClientSession) -> None:
        async with http.post(self.url, data=notice.id) as reply:
            if reply.status != 200:
                raise DeliveryError(f"{reply.status}, expected 200")


def test_channels_share_a_session_without_cookies_and_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1/")
    seen: list[tuple[str, str, str | None]] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        seen.append((await request.text(), request.headers["User-Agent"], request.headers.get("Cookie")))
        return web.Response(headers={"Set-Cookie": "a=b"}, status=200 if len(seen) > 1 else 503)

    async def scenario() -> None:
        runner = web.ServerRunner(web.Server(answer))
        await runner.setup()
        site = web.TCPSite(runner, "localhost", 0)
        await site.start()
        port = runner.addresses[0][1]
        async with running({"hook": Posting(f"http://localhost:{port}/")}) as rig:
            rig.post(notice("a"))
            await rig.settle()
            rig.clock.now_s += 1
            await rig.settle()
            assert (counts(rig.outlet()), rig.outlet().last_error) == ((1, 0, 1, 0), "503, expected 200")
        await runner.cleanup()

    asyncio.run(scenario())
    assert seen == [("a-1", f"sidecar/{__version__}", None)] * 2
