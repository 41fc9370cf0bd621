import asyncio
import logging
import sqlite3
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import ClientSession

from sidecar.alerts import alerting as module
from sidecar.alerts.alerting import Alerting
from sidecar.alerts.delivery import Deliveries
from sidecar.alerts.rules import Rule
from sidecar.alerts.store import FILE, Store
from sidecar.errors import DeliveryError
from sidecar.ports import Channel
from sidecar.records import Alert, Carrier, Event, Finding, Key, Notice

START_S = 1_700_000_000.0
PATIENCE_S = 30.0
AT_ONCE = Rule(hold_s=0, resolve_s=0)


def finding(check: str = "sequential", variant: str = "champion", rows: int = 200) -> Finding:
    carrier = Carrier("amount", 1.0, 0.3, 0.1, "above 2: 1 % → 40 %", rows=rows)
    return Finding(Key("data", check, variant, "features"), "3", (carrier,), rows, 1000, "it has drifted")


def is_alert(record: logging.LogRecord) -> bool:
    """Whether the line tells of an alert, and not of the store."""
    return record.getMessage().startswith("alert ")


class Hook:
    """A channel that takes everything, unless it is deaf."""

    def __init__(self) -> None:
        self.took: asyncio.Queue[Notice] = asyncio.Queue()
        self.deaf = False

    async def send(self, notice: Notice, http: ClientSession) -> None:
        assert not http.closed
        if self.deaf:
            raise DeliveryError("deaf")
        self.took.put_nowait(notice)

    async def next(self) -> Notice:
        async with asyncio.timeout(PATIENCE_S):
            return await self.took.get()


class Disk(Store):
    """A store whose disk can be full, or slow."""

    def __init__(self, path: Path | None = None) -> None:
        super().__init__(path)
        self.full = False
        self.commits = self.refused = 0
        self.at_once = self.most_at_once = 0
        self.entered = threading.Event()
        self.passing = threading.Event()
        self.passing.set()

    def load(self) -> list[Alert]:
        self._write()
        return super().load()

    def commit(self, alerts: Sequence[Alert], notices: Sequence[Notice], channels: Sequence[str], now_s: float) -> int:
        self.commits += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.entered.set()
        assert self.passing.wait(PATIENCE_S)
        self.at_once -= 1
        self._write()
        return super().commit(alerts, notices, channels, now_s)

    def save(self, name: str, data: bytes) -> None:
        self._write()
        super().save(name, data)

    def read(self, name: str) -> bytes | None:
        self._write()
        return super().read(name)

    def _write(self) -> None:
        if self.full:
            self.refused += 1
            raise DeliveryError("the disk is full")


class Rig:
    """Alerting, and what is around it."""

    def __init__(self, store: Disk, rules: Sequence[Rule], link: str, channels: Mapping[str, Channel]) -> None:
        self.now_s = START_S
        self.store = store
        self.events: list[Event] = []
        self.hook = Hook()
        told = {"hook": self.hook, **channels}
        deliveries = Deliveries(store, told, now_s=lambda: self.now_s, chance=lambda: 0.5)
        self.alerting = Alerting(
            rules,
            store=store,
            deliveries=deliveries,
            link=link,
            wall_s=lambda: self.now_s,
            tell=self.events.append,
        )

    async def judge(self, *findings: Finding, after_s: float = 0.0) -> None:
        self.now_s += after_s
        await self.alerting.judge(findings)

    @property
    def states(self) -> list[str]:
        return [alert.state for alert in self.alerting.alerts]

    async def quiet(self) -> bool:
        """Whether the channel has been told all, and there was nothing more."""
        while self.store.waiting("hook"):  # noqa: ASYNC110  # it is threads that are waited for
            await asyncio.sleep(0)
        return self.hook.took.empty()


@asynccontextmanager
async def running(
    *rules: Rule,
    store: Disk | None = None,
    link: str = "http://here",
    channels: Mapping[str, Channel] | None = None,
) -> AsyncIterator[Rig]:
    rig = Rig(store or Disk(), rules or (AT_ONCE,), link, channels or {})
    await rig.alerting.start()
    try:
        yield rig
    finally:
        rig.store.full = False
        await rig.alerting.close(PATIENCE_S)


def test_a_finding_is_told_when_it_has_lasted_and_when_it_is_over() -> None:
    async def test() -> None:
        async with running(Rule(hold_s=10, resolve_s=60, repeat_s=3600)) as rig:
            await rig.judge(finding())
            assert (rig.states, rig.events) == (["pending"], [])
            await rig.judge(finding(), after_s=10)
            firing = await rig.hook.next()
            (alert,) = rig.alerting.alerts
            assert firing == Notice(
                f"{alert.id}-1", alert, START_S + 10, f"http://here/v1/alerts/{alert.id}", repeat_s=3600
            )
            await rig.judge(after_s=1)
            await rig.judge(after_s=60)
            over = await rig.hook.next()
            assert (over.id, over.alert.state) == (f"{alert.id}-2", "resolved")
            assert await rig.quiet()

    asyncio.run(test())


def test_what_lasts_is_told_again_under_another_id() -> None:
    async def test() -> None:
        async with running(Rule(hold_s=0, repeat_s=60)) as rig:
            for _ in range(3):
                await rig.judge(finding(), after_s=60)
            told = [(await rig.hook.next()).id for _ in range(3)]
            (alert,) = rig.alerting.alerts
            assert told == [f"{alert.id}-{number}" for number in (1, 2, 3)]

    asyncio.run(test())


def test_a_change_of_state_is_an_event_once() -> None:
    async def test() -> None:
        async with running(Rule(hold_s=5, resolve_s=5, repeat_s=1, severity="critical")) as rig:
            for _ in range(10):
                await rig.judge(finding(), after_s=1)
            for _ in range(10):
                await rig.judge(after_s=1)
            (alert,) = rig.alerting.alerts
            told = [(event.severity, event.attributes["sidecar.alert.state"], event.time_s) for event in rig.events]
            assert told == [
                ("critical", "firing", START_S + 6),
                ("info", "resolved", START_S + 16),
            ]
            assert rig.events[0].body == "Data drift in variant champion: amount"
            assert rig.events[0].attributes == {
                "sidecar.alert.id": alert.id,
                "sidecar.alert.state": "firing",
                "sidecar.alert.severity": "critical",
                "sidecar.monitor": "data",
                "sidecar.check": "sequential",
                "feature_flag.result.variant": "champion",
                "sidecar.version": "3",
                "sidecar.subject": "features",
                "sidecar.rows": 200,
                "sidecar.columns": "amount",
            }

    asyncio.run(test())


def test_an_event_can_be_written_whatever_the_columns_are_called() -> None:
    async def test() -> None:
        async with running() as rig:
            carriers = tuple(Carrier(f"{number}\ud800\n" + "x" * 500, 0.01, 1, 0, "") for number in range(100))
            await rig.judge(replace(finding(), carriers=carriers, version="\udc80"))
            (event,) = rig.events
            columns = event.attributes["sidecar.columns"]
            assert isinstance(columns, str)
            assert columns.startswith("0\\ud800\\nxxx")
            assert len(columns) < 3000
            assert event.attributes["sidecar.version"] == "\\udc80"
            assert event.body.encode()

    asyncio.run(test())


def test_nothing_is_written_while_nothing_changes() -> None:
    async def test() -> None:
        async with running() as rig:
            await rig.judge()
            assert rig.store.commits == 0
            for _ in range(5):
                await rig.judge(finding(), after_s=1)
            assert rig.store.commits == 1

    asyncio.run(test())


def test_a_silenced_alert_goes_on_untold_and_is_told_at_its_end_if_it_still_fires() -> None:
    async def test() -> None:
        async with running(Rule(hold_s=10)) as rig:
            await rig.judge(finding())
            (alert,) = rig.alerting.alerts
            silenced = await rig.alerting.silence(alert.id, START_S + 100)
            assert silenced == replace(alert, silenced_until_s=START_S + 100)
            assert rig.store.load() == [silenced]
            await rig.judge(finding(), after_s=50)
            assert (rig.states, len(rig.events)) == (["firing"], 1)
            assert await rig.quiet()
            await rig.judge(finding(), after_s=50)
            assert (await rig.hook.next()).id == f"{alert.id}-1"

    asyncio.run(test())


def test_there_is_no_silence_for_an_alert_that_is_none() -> None:
    async def test() -> None:
        async with running() as rig:
            await rig.judge(finding())
            before = rig.alerting.alerts
            assert await rig.alerting.silence("nobody", START_S + 1) is None
            assert (rig.alerting.alerts, rig.store.commits) == (before, 1)

    asyncio.run(test())


def test_a_silence_while_the_disk_is_slow_is_not_lost_nor_loses_anything() -> None:
    async def test() -> None:
        async with running() as rig:
            await rig.judge(finding())
            (alert,) = rig.alerting.alerts
            rig.store.entered.clear()
            rig.store.passing.clear()
            judging = asyncio.ensure_future(rig.judge(finding(rows=500), finding("dependence"), after_s=1))
            await asyncio.to_thread(rig.store.entered.wait)
            silencing = [
                asyncio.ensure_future(rig.alerting.silence(alert.id, START_S + until)) for until in (1000, 2000)
            ]
            again = asyncio.ensure_future(rig.judge(finding(rows=600), finding("dependence"), after_s=1))
            for _ in range(10):
                await asyncio.sleep(0)
            rig.store.passing.set()
            await asyncio.gather(judging, *silencing, again)
            told = [(each.finding.key.check, each.finding.rows, each.silenced_until_s) for each in rig.alerting.alerts]
            assert told == [("sequential", 600, START_S + 2000), ("dependence", 200, 0.0)]
            assert rig.store.load() == list(rig.alerting.alerts)
            assert rig.store.most_at_once == 1

    asyncio.run(test())


def test_while_the_store_fails_alerts_go_on_and_are_told_afterwards(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="sidecar.alerts.alerting")

    async def test() -> None:
        async with running() as rig:
            rig.store.full = True
            await rig.judge(finding())
            await rig.judge(finding(), after_s=1)
            await rig.judge(after_s=1)
            assert (rig.states, len(rig.events)) == (["resolved"], 2)
            assert rig.hook.took.empty()
            (alert,) = rig.alerting.alerts
            assert await rig.alerting.silence(alert.id, START_S + 50)
            rig.store.full = False
            await rig.judge(after_s=1)
            assert [(await rig.hook.next()).id for _ in range(2)] == [f"{alert.id}-1", f"{alert.id}-2"]
            await rig.judge(after_s=1)
            assert await rig.quiet()
            assert rig.store.load() == list(rig.alerting.alerts)
            assert rig.alerting.dropped == 0

    asyncio.run(test())
    assert [(record.levelname, record.getMessage()) for record in caplog.records if not is_alert(record)] == [
        ("ERROR", "alerts and notices cannot be kept: the disk is full"),
        ("INFO", "alerts and notices: kept again"),
    ]


def test_a_silence_that_could_not_be_kept_is_kept_with_the_next_judgement() -> None:
    async def test() -> None:
        async with running() as rig:
            await rig.judge(finding())
            (alert,) = rig.alerting.alerts
            rig.store.full = True
            await rig.alerting.silence(alert.id, START_S + 50)
            rig.store.full = False
            assert rig.store.load()[0].silenced_until_s == 0
            await rig.judge(finding())
            assert rig.store.load()[0].silenced_until_s == START_S + 50

    asyncio.run(test())


def test_notices_that_wait_for_the_store_are_bounded_and_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD_BACK", 3)

    async def test() -> None:
        async with running(Rule(hold_s=0, repeat_s=1)) as rig:
            rig.store.full = True
            for _ in range(8):
                await rig.judge(finding(), after_s=1)
            assert rig.alerting.dropped == 5
            rig.store.full = False
            await rig.judge(finding())
            (alert,) = rig.alerting.alerts
            assert [(await rig.hook.next()).id for _ in range(3)] == [f"{alert.id}-{each}" for each in (6, 7, 8)]

    asyncio.run(test())


@pytest.mark.parametrize("full", [True, False])
def test_a_notice_whose_turn_was_cancelled_is_sent_once(full: bool) -> None:
    async def test() -> None:
        async with running() as rig:
            rig.store.passing.clear()
            rig.store.full = full
            judging = asyncio.ensure_future(rig.judge(finding()))
            await asyncio.to_thread(rig.store.entered.wait)
            judging.cancel()
            await asyncio.gather(judging, return_exceptions=True)
            rig.store.passing.set()
            while full and not rig.store.refused:  # noqa: ASYNC110  # a thread
                await asyncio.sleep(0)
            rig.store.full = False
            await rig.judge(finding())
            (alert,) = rig.alerting.alerts
            assert (await rig.hook.next()).id == f"{alert.id}-1"
            assert await rig.quiet()
            assert rig.store.load() == [alert]

    asyncio.run(test())


def test_alerts_and_what_was_still_to_be_told_are_there_after_a_restart(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(store=Disk(tmp_path)) as rig:
            rig.hook.deaf = True
            await rig.judge(finding())
            (before,) = rig.alerting.alerts
        async with running(store=Disk(tmp_path)) as rig:
            assert rig.alerting.alerts == (before,)
            assert (await rig.hook.next()).id == f"{before.id}-1"
            await rig.judge(finding(), after_s=1)
            assert rig.events == []
            await rig.judge(after_s=1)
            assert (await rig.hook.next()).id == f"{before.id}-2"

    asyncio.run(test())


def test_what_cannot_be_read_is_said_and_the_rest_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with running(store=Disk(tmp_path)) as rig:
            await rig.judge(finding(), finding("psi"))
        with closing(sqlite3.connect(tmp_path / FILE)) as raw, raw:
            raw.execute("UPDATE alerts SET document = '{' WHERE rowid = 1")
        async with running(store=Disk(tmp_path)) as rig:
            assert [alert.finding.key.check for alert in rig.alerting.alerts] == ["psi"]
        broken = Disk(tmp_path)
        broken.full = True
        async with running(store=broken) as rig:
            assert rig.alerting.alerts == ()

    asyncio.run(test())
    told = [each.getMessage() for each in caplog.records if each.name == module.__name__ and not is_alert(each)]
    assert told == [
        "1 alerts of before are left out, another version wrote them",
        "alerts of before cannot be read: the disk is full",
    ]


def test_other_rules_and_channels_count_from_the_next_judgement_on() -> None:
    async def test() -> None:
        other = Hook()
        async with running(Rule(hold_s=1e9)) as rig:
            await rig.judge(finding())
            await rig.alerting.replace([AT_ONCE], {"other": other})
            assert rig.states == ["pending"]
            await rig.judge(finding())
            assert (await other.next()).alert.state == "firing"
            assert rig.hook.took.empty()
            assert [outlet.name for outlet in rig.alerting.outlets] == ["other"]

    asyncio.run(test())


def test_a_channel_that_goes_while_the_disk_is_slow_leaves_nothing_behind() -> None:
    async def test() -> None:
        async with running() as rig:
            rig.store.passing.clear()
            judging = asyncio.ensure_future(rig.judge(finding()))
            await asyncio.to_thread(rig.store.entered.wait)
            replacing = asyncio.ensure_future(rig.alerting.replace([AT_ONCE], {}))
            for _ in range(10):
                await asyncio.sleep(0)
            rig.store.passing.set()
            await asyncio.gather(judging, replacing)
            assert rig.store.waiting("hook") == 0

    asyncio.run(test())


def test_an_alert_of_no_rule_any_more_is_over_and_that_is_told() -> None:
    async def test() -> None:
        async with running() as rig:
            await rig.judge(finding())
            await rig.hook.next()
            await rig.alerting.replace([], {"hook": rig.hook})
            await rig.judge(finding())
            await rig.judge(finding(), after_s=60)
            assert (await rig.hook.next()).alert.state == "resolved"

    asyncio.run(test())


def test_documents_are_the_latest_first_and_of_one_state_if_asked() -> None:
    async def test() -> None:
        async with running(Rule(check="psi", hold_s=99), AT_ONCE) as rig:
            await rig.judge(finding("old"))
            await rig.judge(finding("old"), finding("psi"), after_s=1)
            await rig.judge(finding("psi"), finding("new"), after_s=1)
            told = [(each["check"], each["state"]) for each in rig.alerting.documents()]
            assert told == [("new", "firing"), ("psi", "pending"), ("old", "resolved")]
            assert [each["check"] for each in rig.alerting.documents("firing")] == ["new"]

    asyncio.run(test())


@pytest.mark.parametrize(
    ("link", "told"),
    [
        ("http://a", "http://a/v1/alerts/{}"),
        ("https://a/b/", "https://a/b/v1/alerts/{}"),
        ("http://a//", "http://a/v1/alerts/{}"),
        ("", ""),
    ],
)
def test_a_link_leads_to_the_alert_or_there_is_none(link: str, told: str) -> None:
    async def test() -> None:
        async with running(link=link) as rig:
            await rig.judge(finding())
            (alert,) = rig.alerting.alerts
            assert (await rig.hook.next()).link == rig.alerting.document(alert)["link"] == told.format(alert.id)

    asyncio.run(test())


def test_what_a_monitor_saves_it_reads_again(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(store=Disk(tmp_path)) as rig:
            assert await rig.alerting.read("data") is None
            await rig.alerting.save("data", b"\0\xff")
        async with running(store=Disk(tmp_path)) as rig:
            assert await rig.alerting.read("data") == b"\0\xff"

    asyncio.run(test())


def test_evidence_that_cannot_be_kept_is_said_once_each_way(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="sidecar.alerts.alerting")

    async def test() -> None:
        async with running() as rig:
            await rig.judge(finding())
            rig.store.full = True
            for _ in range(3):
                await rig.alerting.save("data", b"1")
            assert await rig.alerting.read("data") is None
            rig.store.full = False
            await rig.judge(finding())
            assert rig.store.commits == 1
            await rig.alerting.save("data", b"2")
            assert await rig.alerting.read("data") == b"2"

    asyncio.run(test())
    assert [record.getMessage() for record in caplog.records if not is_alert(record)] == [
        "evidence cannot be kept: the disk is full",
        "what was saved cannot be read: the disk is full",
        "evidence: kept again",
    ]


def test_closing_tells_what_is_due() -> None:
    hook = Hook()

    async def test() -> None:
        async with running(channels={"other": hook}) as rig:
            await rig.judge(finding())
        assert hook.took.qsize() == 1

    asyncio.run(test())
