"""A notice to be sent."""

from sidecar.records import Alert, Carrier, Finding, Key, Notice, State

ALERT_ID = "0123456789abcdef"


def notice(state: State = "firing", told: int = 1, columns: tuple[str, ...] = ("amount",)) -> Notice:
    carriers = tuple(Carrier(name, 1 / len(columns), 0.31, 0.1, f"{name} has moved", nats=14.2) for name in columns)
    key = Key("data", "sequential", "champion", "features")
    alert = Alert(
        id=ALERT_ID,
        state=state,
        severity="critical",
        finding=Finding(key, "3", carriers, 4000, 100_000, "The data have drifted"),
        pending_s=1_700_000_000.0,
        fired_s=1_700_000_010.0,
        told=told,
    )
    return Notice(f"{ALERT_ID}-{told}", alert, 1_700_000_010.0, f"https://sidecar/#{ALERT_ID}", 3600.0)
