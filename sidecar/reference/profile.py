"""What is known of a data set, feature by feature: what statistics.json holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sidecar.reference.sketch import Sketch

Kind = Literal["Integral", "Fractional", "String", "Unknown"]
"""SageMaker's inferred types. A feature is a String as soon as one of its values is a text; Unknown is one without any
value."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of a feature; infinities are not among them.

    Args:
        total: Their sum.
        std: Standard deviation of the population (ddof = 0), as Deequ computes it.
        sketch: Their ranks; None where the file has none.
    """

    mean: float
    total: float
    std: float
    minimum: float
    maximum: float
    sketch: Sketch | None


@dataclass(frozen=True, slots=True)
class Categories:
    """The texts of a feature.

    Args:
        distinct: How many different ones; an estimate where there are many.
        counts: Rows by text, the most frequent first; not all of them where there are many.
    """

    distinct: float
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Profile:
    """One feature of a data set.

    Args:
        present: Rows with a value.
        missing: Rows without.
        numbers: None for a feature that is not numeric.
        categories: None for a feature that is not a String.
    """

    name: str
    kind: Kind
    present: int
    missing: int
    numbers: Numbers | None = None
    categories: Categories | None = None

    @property
    def completeness(self) -> float:
        """The share of rows with a value; 0 without rows."""
        rows = self.present + self.missing
        return self.present / rows if rows else 0.0


@dataclass(frozen=True, slots=True)
class Profiles:
    """A data set.

    Args:
        rows: How many it had.
        features: In the data's order.
    """

    rows: int
    features: Sequence[Profile]
