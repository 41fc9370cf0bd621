"""Quality on the screen: in a few lines and a table on a terminal, in a few words elsewhere."""

from math import isnan

from rich.table import Table
from rich.text import Text

from sidecar.demo.fraud.figures import Amount, Quality

NOTHING = "-"

ASKED = {
    "worse": "wrong answers",
    "loss": "wrong beyond the expected",
    "up": "fraud beyond the expected",
    "down": "fraud short of the expected",
}
"""What each of the sequential tests is about; what is expected is so because of the inputs."""

BLIND = "blind to concept drift until labels come"


def brief(quality: Quality) -> tuple[str, ...]:
    """In a few words, each a part of a line."""
    labels = f"{quality.joined} labels joined, {quality.awaiting} awaited"
    if not quality.learned:
        return (labels, f"{quality.reference} of {quality.needed} for the reference")
    told = f"right {share(quality.accuracy)}, estimated {share(quality.estimated)}"
    most = {name: test for name, test in quality.tests.items() if name in {"worse", "loss"}}
    nats = ", ".join(f"{name} {test.nats:.1f} of {test.needed:.1f}" for name, test in most.items())
    return (labels, told, f"evidence: {nats or NOTHING}{' ALARM' if quality.alarms else ''}")


def lines(quality: Quality) -> list[str]:
    """What the table below has no room for."""
    labels = f"labels: {quality.joined} joined, {quality.awaiting} awaited"
    if not quality.learned:
        return [f"{labels}; reference of quality: {quality.reference} of {quality.needed}"]
    return [
        f"{labels}; right by the latest: {share(quality.accuracy)}",
        f"right by estimate: {share(quality.estimated)} ({BLIND})",
    ]


def evidence(quality: Quality) -> Table:
    """What the tests say."""
    shown = Table("evidence of worse quality")
    for heading in ("mean", "allowed", "nats", "needed", ""):
        shown.add_column(heading, justify="right")
    for name, asked in ASKED.items():
        test = quality.tests.get(name)
        if test is None:
            shown.add_row(Text(asked), *[NOTHING] * 4, "")
            continue
        mean = NOTHING if test.mean is None else percent(test.mean)
        numbers = (mean, percent(test.limit), f"{test.nats:.1f}", f"{test.needed:.1f}")
        shown.add_row(Text(asked), *numbers, "ALARM" if test.alarm else "")
    return shown


def share(amount: Amount | None) -> str:
    """A share with its standard deviation, in percent.

    Example:
        >>> share(Amount(0.97042, 0.0081)), share(Amount(1.0, float("nan"))), share(None)
        ('97.0 % ± 0.8', '100.0 %', '-')
    """
    if amount is None:
        return NOTHING
    return percent(amount.value) + ("" if isnan(amount.deviation) else f" ± {100 * amount.deviation:.1f}")


def percent(value: float) -> str:
    """A share in percent.

    Example:
        >>> percent(0.0293)
        '2.9 %'
    """
    return f"{100 * value:.1f} %"
