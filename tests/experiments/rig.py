"""Experiments that have begun, and traffic for them."""

from collections.abc import Sequence

import numpy as np

from sidecar.experiments.durations import Durations
from sidecar.experiments.experiment import Experiment, Rows
from sidecar.experiments.guardrails import Drift, Guardrail, Saturation
from sidecar.experiments.measures import Cost, Errors, Latency, Metric, Outcome, Quality
from sidecar.experiments.standing import Standing
from sidecar.stats.moments import Floats

HALVES = {"champion": 50.0, "challenger": 50.0}
VARIANTS = tuple(HALVES)
PRICES = {"champion": 1.0, "challenger": 1.0}
EVERY: tuple[Guardrail, ...] = (
    Errors(),
    Latency(),
    Latency(quantile=0.9, margin_ratio=0.1),
    Quality(),
    Outcome(metric="click", better="higher"),
    Metric(pointer="/score", better="lower"),
    Cost(per_request=PRICES, per_second={"champion": 10.0, "challenger": 10.0}),
    Drift(),
    Saturation(in_flight=8),
)

GUARDED: tuple[Guardrail, ...] = (
    Errors(margin=0.01),
    Latency(quantile=0.99, margin_ratio=0.25),
    Quality(),
    Drift(),
)


def experiment(
    *measures: Guardrail,
    challengers: Sequence[str] = ("challenger",),
    wrong: float = 0.05,
    min_rows: int = 200,
    name: str = "x",
) -> Experiment:
    return Experiment(name, "champion", challengers, measures, wrong=wrong, min_rows=min_rows)


def begun(*measures: Guardrail, wrong: float = 0.05, min_rows: int = 200) -> Experiment:
    made = experiment(*measures, wrong=wrong, min_rows=min_rows)
    made.begin(HALVES, 0.0)
    return made


def rows(rng: np.random.Generator, variant: str, n: int, time_s: float = 1.0) -> Rows:
    return Rows(variant, rng.integers(0, 1 << 63, n, dtype=np.uint64), np.full(n, time_s))


def errors(made: Experiment, rng: np.random.Generator, shares: Sequence[float], n: int, time_s: float = 1.0) -> None:
    for variant, share in zip(VARIANTS, shares, strict=True):
        made.served(rows(rng, variant, n, time_s), rng.random(n) < share, np.full(n, 0.1))


def everything(made: Experiment, rng: np.random.Generator, n: int, time_s: float = 1.0) -> None:
    """The challenger fails more, is slower, wiser, less clicked, scores alike, costs more, and predicts otherwise."""
    for variant, other in zip(VARIANTS, (0, 1), strict=True):
        some = rows(rng, variant, n, time_s)
        made.served(some, rng.random(n) < 0.02 + 0.05 * other, (1 + 0.5 * other) * rng.lognormal(-3, 0.3, n))
        made.lost(some, (rng.random(n) < 0.3 - 0.15 * other).astype(np.float64))
        made.outcomes(some, "click", (rng.random(n) < 0.5 - 0.2 * other).astype(np.float64))
        made.outcomes(some, "something else", np.full(n, 100.0))
        made.replied(some, [{"score": score} for score in rng.normal(1, 0.1, n).tolist()], np.full(n, 0.1))
        made.predicted(some, rng.normal(2.0 * other, 1, n))


def words(standing: Standing) -> dict[str, str]:
    return {verdict.measure: verdict.word for verdict in standing.verdicts}


def told(standing: Standing) -> str:
    """NaN is not NaN."""
    return repr(standing._replace(guards=()))


def durations(*epochs: Floats | list[float], seed: int = 1) -> Durations:
    out, rng = Durations(), np.random.default_rng(seed)
    for index, values in enumerate(epochs):
        if index:
            out.begin()
        out.take(rng.integers(0, 1 << 63, len(values), dtype=np.uint64), np.asarray(values))
    return out


def lognormal(rows: int, factor: float = 1.0, seed: int = 1) -> Floats:
    out: Floats = 0.05 * factor * np.exp(0.5 * np.random.default_rng(seed).standard_normal(rows))
    return out
