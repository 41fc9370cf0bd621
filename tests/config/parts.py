"""A family of the tests' own."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from sidecar.config.keys import Families
from sidecar.config.schema import Part
from sidecar.errors import ConfigError, Fault


@dataclass(frozen=True, kw_only=True, slots=True)
class Shelf:
    """Puts captures on a shelf.

    Args:
        path: Where it hangs.
    """

    path: str
    size: Annotated[int, Meta(ge=1, description="How many fit.")] = 10
    order: Literal["old", "new"] = "old"
    tags: tuple[str, ...] = ()
    ratios: list[float] = field(default_factory=list)
    note: str | None = None
    token: Annotated[str, Meta(extra_json_schema={"writeOnly": True})] = ""
    made: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.path == "/dev/null":
            raise ConfigError(Fault("path", "is bottomless, expected a shelf"))


def bin_() -> object:
    """Throws captures away."""
    return object()


@dataclass(frozen=True, kw_only=True, slots=True)
class Rack:
    """Holds shelves."""

    detectors: tuple[Part, ...] = (Part(kind="shelf", options={"path": "/x"}),)


@dataclass(frozen=True, kw_only=True, slots=True)
class Margin:
    """A measure."""

    quantile: float | None = None
    margin: float = 0.01
    margin_ratio: float = 0.1


FAMILIES: Families = {
    "capture.sinks": {"shelf": Shelf, "bin": bin_},
    "payload.format": {"csv": Shelf, "mlflow": Shelf},
    "monitors": {"data": Rack},
    "monitors[].detectors": {"shelf": Shelf, "bin": bin_},
    "labels": {"sqlite": bin_, "shelf": Shelf},
    "experiment.measures": {"errors": Margin, "latency": Margin},
    "rollout.guardrails": {"errors": Margin, "latency": Margin},
    "catalog": {"sqlite": bin_, "shelf": Shelf},
    "fleet": {"bin": bin_, "shelf": Shelf},
    "alerts.channels": {"bin": bin_},
}
