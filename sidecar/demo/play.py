"""`sidecar demo --drift` at work: its plot, and the rows that the plot rules."""

from collections.abc import Callable

from sidecar.demo.admin import Admin
from sidecar.demo.figures import Drift, read_drift
from sidecar.demo.plot import Moment, Plot
from sidecar.demo.receiver import Received
from sidecar.demo.rows import Drawn
from sidecar.demo.screen import Scene

FALSE_ALARMS_PER = 1_000_000
"""Rows in which one false alarm is allowed: the default, written out for who reads the demo's configuration."""


class Play:
    """Lets the rows follow the plot, and has told what is new.

    Args:
        rows: What the client sends.
        plot: Decides.
        say: Tells.
        now_s: A clock that does not go back.
    """

    def __init__(self, rows: Drawn, plot: Plot, say: Callable[..., None], now_s: Callable[[], float]) -> None:
        self.rows = rows
        self.plot = plot
        self._say = say
        self._now_s = now_s
        self._began_s = now_s()

    def begin(self) -> None:
        """The first request is sent now."""
        self._began_s = self._now_s()

    async def look(self, admin: Admin) -> Scene:
        """See what the sidecar says of drift, and go on."""
        drift = read_drift(await admin.get("/v1/drift"), FALSE_ALARMS_PER)
        self.see(drift)
        return Scene(self.plot.phase, drift)

    def see(self, drift: Drift) -> None:
        """Take what the sidecar says of drift, and go on."""
        now = Moment(self._elapsed_s(), self.rows.drawn)
        self._say(*self.plot.see(now, drift), *self.plot.go_on(now))
        self.rows.shifted = self.plot.phase == "shifted rows"

    def receive(self, received: Received) -> None:
        """Take a notice."""
        self._say(*self.plot.take(self._elapsed_s(), received))

    def _elapsed_s(self) -> float:
        return self._now_s() - self._began_s
