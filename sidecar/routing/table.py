"""The routing table: the variants and their shares of the traffic; immutable, and swapped whole for a change."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import accumulate

POINTS = 1 << 32
"""Requests are thrown onto this many points; a share is a part of them, so that shares are exact to 2.4e-10."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One arm of the split.

    Args:
        name: Unique within its table.
        version: The build of the model behind it; may be empty.
        weight: Its share of the traffic is its weight over the sum of all weights.
    """

    name: str
    version: str = ""
    weight: float = 1.0


@dataclass(frozen=True)
class RoutingTable:
    """The variants, at least one of them with a weight above 0.

    Example:
        >>> table = RoutingTable((Variant("champion", weight=9), Variant("challenger", weight=1)))
        >>> table.pick(0).name, table.pick(POINTS - 1).name
        ('champion', 'challenger')
    """

    variants: Sequence[Variant]
    _ends: list[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        total = sum(variant.weight for variant in self.variants)
        if not total > 0:
            raise ValueError("no variant has a weight above 0")
        ends = [round(end / total * POINTS) for end in accumulate(variant.weight for variant in self.variants)]
        object.__setattr__(self, "_ends", ends)

    def pick(self, point: int) -> Variant:
        """The variant at `point`, 0 <= point < POINTS."""
        return self.variants[bisect_right(self._ends, point)]


def points(request_id: bytes) -> tuple[int, int]:
    """Two independent points for a request, the same wherever its id is seen: one to split by, one to sample by.

    They are the first and the second four bytes, big-endian, of BLAKE2b with an eight-byte digest (RFC 7693).
    """
    number = int.from_bytes(blake2b(request_id, digest_size=8).digest())
    return number >> 32, number & 0xFFFFFFFF
