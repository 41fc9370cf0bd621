"""The plot of `sidecar demo --drift`: usual rows, shifted rows, usual rows again, and what ought to be seen of it.

The clock, the client and the receiver are elsewhere.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from sidecar.demo.figures import Drift
from sidecar.demo.notices import Notice, at, told
from sidecar.demo.receiver import Received
from sidecar.demo.rows import BY_SD

LENGTH_S = 15.0
"""Of the first two phases, where there is no end or a late one."""

Phase = Literal["usual rows", "shifted rows", "usual rows again"]


class Moment(NamedTuple):
    """When something was.

    Args:
        elapsed_s: Since the first request.
        rows: Sent so far.
    """

    elapsed_s: float
    rows: int


def phase_s(seconds: float | None) -> float:
    """The length of each of the first two phases; the third has what is left.

    Args:
        seconds: Of the whole; None is no end.

    Example:
        >>> phase_s(None), phase_s(20), phase_s(600)
        (15.0, 5.0, 15.0)
    """
    return LENGTH_S if seconds is None else min(LENGTH_S, seconds / 4)


class Plot:
    """Knows which rows are to be sent now, tells what is new, and whether all came as it ought to.

    Args:
        steps: By how much each shifted feature is higher, in its own unit.
        length_s: Of each of the first two phases. The second one also waits for the alert.

    Attributes:
        phase: Of now.
        notices: What the receiver got.
    """

    def __init__(self, steps: Mapping[str, float], length_s: float) -> None:
        self._steps = steps
        self._length_s = length_s
        self._shifted: Moment | None = None
        self._found: Moment | None = None
        self._back: Moment | None = None
        self._over: Moment | None = None
        self._wrong: set[str] = set()
        self.phase: Phase = "usual rows"
        self.notices: list[Notice] = []

    def go_on(self, now: Moment) -> list[str]:
        """Begin the next phase where it is time; what there is to tell of it."""
        if self._shifted is None and now.elapsed_s >= self._length_s:
            self.phase, self._shifted = "shifted rows", now
            steps = ", ".join(f"{name} (+{step:.3g})" for name, step in self._steps.items())
            what = f"from now on {len(self._steps)} features are higher by {BY_SD:g} standard deviation: {steps}"
            return [at(now.elapsed_s, what)]
        due = self._shifted and now.elapsed_s >= self._shifted.elapsed_s + self._length_s
        if self._back is None and due and self._of("firing"):
            self.phase, self._back = "usual rows again", now
            return [at(now.elapsed_s, "from now on the rows are as usual again")]
        return []

    def see(self, now: Moment, drift: Drift) -> list[str]:
        """Take what the sidecar says of drift; what is new of it.

        Args:
            now: When it was asked.
        """
        drifting, seen = drift.drifting, Moment(now.elapsed_s, drift.rows)
        self._wrong |= set(drifting) - (set(self._steps) if self._shifted else set())
        if self._shifted and self._found is None and drifting:
            self._found = seen
            what = f"the sidecar has found drift, within {_since(self._shifted, seen)} of the shift"
            return [at(now.elapsed_s, f"{what}: {', '.join(drifting)}")]
        if self._back and self._over is None and not drifting:
            self._over = seen
            return [at(now.elapsed_s, f"nothing drifts any more, within {_since(self._back, seen)} of the return")]
        return []

    def take(self, elapsed_s: float, received: Received) -> list[str]:
        """Take a notice that has come to the receiver; it, to be told."""
        self.notices.append(Notice(elapsed_s, received))
        return told(self.notices[-1])

    @property
    def shown(self) -> str:
        """What has been shown where there is no fault."""
        return "one alert, of exactly the shifted features; resolved after they were back"

    def summary(self) -> list[str]:
        """What came of it."""
        lines = []
        if self._shifted:
            lines.append(f"shifted     {', '.join(self._steps)}, after {self._shifted.rows} usual rows")
        if self._shifted and self._found:
            lines.append(f"found       within {_since(self._shifted, self._found)} of the shift")
        if self._shifted and (firing := self._of("firing")):
            lines.append(f"alert       {firing[0].elapsed_s - self._shifted.elapsed_s:.1f} s after the shift")
        if self._back and (resolved := self._of("resolved")):
            lines.append(f"resolved    {resolved[0].elapsed_s - self._back.elapsed_s:.1f} s after the return")
        counts = ", ".join(f"{len(self._of(state))} {state}" for state in ("firing", "resolved"))
        return ["", *lines, f"notices     {counts}"]

    def faults(self) -> list[str]:
        """What ought to have been seen, and was not, or not so; nothing where all was."""
        firing, resolved = self._of("firing"), self._of("resolved")
        checks = [
            (self._shifted is not None, "the demo ended before the rows were shifted"),
            (not self._wrong, f"drift was found where nothing was shifted: {', '.join(sorted(self._wrong))}"),
            (len(firing) == 1, f"{len(firing)} notices of a firing alert, expected 1"),
            (all(_names(each) == set(self._steps) for each in firing), f"the alert named {_named(firing)}"),
            (self._back is not None, "the demo ended before the rows were as usual again"),
            (len(resolved) == 1, f"{len(resolved)} notices of a resolved alert, expected 1"),
            (all(self._is_back_by(each) for each in resolved), "the alert was resolved before the rows were back"),
            (len({each.received.alert for each in self.notices}) <= 1, "the notices were of more than one alert"),
            (all(_names(each) <= set(self._steps) for each in resolved), f"what was resolved named {_named(resolved)}"),
        ]
        return [fault for kept, fault in checks if not kept]

    def _is_back_by(self, notice: Notice) -> bool:
        return self._back is not None and notice.elapsed_s >= self._back.elapsed_s

    def _of(self, state: str) -> list[Notice]:
        return [each for each in self.notices if each.received.state == state]


def _since(start: Moment, moment: Moment) -> str:
    """The rows that were weighed are fewer than those that were sent: at the start, some may still be on their way."""
    return f"{max(moment.rows - start.rows, 0)} rows and {moment.elapsed_s - start.elapsed_s:.1f} s"


def _names(notice: Notice) -> set[str]:
    return set(notice.received.features)


def _named(notices: list[Notice]) -> str:
    return "; ".join(", ".join(each.received.features) for each in notices)
