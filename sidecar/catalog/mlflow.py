"""The catalogue where MLflow is the registry: registered models, their versions and aliases, and runs.

What MLflow has a field for stands there, the rest in tags that begin with `sidecar.`: people see all of it in MLflow,
and what they change there (an alias, an approval) holds here. A call that writes several things is no transaction
there: what makes the rest hold is written last, and a call that failed can be made again.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from hashlib import sha256
from itertools import islice
from typing import Annotated, get_args

from msgspec import Meta

from sidecar.catalog.bounds import check_draft, check_group, check_live, check_log, check_words
from sidecar.catalog.documents import encode
from sidecar.catalog.mlflow_deploying import Registry, orders
from sidecar.catalog.mlflow_link import Link, Nothing
from sidecar.catalog.mlflow_place import check_uri
from sidecar.catalog.mlflow_registry import Models
from sidecar.catalog.mlflow_replies import RunDocument, VersionDocument, texts
from sidecar.catalog.mlflow_runs import batches, live_points, read_run, status_of
from sidecar.catalog.mlflow_tracking import Tracking
from sidecar.catalog.mlflow_versions import LIVE, decision_tags, draft_tags, live_tag, read_version, source_of
from sidecar.config.values import Seconds
from sidecar.entries import Approval, Decision, Draft, Point, Run, RunStatus, Version
from sidecar.errors import ConfigError, ConflictError, Fault, UnknownError
from sidecar.ports import Serving

MONITORING = "sidecar-monitoring"
"""Name of the run that holds what is measured of a version; its tags say of which, and the version's which it is."""
MONITORS = "sidecar.monitors"
MONITORED_BY = "sidecar.monitoring_run"

MAX_RUNS = 1000
MAX_POINTS = 50_000

_ALIAS = re.compile(r"(?!(latest|v[0-9]+)\Z)[A-Za-z0-9_-]{1,255}", re.IGNORECASE)
_RUN_URI = re.compile(r"runs:/([A-Za-z0-9_-]+)/.*")


@dataclass(frozen=True, slots=True)
class Mlflow:
    """Keeps it in an MLflow server, and is there whoever the variables of MLflow's own client say.

    These are MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD; and those of TLS. Of the
    deployments that have ended, and of the decisions, as many are kept as fit in a tag of 5,000 bytes: some twenty.

    Args:
        folder: What every catalogue is given; nothing is kept there.
        environ: The variables; read at each call.
        uri: Of the server; by default MLFLOW_TRACKING_URI.
        champion_alias: Follows who has all of the traffic.
        challenger_alias: Follows who newly has a part of it.
        timeout_s: For each answer of the server; a call may take some ten of them.

    Raises:
        ConfigError: `uri` is none, or an alias cannot be one.
    """

    folder: str = ""
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    _: KW_ONLY
    # Whoever uses MLflow has it set.
    uri: str = ""
    # MLflow's documentation calls it so.
    champion_alias: Annotated[str, Meta(min_length=1)] = "champion"
    challenger_alias: Annotated[str, Meta(min_length=1)] = "challenger"
    timeout_s: Seconds = 5.0
    _tracking: Tracking = field(init=False, repr=False)
    _models: Models = field(init=False, repr=False)

    def __post_init__(self) -> None:
        uri = self.uri or self.environ.get("MLFLOW_TRACKING_URI", "")
        faults = [
            Fault(name, "expected letters, digits, _ and -; neither latest nor v1, v2 and so on")
            for name in ("champion_alias", "challenger_alias")
            if not _ALIAS.fullmatch(getattr(self, name))
        ]
        if self.champion_alias == self.challenger_alias:
            faults.append(Fault("challenger_alias", "expected another than champion_alias"))
        try:
            check_uri(uri)
        except ValueError as error:
            faults.append(Fault("uri", f"{error}" if uri else "expected one here, or in MLFLOW_TRACKING_URI"))
        if faults:
            raise ConfigError(*faults)
        link = Link(uri, self.timeout_s, self.environ)
        object.__setattr__(self, "_tracking", Tracking(link))
        object.__setattr__(self, "_models", Models(link))

    def groups(self) -> list[str]:
        """All registered models."""
        return self._models.names()

    def versions(self, group: str) -> list[Version]:
        """All versions of a model, the latest first; none of one that has only runs."""
        try:
            aliases = self._models.aliases(group)
        except UnknownError:
            self._tracking.experiment(group)
            return []
        documents = self._models.versions(group)
        children = self._models.children(group)
        runs = self._tracking.those([each.run_id for each in documents if each.run_id])
        return [
            read_version(
                each,
                run=runs.get(each.run_id),
                aliases=sorted(alias for alias, number in aliases.items() if number == each.version),
                children=children.get(each.version, ()),
            )
            for each in documents
        ]

    def version(self, group: str, name: str) -> Version:
        """One of them, by its number or by an alias with `@` before it, `@latest` included."""
        return self._read(self._models.version(group, name))

    def register(self, group: str, draft: Draft, *, by: str, now_s: float) -> Version:
        """Add a version; what the run that produced it says fills the draft where it says nothing.

        Raises:
            UnknownError: A version that it derives from is not there.
        """
        check_group(group)
        check_draft(draft)
        check_words(by=by)
        for link in draft.links:
            if link.relation == "derived_from":
                parent, _, number = link.target.rpartition("/")
                self._models.version(parent, number)
        run = self._producer(draft)
        document = {
            "name": group,
            "source": source_of(draft),
            "description": draft.notes,
            "run_id": run.info.run_id if run else "",
        }
        added = self._models.add(document, draft_tags(draft, by=by, now_s=now_s))
        return read_version(added, run=run, aliases=(), children=())

    def decide(self, group: str, name: str, approval: Approval, *, by: str, why: str, now_s: float) -> Version:
        """Say whether a version may serve; to say what was said last changes nothing."""
        check_words(by=by, why=why)
        if approval not in get_args(Approval):
            raise ConfigError(Fault("approval", f"expected one of {', '.join(get_args(Approval))}"))
        document = self._models.version(group, name)
        for key, text in decision_tags(document, Decision(approval, now_s, by, why)).items():
            self._models.tag(document, key, text)
        return self.version(group, str(document.version))

    def deploy(self, group: str, serving: Sequence[Serving], *, by: str, why: str, now_s: float) -> None:
        """Note who serves from now on, and move the aliases of who was promoted, or rolled back to."""
        check_words(by=by, why=why)
        try:
            aliases = self._models.aliases(group)
        except UnknownError:
            return
        registry = Registry(
            group=group,
            versions=self._models.versions(group),
            aliases=aliases,
            champion=self.champion_alias,
            challenger=self.challenger_alias,
        )
        for order in orders(registry, serving, by=by, why=why, now_s=now_s):
            self._models.link.send(order.what, Nothing, order.document, method=order.method)

    def report(self, group: str, name: str, live: Mapping[str, float], *, now_s: float) -> None:
        """Note what is measured of a version while it serves: metrics of a run, at each second a step, and a tag."""
        check_live(live)
        document = self._models.version(group, name)
        run = self._monitoring(document, now_s)
        self._tracking.log(list(batches(run, {}, live_points(live, now_s), {})))
        self._models.tag(document, LIVE, live_tag(document, live, now_s))

    def begin(self, group: str, name: str, *, now_s: float) -> Run:
        """Begin a training run, in the experiment that is called like the model."""
        check_group(group)
        check_words(name=name)
        return read_run(self._tracking.begin(group, name, {}, now_s), group, ())

    def log(
        self, run: str, *, parameters: Mapping[str, str], points: Sequence[Point], artefacts: Mapping[str, str]
    ) -> None:
        """Add to a run; a parameter that MLflow has already gets its new value as a tag, since it never changes one."""
        check_log(parameters, points, artefacts)
        document = self._tracking.run(run)
        if status_of(document) != "running":
            raise ConflictError(f"the run {run} has ended")
        self._tracking.log(list(batches(document, parameters, points, artefacts)))

    def end(self, run: str, status: RunStatus, *, now_s: float) -> None:
        """End it; to say again how it has ended changes nothing."""
        if status not in ("finished", "failed"):
            raise ConfigError(Fault("status", "expected finished or failed"))
        now = status_of(self._tracking.run(run))
        if now == "running":
            self._tracking.end(run, status.upper(), now_s)
        elif now != status:
            raise ConflictError(f"the run {run} has {now}")

    def run(self, run: str) -> Run:
        """A run; of its points the 50,000 that come first, metric by metric."""
        document = self._tracking.run(run)
        return read_run(document, self._tracking.group_of(document), self._tracking.points(document, MAX_POINTS))

    def runs(self, group: str) -> list[Run]:
        """The latest 1,000 runs of a model, of their points only the last of each metric."""
        try:
            experiment = self._tracking.experiment(group)
        except UnknownError:
            self._models.aliases(group)
            return []
        found = (each for each in self._tracking.search(experiment.experiment_id) if not _monitors(each))
        return [read_run(each, group, each.data.metrics) for each in islice(found, MAX_RUNS)]

    def mark(self, group: str) -> str:
        """Another one whenever versions of a model, aliases, decisions or deployments have changed; two requests."""
        try:
            aliases = self._models.aliases(group)
        except UnknownError:
            return ""
        versions = [_digest(each) for each in self._models.versions(group)]
        return sha256(encode([sorted(aliases.items()), versions])).hexdigest()

    def close(self) -> None:
        """Nothing is held."""

    def _read(self, document: VersionDocument) -> Version:
        aliases = self._models.aliases(document.name)
        return read_version(
            document,
            run=self._tracking.find(document.run_id) if document.run_id else None,
            aliases=sorted(alias for alias, number in aliases.items() if number == document.version),
            children=self._models.children(document.name).get(document.version, ()),
        )

    def _producer(self, draft: Draft) -> RunDocument | None:
        """The run that produced it, if MLflow has it."""
        named = [link.target for link in draft.links if link.relation == "produced_by"]
        if match := _RUN_URI.fullmatch(draft.artefact):
            named.insert(0, match[1])  # MLflow takes such a source only beside its run
        found = (self._tracking.find(each) for each in named)
        return next((each for each in found if each), None)

    def _monitoring(self, document: VersionDocument, now_s: float) -> RunDocument:
        """The run of what is measured of a version: the one that its tag names, that is tagged so, or a new one."""
        if (named := texts(document.tags).get(MONITORED_BY)) and (known := self._tracking.find(named)):
            return known
        whose = f"{document.name}/{document.version}"
        experiment = self._tracking.made(document.name)
        tagged = self._tracking.search(experiment, f"tags.`{MONITORS}` = '{whose}'")
        run = next(tagged, None) or self._tracking.begin(document.name, MONITORING, {MONITORS: whose}, now_s)
        self._models.tag(document, MONITORED_BY, run.info.run_id)
        return run


def _digest(version: VersionDocument) -> str:
    """Of one alone: to write down all of them at once keeps the interpreter from requests for some ten milliseconds."""
    # What is measured is no change.
    tags = sorted((tag.key, tag.value) for tag in version.tags if tag.key not in {LIVE, MONITORED_BY})
    return sha256(encode([version.version, tags])).hexdigest()


def _monitors(run: RunDocument) -> bool:
    return MONITORS in texts(run.data.tags)
