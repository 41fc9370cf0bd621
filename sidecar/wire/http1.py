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
from collections.abc import Iterable, Sequence, Set

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
_NOTED = frozenset((b"content-length", b"host", b"x-request-id"))
_KNOWN = _HOP_BY_HOP | _NOTED
_SINGLE = frozenset((b"content-length", b"host", b"transfer-encoding"))

# CGI, and with it WSGI, turns both `-` and `_` into `_`: these would be read as the fields that frame a message.
_LOOKALIKES = frozenset((b"content_length", b"transfer_encoding"))

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
    method, target, minor = match[1], match[2], int(match[3])
    lines, passing, known = _sift(match[4])
    options = _connection_options(known)
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
    lines, passing, known = _sift(match[4])
    options = _connection_options(known)
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
        passing = _without(passing, {b"content-length"})
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
    )


def parse_trailers(block: bytes) -> list[bytes]:
    """Read the trailer section of a chunked body: its end-to-end lines.

    Args:
        block: The lines with their CRLFs, without the empty line.

    Raises:
        ValueError: A line is malformed, or is a field that frames or routes a message (RFC 9110, section 6.5.1).
    """
    if not _LINES.fullmatch(block):
        raise ValueError(f"malformed trailer: {_line_fault(block)}")
    _, passing, known = _sift(block)
    if known.keys() & _SINGLE:
        raise ValueError("a trailer that frames the message")
    return passing


def write_request(head: RequestHead, extra: Sequence[bytes] = ()) -> bytes:
    """The head to send upstream: always HTTP/1.1, the end-to-end lines, then `extra` ones."""
    added = [b"Transfer-Encoding: chunked", *extra] if head.length == CHUNKED else extra
    return b"\r\n".join((b"%b %b HTTP/1.1" % (head.method, head.target), *head.passing, *added, b"", b""))


def write_reply(head: ReplyHead, extra: Sequence[bytes] = ()) -> bytes:
    """The head to send downstream: always HTTP/1.1, the end-to-end lines, then `extra` ones."""
    return b"\r\n".join((b"HTTP/1.1 %d %b" % (head.status, head.reason), *head.passing, *extra, b"", b""))


def _sift(block: bytes) -> tuple[list[bytes], list[bytes], dict[bytes, bytes]]:
    """All lines, the end-to-end lines, and the values of the fields that matter to framing and routing."""
    lines = block.split(b"\r\n")
    lines.pop()
    passing: list[bytes] = []
    known: dict[bytes, bytes] = {}
    for line in lines:
        name, _, value = line.partition(b":")
        name = name.lower()
        if name in _KNOWN:
            _note(known, name, value.strip(b" \t"))
            if name in _HOP_BY_HOP:
                continue
        elif name in _LOOKALIKES:
            raise ValueError(f"field {name.decode()} could be taken for {name.decode().replace('_', '-')}")
        passing.append(line)
    connection = known.get(b"connection")
    if connection is not None and connection.lower() not in (b"keep-alive", b"close"):
        named = _named(connection)
        passing = _without(passing, named)
        if b"x-request-id" in named:
            known.pop(b"x-request-id", None)
    return lines, passing, known


def _note(known: dict[bytes, bytes], name: bytes, value: bytes) -> None:
    earlier = known.get(name)
    if earlier is None:
        known[name] = value
    elif name in _SINGLE:
        raise ValueError(f"repeated {name.decode()}")
    elif name != b"x-request-id":
        known[name] = earlier + b", " + value


def _named(connection: bytes) -> set[bytes]:
    """The fields that `Connection` names, and so makes hop-by-hop (RFC 9110, section 7.6.1)."""
    named = {option.strip(b" \t").lower() for option in connection.split(b",")}
    if named & _SINGLE:
        raise ValueError("Connection names a field that frames or routes the message")
    return named


def _without(lines: Iterable[bytes], names: Set[bytes]) -> list[bytes]:
    return [line for line in lines if line[: line.index(b":")].lower() not in names]


def _connection_options(known: dict[bytes, bytes]) -> Sequence[bytes]:
    connection = known.get(b"connection")
    if connection is None:
        return ()
    return [option.strip(b" \t") for option in connection.lower().split(b",")]


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
