import json
from http.cookies import SimpleCookie
from time import process_time
from urllib.parse import parse_qsl, quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis.strategies import (
    SearchStrategy,
    binary,
    booleans,
    builds,
    characters,
    dictionaries,
    floats,
    from_regex,
    integers,
    lists,
    none,
    recursive,
    sampled_from,
    text,
    tuples,
)

from sidecar.routing.sticky import Address, Cookie, Header, Pointer, Query, Source
from sidecar.wire.http1 import parse_request
from sidecar.wire.message import RequestHead

JSON = None | bool | int | float | str | list["JSON"] | dict[str, "JSON"]
MANY = 60_000


def request(lines: bytes = b"", target: bytes = b"/") -> RequestHead:
    return parse_request(b"GET %b HTTP/1.1\r\nHost: a\r\n%b" % (target, lines))


def key(source: Source, lines: bytes = b"", target: bytes = b"/", body: bytes | None = None) -> bytes:
    return source.key(request(lines, target), b"", body)


@pytest.mark.parametrize(
    "source", [Header("x-user"), Cookie("user"), Query("user"), Address(), Pointer("/user"), Pointer("")]
)
@pytest.mark.parametrize("body", [None, b"", b"{}"])
def test_a_request_without_a_key_has_an_empty_one(source: Source, body: bytes | None) -> None:
    assert key(source, body=body) == b""


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (b"X-User: 7\r\n", b"7"),
        (b"x-uSER:7\r\n", b"7"),
        (b"X-User: \t 7 8\t \r\n", b"7 8"),
        (b"X-User: \xff\x80\r\n", b"\xff\x80"),
        (b"X-User: 7\r\nX-User: 8\r\n", b"7"),
        (b"X-User:\r\nX-User: 8\r\n", b""),
        (b"X-User: \t \r\nA: 8\r\n", b""),
        (b"X-User-Id: 7\r\nMy-X-User: 8\r\n", b""),
        (b"A: X-User: 7\r\n", b""),
        (b"A: x\r\nX-User: X-User: 7\r\n", b"X-User: 7"),
    ],
)
def test_header(lines: bytes, found: bytes) -> None:
    assert key(Header("x-User"), lines) == found


def test_the_first_line_of_a_head_counts_too() -> None:
    assert Header("host").key(request(), b"", None) == b"a"


def test_a_header_is_its_name_and_no_pattern() -> None:
    assert key(Header("a.c"), b"abc: 7\r\na.c: 8\r\n") == b"8"


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (b"Cookie: user=7\r\n", b"7"),
        (b"cOOKIE:user=7\r\n", b"7"),
        (b"Cookie: a=1; user=7; b=2\r\n", b"7"),
        (b"Cookie: a=1;user=7;b=2\r\n", b"7"),
        (b"Cookie: a=1;\t user=7 \t; b=2\r\n", b"7"),
        (b'Cookie: user="7"\r\n', b"7"),
        (b'Cookie: user="\r\n', b'"'),
        (b'Cookie: user=""\r\n', b""),
        (b'Cookie: user="7\r\n', b'"7'),
        (b"Cookie: user=7=8\r\n", b"7=8"),
        (b"Cookie: user=7; user=8\r\n", b"7"),
        (b"Cookie: user=; user=8\r\n", b""),
        (b"Cookie: a=1\r\nCookie: user=7\r\n", b"7"),
        (b"Cookie: user=7\r\nCookie: user=8\r\n", b"7"),
        (b"Cookie: USER=7\r\n", b""),
        (b"Cookie: auser=7\r\n", b""),
        (b"Cookie: a user=7\r\n", b""),
        (b"Cookie: user\r\n", b""),
        (b"Cookie: user =7\r\n", b""),
        (b"Cookie: a=user=7\r\n", b""),
        (b"Set-Cookie: user=7\r\nX: Cookie: user=7; user=7\r\n", b""),
        (b"Cookie:\r\nX: user=7\r\n", b""),
        (b"Cookie: ;;;; user=7;;\r\n", b"7"),
        (b"Cookie: user=\xff\x80\r\n", b"\xff\x80"),
    ],
)
def test_cookie(lines: bytes, found: bytes) -> None:
    assert key(Cookie("user"), lines) == found


TOKENS = from_regex(r"[A-Za-z0-9!#%&'*+.^_`|~-]{1,8}", fullmatch=True)
VALUES = from_regex(r"[A-Za-z0-9!#$%&'()*+./:<=>?@\[\]^_`{|}~-]{0,8}", fullmatch=True)
RESERVED = ("comment", "domain", "expires", "httponly", "max-age", "path", "samesite", "secure", "version")


@given(dictionaries(TOKENS.filter(lambda name: name.lower() not in RESERVED), VALUES, min_size=1), booleans())
def test_cookies_are_those_of_the_standard_library(cookies: dict[str, str], quoted: bool) -> None:
    written = "; ".join(f'{name}="{value}"' if quoted else f"{name}={value}" for name, value in cookies.items())
    read = SimpleCookie(written)

    assert set(read) == set(cookies)
    for name in cookies:
        assert key(Cookie(name), b"Cookie: %b\r\n" % written.encode()) == read[name].value.encode()


@pytest.mark.parametrize(
    ("target", "found"),
    [
        (b"/?user=7", b"7"),
        (b"/a?b=1&user=7&c=2", b"7"),
        (b"http://a/?user=7", b"7"),
        (b"/?%75s%65r=7", b"7"),
        (b"/?user=a+b%20c%2Bd%26%3d", b"a b c+d&="),
        (b"/?user=%FF%00", b"\xff\x00"),
        (b"/?user=%zz%4", b"%zz%4"),
        (b"/?user=7=8", b"7=8"),
        (b"/?user=7?user=8", b"7?user=8"),
        (b"/?user=7;user=8", b"7;user=8"),
        (b"/?user=7&user=8", b"7"),
        (b"/?user=&user=8", b""),
        (b"/?user&user=8", b""),
        (b"/?user", b""),
        (b"/?auser=7", b""),
        (b"/?User=7", b""),
        (b"/?a=user=7", b""),
        (b"/?a?user=7", b""),
        (b"/user=7", b""),
        (b"/&user=7", b""),
        (b"/?&&user=7", b"7"),
        (b"/?", b""),
    ],
)
def test_query(target: bytes, found: bytes) -> None:
    assert key(Query("user"), target=target) == found


@pytest.mark.parametrize("name", ["a b", "a+b", "a&b", "a=b", "a%b", "é", "users[0].id", "日本", "~.*"])
def test_a_name_is_found_however_it_is_written(name: str) -> None:
    coded = "".join(f"%{byte:02x}" for byte in name.encode())
    for written in (quote(name, safe=""), quote_plus(name), coded, coded.upper()):
        assert key(Query(name), target=b"/?x=1&" + written.encode() + b"=7") == b"7"


def test_a_plus_in_a_name_is_a_space() -> None:
    assert key(Query("a+b"), target=b"/?a+b=7") == b""
    assert key(Query("a b"), target=b"/?a+b=7") == b"7"


@given(lists(tuples(sampled_from(["a", "b", "a b", "é"]), text(max_size=4).filter(lambda value: value.isprintable()))))
def test_queries_are_those_of_the_standard_library(pairs: list[tuple[str, str]]) -> None:
    query = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs)
    read = dict(reversed(parse_qsl(query, keep_blank_values=True)))

    for name in ("a", "b", "a b", "é"):
        assert key(Query(name), target=b"/?" + query.encode()) == read.get(name, "").encode()


@given(text("ab=&+%4?;", max_size=12))
@example("a=%&a=4")
@example("%61=4")
def test_malformed_queries_too_are_those_of_the_standard_library(query: str) -> None:
    read = dict(reversed(parse_qsl(query, keep_blank_values=True)))

    for name in ("a", "b", "ab"):
        assert key(Query(name), target=b"/?" + query.encode()) == read.get(name, "").encode()


def test_address() -> None:
    assert Address().key(request(), b"2001:db8::1", None) == b"2001:db8::1"
    assert Address().key(request(), b"", None) == b""


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"user": "7"}', b"7"),
        (b' \t\n\r{"user" : 7 } ', b"7"),
        (b'{"user": 7.0}', b"7"),
        (b'{"user": 70e-1}', b"7"),
        (b'{"user": -0.0}', b"0"),
        (b'{"user": 0.1}', b"0.1"),
        (b'{"user": 1e20}', b"100000000000000000000"),
        (b'{"user": 12345678901234567890}', b"12345678901234567890"),
        (b'{"user": true}', b"true"),
        (b'{"user": false}', b"false"),
        (b'{"user": "\\u00e9\\n"}', "é\n".encode()),
        ('{"user": "日本 "}'.encode(), "日本 ".encode()),
        (b'{"\\u0075ser": "7"}', b"7"),
        (b'{"user": "7", "x": NaN, "y": [Infinity]}', b"7"),
        (b'{"user": "7", "a": 1, "a": 2}', b"7"),
        (b'{"user": ""}', b""),
        (b'{"user": null}', b""),
        (b'{"user": ["7"]}', b""),
        (b'{"user": {"user": "7"}}', b""),
        (b'{"user": NaN}', b""),
        (b'{"user": -Infinity}', b""),
        (b'{"user": 1e999}', b""),
        (b'{"user": "7", "user": "8"}', b""),
        (b'{"user": "7", "user": "7", "user": "7"}', b""),
        (b'{"user": "7", "\\u0075ser": "8"}', b""),
        (b'{"User": "7"}', b""),
        (b'[{"user": "7"}]', b""),
        (b'"user"', b""),
        (b"7", b""),
        (b"null", b""),
        (b"", b""),
        (b"{", b""),
        (b'{"user": "7"} x', b""),
        (b'{"user": "7"', b""),
        (b'{"user": "7",}', b""),
        (b"{'user': '7'}", b""),
        (b'{"user": "\xff"}', b""),
        (b'\xff{"user": "7"}', b""),
        (b'\xef\xbb\xbf{"user": "7"}', b""),
        ('{"user": "7"}'.encode("utf-16"), b""),
        (b'{"user": "\\ud800"}', b""),
        (b'{"user": "\xed\xa0\x80"}', b""),
        (b'{"user": "\t"}', b""),
        (b'{"user": 007}', b""),
        (b'{"user": ' + b"9" * 5000 + b"}", b""),
        (b'{"user": "7", "x": ' + b"[" * MANY + b"]" * MANY + b"}", b""),
        (b"[" * MANY, b""),
        (b'{"user":' * MANY, b""),
    ],
)
def test_pointer(body: bytes, found: bytes) -> None:
    assert key(Pointer("/user"), body=body) == found


@pytest.mark.parametrize(
    ("pointer", "found"),
    [
        ("", b""),
        ("/foo", b""),
        ("/foo/0", b"bar"),
        ("/foo/1", b"baz"),
        ("/foo/2", b""),
        ("/foo/-", b""),
        ("/foo/-1", b""),
        ("/foo/00", b""),
        ("/foo/+1", b""),
        ("/foo/1_0", b""),
        ("/foo/\u0661", b""),
        ("/foo/" + "9" * 5000, b""),
        ("/foo/0/0", b""),
        ("/", b"0"),
        ("/a~1b", b"1"),
        ("/c%d", b"2"),
        ("/e^f", b"3"),
        ("/g|h", b"4"),
        ("/i\\j", b"5"),
        ('/k"l', b"6"),
        ("/ ", b"7"),
        ("/m~0n", b"8"),
        ("/~01", b"9"),
        ("/*", b"10"),
        ("/nested/0", b"11"),
        ("/nested/1/x", b"12"),
    ],
)
def test_pointers_are_those_of_the_rfc(pointer: str, found: bytes) -> None:
    """The examples of RFC 6901, section 5, and more."""
    body = {"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, 'k"l': 6, " ": 7, "m~n": 8}
    body |= {"~1": 9, "*": 10, "nested": {"0": 11, "1": {"x": 12}}}

    assert key(Pointer(pointer), body=json.dumps(body).encode()) == found


def test_a_body_that_is_a_value_is_found_by_the_empty_pointer() -> None:
    assert key(Pointer(""), body=b'"7"') == b"7"


@given(floats(allow_nan=False, allow_infinity=False))
@example(1e22)
@example(-0.0)
def test_a_number_without_a_fraction_is_the_key_of_the_integer(number: float) -> None:
    found = key(Pointer(""), body=json.dumps(number).encode())

    assert float(found) == number
    assert number % 1 or found == key(Pointer(""), body=b"%d" % number)


def _paths(document: JSON, pointer: str = "") -> list[tuple[str, JSON]]:
    """Every value of a document with its pointer, by hand."""
    pairs: list[tuple[str, JSON]] = []
    if isinstance(document, dict):
        pairs = [(name.replace("~", "~0").replace("/", "~1"), value) for name, value in document.items()]
    elif isinstance(document, list):
        pairs = [(str(place), value) for place, value in enumerate(document)]
    below = [found for name, value in pairs for found in _paths(value, f"{pointer}/{name}")]
    return [(pointer, document), *below]


_LEAVES: SearchStrategy[JSON] = none() | booleans() | integers(0, 99) | text(characters(codec="utf-8"), max_size=3)
DOCUMENTS: SearchStrategy[JSON] = recursive(
    _LEAVES,
    lambda inner: lists(inner, max_size=3) | dictionaries(text("a~/01é", max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(DOCUMENTS)
def test_every_value_is_found_by_its_pointer(document: JSON) -> None:
    body = json.dumps(document).encode()
    for pointer, value in _paths(document):
        plain = json.dumps(value) if isinstance(value, bool | int) else value
        expected = plain.encode() if isinstance(plain, str) else b""

        assert key(Pointer(pointer), body=body) == expected


@given(
    binary(max_size=40) | builds(bytes.__add__, sampled_from([b'{"user":', b'{"user":"', b"["]), binary(max_size=20))
)
def test_no_body_is_an_error(body: bytes) -> None:
    assert isinstance(key(Pointer("/user"), body=body), bytes)


@given(binary(max_size=30))
def test_no_line_is_an_error(value: bytes) -> None:
    clean = bytes(byte for byte in value if byte in b"\t" or 0x20 <= byte != 0x7F)
    for source in (Header("x-user"), Cookie("user")):
        assert isinstance(key(source, b"X-User: %b\r\nCookie: user=%b\r\n" % (clean, clean)), bytes)


@pytest.mark.parametrize(
    ("source", "lines", "target", "body"),
    [
        (Header("x-user"), b"X-User:" + b" " * MANY + b"\r\n", b"/", b""),
        (Header("x-user"), b"X-User:" + b"x\t " * MANY + b"\r\n", b"/", b""),
        (Cookie("user"), b"Cookie: " + b"user;" * MANY + b"\r\n", b"/", b""),
        (Cookie("user"), b"Cookie: " + b";" * MANY + b" " * MANY + b"\r\n", b"/", b""),
        (Cookie("user"), b"Cookie:a\r\n" * MANY, b"/", b""),
        (Query("user"), b"", b"/?" + b"user&" * MANY, b""),
        (Query("user"), b"", b"/?" + b"&%75" * MANY, b""),
        (Query("user"), b"", b"/?user=" + b"%" * MANY, b""),
        (Query("user"), b"", b"/" + b"?" * MANY, b""),
        (Pointer("/user"), b"", b"/", b'{"user":' + b"1" * MANY),
        (Pointer("/user"), b"", b"/", b"{" + b'"user":1,' * MANY + b'"user":1}'),
        (Pointer("/user"), b"", b"/", b'"' + b"\\u0041" * MANY),
    ],
)
def test_no_request_makes_a_key_slow(source: Source, lines: bytes, target: bytes, body: bytes) -> None:
    head = request(lines, target)
    before_s = process_time()
    source.key(head, b"", body)

    assert process_time() - before_s < 0.3
