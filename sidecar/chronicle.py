"""The chronicle: every ten seconds it notes how things stand, for who asks later how they came to be so."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from sidecar.stats.history import GRAINS, History, Key
from sidecar.stats.moments import Counts
from sidecar.stats.traffic import FINE_SECONDS, Histogram, Labels, Series, Traffic
from sidecar.watching import Watching

COPIED = 16
"""Series of the traffic in one step on the event loop."""


class _Copy(NamedTuple):
    """A series of the traffic as it was: requests by duration and by overhead, and how many of them failed."""

    variant: str
    duration_s: Sequence[int]
    overhead_s: Sequence[int]
    failed: bool


class _Sum(NamedTuple):
    """All requests of a variant so far, by duration and by overhead, shape (B,), and how many of them failed."""

    duration_s: Counts
    overhead_s: Counts
    errors: int


class Chronicle:
    """Looks at traffic, drift, quality and experiments, and keeps their past.

    Args:
        watching: Knows what the rows say.
        traffic: What the request path counts.
        wall_s: The time of day, Unix seconds.

    Attributes:
        history: What it keeps.
    """

    def __init__(self, watching: Watching, traffic: Traffic, *, wall_s: Callable[[], float]) -> None:
        self.history = History()
        self._watching = watching
        self._traffic = traffic
        self._wall_s = wall_s
        self._before: dict[str, _Sum] = {}
        self._before_s = watching.pipeline.now_s()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(until_next(self._wall_s()))
            with self._watching.pipeline.surviving:
                await self.look()

    async def look(self) -> None:
        """Note how things stand: requests are counted on the event loop, all else is read while nothing is judged."""
        copies: list[_Copy] = []
        for place, (labels, series) in enumerate(self._traffic):
            if labels.variant:
                copies.append(_copy(labels, series))
            if place % COPIED == COPIED - 1:
                await asyncio.sleep(0)
        pipeline = self._watching.pipeline
        await pipeline.between(partial(self._note, copies, pipeline.now_s(), self._wall_s()))

    def _note(self, copies: Iterable[_Copy], now_s: float, wall_s: float) -> None:
        for work in (partial(self._requests, copies, now_s), self._quality, self._experiments, self._drift):
            with self._watching.pipeline.surviving:
                work(wall_s)

    def _put(self, key: Key, named: Mapping[str, float], wall_s: float, *, mean: bool = False) -> None:
        values = np.fromiter(named.values(), dtype=np.float64, count=len(named))
        self.history.put(key, tuple(named), values, wall_s, mean=mean)

    def _requests(self, copies: Iterable[_Copy], now_s: float, wall_s: float) -> None:
        """What came since the last look."""
        sums: dict[str, _Sum] = {}
        for each in copies:
            sums[each.variant] = _added(sums.get(each.variant, _NONE), each)
        over_s, self._before_s = now_s - self._before_s, now_s
        before, self._before = self._before, sums
        for variant, total in sums.items():
            for series, value in _rates(before.get(variant, _NONE), total, over_s).items():
                self._put(Key("traffic", variant, series), {"": value}, wall_s, mean=True)

    def _quality(self, wall_s: float) -> None:
        """Every score of every version; the versions that serve last: who names none is told of these."""
        grading = self._watching.truth.grading if self._watching.truth is not None else None
        if grading is None:
            return
        latest = {key for key, _ in grading.versions.latest()}
        for variant, version in sorted(grading.grades, key=lambda key: key in latest):
            scores = grading.grades[variant, version].window.scores
            named = {name: each.value for name, each in scores.items()}
            self._put(Key("quality", variant, "value", version), named, wall_s)

    def _experiments(self, wall_s: float) -> None:
        """Of every challenger by every measure; of two experiments that have the same one, the first."""
        trials = self._watching.trials
        told: set[str] = set()
        for standing in trials.standings.values() if trials is not None else ():
            for challenger in dict.fromkeys(each.challenger for each in standing.verdicts):
                if challenger in told:
                    continue
                told.add(challenger)
                compared = {
                    f"{challenger}/{each.measure}": each.compared
                    for each in standing.verdicts
                    if each.challenger == challenger
                }
                for series in ("estimate", "low", "high"):
                    named = {name: getattr(both, series) for name, both in compared.items()}
                    self._put(Key("experiments", challenger, series), named, wall_s)

    def _drift(self, wall_s: float) -> None:
        """The greatest evidence; then of every column, which may be too many to be kept."""
        following = self._watching.following
        if following is None:
            return
        told = {variant: followed.statistics() for variant, followed in list(following.variants.items())}
        for variant, statistics in told.items():
            if (nats := statistics.get("evidence_nats")) is not None:
                self._put(Key("evidence", variant, "evidence_nats"), {"": float(nats.max(initial=-np.inf))}, wall_s)
        for variant, statistics in told.items():
            for series, values in statistics.items():
                self.history.put(Key("drift", variant, series), following.bins.names, values, wall_s)


def until_next(now_s: float) -> float:
    """Seconds to the middle of a step of the history: who is a little early or late is still in it.

    Never less than half a step, so that a clock that is ahead brings no second look in the same one.
    """
    step_s = GRAINS["hour"].step_s
    wait_s = step_s - (now_s - step_s / 2) % step_s
    return wait_s if wait_s >= step_s / 2 else wait_s + step_s


_NONE = _Sum(np.zeros(len(FINE_SECONDS) + 1, dtype=np.int64), np.zeros(len(FINE_SECONDS) + 1, dtype=np.int64), 0)


def _copy(labels: Labels, series: Series) -> _Copy:
    failed = bool(labels.error_type) or labels.status >= 500
    return _Copy(labels.variant, list(series.duration_s.counts), list(series.overhead_s.counts), failed)


def _added(total: _Sum, copy: _Copy) -> _Sum:
    duration_s = np.array(copy.duration_s, dtype=np.int64)
    errors = int(duration_s.sum()) if copy.failed else 0
    return _Sum(total.duration_s + duration_s, total.overhead_s + copy.overhead_s, total.errors + errors)


def _rates(before: _Sum, now: _Sum, over_s: float) -> Mapping[str, float]:
    """What came between two moments; NaN where nothing did."""
    duration_s, overhead_s = _grown(before.duration_s, now.duration_s), _grown(before.overhead_s, now.overhead_s)
    requests = sum(duration_s.counts)
    return {
        "requests_per_s": requests / over_s if over_s > 0 else np.nan,
        "errors_ratio": (now.errors - before.errors) / requests if requests else np.nan,
        "p50_s": duration_s.quantile(0.5),
        "p99_s": duration_s.quantile(0.99),
        "overhead_p99_s": overhead_s.quantile(0.99),
    }


def _grown(before: Counts, now: Counts) -> Histogram:
    found = Histogram(FINE_SECONDS)
    found.counts = (now - before).tolist()
    return found
