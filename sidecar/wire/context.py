"""Trace context among the field lines of a head: whose trace a request belongs to, by W3C Trace Context.

https://www.w3.org/TR/trace-context/. A `traceparent` that is malformed or there twice counts as none. Who begins a
trace of their own passes no `tracestate` on: it is the other trace's (sections 3.2 and 4.2).
"""

import re

_PARENT = re.compile(rb"(\ntraceparent:[ \t]*+)([^\r]*)", re.IGNORECASE)
_CONTEXT_LINE = re.compile(rb"\n(?:traceparent|tracestate):[^\r]*\r(?=\n)", re.IGNORECASE)

_LENGTH = 55
_DIGITS = b"0123456789abcdef"
_DASH = ord("-")
_NO_TRACE, _NO_SPAN = b"0" * 32, b"0" * 16


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
    """Whether it follows the grammar: lower case only; of a version to come more may follow (section 3.2.4)."""
    if len(value) > _LENGTH and value[55:56] == b"-" and value[:2] != b"00":
        value = value[:_LENGTH]
    return (
        len(value) == _LENGTH
        and value.translate(None, _DIGITS) == b"---"
        and value[2] == value[35] == value[52] == _DASH
        and not value.startswith(b"ff")
        and not (_NO_SPAN in value and (value[3:35] == _NO_TRACE or value[36:52] == _NO_SPAN))
    )
