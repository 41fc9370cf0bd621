"""A run of ours in MLflow: its own fields, and tags for where artefacts are.

MLflow never changes a parameter; what it is by now is a tag, and is what we read.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from math import isnan

from sidecar.catalog.mlflow_replies import Metric, RunDocument, as_millis, as_tags, texts, value_of
from sidecar.entries import Point, Run, RunStatus

ARTEFACT = "sidecar.artefact."
"""Its name stands behind, as below."""
PARAMETER = "sidecar.parameter."

BATCH = (40, 40, 800)
"""Parameters, tags and metrics of one request: MLflow takes 1,000 in all, and 1 MB."""

_STATUSES: Mapping[str, RunStatus] = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "failed"}
_UNNAMEABLE = re.compile(r"[^\w./: -]|^[./]+|(?<=[./])[./]+|[./]+$")


def status_of(document: RunDocument) -> RunStatus:
    """How it is: what was killed has failed, what is only scheduled runs."""
    return _STATUSES.get(document.info.status, "running")


def read_run(document: RunDocument, group: str, points: Iterable[Metric]) -> Run:
    """The run.

    Args:
        points: As MLflow has them, metric by metric; they come out oldest first.
    """
    info, said = document.info, texts(document.data.tags)
    status = status_of(document)
    read = [Point(each.key, each.step, value_of(each), each.timestamp / 1000) for each in points]
    return Run(
        id=info.run_id,
        group=group,
        name=info.run_name or said.get("mlflow.runName", ""),
        started_s=info.start_time / 1000,
        ended_s=info.end_time / 1000 if status != "running" and info.end_time else None,
        status=status,
        parameters=texts(document.data.params) | _behind(PARAMETER, said),
        points=sorted(read, key=lambda point: point.time_s),
        artefacts=_behind(ARTEFACT, said),
    )


def _behind(prefix: str, said: Mapping[str, str]) -> dict[str, str]:
    return {key.removeprefix(prefix): text for key, text in said.items() if key.startswith(prefix)}


def batches(
    document: RunDocument, parameters: Mapping[str, str], points: Sequence[Point], artefacts: Mapping[str, str]
) -> Iterator[dict[str, object]]:
    """Requests that add these to a run, as few as MLflow's limits allow; parameters and artefacts come first."""
    known, said = texts(document.data.params), texts(document.data.tags)
    new = {name: text for name, text in parameters.items() if name not in known}
    tags = {f"{ARTEFACT}{name}": text for name, text in artefacts.items()}
    for name, text in parameters.items():
        if name in known and text != said.get(f"{PARAMETER}{name}", known[name]):
            tags[f"{PARAMETER}{name}"] = text
    return _batched(document.info.run_id, as_tags(new), as_tags(tags), as_metrics(points))


def _batched(run: str, *kinds: Sequence[Mapping[str, object]]) -> Iterator[dict[str, object]]:
    left = [iter(each) for each in kinds]
    while any(batch := [list(islice(each, most)) for each, most in zip(left, BATCH, strict=True)]):
        yield {"run_id": run} | dict(zip(("params", "tags", "metrics"), batch, strict=True))


def as_metrics(points: Iterable[Point]) -> list[dict[str, object]]:
    """As a server takes them."""
    return [
        {"key": each.name, "value": _spelled(each.value), "timestamp": as_millis(each.time_s), "step": each.step}
        for each in points
    ]


def live_points(live: Mapping[str, float], now_s: float) -> list[Point]:
    """What is measured of a version, for a run whose steps are seconds: what is undefined is left out.

    Example:
        >>> live_points({"psi{amount}": 0.25, "auc": float("nan")}, 1000.5)
        [Point(name='psi_amount_', step=1000, value=0.25, time_s=1000.5)]
    """
    named = {nameable(name): value for name, value in live.items() if not isnan(value)}
    return [Point(name, int(now_s), value, now_s) for name, value in named.items()]


def nameable(name: str) -> str:
    """The name, or one like it that MLflow takes for a metric's."""
    return _UNNAMEABLE.sub("_", name)


def _spelled(value: float) -> float | str:
    """As protobuf's JSON has it."""
    return value if value - value == 0 else "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"
