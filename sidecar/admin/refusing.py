"""What is refused, and in which words: errors as replies, and the bounded words and numbers of requests."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import web

from sidecar.errors import ConfigError, ConflictError, DeliveryError, Fault, UnknownError
from sidecar.texts import shown

SHOWN = 300
"""Characters of an error, or of one fault of many."""

FAULTS = 50
"""Told of one document; who has mended these asks again."""

BY, WHY = 128, 500
"""Characters of who changes something, and of why."""

API: Final = "api"
"""Who changes something without a name."""

RETRY_AFTER_S = 1


@contextmanager
def refusals() -> Iterator[None]:
    """Around what may refuse a request: what it raises becomes the reply that means the same.

    Raises:
        HTTPException: In place of a ConfigError 400, UnknownError 404, ConflictError 409, DeliveryError 503.
    """
    try:
        yield
    except ConfigError as error:
        raise web.HTTPBadRequest(text=_faults(error)) from None
    except UnknownError as error:
        raise web.HTTPNotFound(text=shown(str(error), SHOWN)) from None
    except ConflictError as error:
        raise web.HTTPConflict(text=shown(str(error), SHOWN)) from None
    except DeliveryError as error:
        raise busy(str(error)) from None


def busy(why: str) -> web.HTTPServiceUnavailable:
    """The reply to whoever may come again."""
    return web.HTTPServiceUnavailable(text=shown(why, SHOWN), headers={"Retry-After": str(RETRY_AFTER_S)})


def words(by: str, why: str) -> tuple[str, str]:
    """Who changes something and why, as they are kept.

    Raises:
        ConfigError: They are too long, or hold what cannot be shown.
    """
    faults = [
        Fault(name, f"expected one line of at most {most} characters")
        for name, text, most in (("by", by, BY), ("why", why, WHY))
        if shown(text, most) != text
    ]
    if faults:
        raise ConfigError(*faults)
    return by or API, why


def limit(given: str, most: int) -> int:
    """How many are asked for, by the field `limit` of a query.

    Raises:
        HTTPException: It is no number from 1 to `most`.
    """
    if not (given.isascii() and given.isdigit() and len(given) <= len(str(most)) and 1 <= int(given) <= most):
        raise web.HTTPBadRequest(text=f"limit: expected a number from 1 to {most}, got {given[:20]!r}")
    return int(given)


def _faults(error: ConfigError) -> str:
    """Each on a line of its own."""
    told = [shown(str(fault), SHOWN) for fault in error.faults[:FAULTS]]
    more = len(error.faults) - len(told)
    return "\n".join([*told, f"and {more} more"] if more else told)
