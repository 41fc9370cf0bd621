"""What experiments and the rollout say of challengers."""

from collections.abc import Mapping
from math import isfinite
from typing import get_args

from sidecar.experiments.standing import Standing
from sidecar.experiments.verdicts import Word
from sidecar.instruments.table import Points, known, metric
from sidecar.records import Metric
from sidecar.texts import encodable


def experiment_metrics(standings: Mapping[str, Standing], dropped: int, share: float | None) -> list[Metric]:
    """How each stands; what is not known is left out.

    Args:
        standings: By what they are for: `experiment`, `rollout`.
        dropped: Requests that were not weighed.
        share: Of the rollout's challenger, in percent; None without a rollout.
    """
    rows: Points = []
    named: dict[str, Points] = {name: [] for name in ("estimate", "low", "high")}
    words: Points = []
    for kind, standing in standings.items():
        rows += [({"sidecar.experiment": kind, **_whose(name)}, count) for name, count in standing.rows.items()]
        for verdict in standing.verdicts:
            at = {"sidecar.experiment": kind, **_whose(verdict.challenger)}
            at["sidecar.metric"] = encodable(verdict.measure)
            told = {name: float(getattr(verdict.compared, name)) for name in named}
            for name, value in told.items():
                named[name] += [(at, value)] if isfinite(value) else []
            words += [({**at, "sidecar.verdict": word}, float(word == verdict.word)) for word in get_args(Word)]
    return [
        metric("sidecar.experiment.rows", rows),
        *(metric(f"sidecar.experiment.{name}", points) for name, points in named.items()),
        metric("sidecar.experiment.verdict", words),
        metric("sidecar.experiment.dropped", [({}, dropped)] if standings else []),
        metric("sidecar.rollout.percent", [] if share is None else [({}, share)]),
    ]


def _whose(variant: str) -> dict[str, str | int | bool]:
    return known({"feature_flag.result.variant": encodable(variant)})
