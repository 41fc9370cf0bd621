"""What there is to be told: real parts that have seen something."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sidecar.instruments import CaptureCounts
from sidecar.monitors.attribution import Attributing, Attribution
from sidecar.monitors.bias import Bias, Comparing
from sidecar.monitors.data import Data, Following, WindowSize
from sidecar.monitors.groups import FacetOf
from sidecar.monitors.quality import Grading, Quality
from sidecar.quality.reading import Reading, Task
from sidecar.records import (
    Alert,
    Attributes,
    Carrier,
    Finding,
    Key,
    Labelled,
    Metric,
    Severity,
    State,
    Table,
)
from sidecar.reference.checks import Violation
from sidecar.reference.constraints import suggested
from sidecar.reference.folder import Reference
from sidecar.reference.learning import Learner
from sidecar.stats.summary import Summary
from sidecar.stats.traffic import Labels, Traffic
from sidecar.stats.window import Snapshot, Window
from tests.admin.rig import capture

NOW_S = 1_700_010_000.0
"""Behind all rows."""

UPSTREAMS = {"champion": ("model", 8081), "challenger": ("/run/model.sock", 0)}
OK = Labels("champion", "3", "POST", "/infer", 200, "")
COUNTS = CaptureCounts(5, 4, {"buffer_full": 1}, 2048, 2, {"champion": 40}, {"json": 3})
BROKEN = Violation("amount", "completeness_check", 0.5, 0.9, "half of it is missing")
GENDER = FacetOf(group="gender", values=("f",))
AMOUNT = FacetOf(feature="amount", above=0.0)


@dataclass
class Way:
    """A sink's counts."""

    name: str
    delivered: int
    dropped: int
    failed: int
    deleted_files: int = 0
    last_error: str = ""
    waiting: int = 0
    waiting_bytes: int = 0


def by_name(metrics: Sequence[Metric]) -> dict[str, Metric]:
    named = {metric.name: metric for metric in metrics}
    assert len(named) == len(metrics)
    return named


def attributes(metric: Metric) -> list[Attributes]:
    return [point[0] for point in metric.points]


def traffic_of(*requests: tuple[Labels, float]) -> Traffic:
    """Requests of these durations: a tenth of each is ours, half of it passes before the first byte."""
    traffic = Traffic(max_series=100)
    for labels, duration_s in requests:
        replied = labels.error_type == ""
        traffic.series(labels).add(duration_s, duration_s / 2 if replied else 0.0, duration_s / 10, 700, 90)
    return traffic


def numbers(rows: int, shift: float, names: tuple[str, ...]) -> Table:
    return Table(names, np.random.default_rng(rows).normal(shift, size=(rows, len(names))))


def drifted(names: tuple[str, ...] = ("amount", "age"), variants: tuple[str, ...] = ("champion",)) -> Following:
    """Variants whose first feature has moved by two standard deviations, and the others not."""
    learner = Learner()
    learner.update(numbers(1000, 0.0, names))
    profiles = learner.profiles()
    following = Data(window=WindowSize(rows=100, panes=1)).follow(Reference(profiles, suggested(profiles)))
    moved = numbers(200, 0.0, names)
    moved.values[:, 0] += 2.0
    for variant in variants:
        following.count(variant, "3", moved, Table((), np.empty((200, 0))))
    following.judge(1e9)
    return following


def summary_of() -> Summary:
    """Of 4 rows: numbers, texts, nothing."""
    return snapshot_of().current(0.0)


def snapshot_of() -> Snapshot:
    """Likewise."""
    window = Window(rows=100, panes=10, seconds=60.0, max_features=8, max_categories=9)
    values = np.full((4, 3), np.nan)
    values[:3, 0] = [1.0, 2.0, 6.0]
    window.update(("amount", "country", "empty"), values, {1: ["de", "fr", "de", None]}, 0.0)
    return window.snapshot()


def alert(state: State = "firing", severity: Severity = "warning") -> Alert:
    finding = Finding(Key("data", "psi", "champion", "features"), "3", (Carrier("a", 1, 1, 1, ""),), 1, 1, "")
    return Alert(id="a", state=state, severity=severity, finding=finding, pending_s=0.0)


def labelled(
    rows: int, *, wrong: float = 0.1, variant: str = "champion", version: str = "3", column: str = "amount"
) -> Labelled:
    """Rows whose label is above 0.5 with the probability that the model gives it, but for those that it is wrong about.

    The first column decides; of the second, a text, nothing depends.
    """
    chance = np.random.default_rng(rows)
    amount = chance.normal(size=rows)
    probability = 1 / (1 + np.exp(-4 * amount))
    label = (probability > 0.5) ^ (chance.random(rows) < wrong)
    nothing = np.full(rows, np.nan)
    return Labelled(
        variant,
        version,
        NOW_S - 5000 + np.arange(rows, dtype=np.float64),
        np.ones(rows),
        Table((column, "country"), np.column_stack([amount, nothing]), {1: _alternating(rows, "de", "fr")}),
        Table(("label", "probability"), np.column_stack([probability > 0.5, probability])),
        Table(("label",), label[:, None].astype(float)),
        Table(("gender",), nothing[:, None], {0: _alternating(rows, "f", "m")}),
    )


def _alternating(rows: int, one: str, other: str) -> list[str]:
    return [one, other] * (rows // 2)


def grading(*batches: Labelled, task: Task = "binary", options: Quality | None = None) -> Grading:
    """The monitor of quality, having read these; the first 200 rows of each version are its yardstick."""
    made = (options or Quality(reference_rows=200)).grade(lambda: Reading(task=task))
    for rows in batches:
        made.take(rows)
        made.count(rows.variant, rows.version, rows.features, rows.predictions)
    made.judge(NOW_S)
    made.assess(NOW_S)
    return made


def comparing(*batches: Labelled, options: Bias | None = None) -> Comparing:
    """The monitor of bias, having read these."""
    made = (options or Bias(facets=(GENDER, AMOUNT))).compare(lambda: Reading(task="binary"))
    for rows in batches:
        made.take(rows)
    made.assess(NOW_S)
    return made


def attributing() -> Attributing:
    """A model whose answers rest on another feature than they did."""
    monitor = Attribution(reference_rows=50, rows=50).attribute()
    for values in ((0.75, 0.125), (0.0, 0.5)):
        monitor.take(capture(), ("amount", "age"), np.tile(values, (50, 1)))
        monitor.assess(NOW_S)
    return monitor
