"""What `/v1/captures` answers: the latest captures, redacted as they are stored."""

import codecs
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from aiohttp import web

from sidecar.admin.refusing import limit
from sidecar.records import JSON, Body, Capture
from sidecar.texts import shown

LIMIT = 20
MAX_LIMIT = 100
"""Of captures in one reply."""

MAX_ASKED = 200
"""Characters of what is looked for."""

_STATUS = re.compile(r"[1-5][0-9]{2}|[1-5]xx|none")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which captures are asked for.

    Args:
        limit: How many at most.
        variant: Of which variant; empty for any.
        status: `200`, or `5xx` for all of them, or `none` for no reply at all; empty for any.
        contains: What an id, the path or a body has, whatever its case; empty for anything.
    """

    limit: int = LIMIT
    variant: str = ""
    status: str = ""
    contains: str = ""

    def matches(self, capture: Capture) -> bool:
        """Whether it is one of them."""
        return (
            (not self.variant or capture.variant == self.variant)
            and (not self.status or self.status in {str(capture.status), f"{capture.status // 100}xx", _none(capture)})
            and (not self.contains or self._found(capture))
        )

    def _found(self, capture: Capture) -> bool:
        wanted = self.contains.casefold()
        texts = (capture.request_id, capture.inference_id, capture.event_id, capture.path)
        bodies = (each.data.decode("utf-8", "replace") for each in (capture.request, capture.reply))
        return any(wanted in each.casefold() for part in (texts, bodies) for each in part)


def wanted(query: Mapping[str, str]) -> Wanted:
    """What a query asks for.

    Raises:
        HTTPException: A field is not what it can be.
    """
    asked = {name: query.get(name, "") for name in ("variant", "status", "contains")}
    for name, text in asked.items():
        if len(text) > MAX_ASKED:
            raise web.HTTPBadRequest(text=f"{name}: {len(text)} characters, expected at most {MAX_ASKED}")
    if asked["status"] and not _STATUS.fullmatch(asked["status"]):
        told = shown(asked["status"], 20)
        raise web.HTTPBadRequest(text=f"status: expected one as 200 or 5xx, or none for no reply, got {told!r}")
    return Wanted(limit(query.get("limit", str(LIMIT)), MAX_LIMIT), **asked)


def recent(captures: Sequence[Capture], asked: Wanted) -> JSON:
    """Those that are asked for, latest first.

    Args:
        captures: Oldest first.
    """
    return {"captures": [_capture(each) for each in islice(filter(asked.matches, reversed(captures)), asked.limit)]}


def _none(capture: Capture) -> str:
    return "" if capture.status else "none"


def _capture(capture: Capture) -> JSON:
    return {
        "request_id": capture.request_id,
        "inference_id": capture.inference_id,
        "variant": capture.variant,
        "version": capture.version,
        "method": capture.method,
        "path": capture.path,
        "route": capture.route,
        "status": capture.status,
        "error_type": capture.error_type,
        "started_s": capture.started_s,
        "duration_s": capture.duration_s,
        "first_byte_s": capture.first_byte_s,
        "overhead_s": capture.overhead_s,
        "sample_ratio": capture.sample_ratio,
        "headers": {half: dict(fields) for half, fields in capture.headers.items()},
        "request": _body(capture.request),
        "reply": _body(capture.reply),
    }


def _body(body: Body) -> JSON:
    try:
        # The end of a truncated body may go through a character, which is no reason to call the rest binary.
        text = codecs.getincrementaldecoder("utf-8")().decode(body.data, final=body.withheld != "truncated")
        encoding = "text"
    except UnicodeDecodeError:
        text, encoding = b64encode(body.data).decode(), "base64"
    return {"content_type": body.content_type, "encoding": encoding, "data": text, "withheld": body.withheld}
