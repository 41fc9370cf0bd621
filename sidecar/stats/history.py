"""The past of numbers that have names: the last hour in steps of ten seconds, the last day in steps of five minutes.

Numbers that are known together, as one of every column is, are put as one vector and kept as one row of a matrix:
what is put costs a few microseconds, however many there are. A step without a number has NaN.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sidecar.stats.moments import Floats
from sidecar.texts import encodable

Span = Literal["hour", "day"]


class Grain(NamedTuple):
    """How finely a span is kept: steps of so many seconds, so many of them."""

    step_s: float
    steps: int


GRAINS: Mapping[Span, Grain] = {"hour": Grain(10.0, 360), "day": Grain(300.0, 288)}

MAX_SERIES = 4500
"""At 2.6 KB each 11.7 MB: evidence and three detectors of 1,000 columns, and what else there is."""

SINGLE = 500
"""Of them that only short vectors may take, so that wide ones leave room for the others."""

LARGEST = float(np.finfo(np.float32).max)
"""What is larger is kept as this."""

WIDE = 100
"""Numbers from which on a vector is a wide one."""


class Key(NamedTuple):
    """What numbers are of.

    Args:
        of: The kind: `traffic`, `drift`.
        variant: Whose.
        series: What is measured: `p99_s`, `psi`.
        version: Of the model, where numbers of several are kept side by side.
    """

    of: str
    variant: str
    series: str
    version: str = ""


class Past(NamedTuple):
    """Some series.

    Args:
        times_s: Unix time at which each step ended, ascending; of the one that goes on, now.
        series: Each as long; NaN in a step without a number.
    """

    times_s: Sequence[float]
    series: Mapping[str, Sequence[float]]


class _Ring:
    """The latest steps of n numbers.

    Args:
        mean: A step's value is the mean of those that it was given, not the last.
    """

    def __init__(self, grain: Grain, count: int, *, mean: bool) -> None:
        self.grain = grain
        self._mean = mean
        # Of which step each place is; -1 before the first.
        self._steps: NDArray[np.int32] = np.full(grain.steps, -1, dtype=np.int32)
        self._values: NDArray[np.float32] = np.zeros((grain.steps, count), dtype=np.float32)
        self._open = -1
        self._sums: Floats = np.zeros(count if mean else 0)
        self._given: Floats = np.zeros(count if mean else 0)

    def put(self, values: Floats, now_s: float) -> None:
        """Note the values of now."""
        step = int(now_s // self.grain.step_s)
        if self._mean:
            values = self._averaged(values, step)
        place = step % self.grain.steps
        self._steps[place], self._values[place] = step, values

    def _averaged(self, values: Floats, step: int) -> Floats:
        if step != self._open:
            self._open = step
            self._sums[:] = self._given[:] = 0.0
        known = ~np.isnan(values)
        self._sums[known] += values[known]
        self._given += known
        return np.divide(self._sums, self._given, out=np.full_like(self._sums, np.nan), where=self._given > 0)

    def first(self, now_s: float) -> int:
        """The earliest step that is known; that of now where none is."""
        last = int(now_s // self.grain.step_s)
        known = self._steps[(self._steps > max(last - self.grain.steps, -1)) & (self._steps <= last)]
        return int(known.min(initial=last))

    def has(self, step: int) -> bool:
        """Whether anything was put in this step."""
        return bool(self._steps[step % self.grain.steps] == step)

    def told(self, column: int, first: int, last: int) -> list[float]:
        """One number from one step to another."""
        steps = np.arange(first, last + 1)
        places = steps % self.grain.steps
        values = np.where(self._steps[places] == steps, self._values[places, column], np.float32(np.nan))
        # Through text: what was 0.1 is to be told as that, not as the 0.10000000149 that is next to it.
        told: list[float] = values.astype("U16").astype(np.float64).tolist()
        return told

    def taken_over(self, other: "_Ring", places: Sequence[tuple[int, int]]) -> None:
        """Go on from another one, whose numbers are here at other places: pairs of here and there."""
        here, there = ([each[side] for each in places] for side in (0, 1))
        self._steps[:] = other._steps
        self._values[:] = np.nan
        self._values[:, here] = other._values[:, there]


@dataclass(slots=True)
class _Group:
    """The numbers of one key.

    Args:
        given: Their names, all of them.
        kept: How many are kept, the first ones.
        places: Where each of these is, by the name that is told.
        rings: By span; none where none are kept.
        turn: How many times anything had been put when this was put last.
        put_s: When that was.
    """

    given: tuple[str, ...]
    kept: int
    places: Mapping[str, int]
    rings: Mapping[Span, _Ring]
    turn: int = 0
    put_s: float = 0.0

    @property
    def size(self) -> int:
        """Series that it takes: a ring's steps take as much as one."""
        return self.kept + 1 if self.kept else 0


class History:
    """Keeps the past of numbers; for any thread.

    Args:
        max_series: Kept at most; of further ones nothing is kept.
        single: Of them, those that wide vectors leave to others.

    Example:
        >>> history = History()
        >>> for now_s, value in ((0.0, 1.0), (11.0, 2.5)):
        ...     history.put(Key("drift", "champion", "psi"), ("amount",), np.array([value]), now_s)
        >>> history.past("drift", "champion", "amount", now_s=12.0)
        Past(times_s=[10.0, 12.0], series={'psi': [1.0, 2.5]})
    """

    def __init__(self, *, max_series: int = MAX_SERIES, single: int = SINGLE) -> None:
        self._max_series = max_series
        self._single = single
        self._groups: dict[Key, _Group] = {}
        self._turn = 0
        self._lock = Lock()

    @property
    def series(self) -> int:
        """Kept now."""
        return sum(group.size for group in list(self._groups.values()))

    @property
    def kept(self) -> list[Key]:
        """What something is kept of."""
        with self._lock:
            return [key for key, group in self._groups.items() if group.kept]

    @property
    def omitted(self) -> int:
        """Numbers of which nothing is kept now, for want of room."""
        return sum(len(group.given) - group.kept for group in list(self._groups.values()))

    def put(self, key: Key, names: tuple[str, ...], values: Floats, now_s: float, *, mean: bool = False) -> None:
        """Note numbers.

        Args:
            names: Of what each is; other ones than the last time are fine, and what kept its name keeps its past.
            values: Shape (n,); what is not finite is no number.
            now_s: Unix time.
            mean: A step of the day has the mean of its values, as becomes rates; the last one otherwise.
        """
        with self._lock:
            group = self._groups.get(key)
            if group is None or group.given != names or not group.kept:
                group = self._groups[key] = self._grouped(key, names, now_s, mean=mean)
            self._turn += 1
            group.turn, group.put_s = self._turn, now_s
            known = np.clip(values[: group.kept], -LARGEST, LARGEST)
            known = np.where(np.isfinite(values[: group.kept]), known, np.nan)
            for ring in group.rings.values():
                ring.put(known, now_s)

    def past(
        self, of: str, variant: str | None, name: str, *, now_s: float, span: Span = "hour", version: str | None = None
    ) -> Past:
        """All series of one name; empty where nothing of it is kept.

        Args:
            variant: Whose; None for anybody's.
            span: How far back.
            version: Of the model; without one, that of which something was put last.
        """
        with self._lock:
            found = [
                (key, group)
                for key, group in self._groups.items()
                if key.of == of and variant in (None, key.variant) and name in group.places
            ]
            if found and version is None:
                version = max(found, key=lambda each: each[1].turn)[0].version
            chosen = {key.series: group for key, group in found if key.version == version}
            return _past(chosen, name, span, now_s)

    def lately(self, key: Key, name: str, *, now_s: float, steps: int) -> Sequence[float]:
        """One number in the latest steps of the hour, the last one last; nothing where nothing of it is kept."""
        with self._lock:
            group = self._groups.get(key)
            if group is None or name not in group.places:
                return ()
            last = int(now_s // GRAINS["hour"].step_s)
            return group.rings["hour"].told(group.places[name], last - steps + 1, last)

    def _grouped(self, key: Key, names: tuple[str, ...], now_s: float, *, mean: bool) -> _Group:
        """Make room for numbers of these names, with what is known of them."""
        self._forget(now_s)
        earlier = self._groups.pop(key, None)
        most = self._max_series - (self._single if len(names) > WIDE else 0)
        kept = min(len(names), max(most - self.series - 1, 0))
        places = {encodable(names[place]): place for place in reversed(range(kept))}
        rings = {span: _Ring(each, kept, mean=mean) for span, each in GRAINS.items()} if kept else {}
        if earlier is not None and earlier.kept:
            common = [(place, earlier.places[name]) for name, place in places.items() if name in earlier.places]
            for span, ring in rings.items():
                ring.taken_over(earlier.rings[span], common)
        return _Group(names, kept, places, rings)

    def _forget(self, now_s: float) -> None:
        """Let go of what nothing has been put of for a day."""
        day = GRAINS["day"]
        for key in [key for key, each in self._groups.items() if now_s - each.put_s > day.step_s * day.steps]:
            del self._groups[key]


def _past(groups: Mapping[str, _Group], name: str, span: Span, now_s: float) -> Past:
    """What groups have of one name, by series."""
    if not groups:
        return Past([], {})
    step_s = GRAINS[span].step_s
    rings = [group.rings[span] for group in groups.values()]
    first, last = min(ring.first(now_s) for ring in rings), int(now_s // step_s)
    if first < last and not any(ring.has(last) for ring in rings):
        last -= 1  # its number is still to come
    return Past(
        # A change of numbers must not be drawn before the moment that made it.
        [min((step + 1) * step_s, now_s) for step in range(first, last + 1)],
        {series: group.rings[span].told(group.places[name], first, last) for series, group in groups.items()},
    )
