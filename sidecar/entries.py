"""What the catalogue holds: versions of a model, where they come from, the runs that trained them, where they serve.

A group is a model; its versions are numbered 1..N. What a version came from and led to is a small graph of links.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Approval = Literal["pending", "approved", "rejected"]
"""Whether a version may serve: nobody has said, it may, it must not."""

Relation = Literal["derived_from", "trained_on", "produced_by", "evaluated_on"]
"""From a version to another version, to data, to a run, to data."""

RunStatus = Literal["running", "finished", "failed"]


class Link(NamedTuple):
    """An edge of the lineage graph, from a version to what is named.

    Args:
        target: `{group}/{number}` of a version, the id of a run, or where data are.
        digest: Of data, `sha256:…`; empty where nobody knows it, and for versions and runs.
    """

    relation: Relation
    target: str
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What somebody says of a version when registering it.

    Args:
        artefact: Where the model is: a path or URL.
        digest: Of it, `sha256:…`.
        framework: `scikit-learn 1.7`.
        signature: Names and types of columns, as JSON.
        parameters: Of the training run, as the next.
        metrics: By name.
        reference: Folder of the reference pair (statistics.json and constraints.json).
        links: What it comes from.
        notes: For people.
    """

    artefact: str = ""
    digest: str = ""
    framework: str = ""
    signature: Any = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    reference: str = ""
    links: Sequence[Link] = ()
    notes: str = ""


class Deployment(NamedTuple):
    """A time in which a version was behind a variant.

    Args:
        since_s: Unix time, as the next.
        until_s: None while it is.
        by: Who put it there.
        why: In their words.
        replaced: The version before it; empty where there was none.
        weight: Percent of the traffic that it has, or had last.
        ended_by: Who ended it; empty while it is.
        ended_why: In their words.
    """

    variant: str
    since_s: float
    until_s: float | None
    by: str
    why: str
    replaced: str
    weight: float
    ended_by: str = ""
    ended_why: str = ""


class Decision(NamedTuple):
    """Somebody's word on whether a version may serve."""

    approval: Approval
    time_s: float
    by: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A build of a model.

    Args:
        number: Within its group, from 1.
        registered_s: Unix time.
        by: Who registered it.
        decisions: The latest last; without any its approval is pending.
        deployments: Likewise.
        live: What has been measured while it served, by name.
        live_s: Unix time of that; None where nothing has been.
        children: Versions that derive from it, `{group}/{number}`.
        aliases: What else it is called, without the `@`, where the catalogue knows such.
    """

    group: str
    number: int
    draft: Draft
    registered_s: float
    by: str
    decisions: Sequence[Decision] = ()
    deployments: Sequence[Deployment] = ()
    live: Mapping[str, float] = field(default_factory=dict)
    live_s: float | None = None
    children: Sequence[str] = ()
    aliases: Sequence[str] = ()

    @property
    def key(self) -> str:
        """What links and other versions call it: `{group}/{number}`."""
        return f"{self.group}/{self.number}"

    @property
    def approval(self) -> Approval:
        """What was decided last."""
        return self.decisions[-1].approval if self.decisions else "pending"

    @property
    def deployed(self) -> Sequence[Deployment]:
        """Where it is now."""
        return [each for each in self.deployments if each.until_s is None]


class Point(NamedTuple):
    """A metric of a run at one step."""

    name: str
    step: int
    value: float
    time_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A training run.

    Args:
        id: Unique, of 32 hexadecimal digits.
        group: The model that it trains.
        started_s: Unix time, as the next.
        ended_s: None while it runs.
        parameters: By name.
        points: Its metrics by step, in the order in which they were logged.
        artefacts: Where what it made is, by name.
        thinned: Points let go of because there were too many: each time every second one of each metric.
    """

    id: str
    group: str
    name: str
    started_s: float
    ended_s: float | None = None
    status: RunStatus = "running"
    parameters: Mapping[str, str] = field(default_factory=dict)
    points: Sequence[Point] = ()
    artefacts: Mapping[str, str] = field(default_factory=dict)
    thinned: int = 0

    @property
    def metrics(self) -> Mapping[str, float]:
        """The last value of each."""
        return {point.name: point.value for point in self.points}


class Change(NamedTuple):
    """Who changed what of who serves whom, and why.

    Args:
        time_s: Unix time.
        who: A person, a program, or `configuration`, `rollout`, `catalogue` where the sidecar itself found reason.
        what: `weights champion=90 challenger=10`, for people.
    """

    time_s: float
    who: str
    what: str
    why: str = ""
