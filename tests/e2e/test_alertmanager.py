"""Alerts arrive at a real Alertmanager, and leave it."""

import asyncio
import time
from dataclasses import replace

import requests

from sidecar.alerts.alertmanager import Alertmanager
from sidecar.alerts.document import timestamp
from sidecar.records import JSON, Notice
from tests.alerts.receiver import LINK, named, notice, send
from tests.e2e.rig import PATIENCE_S, until


def active(url: str) -> list[JSON]:
    """The alerts that Alertmanager holds for active, without what it adds of its own."""
    ours = ("labels", "annotations", "startsAt", "endsAt", "generatorURL")
    found = requests.get(f"{url}/api/v2/alerts", timeout=PATIENCE_S).json()
    return [{name: alert[name] for name in ours} for alert in found]


def told(url: str, *notices: Notice) -> None:
    asyncio.run(send(Alertmanager(url=url, labels={"cluster": "eu"}), *notices))


def test_an_alert_fires_changes_and_leaves(alertmanager: str) -> None:
    now_s = float(time.time_ns() // 10**9)
    first = lately(notice(), now_s)
    repeat = lately(replace(named('<a href="x">', "Größe\ud800", "{{ .Labels }}"), id="0123456789abcdef-2"), now_s)

    told(alertmanager, first)
    (before,) = active(alertmanager)
    told(alertmanager, repeat)
    (after,) = active(alertmanager)
    told(alertmanager, lately(notice("resolved", number=3), now_s))
    until(lambda: active(alertmanager) == [])

    assert before["labels"] == after["labels"]
    assert before["labels"]["alertname"] == "SidecarDataSequential"
    assert before["labels"]["cluster"] == "eu"
    assert before["annotations"]["features"] == "amount, country"
    assert after["annotations"]["features"] == '<a href="x">, Größe\\ud800, {{ .Labels }}'
    assert before["generatorURL"] == LINK
    assert before["startsAt"] == after["startsAt"] == timestamp(now_s - 60)
    # Without one of ours, it would end after Alertmanager's own resolve_timeout of five minutes.
    assert before["endsAt"] == timestamp(now_s + 2 * first.repeat_s)


def lately(notice: Notice, now_s: float) -> Notice:
    """The notice as if the alert had fired a minute ago and this were now."""
    resolved_s = now_s if notice.alert.state == "resolved" else None
    alert = replace(notice.alert, fired_s=now_s - 60, resolved_s=resolved_s)
    return replace(notice, alert=alert, time_s=now_s)
