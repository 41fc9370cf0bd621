"""Whom a request comes from: the key that keeps a user with one variant.

Each source reads one place of a request and returns what stands there as bytes, empty where nothing does. Of repeated
names the first counts, as most servers read them; an empty value is no key. Whatever a client sends, a source returns:
at worst the request has no key.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from json import JSONDecoder
from math import isfinite
from typing import Protocol
from urllib.parse import unquote_to_bytes

from sidecar.routing.matching import values
from sidecar.wire.message import RequestHead

_COOKIE = rb"\n(?i:cookie):(?:[^\r;]*+;)*?[ \t]*+%b=([^\r;]*+)"
_QUERY = rb"&%b(?:=([^&]*+))?(?![^&])"
_INDEX = re.compile("0|[1-9][0-9]{0,15}")
_RESERVED = b"&=+%"


class Source(Protocol):
    """Where a key stands."""

    def key(self, head: RequestHead, address: bytes, body: bytes | None, /) -> bytes:
        """The key of a request, empty without one; `body` is None where it is not there or not whole."""
        ...


@dataclass(frozen=True)
class Header:
    r"""A header field.

    >>> from sidecar.wire.http1 import parse_request
    >>> Header("x-user-id").key(parse_request(b"GET / HTTP/1.1\r\nHost: a\r\nX-User-Id: 7\r\n"), b"", None)
    b'7'
    """

    name: str
    _values: re.Pattern[bytes] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_values", values(self.name))

    def key(self, head: RequestHead, _address: bytes, _body: bytes | None, /) -> bytes:
        """The field's value."""
        match = self._values.search(b"\n" + head.lines)
        return match[1] if match else b""


@dataclass(frozen=True)
class Cookie:
    r"""A cookie (RFC 6265, section 4.2.1), its value without the quotes that it may have; names are case-sensitive.

    >>> from sidecar.wire.http1 import parse_request
    >>> Cookie("user").key(parse_request(b'GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1; user="7"\r\n'), b"", None)
    b'7'
    """

    name: str
    _pair: re.Pattern[bytes] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_pair", re.compile(_COOKIE % re.escape(self.name.encode())))

    def key(self, head: RequestHead, _address: bytes, _body: bytes | None, /) -> bytes:
        """The cookie's value."""
        match = self._pair.search(b"\n" + head.lines)
        value: bytes = match[1].rstrip(b" \t") if match else b""
        return value[1:-1] if len(value) > 1 and value[0] == value[-1] == 0x22 else value


@dataclass(frozen=True)
class Query:
    r"""A field of the target's query, decoded as forms are: `+` and `%20` are spaces, `&` parts fields.

    >>> from sidecar.wire.http1 import parse_request
    >>> Query("user").key(parse_request(b"GET /?a=1&us%65r=a+b HTTP/1.1\r\nHost: a\r\n"), b"", None)
    b'a b'
    """

    name: str
    _pair: re.Pattern[bytes] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        spelled = b"".join(_spellings(byte) for byte in self.name.encode())
        object.__setattr__(self, "_pair", re.compile(_QUERY % spelled))

    def key(self, head: RequestHead, _address: bytes, _body: bytes | None, /) -> bytes:
        """The field's value."""
        match = self._pair.search(b"&" + head.target.partition(b"?")[2])
        value: bytes = (match[1] if match else None) or b""
        return unquote_to_bytes(value.replace(b"+", b" ")) if b"%" in value or b"+" in value else value


@dataclass(frozen=True)
class Address:
    """The client's address, without its port."""

    def key(self, _head: RequestHead, address: bytes, _body: bytes | None, /) -> bytes:
        """The address itself."""
        return address


@dataclass(frozen=True)
class Pointer:
    r"""A value in a JSON body, by its JSON pointer (RFC 6901).

    The key is a string's text, a number's shortest one, `true` or `false`: clients write one user's id as "7", 7 and
    7.0, and it is one user. Objects, arrays, null, NaN and infinities are no key, nor is what an object holds under a
    name that it has twice.

    >>> from sidecar.wire.http1 import parse_request
    >>> head = parse_request(b"POST / HTTP/1.1\r\nHost: a\r\n")
    >>> Pointer("/users/0/id").key(head, b"", b'{"users": [{"id": 7}]}')
    b'7'
    """

    pointer: str
    _steps: Sequence[tuple[str, int]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        tokens = [token.replace("~1", "/").replace("~0", "~") for token in self.pointer.split("/")[1:]]
        steps = tuple((token, int(token) if _INDEX.fullmatch(token) else -1) for token in tokens)
        object.__setattr__(self, "_steps", steps)

    def key(self, _head: RequestHead, _address: bytes, body: bytes | None, /) -> bytes:
        """The text of the value."""
        if not body:
            return b""
        try:
            return _text(self._value(body)).encode()
        except (ValueError, RecursionError):  # no UTF-8, no JSON, or too deep: all of it is no key
            return b""

    def _value(self, body: bytes) -> object:
        node: object = _DECODER.decode(body.decode())
        for name, index in self._steps:
            if isinstance(node, dict):
                node = node.get(name)
            elif isinstance(node, list) and 0 <= index < len(node):
                node = node[index]
            else:
                return None
        return node


def _members(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """An object's members; those whose name it has twice are left out, since readers differ in which one counts."""
    members = dict(pairs)
    if len(members) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                members.pop(name, None)
            seen.add(name)
    return members


_DECODER = JSONDecoder(object_pairs_hook=_members)


def _text(value: object) -> str:
    """Empty for what is no key. Numbers that are equal have one text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and isfinite(value):
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value) if isinstance(value, int) else ""


def _spellings(byte: int) -> bytes:
    """A pattern of all ways in which a query may write that byte of a name."""
    coded = b"%%(?i:%02x)" % byte
    if byte == 0x20:
        return rb"(?:\+|%b)" % coded
    plain = bytes((byte,))
    return coded if plain in _RESERVED else b"(?:%b|%b)" % (re.escape(plain), coded)
