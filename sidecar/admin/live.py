"""`/v1/live`: documents for who looks on, as server-sent events: at once, and then whenever they have changed.

Every document is made once for all who look on, and for nobody when nobody does. Making takes less than a hundredth of
a processor, all documents together: each has a pace of its own, so that a wide one is late and the others are not. Who
reads slowly gets the latest state when he is ready for it, and never those between; who does not read at all loses his
place to who wants it.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
import logging
import math
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress

import orjson
from aiohttp import web

from sidecar.admin.documents import Maker
from sidecar.admin.guard import HEADERS
from sidecar.admin.metering import Spent, metered
from sidecar.records import JSON
from sidecar.tasks import Tasks
from sidecar.texts import shown

log = logging.getLogger(__name__)

LOOK_S = 2.0
"""Between two makings of a document, where that is cheap."""

REST = 200.0
"""Times what is taken by making, that goes by at least: sending and comparing take their part too."""

MAX_STREAMS = 20

HEARTBEAT_S = 15.0
"""After which something is said though nothing has changed: proxies close what is silent, and the gone are noticed."""

STUCK_S = 20.0
"""After which who reads nothing is taken for gone."""

SLOW_S = 5.0
"""After which he is, once another wants his place."""

LASTS_S = 900.0
"""After which a stream ends, and its reader comes back with what then says who he is: sessions end."""

PIECE_BYTES = 64 * 1024
"""Written in one go; what is longer waits for the reader in between, and lets others go on."""

SHOWN = 60
"""Characters of a name that is none."""

FIRST = b"retry: 2000\n\n"
"""After which a browser comes back, in milliseconds."""


class _Viewer:
    """Who looks on.

    Args:
        names: Of the documents.
        transport: To him.

    Attributes:
        waiting_s: Since when he has been expected to read; None where he has read all.
    """

    def __init__(self, names: frozenset[str], transport: asyncio.Transport | None) -> None:
        self.names = names
        self.waiting_s: float | None = None
        self._transport = transport
        self._waiting: dict[str, bytes] = {}
        self._told = asyncio.Event()

    def offer(self, name: str, event: bytes) -> None:
        """Put this in the place of an earlier state that was not sent yet."""
        self._waiting[name] = event
        self._told.set()

    def take(self) -> bytes | None:
        """What is to be sent next; None for nothing."""
        for name in self._waiting:
            return self._waiting.pop(name)
        self._told.clear()
        return None

    @property
    def gone(self) -> bool:
        """Whether nobody is there any more."""
        return self._transport is None or self._transport.is_closing()

    def end(self) -> None:
        """Wait no more, not for him to read either."""
        self._told.set()
        if self._transport is not None and self._transport.get_write_buffer_size():
            self._transport.abort()

    async def wait(self, seconds: float) -> None:
        """Until there is something, or so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._told.wait()


class Live:
    """Makes documents for who looks on, and sends them.

    Args:
        makers: Of documents, by name.
        now_s: A clock that does not go back.
        look_s: Between two makings of a document at least.
    """

    def __init__(self, makers: Mapping[str, Maker], *, now_s: Callable[[], float], look_s: float = LOOK_S) -> None:
        self._makers = makers
        self._now_s = now_s
        self._look_s = look_s
        self._viewers: set[_Viewer] = set()
        self._latest: dict[str, bytes] = {}
        self._costs_s: dict[str, float] = {}
        self._due_s: dict[str, float] = {}
        self._wanting = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._closing = False
        self._tasks = Tasks()

    @property
    def looking(self) -> bool:
        """Whether documents are being made, or kept for who comes back."""
        return self._looking is not None and not self._looking.done()

    def add_to(self, app: web.Application) -> None:
        """Have it answer, until the application ends."""
        app.router.add_get("/v1/live", self.stream)
        app.on_shutdown.append(self.close)

    async def close(self, _: web.Application) -> None:
        """End all streams."""
        self._closing = True
        for viewer in self._viewers:
            viewer.end()
        await self._tasks.close()

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Send until he goes, or we do."""
        names = self._named(request.query.get("of", ""))
        if request.method != "HEAD" and not self._has_room():
            told = f"{MAX_STREAMS} look on already; expected fewer open pages, or read the documents themselves"
            raise web.HTTPServiceUnavailable(text=told, headers={"Retry-After": "30"})
        answer = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        # He is gone, or as good as that: the connection ends with the request.
        with suppress(ConnectionError):
            await answer.prepare(request)
            if request.method != "HEAD":
                await self._told(self._joined(_Viewer(names, request.transport)), answer)
        return answer

    async def _told(self, viewer: _Viewer, answer: web.StreamResponse) -> None:
        try:
            await self._tell(viewer, answer)
        except TimeoutError:
            viewer.end()
        finally:
            self._viewers.discard(viewer)

    def _has_room(self) -> bool:
        """Whether another may look on, in the place of who does not read if need be."""
        if len(self._viewers) < MAX_STREAMS:
            return True
        waiting = [each for each in self._viewers if each.waiting_s is not None]
        slowest = min(waiting, key=lambda each: each.waiting_s or 0.0, default=None)
        if slowest is None or self._now_s() - (slowest.waiting_s or 0.0) < SLOW_S:
            return False
        slowest.end()
        self._viewers.discard(slowest)
        return True

    def _named(self, given: str) -> frozenset[str]:
        names = frozenset(filter(None, given.split(",")))
        if unknown := sorted(names - self._makers.keys()):
            told = shown(unknown[0], SHOWN)
            raise web.HTTPBadRequest(text=f"of: '{told}' is none, expected some of {','.join(self._makers)}")
        if not names:
            raise web.HTTPBadRequest(text=f"of: missing, expected some of {','.join(self._makers)}")
        return names

    def _joined(self, viewer: _Viewer) -> _Viewer:
        self._viewers.add(viewer)
        for name in viewer.names & self._latest.keys():
            viewer.offer(name, self._latest[name])
        self._wanting.set()
        if not self._closing and not self.looking:
            self._looking = self._tasks.start(self._look_on())
        return viewer

    async def _tell(self, viewer: _Viewer, answer: web.StreamResponse) -> None:
        await answer.write(FIRST)
        began_s = said_s = self._now_s()
        while not self._closing and not viewer.gone and self._now_s() - began_s < LASTS_S:
            event = viewer.take()
            if event is None and self._now_s() - said_s >= HEARTBEAT_S:
                event = b":\n\n"
            if event is None:
                await viewer.wait(self._look_s)
                continue
            await self._send(event, viewer, answer)
            said_s = self._now_s()

    async def _send(self, event: bytes, viewer: _Viewer, answer: web.StreamResponse) -> None:
        for start in range(0, len(event), PIECE_BYTES):
            viewer.waiting_s = self._now_s()
            async with asyncio.timeout(STUCK_S):
                await answer.write(event[start : start + PIECE_BYTES])
        viewer.waiting_s = None

    async def _look_on(self) -> None:
        """Make what is wanted as it becomes due; keep it until then for who comes back, as each change of view does."""
        while self._viewers or self._due_s:
            self._wanting.clear()
            wanted = frozenset[str]().union(*(viewer.names for viewer in self._viewers))
            for name in sorted(wanted):
                if self._due_s.get(name, -math.inf) <= self._now_s():
                    await self._renew(name, wanted)
            self._forget(wanted)
            wait_s = min(self._due_s.values(), default=self._now_s()) - self._now_s()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wanting.wait()

    async def _renew(self, name: str, wanted: Collection[str]) -> None:
        began_s, spent = self._now_s(), Spent()
        event = await self._made(name, spent)
        self._costs_s[name] = spent.seconds
        costs_s = {each: self._costs_s.get(each, 0.0) for each in wanted}
        self._due_s[name] = began_s + paces(costs_s, self._look_s)[name]
        self._offer(name, event)

    def _forget(self, wanted: Collection[str]) -> None:
        """Let go of what nobody wants and is no longer new."""
        now_s = self._now_s()
        for name in [name for name, due_s in self._due_s.items() if name not in wanted and due_s <= now_s]:
            del self._due_s[name], self._latest[name]

    def _offer(self, name: str, event: bytes) -> None:
        if self._latest.get(name) != event:
            self._latest[name] = event
            for viewer in self._viewers:
                if name in viewer.names:
                    viewer.offer(name, event)

    async def _made(self, name: str, spent: Spent) -> bytes:
        """A document, or why there is none, as an event."""
        try:
            return await metered(self._making(name), spent)
        except web.HTTPException as error:
            return _failed(name, error.status, error.text or error.reason)
        except Exception:
            # As the guard has it for who asks once: the others are to be told all the same.
            failed = _failed(name, 500, "this is a fault of the sidecar; its log tells more")
            if self._latest.get(name) != failed:
                log.exception("admin: %s failed", name)
            return failed

    async def _making(self, name: str) -> bytes:
        return event_of(name, await self._makers[name]())


def paces(costs_s: Mapping[str, float], look_s: float) -> Mapping[str, float]:
    """Seconds between two makings of each document, so that all together take one part in REST of a processor.

    What is cheap is made every `look_s`; those that are not have equal parts of what that leaves.

    Example:
        >>> told = paces({"status": 0.001, "drift": 0.02, "features": 0.06}, 2.0)
        >>> {name: round(pace_s, 1) for name, pace_s in told.items()}
        {'status': 2.0, 'drift': 8.9, 'features': 26.7}
    """
    left, found = 1 / REST, {}
    for place, (name, cost_s) in enumerate(sorted(costs_s.items(), key=lambda each: each[1])):
        part = left / (len(costs_s) - place)
        found[name] = max(look_s, cost_s / part)
        left -= cost_s / found[name]
    return found


def event_of(kind: str, data: bytes) -> bytes:
    r"""A server-sent event.

    Example:
        >>> event_of("status", b'{"a":\n 1}')
        b'event: status\ndata: {"a":\ndata:  1}\n\n'
    """
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), data.rstrip(b"\n").replace(b"\n", b"\ndata: "))


def _failed(name: str, status: int, message: str) -> bytes:
    told: JSON = {"of": name, "status": status, "message": message}
    return event_of("failed", orjson.dumps(told))
