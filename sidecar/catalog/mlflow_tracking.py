"""Runs and experiments of an MLflow server: how they are found and made. A model's are in the experiment named so."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from sidecar.catalog.mlflow_link import Link, Nothing, pages
from sidecar.catalog.mlflow_replies import (
    Created,
    Experiment,
    ExperimentReply,
    Metric,
    MetricsPage,
    RunDocument,
    RunReply,
    RunsPage,
    as_millis,
    as_tags,
)
from sidecar.errors import ConfigError, ConflictError, UnknownError

PAGE = 100
"""Runs asked for at once: a run with long tags is some kilobytes."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,255}")


@dataclass(frozen=True, slots=True)
class Tracking:
    """What a server tracks."""

    link: Link

    def experiment(self, group: str) -> Experiment:
        """A model's.

        Raises:
            UnknownError: There is none, or it was deleted.
        """
        try:
            found = self.link.get("experiments/get-by-name", ExperimentReply, experiment_name=group).experiment
        except ConfigError:  # what can be no name
            raise UnknownError(f"there is no model {group!r}") from None
        if found.lifecycle_stage != "active":
            raise UnknownError(f"the experiment {group!r} was deleted")
        return found

    def made(self, group: str) -> str:
        """The id of a model's experiment, made where there is none.

        Raises:
            ConflictError: It was deleted, and MLflow gives its name to no other.
        """
        try:
            return self.experiment(group).experiment_id
        except UnknownError:
            pass
        try:
            return self.link.send("experiments/create", Created, {"name": group}).experiment_id
        except ConflictError:  # another was faster; or it is there, and deleted
            pass
        try:
            return self.experiment(group).experiment_id
        except UnknownError as error:
            raise ConflictError(f"{error}, expected it to be restored, or deleted for good") from None

    def group_of(self, run: RunDocument) -> str:
        """The name of its experiment."""
        query = {"experiment_id": run.info.experiment_id}
        return self.link.get("experiments/get", ExperimentReply, **query).experiment.name

    def run(self, run: str) -> RunDocument:
        """A run that was not deleted.

        Raises:
            UnknownError: There is none.
        """
        if not _ID.fullmatch(run):
            raise UnknownError("there is no such run")
        found = self.link.get("runs/get", RunReply, run_id=run).run
        if found.info.lifecycle_stage != "active":
            raise UnknownError(f"the run {run} was deleted")
        return found

    def find(self, run: str) -> RunDocument | None:
        """The same; None where there is none."""
        try:
            return self.run(run)
        except UnknownError:
            return None

    def those(self, runs: Collection[str]) -> dict[str, RunDocument]:
        """Of these the ones that are there, by id; at a call for each experiment, most of the time."""
        found: dict[str, RunDocument] = {}
        left = [run for run in dict.fromkeys(runs) if _ID.fullmatch(run)]
        while left:
            if (first := self.find(left.pop(0))) is None:
                continue
            found[first.info.run_id] = first
            asked, rest = left[:PAGE], left[PAGE:]
            ids = ", ".join(f"'{run}'" for run in asked)
            same = self.search(first.info.experiment_id, f"attributes.run_id IN ({ids})") if asked else ()
            found |= {each.info.run_id: each for each in same}
            left = [run for run in asked if run not in found] + rest
        return found

    def search(self, experiment: str, only: str = "") -> Iterator[RunDocument]:
        """The runs of an experiment, the latest first.

        Args:
            only: Those of this filter.
        """
        question: dict[str, object] = {
            "experiment_ids": [experiment],
            "filter": only,
            "max_results": PAGE,
            "order_by": ["attributes.start_time DESC"],
        }
        found = pages(lambda page: self.link.send("runs/search", RunsPage, {**question, **page}))
        return chain.from_iterable(each.runs for each in found)

    def points(self, run: RunDocument, most: int) -> list[Metric]:
        """All values of all of its metrics, so many at most."""
        found = chain.from_iterable(self._history(run.info.run_id, each.key) for each in run.data.metrics)
        return list(islice(found, most))

    def _history(self, run: str, metric: str) -> Iterator[Metric]:
        question: dict[str, str | int] = {"run_id": run, "metric_key": metric, "max_results": 10_000}
        found = pages(lambda page: self.link.get("metrics/get-history", MetricsPage, **question, **page))
        return chain.from_iterable(each.metrics for each in found)

    def begin(self, group: str, name: str, tags: Mapping[str, str], now_s: float) -> RunDocument:
        """Make a run; without a name it gets one of MLflow's."""
        document: dict[str, object] = {"experiment_id": self.made(group), "start_time": as_millis(now_s)}
        document |= {"tags": as_tags(tags)} | ({"run_name": name} if name else {})
        return self.link.send("runs/create", RunReply, document).run

    def log(self, batches: Sequence[Mapping[str, object]]) -> None:
        """Add to a run."""
        for each in batches:
            self.link.send("runs/log-batch", Nothing, each)

    def end(self, run: str, status: str, now_s: float) -> None:
        """End it.

        Args:
            status: As MLflow has it.
        """
        self.link.send("runs/update", Nothing, {"run_id": run, "status": status, "end_time": as_millis(now_s)})
