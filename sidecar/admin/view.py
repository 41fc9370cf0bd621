"""What the admin side sees of the sidecar."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from sidecar.alerts.alerting import Alerting
from sidecar.config.routes import Routes
from sidecar.experiments.standing import Standing
from sidecar.instruments import CaptureCounts, ExportOutlet, Outlet
from sidecar.journal import Journal
from sidecar.monitors.attribution import Attributing
from sidecar.monitors.bias import Comparing
from sidecar.monitors.data import Following
from sidecar.monitors.learning import Learning
from sidecar.monitors.quality import Grading
from sidecar.monitors.shadowed import Shadowed
from sidecar.ports import Catalog
from sidecar.quality.outcomes import Outcomes
from sidecar.records import JSON, Capture, Label, LabelCounts, LabelStatus, Report
from sidecar.reference.checks import Violation
from sidecar.reference.folder import Reference
from sidecar.routing.availability import State
from sidecar.routing.course import Course
from sidecar.routing.rollout import Command, Plan, Word
from sidecar.stats.history import History
from sidecar.stats.traffic import Traffic
from sidecar.stats.window import Snapshot

T = TypeVar("T")


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


class Settled(Protocol):
    """What labels have said."""

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


class Truth(Settled, Protocol):
    """What joins labels."""

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


class Steering(Protocol):
    """What keeps the course.

    Its changes raise ConfigError, OSError, UnknownError, ConflictError and DeliveryError; nothing was changed then.
    """

    @property
    def course(self) -> Course:
        """In force."""
        ...

    @property
    def routes(self) -> Routes:
        """Who serves whom, by that."""
        ...

    @property
    def plan(self) -> Plan | None:
        """Of the rollout; None where there is to be none."""
        ...

    @property
    def hindrance(self) -> str:
        """What must come before a rollout that waits may begin, for people; empty where nothing must."""
        ...

    @property
    def unkept(self) -> str:
        """Why the course in force could not be kept; empty where it is."""
        ...

    @property
    def journal(self) -> Journal:
        """Every change."""
        ...

    async def put(self, document: JSON, *, revision: int | None, by: str, why: str) -> Course:
        """Put other routes in the place of those in force, if these have this revision."""
        ...

    async def weigh(self, name: str, percent: float, *, revision: int | None, by: str, why: str) -> Course:
        """Give a variant this percent of the traffic."""
        ...

    async def order(self, command: Command, name: str | None, *, revision: int | None, by: str, why: str) -> Course:
        """Promote, roll back, start, hold or resume."""
        ...


class Judged(Protocol):
    """What the rollout was told of its challenger."""

    @property
    def rows(self) -> int:
        """Since its step began."""
        ...

    @property
    def words(self) -> Mapping[str, Word]:
        """Of each guardrail."""
        ...

    @property
    def ready(self) -> bool:
        """It takes all of its part."""
        ...


class Trials(Protocol):
    """What looks at experiments, at the rollout's guardrails, and at a shadow's answers."""

    @property
    def standings(self) -> Mapping[str, Standing]:
        """How each stands, by what it is for: `experiment`, `rollout`."""
        ...

    @property
    def judged(self) -> Judged | None:
        """What the rollout was told last; None before it was told anything."""
        ...

    @property
    def shadowed(self) -> Shadowed | None:
        """Compares a shadow's answers; None before there is one."""
        ...


class Cataloguing(Protocol):
    """What keeps the catalogue."""

    @property
    def group(self) -> str:
        """The model that is served here."""
        ...

    @property
    def unknown(self) -> Mapping[str, str]:
        """Versions that serve and are not in the catalogue, by name of the variant."""
        ...

    async def do(self, work: Callable[[Catalog], T]) -> T:
        """Ask the catalogue for something, in its thread; raises what that raises."""
        ...


class Copies(Protocol):
    """What became of copies for a shadow; see `proxy.shadow`."""

    @property
    def sent(self) -> int:
        """That went out, or tried to."""
        ...

    @property
    def in_flight(self) -> int:
        """Sent and not yet answered, now."""
        ...

    @property
    def shed(self) -> Mapping[str, int]:
        """Requests that were to be copied and were not, by why."""
        ...

    @property
    def failed(self) -> Mapping[str, int]:
        """Copies without a whole reply, by error type."""
        ...


class Upstreams(Protocol):
    """The upstreams as they serve."""

    @property
    def ejections(self) -> Mapping[str, int]:
        """How often each variant was ejected."""
        ...

    @property
    def shadowed(self) -> Copies:
        """What became of copies."""
        ...

    @property
    def states(self) -> Mapping[str, tuple[State, float]]:
        """How each variant was when the traffic was last dealt, and the part of its traffic that it may take since."""
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
        steering: Who serves whom.
        upstreams: How those are who serve.
        trials: Which of them is better; None where nothing looks.
        cataloguing: The versions behind them; None where there is no catalogue.
        history: How things stood before.
        link: How people come to the admin side, as the configuration has it; empty where it says nothing.
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
    exporters: Sequence[ExportOutlet]
    config: Callable[[], ConfigView]
    steering: Steering
    upstreams: Upstreams
    trials: Trials | None
    cataloguing: Cataloguing | None
    history: History
    link: str
