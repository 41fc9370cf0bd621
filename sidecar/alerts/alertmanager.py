"""Alerts for Prometheus' Alertmanager, which groups, silences and routes them."""

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from sidecar.alerts.document import document, timestamp
from sidecar.alerts.posting import BOTH, On, SecretUrl, authorization, encode, on_faults, post, url_faults
from sidecar.config.values import File
from sidecar.errors import ConfigError, Fault
from sidecar.records import JSON, Key, Notice

if TYPE_CHECKING:
    from aiohttp import ClientSession

PATH = "/api/v2/alerts"
MAX_LABELS = 30
REPEATS = 2
"""A firing alert ends by itself so many repeats after it was last told: one may come late, two are a dead sidecar."""

_LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")  # two underscores in front are Prometheus' own
_OURS = ("alertname", "severity", *Key._fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alertmanager:
    """POSTs each notice to Alertmanager's API, version 2.

    Alertmanager knows an alert by its labels: `alertname` (as in SidecarDataSequential), `severity`, `monitor`,
    `check`, `variant`, `subject` and those of the option; whatever changes while it fires is in annotations. It keeps
    alerts in memory: after a restart it knows a firing one again when that is repeated.

    Args:
        url: Of Alertmanager, without /api/v2; http:// or https://. A cluster's members are a channel each.
        labels: Labels that every alert gets, which tell one sidecar's from another's.
        authorization_file: File that holds the value of the Authorization header field.
        ca: PEM file of the authorities to trust instead of the system's.
        on: What is told: firing (also when repeated), resolved.

    Raises:
        ConfigError: `url` is no URL or has a user or a query, `ca` is without use, a label cannot be one, `on` empty.
    """

    url: SecretUrl = field(repr=False)
    labels: Annotated[dict[str, str], Meta(max_length=MAX_LABELS)] = field(default_factory=dict)
    authorization_file: File | None = None
    ca: File | None = None
    on: On = BOTH

    def __post_init__(self) -> None:
        faults = [*url_faults(self.url, self.ca), *on_faults(self.on)]
        if "?" in self.url:
            faults.append(Fault("url", "expected a URL without query"))
        for name, value in self.labels.items():
            if not _LABEL.fullmatch(name) or name in _OURS:
                faults.append(Fault(f"labels.{name}", f"expected a label's name other than {', '.join(_OURS)}"))
            elif not value or not value.isprintable():
                faults.append(Fault(f"labels.{name}", "expected a text that can be shown, and is not empty"))
        if faults:
            raise ConfigError(*faults)

    async def send(self, notice: Notice, http: "ClientSession") -> None:
        """Post one notice.

        Raises:
            DeliveryError: It was not taken, or a file cannot be used.
        """
        if notice.alert.state not in self.on:
            return
        told = document(notice.alert, link=notice.link)
        body = encode([{"labels": {**_labels(told), **self.labels}, **_timed(notice), **_annotated(told)}])
        headers = {"Content-Type": "application/json", **await authorization(self.authorization_file)}
        await post(http, self.url.rstrip("/") + PATH, body, headers, self.ca)


def _labels(told: JSON) -> dict[str, str]:
    """What an alert is known by."""
    words = re.findall("[A-Za-z0-9]+", f"sidecar {told['monitor']} {told['check']}")
    name = "".join(word[0].upper() + word[1:] for word in words)
    return {"alertname": name, **{label: told[label] for label in _OURS[1:]}}


def _annotated(told: JSON) -> dict[str, JSON]:
    more = [f"and {told['features_omitted']} more"] if told["features_omitted"] else []
    annotations = {
        "summary": told["title"],
        "description": told["text"],
        "features": ", ".join([*(feature["name"] for feature in told["features"]), *more]),
        "version": told["version"],
    }
    # Anything but a URL is refused, and all the rest with it.
    link = {"generatorURL": told["link"]} if told["link"].startswith(("http://", "https://")) else {}
    return {"annotations": annotations, **link}


def _timed(notice: Notice) -> dict[str, JSON]:
    """Since when the alert fires, and until when: its end, or when it is as good as over should nothing more come."""
    alert = notice.alert
    starts_s = notice.time_s if alert.fired_s is None else alert.fired_s
    ends_s = notice.time_s + REPEATS * notice.repeat_s
    if alert.state == "resolved":
        ends_s = notice.time_s if alert.resolved_s is None else alert.resolved_s
    # An end before the start is refused, and a clock may go back.
    return {"startsAt": timestamp(starts_s), "endsAt": timestamp(max(starts_s, ends_s))}
