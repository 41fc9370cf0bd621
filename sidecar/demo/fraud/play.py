"""`sidecar demo --fraud` at work: its plot, the payments that the plot rules, and their labels."""

from collections import Counter
from collections.abc import Callable
from math import inf

from sidecar.demo.admin import Admin
from sidecar.demo.figures import Drift, read_drift
from sidecar.demo.fraud.figures import Quality, read_quality
from sidecar.demo.fraud.late import Late
from sidecar.demo.fraud.payments import Stream
from sidecar.demo.fraud.plot import Moment, Plot, Posted
from sidecar.demo.play import FALSE_ALARMS_PER
from sidecar.demo.receiver import Received
from sidecar.demo.screen import Scene
from sidecar.records import JSON

LOOK_S = 1.0
"""Between two looks at quality: the sidecar works it out no more often."""

REFERENCE_ROWS = 600
"""Labelled payments of the reference. The default of 2,000 would be most of a minute."""


class Play:
    """Lets the payments follow the plot, posts their labels, and has told what is new.

    Args:
        payments: What the client sends.
        late: Their labels.
        say: Tells.
        now_s: The clock of `late`, which does not go back.
    """

    def __init__(self, payments: Stream, late: Late, say: Callable[..., None], now_s: Callable[[], float]) -> None:
        self.plot = Plot()
        self._payments = payments
        self._late = late
        self._say = say
        self._now_s = now_s
        self._began_s = now_s()
        self._looked_s = -inf
        self._statuses: Counter[str] = Counter()
        self._scene = Scene()

    def begin(self) -> None:
        """The first request is sent now."""
        self._began_s = self._now_s()

    async def look(self, admin: Admin) -> Scene:
        """Post the labels that are due, see what the sidecar says, and go on."""
        if truths := self._late.due(self._now_s()):
            entries: JSON = [{"id": truth.id, "label": truth.fraud} for truth in truths]
            self._statuses.update((await admin.post("/v1/labels?brief=1", entries))["counts"])
        if self._now_s() - self._looked_s >= LOOK_S:
            self._looked_s = self._now_s()
            drift = read_drift(await admin.get("/v1/drift"), FALSE_ALARMS_PER)
            self.see(read_quality(await admin.get("/v1/quality"), REFERENCE_ROWS), drift)
        return self._scene

    def see(self, quality: Quality, drift: Drift) -> None:
        """Take what the sidecar says, and go on."""
        late = self._late
        self.plot.posted = Posted(late.first, late.again, late.never, dict(self._statuses))
        now = Moment(self._elapsed_s(), self._payments.drawn, late.changed)
        self._say(*self.plot.see(now, quality, drift))
        self._payments.changed = self.plot.phase == "another kind of fraud"
        self._scene = Scene(self.plot.phase, drift, quality)

    def receive(self, received: Received) -> None:
        """Take a notice."""
        self._say(*self.plot.take(self._elapsed_s(), received))

    def _elapsed_s(self) -> float:
        return self._now_s() - self._began_s
