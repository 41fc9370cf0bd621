"""The plot of `sidecar demo --fraud`: fraud as it was learned, then another kind of it, and what ought to be seen.

The clock, the client and the receiver are elsewhere.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from sidecar.demo.figures import Drift
from sidecar.demo.fraud.figures import Amount, Quality
from sidecar.demo.fraud.panel import ASKED, percent, share
from sidecar.demo.notices import Notice, at, indented, told
from sidecar.demo.receiver import Received

QUIET_ROWS = 300
"""Labelled rows that are tested before anything changes."""

BLIND_BY = 0.05
"""By how much the share of right answers is too high at least, as estimated before labels of the other kind came."""

SEGMENTS = 3
"""That are told."""

Phase = Literal["learning what is usual", "usual fraud", "another kind of fraud"]


class Moment(NamedTuple):
    """When something was.

    Args:
        elapsed_s: Since the first request.
        payments: Sent so far.
        labels: Posted so far of payments since the change, repetitions aside.
    """

    elapsed_s: float
    payments: int
    labels: int


@dataclass(frozen=True, slots=True)
class Posted:
    """What was posted, and what the sidecar has said to it.

    Args:
        first: Labels, repetitions aside.
        again: Repetitions.
        never: Labels that will not come.
        statuses: How often it said what.
    """

    first: int
    again: int
    never: int
    statuses: Mapping[str, int]

    @property
    def faults(self) -> list[str]:
        """What is not as it ought to be: every label joins once, before its prediction or after it."""
        told, taken = Counter(self.statuses), self.statuses.get("joined", 0) + self.statuses.get("waiting", 0)
        odd = {name: n for name, n in told.items() if n and name not in {"joined", "waiting", "duplicate"}}
        checks = [
            (taken == self.first, f"{taken} of {self.first} labels were taken"),
            (told["duplicate"] == self.again, f"{told['duplicate']} of {self.again} repetitions were told from others"),
            (not odd, f"labels were {', '.join(f'{name} ({n})' for name, n in sorted(odd.items()))}"),
        ]
        return [fault for kept, fault in checks if not kept]


class Plot:
    """Knows which payments are fraud now, tells what is new, and whether all came as it ought to.

    Attributes:
        phase: Of now.
        notices: What the receiver got.
        posted: Labels, as last told.
    """

    def __init__(self) -> None:
        self.phase: Phase = "learning what is usual"
        self.notices: list[Notice] = []
        self.posted = Posted(0, 0, 0, {})
        self._changed: Moment | None = None
        self._found: Moment | None = None
        self._early: list[str] = []
        self._moved: set[str] = set()
        self._last: Quality | None = None
        self._estimate: Amount | None = None

    def see(self, now: Moment, quality: Quality, drift: Drift) -> list[str]:
        """Take what the sidecar says, and begin the next phase where it is time; what is new of it.

        Args:
            now: When it was asked.
        """
        self._last = quality
        self._moved |= set(drift.drifting)
        if quality.estimated and not now.labels:
            self._estimate = quality.estimated
        if self._changed is None:
            self._early += [name for name in quality.alarms if name not in self._early]
            return self._go_on(now, quality)
        if self._found is None and quality.alarms:
            self._found = now
            return [at(now.elapsed_s, f"the sidecar has found it, {self._since(now)}: {_alarms(quality)}")]
        return []

    def take(self, elapsed_s: float, received: Received) -> list[str]:
        """Take a notice that has come to the receiver; it, to be told."""
        self.notices.append(Notice(elapsed_s, received))
        then = "The model would be trained anew now; this demo has no second one, and counts the calls."
        return [*told(self.notices[-1]), *(indented(then) if received.state == "firing" else [])]

    def summary(self) -> list[str]:
        """What came of it."""
        posted, firing = self.posted, self._of("firing")
        lines = [f"labels      {posted.first} came late, {posted.again} of them twice; {posted.never} never"]
        if self._changed:
            lines.append(f"fraud       of another kind after {self._changed.payments} payments")
        if self._found:
            lines.append(f"found       {self._since(self._found)}")
        if self._last and self._last.learned:
            lines += _fall(self._last)
        if firing:
            lines.append(f"alert       {firing[0].received.title}")
            lines.append(f"cause       {firing[0].received.reason}")
        if self._last and self._last.segments:
            lines.append(f"segments    {', '.join(self._last.segments[:SEGMENTS])}")
        if self._estimate and self._last:
            before, now = share(self._estimate), share(self._last.estimated)
            blind = "before labels of the other kind had come: it is blind to concept drift"
            lines.append(f"estimate    {before} right, {blind}; {now} with them, at the end")
        lines.append(f"webhook     called {_times(len(firing))}{', its signature right' if firing else ''}")
        return ["", *lines]

    def faults(self) -> list[str]:
        """What ought to have been seen, and was not, or not so; nothing where all was."""
        firing = self._of("firing")
        causes = ", ".join(each.received.cause or "none" for each in firing)
        checks = [
            (self._changed is not None, f"the demo ended before fraud changed, {self._progress()}"),
            (not self._early, f"worse quality was found where nothing had changed: {', '.join(self._early)}"),
            (not self._moved, f"drift of inputs was found, which have none: {', '.join(sorted(self._moved))}"),
            (self._found is not None, "the other kind of fraud was not found"),
            (len(firing) == 1, f"the webhook was called {_times(len(firing))}, expected once"),
            (all(_names_it(each) for each in firing), f"the alert's cause is {causes}, expected concept drift"),
            (len(self.notices) == len(firing), "the alert was resolved, though fraud is as it was"),
            (bool(self._last and self._last.segments), "nobody said where quality has fallen most"),
            (self._is_blind(), "the estimate was not too high before labels came"),
        ]
        return [*(fault for kept, fault in checks if not kept), *self.posted.faults]

    @property
    def shown(self) -> str:
        """What has been shown where there is no fault."""
        return "one alert, which says that it is concept drift, and called the retraining once"

    def _go_on(self, now: Moment, quality: Quality) -> list[str]:
        if self.phase == "learning what is usual" and quality.learned:
            self.phase = "usual fraud"
            what = f"{quality.reference} labelled payments are the reference of quality: {_wrong(quality.loss)} wrong"
            return [at(now.elapsed_s, what)]
        if self.phase == "usual fraud" and quality.tested >= QUIET_ROWS:
            self.phase, self._changed = "another kind of fraud", now
            what = "from now on fraud is another: small payments with a chip by day, and hardly any as before"
            return [at(now.elapsed_s, what), *indented("Payments are drawn as before, and as many of them are fraud.")]
        return []

    def _since(self, moment: Moment) -> str:
        start_s = self._changed.elapsed_s if self._changed else 0.0
        seconds = f"{moment.elapsed_s - start_s:.1f} s after it"
        return f"with {moment.labels} labels of payments since the change, {seconds}"

    def _progress(self) -> str:
        if self._last is None or not self._last.learned:
            rows = f"{self._last.reference} of {self._last.needed}" if self._last else "no"
            return f"with {rows} labelled payments of the reference"
        return f"with {self._last.tested} of {QUIET_ROWS} labelled payments tested"

    def _is_blind(self) -> bool:
        worse = self._last.tests.get("worse") if self._last else None
        if self._estimate is None or worse is None or worse.mean is None:
            return False
        return self._estimate.value - (1 - worse.mean) >= BLIND_BY

    def _of(self, state: str) -> list[Notice]:
        return [each for each in self.notices if each.received.state == state]


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _names_it(notice: Notice) -> bool:
    return notice.received.cause == "relation" and notice.received.title.startswith("Concept drift")


def _alarms(quality: Quality) -> str:
    return "; ".join(f"{ASKED[name]} {_wrong(quality.tests[name].mean)}" for name in quality.alarms)


def _wrong(mean: float | None) -> str:
    return "-" if mean is None else percent(mean)


def _fall(quality: Quality) -> list[str]:
    worse = quality.tests.get("worse")
    lines = [f"right       {share(quality.accuracy)} of the latest labelled payments at the end"]
    if worse and worse.alarm:
        lines.append(f"wrong       {_wrong(quality.loss)} → {_wrong(worse.mean)} since the change")
    return lines
