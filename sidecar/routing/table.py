"""The routing table: the variants and their shares of the traffic; immutable, and swapped whole for a change.

Where users are to stay with their variant, the split is a race (weighted rendezvous hashing): each variant has a clock
that rings after an exponential time whose rate is the variant's weight, and whose chance is a hash of the user and the
variant's name; the first to ring serves. A share is then weight over sum of weights. A changed weight moves one clock
only: whoever moves, moves to the variant that has more weight now or from the one that has less, as few as there can
be. And since what is left of an exponential time is exponential again, the second to ring is who would serve without
the first: a user who was sent elsewhere during a failure is where the variant's removal would have put them.
"""

import re
from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import accumulate
from math import exp2, inf, log2
from struct import Struct
from typing import NamedTuple

from sidecar.routing.matching import Rule, values
from sidecar.routing.sticky import Address, Pointer, Source
from sidecar.wire.message import RequestHead

POINTS = 1 << 32
"""Requests are thrown onto this many points; a share is a part of them, so that shares are exact to 2.4e-10."""

# To copy a hash that is begun, and to unpack its digest, takes two thirds of the time of a new one and int.from_bytes.
_BEGUN = blake2b(digest_size=8)
_one, _two = Struct(">Q").unpack, Struct(">II").unpack
_HALF = 0xFFFFFFFF
_WORD = 0xFFFFFFFFFFFFFFFF
_ALONE = 0xD6E8FEB86659FD93
"""Seed of the units of requests that are on their own; likewise."""
_RETURN = 0x9E3779B9
"""Seed of the points at which users come back: any but a variant's."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One arm of the split.

    Args:
        name: Unique within its table.
        version: The build of the model behind it; may be empty.
        weight: Its share of the traffic is its weight over the sum of all weights.
        available: Part of its requests that it may take now, 0 to 1: 0 while it is ejected, between while it returns.
    """

    name: str
    version: str = ""
    weight: float = 1.0
    available: float = 1.0


class Choice(NamedTuple):
    """Who serves a request, and why.

    Args:
        variant: Who does.
        drawn: Whom the split drew, before it was asked whether they are available; empty where a rule or the override
            field chose.
        unit: 64-bit hash of whom the split goes by: of the key, or of the request id where there is none.
        sample: 0 <= sample < POINTS, to sample by: of the request id alone, so that all sidecars sample alike, and
            independent of the split.
        keyed: The split went by a key. False in a table that is not sticky, too.
    """

    variant: Variant
    drawn: str
    unit: int
    sample: int
    keyed: bool


@dataclass(frozen=True)
class RoutingTable:
    """The variants, at least one of them with a weight above 0.

    Args:
        sticky: Where the key stands that keeps a user with one variant; without one each request is on its own.
        salt: Tables with the same one deal users alike; with another one, independently.
        override_header: Field that names the variant itself; one that is unknown or not available is not heard.
        rules: The first that fits a request says who serves it, apart from the split.
        fallback: Who serves instead of a variant that cannot; without one the others do, by weight.

    Attributes:
        needs_body: The choice goes by what stands in the request's body, which is to be there first.
        needs_address: The choice goes by the client's address.

    Raises:
        ValueError: No variant has a weight above 0; a rule or the fallback names a variant that is not there.

    Example:
        >>> table = RoutingTable((Variant("champion", weight=9), Variant("challenger", weight=1)))
        >>> table.pick(0).name, table.pick(POINTS - 1).name
        ('champion', 'challenger')
    """

    variants: Sequence[Variant]
    sticky: Source | None = field(default=None, kw_only=True)
    salt: str = field(default="", kw_only=True)
    override_header: str | None = field(default=None, kw_only=True)
    rules: Sequence[Rule] = field(default=(), kw_only=True)
    fallback: str | None = field(default=None, kw_only=True)
    needs_body: bool = field(init=False, repr=False, compare=False)
    needs_address: bool = field(init=False, repr=False, compare=False)
    _ends: list[int] = field(init=False, repr=False, compare=False)
    _arms: Sequence[tuple[int, float, Variant]] = field(init=False, repr=False, compare=False)
    _named: Mapping[bytes, Variant] = field(init=False, repr=False, compare=False)
    _override: re.Pattern[bytes] | None = field(init=False, repr=False, compare=False)
    _selects: bool = field(init=False, repr=False, compare=False)
    _spare: Variant | None = field(init=False, repr=False, compare=False)
    _seed: blake2b = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        total = sum(variant.weight for variant in self.variants)
        if not total > 0:
            raise ValueError("no variant has a weight above 0")
        ends = [round(end / total * POINTS) for end in accumulate(variant.weight for variant in self.variants)]
        _check_names({variant.name for variant in self.variants}, self.rules, self.fallback)
        named = {variant.name.encode(): variant for variant in self.variants}
        salt = blake2b(self.salt.encode(errors="surrogatepass")).digest()  # of one length: no name or key runs into it
        seed = blake2b(salt, digest_size=8)
        arms = [(_word(seed, name) >> 32, each.weight, each) for name, each in named.items() if each.weight > 0]
        object.__setattr__(self, "needs_body", isinstance(self.sticky, Pointer))
        object.__setattr__(self, "needs_address", isinstance(self.sticky, Address))
        object.__setattr__(self, "_ends", ends)
        object.__setattr__(self, "_arms", arms)
        object.__setattr__(self, "_named", named)
        object.__setattr__(self, "_override", values(self.override_header) if self.override_header else None)
        object.__setattr__(self, "_selects", bool(self.override_header or self.rules))
        object.__setattr__(self, "_spare", named[self.fallback.encode()] if self.fallback else None)
        object.__setattr__(self, "_seed", seed)

    def choose(
        self, head: RequestHead, request_id: bytes, *, address: bytes = b"", body: bytes | None = None
    ) -> Choice:
        """Who serves a request: whom its override field names, or the first rule that fits, or whom the split draws.

        Args:
            address: The client's, without port.
            body: None where it is not there, or not whole.
        """
        split, sample = points(request_id)
        key = b"" if self.sticky is None else self.sticky.key(head, address, body)
        keyed = key != b""
        unit = _word(self._seed, key) if keyed else _mixed(split << 32 | sample, _ALONE)
        if self._selects:
            variant = self._apart(head, unit)
            if variant is not None:
                return Choice(variant, "", unit, sample, keyed)
        drawn = self._first(unit) if keyed else self.pick(split)
        if drawn.available >= 1.0 or _takes(drawn, unit):
            return Choice(drawn, drawn.name, unit, sample, keyed)
        return Choice(self._other(drawn, unit, keyed=keyed) or drawn, drawn.name, unit, sample, keyed)

    def instead(self, choice: Choice) -> Variant | None:
        """Who serves where the chosen variant could not: the fallback, or another by weight; None without either.

        A rule or the override field meant one variant and no other of the split: for theirs there is only the fallback.
        """
        if choice.drawn:
            return self._other(choice.variant, choice.unit, keyed=choice.keyed)
        return self._fallback(choice.variant)

    def pick(self, point: int) -> Variant:
        """Whom the split draws for requests on their own, at `point`, 0 <= point < POINTS."""
        return self.variants[bisect_right(self._ends, point)]

    def _apart(self, head: RequestHead, unit: int) -> Variant | None:
        """Who serves a request apart from the split; None where it is part of it."""
        if self._override is not None:
            match = self._override.search(b"\n" + head.lines)
            meant = self._named.get(match[1]) if match else None
            if meant is not None and meant.available > 0:
                return meant
        for rule in self.rules:
            if rule.fits(head):
                ruled = self._named[rule.variant.encode()]
                return ruled if ruled.available >= 1.0 or _takes(ruled, unit) else self._fallback(ruled) or ruled
        return None

    def _first(self, unit: int) -> Variant:
        """Whose clock rings first."""
        least, first = inf, self._arms[0][2]
        for seed, weight, variant in self._arms:
            rings = _rings(seed, weight, unit)
            if rings < least:
                least, first = rings, variant
        return first

    def _other(self, than: Variant, unit: int, *, keyed: bool) -> Variant | None:
        """Who serves in that variant's place: the fallback, or one drawn by weight times availability."""
        fallback = self._fallback(than)
        if fallback is not None:
            return fallback
        rings = [_rings(seed, weight, unit) for seed, weight, _ in self._arms]
        # What is left on each clock after the first has rung, and how long it takes at the pace of availability.
        # Without a key it was a point that picked, and no clock has rung.
        start = min(rings) if keyed else 0.0
        left = [
            ((rung - start) / variant.available, place)
            for place, (rung, (_, _, variant)) in enumerate(zip(rings, self._arms, strict=True))
            if variant.available > 0 and variant.name != than.name
        ]
        return self._arms[min(left)[1]][2] if left else None

    def _fallback(self, than: Variant) -> Variant | None:
        spare = self._spare
        return spare if spare is not None and spare.name != than.name and spare.available > 0 else None


def points(request_id: bytes) -> tuple[int, int]:
    """Two independent points for a request, the same wherever its id is seen: one to split by, one to sample by.

    They are the first and the second four bytes, big-endian, of BLAKE2b with an eight-byte digest (RFC 7693).
    """
    begun = _BEGUN.copy()
    begun.update(request_id)
    return _two(begun.digest())


def _word(seed: blake2b, data: bytes) -> int:
    """64 bits of hash: of what `seed` has been given, and of these."""
    begun = seed.copy()
    begun.update(data)
    word: int = _one(begun.digest())[0]
    return word


def _rings(seed: int, weight: float, unit: int) -> float:
    """When the clock of that seed and weight rings for a user: -log2(u) / weight for u uniform in (0, 1).

    u is a hash of seed and unit, of 32 bits: the rounds of Mueller's integer hash, whose products fit into a register
    where the module is compiled. They are enough since both come from BLAKE2b; another BLAKE2b for each arm would take
    twice as long.
    """
    number = (unit ^ unit >> 32) & _HALF ^ seed
    number = (number ^ number >> 16) * 0x045D9F3B & _HALF
    number = (number ^ number >> 16) * 0x045D9F3B & _HALF
    return (32.0 - log2((number ^ number >> 16) + 0.5)) / weight


def _mixed(number: int, seed: int) -> int:
    """Another 64 bits for those of a hash: the rounds of MurmurHash3's finaliser."""
    number = (number ^ seed) * 0xFF51AFD7ED558CCD & _WORD
    number = (number ^ number >> 32) * 0xC4CEB9FE1A85EC53 & _WORD
    return number ^ number >> 32


def _takes(variant: Variant, unit: int) -> bool:
    """Whether a variant that is on its way back takes this user's requests; once it does, it goes on to."""
    return exp2(-_rings(_RETURN, 1.0, unit)) < variant.available


def _check_names(names: Collection[str], rules: Sequence[Rule], fallback: str | None) -> None:
    meant = [(f"rules[{place}]", rule.variant) for place, rule in enumerate(rules)]
    for where, name in [*meant, ("fallback", fallback)]:
        if name is not None and name not in names:
            raise ValueError(f"{where}: no variant is called {name!r}")
