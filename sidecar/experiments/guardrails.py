"""What must not become worse while a challenger is rolled out, and is no measure of an experiment."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from msgspec import Meta

from sidecar.experiments.measures import Batch, Margin, Measure, Predicted, amounts
from sidecar.experiments.verdicts import Judged
from sidecar.stats.moments import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How differently the two predict: the greatest difference of shares in any tenth of the champion's predictions.

    Args:
        margin: Difference of the two shares that does not matter.
    """

    margin: Margin = 0.1

    @property
    def judged(self) -> Judged:
        """As the greatest difference of shares."""
        of = "of all predictions into or out of one bin"
        return Judged("drift", self.margin, "moves", of, scale="share", binned=True, most=1.0, source="predictions")

    def values(self, variant: str, batch: Batch) -> Floats | None:  # noqa: ARG002  the protocol's
        """The prediction."""
        return amounts(batch.values) if isinstance(batch, Predicted) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Saturation:
    """Requests of a variant that wait for its answer, and do not get fewer: it is given more than it can do.

    Args:
        in_flight: Requests at once.
        for_s: So long at a stretch, in seconds.
    """

    in_flight: Annotated[int, Meta(ge=1, le=1_000_000)]
    for_s: Annotated[float, Meta(ge=0, le=86_400)] = 10.0

    name: ClassVar[str] = "saturation"


Guardrail = Measure | Saturation
