"""What `/v1/history` answers: how numbers came to be what they are."""

from collections.abc import Callable, Mapping
from typing import cast, get_args

from aiohttp import web

from sidecar.records import JSON
from sidecar.stats.history import History, Past, Span
from sidecar.texts import shown

NEEDED: Mapping[str, tuple[str, ...]] = {
    "traffic": ("variant",),
    "drift": ("variant", "name"),
    "evidence": ("variant",),
    "quality": ("variant", "name"),
    "experiments": ("name",),
}
"""What may be asked for, and what must be said of it."""

SHOWN = 60
"""Characters of what was asked, in an error."""


def asked(query: Mapping[str, str], history: History, now_s: float) -> Callable[[], JSON]:
    """What finds the answer, which may take milliseconds.

    Args:
        now_s: Unix time.

    Raises:
        HTTPException: The query leaves open what is asked, or asks for what there never is.
    """
    of, span = query.get("of", ""), query.get("span", "hour")
    if of not in NEEDED:
        raise _refused("of", NEEDED, of)
    if span not in get_args(Span):
        raise _refused("span", get_args(Span), span)
    for field in NEEDED[of]:
        if not query.get(field):
            raise web.HTTPBadRequest(text=f"{field}: missing; of={of} is of one {field}")
    variant, name, version = query.get("variant") or None, query.get("name", ""), query.get("version")
    kept = cast("Span", span)
    return lambda: document(history.past(of, variant, name, now_s=now_s, span=kept, version=version))


def document(past: Past) -> JSON:
    """The past as JSON."""
    return {"times_s": list(past.times_s), "series": {name: list(values) for name, values in past.series.items()}}


def _refused(field: str, known: Mapping[str, object] | tuple[str, ...], given: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text=f"{field}: expected one of {', '.join(known)}, got '{shown(given, SHOWN)}'")
