"""What is known of every version of every variant, the latest ones of a bounded number."""

from collections.abc import Callable, Iterator, Mapping
from math import inf
from typing import Generic, NamedTuple, TypeVar

import msgspec

from sidecar.stats.keeping import Array, packed, unpacked

V = TypeVar("V")

MAX_VERSIONS = 32
"""Variants times versions; of more, the ones that answered the longest ago are forgotten."""

KEYS = "keys"


class VersionKey(NamedTuple):
    """Whose it is."""

    variant: str
    version: str


class Versions(Generic[V]):
    """Keeps what is known.

    Args:
        make: Makes what is known of a version before its first row.

    Attributes:
        forgotten: Versions that had to go.
    """

    def __init__(self, make: Callable[[], V]) -> None:
        self.forgotten = 0
        self._make = make
        self._known: dict[VersionKey, V] = {}
        # Of the latest request: labels of an earlier version may come last.
        self._seen_s: dict[VersionKey, float] = {}

    def __iter__(self) -> Iterator[tuple[VersionKey, V]]:
        """All of them; of a copy, which others may change meanwhile."""
        return iter(list(self._known.items()))

    def of(self, variant: str, version: str, time_s: float) -> V:
        """The one of these names, made where it is missing; forgotten at once if it is the oldest of too many.

        Args:
            time_s: Unix time of a request that it answered.
        """
        key = VersionKey(variant, version)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._make()
        self._seen_s[key] = max(time_s, self._seen_s.get(key, time_s))
        if len(self._known) > MAX_VERSIONS:
            oldest = min(self._known, key=lambda each: (self._seen_s[each], each == key))
            del self._known[oldest], self._seen_s[oldest]
            self.forgotten += 1
        return found

    def until(self, now_s: float) -> None:
        """No request is later than now: what a clock that was ahead has said is not what the next ones are held to."""
        self._seen_s = {key: min(seen_s, now_s) for key, seen_s in self._seen_s.items()}

    def get(self, variant: str, version: str) -> V | None:
        """The one of these names, if there is one."""
        return self._known.get(VersionKey(variant, version))

    def latest(self) -> list[tuple[VersionKey, V]]:
        """Of each variant the version that answered last."""
        in_time = sorted(self, key=lambda item: self._seen_s.get(item[0], -inf))
        return list({key.variant: (key, each) for key, each in in_time}.values())

    def arrays(self, state: Callable[[V], Mapping[str, Array]]) -> dict[str, Array]:
        """All of them, to be saved; see `restore`."""
        known = list(self)
        parts = {f"{place}/{name}": part for place, (_, each) in enumerate(known) for name, part in state(each).items()}
        return {KEYS: packed([[*key, self._seen_s[key]] for key, _ in known]), **parts}

    def restore(self, parts: Mapping[str, Array], put_back: Callable[[V, str], None]) -> bool:
        """Go on from arrays; False, and nothing done, where they are of another version of ours.

        Args:
            put_back: Restores one from the arrays whose names begin so.
        """
        found: dict[VersionKey, V] = {}
        try:
            keys = unpacked(parts[KEYS], list[tuple[str, str, float]])
            for place, (variant, version, _) in enumerate(keys):
                found[VersionKey(variant, version)] = self._make()
                put_back(found[VersionKey(variant, version)], f"{place}/")
        except (ArithmeticError, LookupError, TypeError, ValueError, msgspec.MsgspecError):
            return False  # whatever another version of ours takes for a state
        self._known = found
        self._seen_s = {VersionKey(variant, version): seen_s for variant, version, seen_s in keys}
        return True
