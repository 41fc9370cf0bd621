"""How many alerts there are, and what became of their notices."""

from collections import Counter
from collections.abc import Sequence
from itertools import product
from typing import get_args

from sidecar.instruments.outlets import Outlet, outlet_metrics
from sidecar.instruments.table import Points, metric
from sidecar.records import Alert, Metric, Severity


def alert_metrics(alerts: Sequence[Alert], channels: Sequence[Outlet]) -> list[Metric]:
    """How many alerts there are, none included, and what became of their notices."""
    going = Counter((str(each.state), each.severity) for each in alerts)
    told: Points = [
        ({"sidecar.state": state, "sidecar.severity": severity}, going[state, severity])
        for state, severity in product(("pending", "firing"), get_args(Severity))
    ]
    return [
        metric("sidecar.alerts", told),
        *outlet_metrics("sidecar.alert", [({"sidecar.channel": each.name}, each) for each in channels]),
    ]
