"""Alerts: what findings become, and the channels that are told of them, one a file."""

from collections.abc import Callable

from sidecar.alerts.alertmanager import Alertmanager
from sidecar.alerts.command import Command
from sidecar.alerts.kubernetes_job import KubernetesJob
from sidecar.alerts.slack import Slack
from sidecar.alerts.webhook import Webhook
from sidecar.ports import Channel

CHANNELS: dict[str, Callable[..., Channel]] = {
    "webhook": Webhook,
    "alertmanager": Alertmanager,
    "slack": Slack,
    "command": Command,
    "kubernetes_job": KubernetesJob,
}
"""Every channel by its name in `alerts.channels[].kind`."""
