from collections import Counter

from sidecar.instruments.alerts import alert_metrics
from tests.instruments.rig import Way, alert, by_name


def test_alerts_are_counted_by_state_and_severity_and_none_is_a_number_too() -> None:
    alerts = [alert(), alert(), alert("pending", "critical"), alert("resolved", "critical")]
    points = by_name(alert_metrics(alerts, []))["sidecar.alerts"].points
    told = Counter({(at["sidecar.state"], at["sidecar.severity"]): int(str(value)) for at, value in points})
    assert len(points) == 6
    assert +told == {("firing", "warning"): 2, ("pending", "critical"): 1}


def test_channels_are_told_by_name() -> None:
    metrics = by_name(alert_metrics([], [Way("webhook[0]", 1, 2, 3), Way("slack[1]", 4, 5, 6)]))
    one, other = {"sidecar.channel": "webhook[0]"}, {"sidecar.channel": "slack[1]"}
    assert metrics["sidecar.alert.delivered"].points == [(one, 1), (other, 4)]
    assert metrics["sidecar.alert.dropped"].points == [(one, 2), (other, 5)]
    assert metrics["sidecar.alert.failed"].points == [(one, 3), (other, 6)]
