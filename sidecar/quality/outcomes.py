"""What came of exchanges, besides their labels: a click, the amount of a chargeback; a running mean of each."""

import math
from dataclasses import dataclass

import msgspec

from sidecar.records import Joined

MAX_OUTCOMES = 1000
"""Variants times versions times metrics that are told apart; what comes beyond is counted."""

GREATEST = 1e100
"""What is greater is no click and no amount, and its square would make all that is told of the others infinite."""


@dataclass(slots=True)
class Outcome:
    """The values of one metric.

    Attributes:
        values: How many.
        weight: Rows of the traffic that they stand for.
        mean: Weighted.
        squares: The weighted sum of squared deviations from the mean.
    """

    values: int = 0
    weight: float = 0.0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, value: float, weight: float) -> None:
        """Add one (West 1979)."""
        self.values += 1
        self.weight += weight
        step = value - self.mean
        self.mean += step * weight / self.weight
        self.squares += weight * step * (value - self.mean)

    @property
    def deviation(self) -> float:
        """Of the mean; NaN below two values."""
        if self.values < 2:
            return math.nan
        return math.sqrt(self.squares / self.weight / (self.values - 1))


class Outcomes:
    """All outcomes.

    Attributes:
        by: Variant, version and metric.
        omitted: Values that were left: no numbers, beyond GREATEST, or of a metric beyond MAX_OUTCOMES.
    """

    def __init__(self) -> None:
        self.by: dict[tuple[str, str, str], Outcome] = {}
        self.omitted = 0

    def add(self, pair: Joined) -> None:
        """Add the values of an exchange."""
        key = (pair.prediction.variant, pair.prediction.version, pair.label.metric)
        for value in pair.label.values:
            known = isinstance(value, int | float) and abs(value) <= GREATEST
            if not known or (key not in self.by and len(self.by) >= MAX_OUTCOMES):
                self.omitted += 1
                continue
            assert isinstance(value, int | float)
            self.by.setdefault(key, Outcome()).add(float(value), pair.prediction.weight)

    def state(self) -> bytes:
        """All of it."""
        return msgspec.msgpack.encode((self.omitted, [(list(key), each) for key, each in self.by.items()]))

    def restore(self, state: bytes) -> None:
        """Go on from a state.

        Raises:
            msgspec.MsgspecError: It is none.
        """
        self.omitted, those = msgspec.msgpack.decode(state, type=tuple[int, list[tuple[tuple[str, str, str], Outcome]]])
        self.by = dict(those)
