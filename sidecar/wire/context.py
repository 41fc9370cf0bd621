"""Trace context among the field lines of a head: whose trace a request belongs to, by W3C Trace Context.

https://www.w3.org/TR/trace-context/. A `traceparent` that is malformed or there twice counts as none. Who begins a
trace of their own passes no `tracestate` on: it is the other trace's (sections 3.2 and 4.2).
"""

import re

_PARENT = re.compile(rb"(\ntraceparent:[ \t]*+)([^\r]*)", re.IGNORECASE)
_CONTEXT_LINE = re.compile(rb"\n(?:traceparent|tracestate):[^\r]*\r(?=\n)", re.IGNORECASE)

_FIELD = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
"""Lower case only; neither id may be 0."""

_LENGTH = 55
_DASH = ord("-")


def parted(lines: bytes) -> tuple[bytes, bytes, bytes]:
    r"""The lines around the value of `traceparent`, and that value in between; empty where there is none that counts.

    Whatever value is put in its place goes on in the same line, every other line as it came; where there was none it
    goes on in a last line, without the context that does not count.

    Example:
        >>> parted(b"TraceParent: 00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01\r\nHost: m\r\n")
        (b'TraceParent: ', b'00-11111111111111111111111111111111-2222222222222222-01', b'\r\nHost: m\r\n')
        >>> parted(b"Host: m\r\ntracestate: a=1\r\n")
        (b'Host: m\r\ntraceparent: ', b'', b'\r\n')
    """
    parts = _PARENT.split(b"\n" + lines)
    if len(parts) == 4:
        before, name, value, after = parts
        if len(value) != _LENGTH:
            value = value.rstrip(b" \t")
        if _counts(value):
            return (before + name)[1:], value, after
    return _CONTEXT_LINE.sub(b"", b"\n" + lines)[1:] + b"traceparent: ", b"", b"\r\n"


def _counts(value: bytes) -> bool:
    """Whether it follows the grammar: of a version to come more may follow (section 3.2.4)."""
    if _FIELD.match(value) is None:
        return False
    return len(value) == _LENGTH or (value[_LENGTH] == _DASH and not value.startswith(b"00"))
