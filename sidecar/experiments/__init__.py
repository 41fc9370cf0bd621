"""Versions compared: which is better, and how sure one can be at any time."""

from collections.abc import Callable

from sidecar.experiments.guardrails import Drift, Guardrail, Saturation
from sidecar.experiments.measures import Cost, Errors, Latency, Measure, Metric, Outcome, Quality

MEASURES: dict[str, Callable[..., Measure]] = {
    "errors": Errors,
    "latency": Latency,
    "quality": Quality,
    "outcome": Outcome,
    "metric": Metric,
    "cost": Cost,
}
"""Every measure by its name in `experiment.measures[].kind`."""

GUARDRAILS: dict[str, Callable[..., Guardrail]] = {**MEASURES, "drift": Drift, "saturation": Saturation}
"""Every guardrail by its name in `rollout.guardrails[].kind`."""
