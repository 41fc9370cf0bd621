"""What the log tells as one line of JSON, for whoever collects the lines of containers."""

import json
from datetime import UTC, datetime
from math import isfinite

from sidecar.records import JSON, Event
from sidecar.texts import encodable

STACKTRACE = "exception.stacktrace"
"""OpenTelemetry's name for an exception as text."""


def line(event: Event) -> str:
    r"""One line, without its end. All of it is ASCII, so that no encoding of stderr and no reader of lines breaks it.

    Of a line of the log it has the exception only; of an event all attributes.

    Example:
        >>> line(Event("", 0.0625, "info", "two\nlines", {}, "sidecar.app"))
        '{"time": "1970-01-01T00:00:00.062Z", "severity": "info", "logger": "sidecar.app", "message": "two\\nlines"}'
    """
    told: dict[str, JSON] = {
        "time": _rfc3339(event.time_s),
        "severity": event.severity,
        "logger": encodable(event.scope),
        "message": encodable(event.body),
    }
    if event.name:
        told["event"] = event.name
        told["attributes"] = {encodable(name): _plain(value) for name, value in event.attributes.items()}
    if STACKTRACE in event.attributes:
        told["exception"] = _plain(event.attributes[STACKTRACE])
    if event.trace is not None:
        told["trace_id"], told["span_id"] = event.trace.trace_id, event.trace.span_id
    return json.dumps(told, allow_nan=False)


def _rfc3339(time_s: float) -> str | None:
    """Null is a time that no calendar has."""
    try:
        at = datetime.fromtimestamp(time_s, UTC)
    except (ValueError, OverflowError):
        return None
    return at.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _plain(value: str | int | float) -> str | float | None:
    """As JSON has it; numbers that it cannot spell are null."""
    if isinstance(value, str):
        return encodable(value)
    return None if isinstance(value, float) and not isfinite(value) else value
