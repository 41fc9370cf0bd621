"""`POST /v1/labels`: takes labels and outcomes, and says of each what became of it."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import get_args

import orjson
from aiohttp import web

from sidecar.admin.changing import READ_S, Bodies, aside, require_own_origin
from sidecar.admin.expecting import SHOWN
from sidecar.admin.guard import failure
from sidecar.errors import DeliveryError, PayloadError
from sidecar.payload.labels import Parsed, parse_labels
from sidecar.payload.media import JSON_LINES, media_type
from sidecar.records import Label, LabelStatus

Add = Callable[[Sequence[Label]], Awaitable[list[LabelStatus]]]
"""Brings labels into the store; raises DeliveryError where it takes none."""

Refuse = Callable[[int], None]

MAX_BODY_BYTES = 8 << 20
"""After its content coding is undone: some hundred thousand labels."""

RETRY_AFTER_S = 1

_MEDIA = frozenset({"application/json"}) | JSON_LINES


def _unheard(count: int) -> None:
    """Where nobody counts them."""


class Labels:
    """Takes what is posted.

    Args:
        read_s: In which a large body must have come: others wait for it.
    """

    def __init__(self, *, read_s: float = READ_S) -> None:
        self._bodies = Bodies(MAX_BODY_BYTES, read_s=read_s)

    async def post(self, request: web.Request, add: Add | None, refuse: Refuse = _unheard) -> web.Response:
        """Take labels in any form that `parse_labels` reads; with `?brief=1` tell of the odd ones alone.

        Args:
            add: None where nothing wants labels.
            refuse: Hears how many were malformed, and never came so far.

        Raises:
            HTTPException: Nothing in it can be read, nothing wants labels, or a page of another origin sent it.
        """
        require_own_origin(request)
        media = media_type(request.headers.get("Content-Type", ""))
        if media not in _MEDIA:
            # What a page may send elsewhere without asking first is of another type.
            raise web.HTTPUnsupportedMediaType(text="expected Content-Type: application/json or application/jsonlines")
        brief = request.query.get("brief", "0")
        if brief not in {"0", "1"}:
            raise web.HTTPBadRequest(text=f"brief: expected 0 or 1, got {brief[:20]!r}")
        if add is None:
            raise web.HTTPConflict(text="nothing wants labels: expected a monitor of kind quality or bias")
        async with self._bodies.whole(request) as data:
            return await _taken(data, media, brief, add, refuse)


async def _taken(data: bytes, media: str, brief: str, add: Add, refuse: Refuse) -> web.Response:
    try:
        parsed = await aside(data, partial(parse_labels, data, media))
        statuses = await add(parsed.labels) if parsed.labels else []
    except PayloadError as error:
        if error.reason == "too_large":
            raise web.HTTPRequestEntityTooLarge(MAX_BODY_BYTES, len(data), text=str(error)[:SHOWN]) from None
        raise web.HTTPBadRequest(text=str(error)[:SHOWN]) from None
    except DeliveryError as error:
        return failure(503, f"no label was taken: {error}", {"Retry-After": str(RETRY_AFTER_S)})
    refuse(len(parsed.faults))
    body = await aside(data, partial(_told, parsed, statuses, brief))
    return web.Response(body=body, content_type="application/json")


def _told(parsed: Parsed, statuses: Sequence[LabelStatus], brief: str) -> bytes:
    """The counts, and what became of each entry in the order in which they were posted."""
    entries = list(_entries(parsed, statuses))
    counts = dict.fromkeys(get_args(LabelStatus), 0)
    for entry in entries:
        counts[entry["status"]] += 1
    shown = [entry for entry in entries if entry["status"] != "joined"] if brief == "1" else entries
    return orjson.dumps({"counts": counts, "labels": shown})


def _entries(parsed: Parsed, statuses: Sequence[LabelStatus]) -> Iterator[dict[str, str | None]]:
    taken = iter(zip(parsed.labels, statuses, parsed.places, strict=True))
    faults = {fault.order: fault for fault in parsed.faults}
    for order in range(len(parsed.labels) + len(parsed.faults)):
        if fault := faults.get(order):
            yield {"id": fault.id, "status": "malformed", "place": fault.place, "error": fault.message}
            continue
        label, status, place = next(taken)
        entry: dict[str, str | None] = {"id": label.id, "status": status}
        if status == "malformed":
            count = len(label.values)
            entry |= {"place": place, "error": f"values: {count}, expected one for each row of the prediction"}
        yield entry
