r"""Heads of HTTP/1 messages: bytes to values and back (RFC 9112; fields by RFC 9110).

Rules of this module:

1. A head is accepted only if it matches the RFC's grammar as it stands, CRLF line ends included. Where the RFC lets
   a recipient be lenient (bare LF, folded lines, space around the colon, repeated equal lengths), we refuse: leniency
   is where two parsers begin to differ, and request smuggling lives in the difference (RFC 9112, section 11.2).
2. Everything that frames the message is decided here, once. What is sent on is written from that decision.
3. Errors raised here are ValueError with a message for a person; the caller knows whose fault they are.

Why not llhttp, by way of httptools: it hides the bytes that it is lenient about, cannot stop between two pipelined
requests, and does not tell one limit from another. It and h11 are what the tests hold every reading against.
"""

import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import replace

from sidecar.wire.message import CHUNKED, UNTIL_CLOSE, ReplyHead, RequestHead

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
VALUE = rb"[\t\x20-\x7e\x80-\xff]*+"
LINES = rb"((?:" + TOKEN + rb":" + VALUE + rb"\r\n)*+)"

_REQUEST = re.compile(rb"([A-Z][A-Z-]{0,31}) ([!\"$-~]++) HTTP/1\.([01])\r\n" + LINES)
_REPLY = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: (" + VALUE + rb"))?\r\n" + LINES)
_LINE = re.compile(TOKEN + rb":" + VALUE)
_LINES = re.compile(LINES)
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+;=-]*)(?::[0-9]*)?")
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?@:][^/?@]*)(?:[/?].*)?", re.DOTALL)
_LENGTH = re.compile(rb"[0-9]{1,18}")

_HOP_BY_HOP = frozenset(
    (b"connection", b"http2-settings", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade")
)
_SINGLE = frozenset((b"content-length", b"host", b"transfer-encoding"))

# CGI, and with it WSGI, turns both `-` and `_` into `_`: these would be read as the fields that frame a message.
_LOOKALIKES = frozenset((b"content_length", b"transfer_encoding"))

# Of the grammar above: a name is at the beginning of a line, a value ends with it. Searched for together, because to
# look at every line from Python takes twice as long.
_KNOWN = b"|".join(sorted((*_HOP_BY_HOP, *_LOOKALIKES, b"content-length", b"host", b"x-request-id")))
_KNOWN_FIELD = re.compile(rb"\n(" + _KNOWN + rb"):[ \t]*+([^\r]*)", re.IGNORECASE)
_HOP_BY_HOP_LINE = re.compile(rb"\n(?:" + b"|".join(sorted(_HOP_BY_HOP)) + rb"):[^\r]*\r(?=\n)", re.IGNORECASE)

_BODILESS = frozenset((204, 304))


def parse_request(head: bytes) -> RequestHead:
    """Read a request's head.

    Args:
        head: From the request line to the CRLF of the last field line, without the empty line.

    Raises:
        ValueError: The head is malformed, or could be read in more than one way.
    """
    match = _REQUEST.fullmatch(head)
    if match is None:
        raise ValueError(_request_fault(head))
    method, target, lines, minor = match[1], match[2], match[4], int(match[3])
    known = _known_fields(head)
    passing, options = _end_to_end(lines, known)
    host = known.get(b"host")
    if host is None:
        if minor:
            raise ValueError("no Host field, which HTTP/1.1 demands")
    elif not _HOST.fullmatch(host):
        raise ValueError("malformed Host")
    if not target.startswith(b"/") or method == b"CONNECT":
        _check_target(method, target, host)
    return RequestHead(
        method,
        target,
        minor,
        lines,
        passing,
        _request_length(known, minor),
        b"close" not in options and (minor == 1 or b"keep-alive" in options),
        _upgrade(known, options, minor),
        known.get(b"x-request-id", b""),
        host is not None,
    )


def parse_reply(head: bytes, *, to_head: bool = False) -> ReplyHead:
    """Read a reply's head.

    Args:
        head: From the status line to the CRLF of the last field line, without the empty line.
        to_head: The request's method was HEAD: the reply has no body, whatever its fields say.

    Raises:
        ValueError: The head is malformed, or could be read in more than one way.
    """
    match = _REPLY.fullmatch(head)
    if match is None:
        raise ValueError(_reply_fault(head))
    minor, status = int(match[1]), int(match[2])
    lines = match[4]
    known = _known_fields(head)
    passing, options = _end_to_end(lines, known)
    keep_alive = b"close" not in options and (minor == 1 or b"keep-alive" in options)
    length = _reply_length(known)
    if length == CHUNKED and not minor:
        keep_alive = False  # RFC 9112, section 6.1: an HTTP/1.0 server may not know what it has sent
    if to_head or status in _BODILESS or status < 200:
        length = 0
    elif length == UNTIL_CLOSE:
        keep_alive = False
    if (status == 204 or status < 200) and b"content-length" in known:
        # No length may stand here (RFC 9110, section 8.6): llhttp waits for the body that a 103 with one announces,
        # and an upstream that announces one may send it.
        passing = _without(passing, (b"content-length",))
        keep_alive = False
    return ReplyHead(
        status,
        match[3] or b"",
        lines,
        passing,
        length,
        keep_alive,
        known.get(b"upgrade", b"") if status == 101 else b"",
        b"x-request-id" in known,
        b"\nx-sidecar-v" in head.lower(),
    )


def parse_trailers(block: bytes) -> bytes:
    """Read the trailer section of a chunked body: its end-to-end lines, each with its CRLF.

    Args:
        block: The lines with their CRLFs, without the empty line.

    Raises:
        ValueError: A line is malformed, or is a field that frames or routes a message (RFC 9110, section 6.5.1).
    """
    if not _LINES.fullmatch(block):
        raise ValueError(f"malformed trailer: {_line_fault(block)}")
    known = _known_fields(b"\n" + block)
    if not _SINGLE.isdisjoint(known):
        raise ValueError("a trailer that frames the message")
    return _end_to_end(block, known)[0]


def write_request(head: RequestHead, extra: bytes = b"", *, passing: bytes | None = None) -> bytes:
    """The head to send upstream: always HTTP/1.1, the end-to-end lines, then `extra` ones, each with its CRLF.

    Args:
        passing: Instead of the end-to-end lines as they came.
    """
    coding = b"Transfer-Encoding: chunked\r\n" if head.length == CHUNKED else b""
    lines = head.passing if passing is None else passing
    return b"%b %b HTTP/1.1\r\n%b%b%b\r\n" % (head.method, head.target, lines, coding, extra)


def write_reply(head: ReplyHead, extra: bytes = b"") -> bytes:
    """The head to send downstream: always HTTP/1.1, the end-to-end lines, then `extra` ones, each with its CRLF."""
    return b"HTTP/1.1 %d %b\r\n%b%b\r\n" % (head.status, head.reason, head.passing, extra)


def unsigned(head: ReplyHead) -> ReplyHead:
    """The reply without what it says of its variant and version."""
    return replace(head, passing=_without(head.passing, (b"x-sidecar-variant", b"x-sidecar-version")), signed=False)


def _known_fields(head: bytes) -> dict[bytes, bytes]:
    """The values of the fields that matter to framing and routing, by name; those of a repeated field are joined.

    Args:
        head: The lines, with at least the LF of another before them.
    """
    found = _KNOWN_FIELD.findall(head)
    known = {name.lower(): value.rstrip(b" \t") for name, value in found}
    if len(known) < len(found):
        known = _joined(found)
    if not _LOOKALIKES.isdisjoint(known):
        name = next(iter(_LOOKALIKES.intersection(known))).decode()
        raise ValueError(f"field {name} could be taken for {name.replace('_', '-')}")
    return known


def _joined(found: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    known: dict[bytes, bytes] = {}
    for field, text in found:
        name, value = field.lower(), text.rstrip(b" \t")
        if name not in known:
            known[name] = value
        elif name in _SINGLE:
            raise ValueError(f"repeated {name.decode()}")
        elif name != b"x-request-id":
            known[name] += b", " + value
    return known


def _end_to_end(lines: bytes, known: dict[bytes, bytes]) -> tuple[bytes, Sequence[bytes]]:
    """The end-to-end lines, and the options of `Connection`, in lower case (RFC 9110, section 7.6.1)."""
    if _HOP_BY_HOP.isdisjoint(known):
        return lines, ()
    passing = _HOP_BY_HOP_LINE.sub(b"", b"\n" + lines)[1:]
    connection = known.get(b"connection", b"").lower()
    if connection in (b"", b"keep-alive", b"close"):
        return passing, (connection,)
    options = [option.strip(b" \t") for option in connection.split(b",")]
    if not _SINGLE.isdisjoint(options):
        raise ValueError("Connection names a field that frames or routes the message")
    if b"x-request-id" in options:
        known.pop(b"x-request-id", None)
    return _without(passing, options), options


def _without(lines: bytes, names: Container[bytes]) -> bytes:
    kept = [line for line in lines.splitlines(keepends=True) if line[: line.index(b":")].lower() not in names]
    return b"".join(kept)


def _request_length(known: dict[bytes, bytes], minor: int) -> int:
    coding, length = known.get(b"transfer-encoding"), known.get(b"content-length")
    if coding is not None:
        if length is not None:
            raise ValueError("both Content-Length and Transfer-Encoding")
        if coding.lower() != b"chunked" or not minor:
            raise ValueError("a Transfer-Encoding other than HTTP/1.1's chunked")
        return CHUNKED
    return 0 if length is None else _parse_length(length)


def _reply_length(known: dict[bytes, bytes]) -> int:
    if b"transfer-encoding" in known:
        # An HTTP/1.0 server that says chunked is believed, as every client believes it; both fields are not.
        return _request_length(known, 1)
    length = known.get(b"content-length")
    return UNTIL_CLOSE if length is None else _parse_length(length)


def _parse_length(value: bytes) -> int:
    if not _LENGTH.fullmatch(value):
        raise ValueError("malformed Content-Length")
    return int(value)


def _upgrade(known: dict[bytes, bytes], options: Sequence[bytes], minor: int) -> bytes:
    """The protocol asked for, if any. HTTP/2 by upgrade is obsolete (RFC 9113, section 3.1), so it is not asked for."""
    upgrade = known.get(b"upgrade", b"")
    return upgrade if minor and b"upgrade" in options and b"h2c" not in upgrade.lower() else b""


def _check_target(method: bytes, target: bytes, host: bytes | None) -> None:
    """Allow what is not a plain path: `OPTIONS *`, and absolute-form whose authority Host repeats."""
    if target == b"*" and method == b"OPTIONS":
        return
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or method == b"CONNECT":
        raise ValueError("malformed target: expected a path")
    if host is None or absolute[1].lower() != host.lower():
        raise ValueError("the target's authority is not the Host field's")


def _request_fault(head: bytes) -> str:
    line, _, block = head.partition(b"\r\n")
    if not _REQUEST.fullmatch(line + b"\r\n"):
        return "malformed request line: expected METHOD TARGET HTTP/1.1"
    return f"malformed field line: {_line_fault(block)}"


def _reply_fault(head: bytes) -> str:
    line, _, block = head.partition(b"\r\n")
    if not _REPLY.fullmatch(line + b"\r\n"):
        return "malformed status line"
    return f"malformed field line: {_line_fault(block)}"


def _line_fault(block: bytes) -> str:
    for number, line in enumerate(block.split(b"\r\n"), 1):
        if not _LINE.fullmatch(line):
            if line[:1] in (b" ", b"\t"):
                return f"number {number} is folded"
            name, colon, _ = line.partition(b":")
            if not colon or not re.fullmatch(TOKEN, name):
                return f"number {number} has no well-formed name"
            return f"number {number} has a control byte"
    return "a bare CR or LF"
