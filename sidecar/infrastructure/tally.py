"""What only grows, counted since it was first seen.

A model server is started again, its container is made anew, a network interface has counted since the machine was
started: sums over all its lives that never fall are what a counter has to be, whoever takes differences of it.
"""

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass, field, replace
from math import isnan
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Reading = TypeVar("Reading", bound=DataclassInstance)


class Life(NamedTuple):
    """From a start of a subject to its end.

    Args:
        name: Another one after each start.
        fresh: It began after the one before was last looked at: all that it has counted is new.
        resets: It may begin anew without another name: a count that falls is all new.
    """

    name: Hashable
    fresh: bool = True
    resets: bool = False


@dataclass(slots=True)
class _Count:
    """One field of one subject: told is what was read plus `offset`."""

    life: Hashable
    offset: float
    told: float


@dataclass(slots=True)
class Tally:
    """Counts of all subjects, by subject and field."""

    _counts: dict[tuple[Hashable, str], _Count] = field(default_factory=dict)

    def since(self, subject: Hashable, life: "Life", reading: "Reading", names: Sequence[str]) -> "Reading":
        """The reading, these fields of it counted since the subject was first seen.

        What is told never falls, whatever is read.
        """
        told = {name: self._since((subject, name), life, getattr(reading, name)) for name in names}
        return replace(reading, **told)

    def keep(self, subjects: Collection[Hashable]) -> None:
        """Forget the others."""
        self._counts = {key: count for key, count in self._counts.items() if key[0] in subjects}

    def _since(self, key: tuple[Hashable, str], life: "Life", value: float) -> float:
        if isnan(value):
            return value
        count = self._counts.get(key)
        if count is None:
            count = self._counts[key] = _Count(life.name, -value, 0.0)
        elif count.life != life.name:
            count.life, count.offset = life.name, count.told if life.fresh else count.told - value
        elif life.resets and value + count.offset < count.told:
            count.offset = count.told
        count.told = max(count.told, value + count.offset)
        return count.told
