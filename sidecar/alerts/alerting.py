"""From findings to alerts that are kept, and notices that are on their way."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from sidecar.alerts.delivery import Courier, Deliveries
from sidecar.alerts.document import document
from sidecar.alerts.rules import Rule, rule_for, silence, step
from sidecar.alerts.store import Store
from sidecar.errors import DeliveryError
from sidecar.ports import Channel
from sidecar.records import JSON, Alert, Event, Finding, Notice

log = logging.getLogger(__name__)

HELD_BACK = 1000
"""Notices that wait while the store takes nothing; on overflow the oldest go, counted."""

ALERTS, EVIDENCE = "alerts and notices", "evidence"
"""What is kept."""


class Alerting:
    """Decides by the rules, keeps what they say, and has the channels told.

    Args:
        rules: Which findings become alerts.
        store: Keeps alerts and outboxes.
        deliveries: Brings notices to the channels.
        link: What the links in alerts begin with; empty where none leads here, then alerts have none.
        wall_s: Unix time.
        tell: Takes what is to be exported as log records; never waits.

    Attributes:
        alerts: As they are; pending and resolved ones too.
        dropped: Notices lost because the store took nothing for too long.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        *,
        store: Store,
        deliveries: Deliveries,
        link: str,
        wall_s: Callable[[], float],
        tell: Callable[[Event], None],
    ) -> None:
        self.rules = rules
        self.alerts: Sequence[Alert] = ()
        self.dropped = 0
        self._store = store
        self._deliveries = deliveries
        self._link = link.rstrip("/")
        self._wall_s = wall_s
        self._tell = tell
        self._held_back: list[Notice] = []
        self._failing: set[str] = set()
        # One at a time: the state is taken before the store is waited for, and written after.
        self._turn = asyncio.Lock()

    async def start(self) -> None:
        """Take up the alerts of before, and begin to send what was still to be sent."""
        try:
            self.alerts = tuple(await asyncio.to_thread(self._store.load))
        except DeliveryError as error:
            log.warning("alerts of before cannot be read: %s", error)
        if self._store.unreadable:
            log.warning("%d alerts of before are left out, another version wrote them", self._store.unreadable)
        await self._deliveries.start()

    async def replace(self, rules: Sequence[Rule], channels: Mapping[str, Channel]) -> None:
        """Go on by other rules, and tell others."""
        # Notices on their way into the outbox of a channel that goes would stay there.
        async with self._turn:
            self.rules = rules
            await self._deliveries.replace(channels)

    async def judge(self, findings: Sequence[Finding]) -> None:
        """Bring the alerts to what is found now."""
        async with self._turn:
            now_s = self._wall_s()
            before, after = self.alerts, step(self.alerts, findings, self.rules, now_s)
            self.alerts = after.alerts
            self._hold([self._notice(alert, now_s) for alert in after.told])
            self._tell_changes(before, now_s)
            # Notices are there already where an earlier turn failed, or was cancelled in the midst of it.
            if after.alerts != before or self._held_back or ALERTS in self._failing:
                await self._keep(now_s)

    async def silence(self, alert_id: str, until_s: float) -> Alert | None:
        """Tell nothing of an alert until then; None where there is no such alert."""
        async with self._turn:
            silenced = {alert.id: silence(alert, until_s) for alert in self.alerts if alert.id == alert_id}
            self.alerts = tuple(silenced.get(alert.id, alert) for alert in self.alerts)
            if silenced:
                await self._keep(self._wall_s())
            return silenced.get(alert_id)

    def documents(self, state: str | None = None) -> list[JSON]:
        """The alerts as JSON documents, the latest first. May be called from any thread.

        Args:
            state: Only those in it; None for all.
        """
        asked = [alert for alert in self.alerts if state in {None, alert.state}]
        return [self.document(alert) for alert in sorted(asked, key=lambda alert: -alert.pending_s)]

    def document(self, alert: Alert) -> JSON:
        """One alert as a JSON document."""
        return document(alert, link=self._link_to(alert))

    @property
    def outlets(self) -> Sequence[Courier]:
        """The channels, with what became of their notices."""
        return self._deliveries.outlets

    async def save(self, name: str, data: bytes) -> None:
        """Keep what a monitor remembers."""
        try:
            await asyncio.to_thread(self._store.save, name, data)
        except DeliveryError as error:
            self._note(EVIDENCE, str(error))
        else:
            self._note(EVIDENCE)

    async def read(self, name: str) -> bytes | None:
        """What a monitor has saved last; None where there is nothing, or nothing to be had."""
        try:
            return await asyncio.to_thread(self._store.read, name)
        except DeliveryError as error:
            log.warning("what was saved cannot be read: %s", error)
            return None

    async def close(self, timeout_s: float) -> None:
        """Send what is due once more, and let go of the store."""
        await self._deliveries.close(timeout_s)
        await asyncio.to_thread(self._store.close)

    def _notice(self, alert: Alert, now_s: float) -> Notice:
        rule = rule_for(alert.finding.key, self.rules) or Rule()
        return Notice(f"{alert.id}-{alert.told}", alert, now_s, self._link_to(alert), rule.repeat_s, rule.channels)

    def _link_to(self, alert: Alert) -> str:
        return f"{self._link}/v1/alerts/{alert.id}" if self._link else ""

    def _hold(self, notices: Sequence[Notice]) -> None:
        self._held_back += notices
        over = max(0, len(self._held_back) - HELD_BACK)
        self.dropped += over
        del self._held_back[:over]

    async def _keep(self, now_s: float) -> None:
        """Write alerts and notices; what fails is tried again with the next judgement."""
        notices = list(self._held_back)
        channels = [outlet.name for outlet in self._deliveries.outlets]
        work = partial(self._store.commit, self.alerts, notices, channels, now_s)
        try:
            await asyncio.to_thread(work)
        except DeliveryError as error:
            self._note(ALERTS, str(error))
            return
        self._note(ALERTS)
        del self._held_back[: len(notices)]
        self._deliveries.wake()

    def _note(self, what: str, problem: str = "") -> None:
        """A change is worth a line in the log, a state is not."""
        if problem and what not in self._failing:
            log.error("%s cannot be kept: %s", what, problem)
            self._failing.add(what)
        elif not problem and what in self._failing:
            log.info("%s: kept again", what)
            self._failing.remove(what)

    def _tell_changes(self, before: Sequence[Alert], now_s: float) -> None:
        """A log record and a line in our own log of what begins to fire or is resolved, silenced or not."""
        states = {alert.id: alert.state for alert in before}
        for alert in self.alerts:
            if alert.state != states.get(alert.id, "pending"):
                event = _event(alert, now_s)
                self._tell(event)
                level = logging.INFO if alert.state == "resolved" else logging.WARNING
                log.log(level, "alert %s: %s", alert.id, event.body, extra={"event_name": event.name})


def _event(alert: Alert, now_s: float) -> Event:
    told = document(alert, link="")
    attributes: dict[str, str | int | float | bool] = {
        **{f"sidecar.alert.{name}": told[name] for name in ("id", "state", "severity")},
        **{f"sidecar.{name}": told[name] for name in ("monitor", "check", "version", "subject", "rows")},
        "feature_flag.result.variant": told["variant"],
        "sidecar.columns": ", ".join(feature["name"] for feature in told["features"]),
    }
    severity = "info" if alert.state == "resolved" else alert.severity
    return Event("sidecar.alert", now_s, severity, told["title"], attributes)
