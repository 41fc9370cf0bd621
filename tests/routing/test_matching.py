import fnmatch
from time import process_time

import pytest
from hypothesis import given
from hypothesis.strategies import text

from sidecar.routing.matching import Rule, glob, values
from sidecar.wire.http1 import parse_request
from sidecar.wire.message import RequestHead

LONG = 16_384
"""Bytes of a target, as the default limit has it."""


def request(target: bytes = b"/", lines: bytes = b"", method: bytes = b"GET") -> RequestHead:
    return parse_request(b"%b %b HTTP/1.1\r\nHost: a\r\n%b" % (method, target, lines))


@pytest.mark.parametrize(
    ("pattern", "fits", "others"),
    [
        ("*", [b"", b"/", b"/a\n\xff"], []),
        ("", [b""], [b"/"]),
        ("/a", [b"/a"], [b"/A", b"/a/", b"/ab", b"x/a", b"/a\n", b"/%61"]),
        ("/a*", [b"/a", b"/a/b", b"/ab"], [b"/b", b"/"]),
        ("*/b", [b"/b", b"/a/b", b"/b/b"], [b"/b/"]),
        ("/a*c*e", [b"/ace", b"/abcde", b"/acecae"], [b"/aec", b"/ae"]),
        ("/a*bc*bc", [b"/abcbc", b"/abcxbc"], [b"/abc", b"/abcb"]),
        ("/a**c", [b"/ac", b"/abc"], [b"/a"]),
        ("/?", [b"/a", b"/?", b"/\n"], [b"/", b"/ab"]),
        ("*a?c*", [b"abc", b"aabcc", b"aaxc"], [b"ac", b"ab"]),
        ("/[ab].{1}+", [b"/[ab].{1}+"], [b"/a", b"/b.", b"/[ab]x{1}+"]),
        ("/é", ["/é".encode()], [b"/e"]),
    ],
)
def test_a_pattern_stands_for(pattern: str, fits: list[bytes], others: list[bytes]) -> None:
    matcher = glob(pattern)

    assert [each for each in fits + others if matcher.fullmatch(each)] == fits


@given(text("ab*?", max_size=12), text("ab", max_size=16))
def test_patterns_are_those_of_a_shell(pattern: str, name: str) -> None:
    assert (glob(pattern).fullmatch(name.encode()) is not None) == fnmatch.fnmatchcase(name, pattern)


@pytest.mark.parametrize(
    "pattern", ["*a" * 40 + "b", "a*" * 40 + "b", "?*" * 40 + "b", "*aaaa?aaaa" * 20 + "b*", "*" * 999 + "b"]
)
def test_no_request_makes_a_pattern_slow(pattern: str) -> None:
    matcher = glob(pattern)
    before_s = process_time()
    found = matcher.fullmatch(b"a" * LONG)

    assert found is None
    assert process_time() - before_s < 0.2


@pytest.mark.parametrize(
    ("target", "fits"),
    [
        (b"/v2/models/fraud/infer", True),
        (b"/v2/models/fraud/infer?/v1/", True),
        (b"/v2/models/a%2Fb/infer", True),
        (b"http://a/v2/models/fraud/infer", True),
        (b"HTTPS://a/v2/models/fraud/infer?x", True),
        (b"/v2/models/fraud/infe%72", False),
        (b"/v2/models/infer", False),
        (b"/?/v2/models/fraud/infer", False),
        (b"/http://a/v2/models/fraud/infer", False),
    ],
)
def test_a_path_is_the_target_without_query_and_authority(target: bytes, fits: bool) -> None:
    assert Rule("v", path="/v2/models/*/infer").fits(request(target)) == fits


def test_the_path_of_an_authority_alone_is_a_slash() -> None:
    assert Rule("v", path="/").fits(request(b"http://a"))
    assert Rule("v", path="/").fits(request(b"http://a?x"))


def test_the_target_of_a_server_as_a_whole_is_a_star() -> None:
    assert not Rule("v", path="/*").fits(request(b"*", method=b"OPTIONS"))
    assert Rule("v").fits(request(b"*", method=b"OPTIONS"))


def test_any_of_the_methods_fits() -> None:
    rule = Rule("v", methods=("POST", "PUT"))

    assert [method for method in (b"POST", b"PUT", b"GET", b"POSTS") if rule.fits(request(method=method))] == [
        b"POST",
        b"PUT",
    ]


@pytest.mark.parametrize(
    ("lines", "fits"),
    [
        (b"X-Tier: gold\r\n", True),
        (b"x-tIER:gold\r\n", True),
        (b"X-Tier: \t gold \t \r\n", True),
        (b"X-Tier: golden girl\r\n", True),
        (b"X-Tier: lead\r\nX-Tier: gold\r\n", True),
        (b"X-Tier: lead\r\n", False),
        (b"X-Tier: Gold\r\n", False),
        (b"X-Tier: old gold\r\n", False),
        (b"X-Tier:\r\n", False),
        (b"X-Tiers: gold\r\n", False),
        (b"Y: X-Tier: gold\r\n", False),
        (b"", False),
    ],
)
def test_a_field_fits_by_its_value(lines: bytes, fits: bool) -> None:
    assert Rule("v", header="x-tier", value="gold*").fits(request(lines=lines)) == fits


@pytest.mark.parametrize(("lines", "fits"), [(b"X-Tier: a\r\n", True), (b"X-Tier:\r\n", True), (b"", False)])
def test_without_a_value_the_field_must_only_be_there(lines: bytes, fits: bool) -> None:
    assert Rule("v", header="X-Tier").fits(request(lines=lines)) == fits


def test_all_of_a_rule_must_fit() -> None:
    rule = Rule("v", path="/a", methods=("POST",), header="x", value="1")
    right: tuple[bytes, bytes, bytes] = (b"/a", b"x: 1\r\n", b"POST")

    assert rule.fits(request(*right))
    assert not rule.fits(request(b"/b", *right[1:]))
    assert not rule.fits(request(b"/a", b"x: 2\r\n", b"POST"))
    assert not rule.fits(request(*right[:2], b"GET"))


def test_a_rule_of_nothing_fits_everything() -> None:
    assert Rule("v").fits(request(b"/x?y", b"z: 1\r\n", b"DELETE"))


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (b"a.b: 1\r\n", [b"1"]),
        (b"A.B:1\r\n", [b"1"]),
        (b"a.b:\t 1 2\t3 \t\r\n", [b"1 2\t3"]),
        (b"a.b:\r\n", [b""]),
        (b"a.b: \t \r\n", [b""]),
        (b"axb: 1\r\n", []),
        (b"a.b: 1\r\nc: 2\r\na.b: 3\r\n", [b"1", b"3"]),
    ],
)
def test_values_of_a_field_are_without_space_around_them(line: bytes, value: list[bytes]) -> None:
    assert values("a.b").findall(b"\n" + line) == value


def test_no_value_makes_its_reading_slow() -> None:
    lines = b"\na:" + b" \tx" * LONG + b" " * LONG + b"\r\n"
    before_s = process_time()
    found = values("a").search(lines)

    assert found is not None
    assert found[1] == (b" \tx" * LONG).strip()
    assert process_time() - before_s < 0.2


def test_rules_are_equal_by_what_they_say() -> None:
    assert Rule("v", path="/a") == Rule("v", path="/a")
    assert Rule("v", path="/a") != Rule("v", path="/b")
