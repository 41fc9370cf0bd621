"""Follows one object of a Kubernetes API: lists it, then watches it from there, over and over until it has changed.

A watch may only begin at the version of a list, or of the watch before it: that of the object itself may be older than
what the server remembers, which then says 410 at each attempt. Versions are the server's own words, without an order.
Where the server refuses, or a watch has told nothing, the next look is a list: a version of which the server knows
nothing, as after its store was put back to an earlier state, is watched in silence.
"""

import asyncio
import logging
import math
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from sidecar.errors import DeliveryError
from sidecar.fleet.events import Event, Lines, parse_event
from sidecar.kubernetes.access import MAX_OBJECT_BYTES, Access, Object, Refused, Request
from sidecar.ports import Kept

log = logging.getLogger(__name__)

CALL_S = 10.0
"""For an answer, or for a watch to begin."""
WATCH_S = 120.0
"""The server is asked to end a watch after one to two of these: pods that began together do not come back together."""
GRACE_S = 10.0
"""Beyond that a watch that has not ended is dead."""
STEADY_S = 30.0
"""A look that has taken so long was a watch; a list and the beginning of one take less, or fail."""
RETRY_MIN_S = 0.1
RETRY_MAX_S = 30.0
"""So late, at worst, a pod learns of a change after the server is back."""


def retry_s(failures: int, chance: float) -> float:
    """How long to wait before the next look: exponential backoff with full jitter, from RETRY_MIN_S to RETRY_MAX_S.

    Args:
        failures: In a row; after a watch that ended as it should, none.
        chance: In [0, 1).

    Reference: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/

    Example:
        >>> [retry_s(failures, 0.5) for failures in (0, 1, 2, 20)]
        [0.5, 1.0, 2.0, 15.0]
    """
    return max(RETRY_MIN_S, chance * min(RETRY_MAX_S, 2.0 ** min(failures, 32)))


@dataclass(frozen=True, slots=True)
class Pace:
    """Time and chance, and how much of the former there is.

    Args:
        clock: Monotonic, in seconds.
        chance: In [0, 1).
        wait: For so many seconds.
        call_s: As CALL_S; the next two likewise.
    """

    clock: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = secrets.SystemRandom().random
    wait: Callable[[float], Awaitable[None]] = field(default=asyncio.sleep)
    call_s: float = CALL_S
    watch_s: float = WATCH_S
    grace_s: float = GRACE_S


class Place(NamedTuple):
    """Objects of one kind in one namespace, and the one of them that is meant.

    Args:
        path: Of all of them, behind the API's address.
    """

    path: str
    name: str

    @property
    def query(self) -> dict[str, str]:
        """That selects the one; a right that names it demands this (Kubernetes' RBAC, resourceNames)."""
        return {"fieldSelector": f"metadata.name={self.name}"}

    @property
    def own_path(self) -> str:
        """Of the one."""
        return f"{self.path}/{self.name}"


def version_of(found: Object) -> str:
    """The version of an object, or of a list.

    Raises:
        DeliveryError: It has none.
    """
    metadata = found.get("metadata")
    version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    if not isinstance(version, str) or not version:
        raise DeliveryError("an object without metadata.resourceVersion; expected one of Kubernetes")
    return version


class Following:
    """Looks at one object until it holds what somebody waits for.

    Args:
        where: Says where the object is, each time anew: a file may have to be read for it.
        wanted: What an object holds; None where there is still to be waited.
    """

    def __init__(
        self, access: Access, where: Callable[[], Awaitable[Place]], wanted: Callable[[Object], Kept | None], pace: Pace
    ) -> None:
        self._access = access
        self._where = where
        self._wanted = wanted
        self._pace = pace
        self._version: str | None = None  # where the next watch begins; None where a list is due
        self._told = False
        self._failures = 0
        self._troubled = False

    async def end(self) -> Kept:
        """What was waited for, however long that takes and whatever happens to connections meanwhile."""
        while True:
            began_s = self._pace.clock()
            self._told = False
            retry_after_s = 0.0
            try:
                if (found := await self._look()) is not None:
                    return found
            except Refused as error:
                self._version = None
                retry_after_s = error.retry_after_s
                self._trouble(error)
            except DeliveryError as error:
                self._trouble(error)
            steady = self._told or self._pace.clock() - began_s >= STEADY_S
            self._failures = 0 if steady else self._failures + 1
            # On top of what the server asks for: it asks all who come the same.
            await self._pace.wait(retry_after_s + retry_s(self._failures, self._pace.chance()))

    async def _look(self) -> Kept | None:
        place = await self._where()
        if self._version is None and (found := await self._list(place)) is not None:
            return found
        begin, self._version = self._version, None
        # At least 1: for the server, 0 is no limit.
        length_s = math.ceil(self._pace.watch_s * (1 + self._pace.chance()))
        query = {
            **place.query,
            "watch": "1",
            "resourceVersion": begin or "",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(length_s),
        }
        request = Request("GET", place.path, query)
        async with self._access.open(request, self._pace.call_s, length_s + self._pace.grace_s) as reply:
            self._well()
            lines = Lines(MAX_OBJECT_BYTES)
            async for chunk in reply.content.iter_any():
                if (found := self._read(lines.feed(chunk), place.name)) is not None:
                    return found
        return None

    async def _list(self, place: Place) -> Kept | None:
        listed = await self._access.call(Request("GET", place.path, place.query), self._pace.call_s)
        self._version = version_of(listed)
        items = listed.get("items")
        for each in items if isinstance(items, list) else []:
            if _is(each, place.name) and (found := self._wanted(each)) is not None:
                return found
        return None

    def _read(self, lines: list[bytes], name: str) -> Kept | None:
        """What was waited for, if these events bring it; what they tell counts until the first that is none."""
        for line in lines:
            event = parse_event(line)
            self._version = version_of(event.object)
            self._told = True
            if _brings(event, name) and (found := self._wanted(event.object)) is not None:
                return found
        return None

    def _trouble(self, error: DeliveryError) -> None:
        """A change is worth a line in the log, a state is not; nor is a server that forgets what is long ago."""
        forgotten = isinstance(error, Refused) and error.status == 410
        if not self._troubled and not self._told and not forgotten:
            self._troubled = True
            log.warning("routing is not followed: %s", error)

    def _well(self) -> None:
        if self._troubled:
            self._troubled = False
            log.info("routing is followed again")


def _brings(event: Event, name: str) -> bool:
    return event.kind in {"ADDED", "MODIFIED"} and _is(event.object, name)


def _is(found: object, name: str) -> bool:
    metadata = found.get("metadata") if isinstance(found, dict) else None
    return isinstance(metadata, dict) and metadata.get("name") == name
