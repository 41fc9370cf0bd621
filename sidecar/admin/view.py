"""What the admin side sees of the sidecar."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from sidecar.alerts.alerting import Alerting
from sidecar.instruments import CaptureCounts, Outlet
from sidecar.monitors.attribution import Attributing
from sidecar.monitors.bias import Comparing
from sidecar.monitors.data import Following
from sidecar.monitors.learning import Learning
from sidecar.monitors.quality import Grading
from sidecar.quality.outcomes import Outcomes
from sidecar.records import Capture, Label, LabelCounts, LabelStatus, Report
from sidecar.reference.checks import Violation
from sidecar.reference.folder import Reference
from sidecar.stats.traffic import Traffic
from sidecar.stats.window import Snapshot


class VariantView(NamedTuple):
    """One arm of the split.

    Args:
        weight: Its share is its weight over the sum of all.
        upstream: Where it is, as configured.
    """

    name: str
    version: str
    weight: float
    upstream: str


class Truth(Protocol):
    """What joins labels."""

    @property
    def counts(self) -> LabelCounts:
        """What became of predictions and labels."""
        ...

    @property
    def dropped(self) -> int:
        """Predictions that never reached the store."""
        ...

    @property
    def outcomes(self) -> Outcomes:
        """What came of exchanges, besides labels."""
        ...

    @property
    def grading(self) -> Grading | None:
        """The monitor of quality."""
        ...

    @property
    def comparing(self) -> Comparing | None:
        """The monitor of bias."""
        ...

    def refuse(self, count: int) -> None:
        """Count labels that were malformed."""
        ...

    async def add(self, labels: Sequence[Label]) -> list[LabelStatus]:
        """Join labels with their predictions; DeliveryError where the store takes none."""
        ...


class Explaining(Protocol):
    """What brings attributions to their monitor."""

    @property
    def monitor(self) -> Attributing:
        """That monitor."""
        ...

    @property
    def calls(self) -> Mapping[str, int]:
        """Calls to models: `made`, of which `failed`, and rows that nothing was asked of, `skipped`."""
        ...

    @property
    def left_out(self) -> int:
        """Exchanges whose attributions were not read: more than are needed."""
        ...


class Watched(Protocol):
    """What watches the rows."""

    @property
    def watches(self) -> bool:
        """Whether there is a monitor at all."""
        ...

    @property
    def reference(self) -> Reference | None:
        """In force; None before there is one."""
        ...

    @property
    def following(self) -> Following | None:
        """The data monitor; None where nothing is watched."""
        ...

    @property
    def learning(self) -> Learning | None:
        """What learns the next reference; None when nothing does."""
        ...

    @property
    def alerting(self) -> Alerting:
        """What becomes of findings."""
        ...

    @property
    def truth(self) -> "Truth | None":
        """What joins labels; None where no monitor wants any."""
        ...

    @property
    def explaining(self) -> "Explaining | None":
        """What brings attributions; None where no monitor wants any."""
        ...

    def learn(self, rows: int | None, seconds: float | None, variant: str | None) -> None:
        """Learn another reference from now on; the one in force stays until then."""
        ...

    async def violations(self) -> Mapping[str, Sequence[Violation]]:
        """What the current windows break of the constraints, by variant."""
        ...


class ConfigView(NamedTuple):
    """What became of the configuration.

    Args:
        revision: How often it was loaded, the first time included.
        loaded_s: Unix time at which the one in force was.
        error: Why the latest attempt was refused; empty when it was not.
    """

    revision: int
    loaded_s: float
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Values that change by themselves, and functions that fetch the rest; all called on the event loop.

    Args:
        version: Of the sidecar.
        started_s: Unix time since which it counts.
        wall_s: Unix time.
        clock: The windows' clock, in seconds.
        not_ready: Why requests should not come yet, or not any more; empty when they may.
        report: All metrics, now.
        variants: In the table's order.
        snapshots: The windows by variant and kind, `features` or `predictions`.
        watching: What the rows are compared with, and what that says.
        recent: The latest captures, oldest first.
        counts: What became of exchanges.
        sinks: Where captures go.
        exporters: Where metrics and events go, besides here.
        config: What became of the configuration.
    """

    version: str
    started_s: float
    wall_s: Callable[[], float]
    clock: Callable[[], float]
    not_ready: Callable[[], Sequence[str]]
    report: Callable[[], Awaitable[Report]]
    traffic: Traffic
    variants: Callable[[], Sequence[VariantView]]
    snapshots: Callable[[], Awaitable[Mapping[tuple[str, str], Snapshot]]]
    watching: Watched
    recent: Sequence[Capture]
    counts: Callable[[], CaptureCounts]
    sinks: Callable[[], Sequence[Outlet]]
    exporters: Sequence[Outlet]
    config: Callable[[], ConfigView]
