"""What there is to be read, by name: the same documents for who asks once and for who looks on.

What takes more than a fraction of a millisecond is done in a thread, one at a time: each wants the interpreter's lock
from the proxy.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

import orjson
from aiohttp import web

from sidecar.admin.attribution import attribution
from sidecar.admin.bias import bias
from sidecar.admin.columns import columns
from sidecar.admin.drift import drift
from sidecar.admin.experiments import experiments, shadow
from sidecar.admin.metering import aside, waiting
from sidecar.admin.overview import now_of, overview
from sidecar.admin.quality import quality
from sidecar.admin.rates import Rates
from sidecar.admin.recent import Wanted, recent
from sidecar.admin.routing import Routing, routing
from sidecar.admin.status import by_variant, reference, status, traffic
from sidecar.admin.view import Truth, View
from sidecar.records import JSON
from sidecar.reference.checks import Violation, write_violations
from sidecar.stats.traffic import COPIED, Traffic
from sidecar.stats.window import Snapshot
from sidecar.texts import encodable

Maker = Callable[[], Awaitable[bytes]]
"""Makes a document; HTTPException where there is none."""


class Documents:
    """Makes them.

    Args:
        routing: Knows who changed what.

    Attributes:
        makers: All that can be read without asking for a part of it, by the path below `/v1/`.
    """

    def __init__(self, view: View, routing: Routing) -> None:
        self._view = view
        self._routing = routing
        self._aside = asyncio.Lock()
        self._rates = Rates(view.clock() - (view.wall_s() - view.started_s))
        self.makers: Mapping[str, Maker] = {
            "status": self._status,
            "overview": self._overview,
            "drift": self._drift,
            "features": self._features,
            "quality": self._quality,
            "bias": self._bias,
            "attribution": self._attribution,
            "alerts": self.alerts,
            "routes": self._routes,
            "routes/changes": self._changes,
            "experiments": self._experiments,
            "shadow": self._shadow,
            "captures": self.captures,
            "reference": self._reference,
            "violations": self._violations,
            "traffic": self._traffic,
        }

    async def alerts(self, state: str | None = None) -> bytes:
        """Alerts, of any state or of this one: those of a thousand take a second."""
        return await self.made(lambda: {"alerts": self._view.watching.alerting.documents(state)})

    async def captures(self, asked: Wanted | None = None) -> bytes:
        """The latest captures."""
        return await self.made(partial(recent, list(self._view.recent), asked or Wanted()))

    async def made(self, work: Callable[[], JSON]) -> bytes:
        """What some work in a thread finds, as JSON; NaN and infinities are null."""
        async with self._aside:
            return await aside(lambda: orjson.dumps(work()))

    async def _copied(self) -> Traffic:
        """What the request path has counted, to be read in a thread."""
        found = Traffic(max_series=0)
        for _ in self._view.traffic.copied_to(found):
            await asyncio.sleep(0)
        return found

    async def _status(self) -> bytes:
        counted = await self._copied()
        async with self._aside:
            sums = await aside(lambda: by_variant(counted))
        return orjson.dumps(status(self._view, self._rates, sums))

    async def _overview(self) -> bytes:
        requests: Counter[str] = Counter()
        for place, (labels, series) in enumerate(self._view.traffic):
            requests[labels.variant] += sum(series.duration_s.counts)
            if place % COPIED == COPIED - 1:
                await asyncio.sleep(0)
        now = now_of(self._view, requests)
        return await self.made(partial(overview, self._view.watching, self._view.history, now))

    async def _features(self) -> bytes:
        snapshots, now_s = await self._view.snapshots(), self._view.clock()
        return await self.made(partial(_features, snapshots, now_s))

    async def _violations(self) -> bytes:
        if self._view.watching.following is None:
            raise web.HTTPNotFound(text="no reference: expected reference.path or reference.learn_rows")
        async with self._aside:
            with waiting():
                found = await self._view.watching.violations()
            return await aside(partial(_told, found))

    async def _drift(self) -> bytes:
        return await self.made(lambda: drift(self._view.watching.following))

    async def _quality(self) -> bytes:
        truth = self._truth("quality")
        return await self.made(lambda: quality(truth))

    async def _bias(self) -> bytes:
        truth = self._truth("bias")
        if (comparing := truth.comparing) is None:
            raise _no_monitor("bias")
        return await self.made(lambda: bias(truth, comparing))

    async def _attribution(self) -> bytes:
        if (explaining := self._view.watching.explaining) is None:
            raise _no_monitor("attribution")
        return await self.made(lambda: attribution(explaining))

    async def _reference(self) -> bytes:
        return orjson.dumps(reference(self._view.watching))

    async def _routes(self) -> bytes:
        return orjson.dumps(routing(self._view))

    async def _changes(self) -> bytes:
        return orjson.dumps(await self._routing.journal())

    async def _traffic(self) -> bytes:
        counted = await self._copied()
        return await self.made(lambda: traffic(counted))

    async def _experiments(self) -> bytes:
        return orjson.dumps(experiments(self._view.trials))

    async def _shadow(self) -> bytes:
        if (told := shadow(self._view)) is None:
            raise web.HTTPNotFound(text="no shadow: expected one in the configuration, or put in /v1/routes")
        return orjson.dumps(told)

    def _truth(self, kind: str) -> Truth:
        if (truth := self._view.watching.truth) is None:
            raise _no_monitor(kind)
        return truth


def _features(snapshots: Mapping[tuple[str, str], Snapshot], now_s: float) -> JSON:
    told: dict[str, dict[str, JSON]] = {}
    for (variant, kind), window in snapshots.items():
        told.setdefault(variant, {"name": variant, "features": [], "predictions": []})
        told[variant][kind] = columns(window, now_s)
    return {"variants": list(told.values())}


def _told(found: Mapping[str, Sequence[Violation]]) -> bytes:
    return write_violations(
        (variant, each._replace(feature=encodable(each.feature), description=encodable(each.description)))
        for variant, those in found.items()
        for each in those
    )


def _no_monitor(kind: str) -> web.HTTPNotFound:
    return web.HTTPNotFound(text=f"no monitor of kind {kind} in the configuration")
