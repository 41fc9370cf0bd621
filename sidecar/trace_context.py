"""Under which trace we work: the W3C trace context of whoever asked for it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

# https://www.w3.org/TR/trace-context/#traceparent-header: lower case only; of a version to come more may follow.
_FIELD = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_INVALID_VERSION = "ff"
_KNOWN_FLAGS = 0x03
"""Sampled, and that the trace id is random."""


class Trace(NamedTuple):
    """Where in which trace.

    Args:
        trace_id: 32 hexadecimal digits, in lower case.
        span_id: 16 of them.
        flags: The lowest bit says that it is sampled.
    """

    trace_id: str
    span_id: str
    flags: int = 0


def parse(traceparent: str) -> Trace | None:
    """What the field says; None where it is malformed, and so to be ignored.

    Example:
        >>> parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        Trace(trace_id='0af7651916cd43dd8448eb211c80319c', span_id='b7ad6b7169203331', flags=1)
        >>> parse("00-00000000000000000000000000000000-b7ad6b7169203331-01")
    """
    found = _FIELD.fullmatch(traceparent)
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    wrong = version == _INVALID_VERSION or (version == "00" and more is not None)
    if wrong or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return Trace(trace_id, span_id, int(flags, 16) & _KNOWN_FLAGS)


class _Asked:
    """One who asked, until the answer."""

    __slots__ = ("trace",)

    def __init__(self, trace: Trace | None) -> None:
        self.trace = trace


_asked: ContextVar[_Asked | None] = ContextVar("asked", default=None)


def current() -> Trace | None:
    """Under which trace this is done, in this task or in a thread that it waits for; None under none."""
    asked = _asked.get()
    return None if asked is None else asked.trace


@contextmanager
def under(trace: Trace | None) -> Iterator[None]:
    """Around what is done under a trace; tasks that it begins and does not wait for are under it no longer than it."""
    asked = _Asked(trace)
    token = _asked.set(asked)
    try:
        yield
    finally:
        asked.trace = None
        _asked.reset(token)
