from collections.abc import Iterable, Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.wire.http1 import parse_reply, parse_request, parse_trailers, write_reply, write_request
from sidecar.wire.message import CHUNKED, UNTIL_CLOSE, ReplyHead, RequestHead

HOST = b"Host: m"


def block(lines: Iterable[bytes]) -> bytes:
    return b"".join(line + b"\r\n" for line in lines)


def head(start: bytes, *lines: bytes) -> bytes:
    return b"\r\n".join((start, *lines, b""))


def request(
    start: bytes,
    *lines: bytes,
    passing: Sequence[bytes] | None = None,
    length: int = 0,
    keep_alive: bool = True,
    upgrade: bytes = b"",
    request_id: bytes = b"",
    has_host: bool = True,
) -> tuple[bytes, RequestHead]:
    method, target, version = start.split(b" ")
    passing = lines if passing is None else passing
    reading = RequestHead(
        method,
        target,
        int(version[-1:]),
        block(lines),
        block(passing),
        length,
        keep_alive,
        upgrade,
        request_id,
        has_host,
    )
    return head(start, *lines), reading


def reply(
    start: bytes,
    *lines: bytes,
    status: int = 200,
    reason: bytes = b"OK",
    passing: Sequence[bytes] | None = None,
    length: int = 0,
    keep_alive: bool = True,
    upgrade: bytes = b"",
    has_request_id: bool = False,
    signed: bool = False,
) -> tuple[bytes, ReplyHead]:
    passing = lines if passing is None else passing
    reading = ReplyHead(
        status, reason, block(lines), block(passing), length, keep_alive, upgrade, has_request_id, signed
    )
    return head(start, *lines), reading


GET, GET_1_0, POST = b"GET / HTTP/1.1", b"GET / HTTP/1.0", b"POST /invocations HTTP/1.1"
UPGRADE, OK = b"Connection: Upgrade", b"HTTP/1.1 200 OK"
LONGEST_METHOD = b"M" * 32
ODD_BUT_ALLOWED = [
    b"host:m",
    b"X-A:",
    b"X-B: \t",
    b"X-C:\ta \xe4\xff\t b  ",
    b"x-C: 2",
    b"!#$%&'*+-.^_`|~09aZ: :,;\"\\",
]
BODY_LINES = [b"Content-Type: application/json", b"Content-Length: 7", b"Expect: 100-continue", b"Content-Encoding: br"]
HOP_BY_HOP = [
    b"Connection: X-Mine , ,x-OTHER,keep-alive", b"Keep-Alive: timeout=5", b"TE: trailers", b"Proxy-Connection: close",
    b"Upgrade: websocket", b"HTTP2-Settings: AAMAAABkAAQAAP__", b"X-Mine: 1", b"X-Other:2", b"x-mine: 3",
]  # fmt: skip

REQUESTS = [
    request(GET, HOST),
    request(GET, *ODD_BUT_ALLOWED),
    request(b"GET //a/../%2e%2F;p?q=[1]&r=\"<>{}|\\^`&s=?/'() HTTP/1.1", HOST),
    request(b"M-SEARCH / HTTP/1.1", HOST),
    request(LONGEST_METHOD + b" / HTTP/1.1", HOST),
    request(b"OPTIONS * HTTP/1.1", HOST),
    request(b"GET http://m HTTP/1.1", HOST),
    request(b"GET HTTP://M:80/a?b HTTP/1.1", b"Host: m:80"),
    request(b"GET https://m?a=http://x@y HTTP/1.1", HOST),
    request(b"GET http://[::1]:80/ HTTP/1.1", b"Host: [::1]:80"),
    request(GET_1_0, keep_alive=False, has_host=False),
    request(GET_1_0, HOST, keep_alive=False),
    request(GET_1_0, HOST, b"Connection: Keep-Alive", passing=[HOST]),
    request(GET_1_0, HOST, b"Connection: keep-alive, close", passing=[HOST], keep_alive=False),
    request(GET, HOST, b"Connection: close", passing=[HOST], keep_alive=False),
    request(GET, HOST, b"Connection: x", b"Connection: CLOSE", passing=[HOST], keep_alive=False),
    request(GET, HOST, b"Connection:", passing=[HOST]),
    request(GET, HOST, b"Connection: closed", passing=[HOST]),
    request(GET, HOP_BY_HOP[0], HOST, *HOP_BY_HOP[1:], passing=[HOST]),
    request(GET, HOST, UPGRADE, b"Upgrade: websocket", b"Upgrade: b", passing=[HOST], upgrade=b"websocket, b"),
    request(GET, HOST, UPGRADE, b"Upgrade: H2c", passing=[HOST]),
    request(GET, HOST, UPGRADE, b"Upgrade: websocket, h2c", passing=[HOST]),
    request(GET, HOST, UPGRADE, passing=[HOST]),
    request(b"GET / HTTP/1.0", HOST, UPGRADE, b"Upgrade: websocket", passing=[HOST], keep_alive=False),
    request(POST, HOST, *BODY_LINES, length=7),
    request(POST, HOST, b"content-length:\t 007 \t", length=7),
    request(POST, HOST, b"Content-Length: 999999999999999999", length=999_999_999_999_999_999),
    request(b"POST / HTTP/1.0", b"Content-Length: 5", length=5, keep_alive=False, has_host=False),
    request(POST, HOST, b"Transfer-Encoding: chunked", passing=[HOST], length=CHUNKED),
    request(POST, HOST, b"TRANSFER-ENCODING:\t chuNKed\t ", b"X: a", passing=[HOST, b"X: a"], length=CHUNKED),
    request(GET, HOST, b"X-Request-ID:  a b ", b"x-request-id: c", request_id=b"a b"),
    *(
        request(GET, b"Host: " + host)
        for host in (b"", b"m.svc:8080", b"[2001:db8::1]:8", b"[::1]", b"a_b-c.%20~", b":8")
    ),
]

FIELD_FAULTS = [
    ([b" X: folded"], "number 1 is folded"),
    ([b"X: a", b"\tfolded"], "number 2 is folded"),
    ([b"X : a"], "number 1 has no well-formed name"),
    ([b"X\t: a"], "number 1 has no well-formed name"),
    ([b": a"], "number 1 has no well-formed name"),
    ([b"X"], "number 1 has no well-formed name"),
    ([b""], "number 1 has no well-formed name"),
    ([b"X: a", b"", b"Y: b"], "number 2 has no well-formed name"),
    ([b"X(: a"], "number 1 has no well-formed name"),
    ([b"X\x00: a"], "number 1 has no well-formed name"),
    ([b"X\x7f: a"], "number 1 has no well-formed name"),
    ([b"X\xe4: a"], "number 1 has no well-formed name"),
    ([b"\x0bX: a"], "number 1 has no well-formed name"),
    ([b"\rX: a"], "number 1 has no well-formed name"),
    *(([b"X: a%bb" % bytes([byte])], "number 1 has a control byte") for byte in (*range(9), *range(10, 32), 127)),
    ([b"X: a\nY: b"], "number 1 has a control byte"),
    ([b"X: a\r"], "number 1 has a control byte"),
    ([b"X: a\r\r"], "number 1 has a control byte"),
]

FRAMING_FAULTS = [
    ([b"Content-Length: 5", b"Transfer-Encoding: chunked"], "both Content-Length and Transfer-Encoding"),
    ([b"Transfer-Encoding: chunked", b"content-length: 0"], "both Content-Length and Transfer-Encoding"),
    ([b"Transfer-Encoding: xchunked", b"Content-Length: 5"], "both Content-Length and Transfer-Encoding"),
    ([b"Content-Length: 5", b"Content-Length: 6"], "repeated content-length"),
    ([b"Content-Length: 5", b"content-length: 5"], "repeated content-length"),
    ([b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"], "repeated transfer-encoding"),
    ([b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked"], "repeated transfer-encoding"),
    *(
        ([b"Content-Length: " + value], "malformed Content-Length")
        for value in (
            b"", b"+5", b"-1", b"0x5", b"5, 5", b"5,", b"5 5", b"5;", b"5.0", b"1e2", b"1_0", b"five", b"\xb2",
            b"9" * 19, b"0" * 19,
        )
    ),
    *(
        ([b"Transfer-Encoding: " + value], "a Transfer-Encoding other than")
        for value in (
            b"", b"xchunked", b"chunked, chunked", b"gzip, chunked", b"chunked, gzip", b"chunked,", b",chunked",
            b"identity", b"gzip", b"chunked;q=1", b'"chunked"', b"chunked chunked", b"chun\tked", b"\xa0chunked",
            b"chunked\x85",
        )
    ),
    ([b"Transfer-Encoding: \x0bchunked"], "has a control byte"),
    ([b"Transfer-Encoding : chunked"], "no well-formed name"),
    ([b"Content_Length: 5"], "content_length could be taken for content-length"),
    ([b"transfer_encoding: chunked"], "transfer_encoding could be taken for transfer-encoding"),
    ([b"Connection: close, Content-Length", b"Content-Length: 5"], "Connection names a field"),
    ([b"Connection: Host"], "Connection names a field"),
    ([b"Connection: transfer-encoding"], "Connection names a field"),
]  # fmt: skip

REFUSED_STARTS = [
    b"", b" ", b"GET", b"GET /", b"GET  HTTP/1.1", b" GET / HTTP/1.1", b"GET  / HTTP/1.1", b"GET /  HTTP/1.1",
    b"GET / HTTP/1.1 ", b"GET\t/ HTTP/1.1", b"GET /a b HTTP/1.1", b"get / HTTP/1.1", b"Get / HTTP/1.1",
    b" / HTTP/1.1", b"-GET / HTTP/1.1", b"G@T / HTTP/1.1", b"GET1 / HTTP/1.1", b"G\x00T / HTTP/1.1",
    b"M" * 33 + b" / HTTP/1.1", b"GET / HTTP/0.9", b"GET / HTTP/1.2", b"GET / HTTP/2.0", b"GET / HTTP/1.10",
    b"GET / HTTP/11", b"GET / HTTP/1", b"GET / http/1.1", b"GET / HTTP/1,1", b"GET / HTTPS/1.1", b"PRI * HTTP/2.0",
    b"GET /#fragment HTTP/1.1", b"GET /\xc3\xa9 HTTP/1.1", b"GET /\x00 HTTP/1.1", b"GET /\x7f HTTP/1.1",
    b"GET /\t HTTP/1.1",
    b"GET /\r HTTP/1.1", b"GET /\n HTTP/1.1", b"\r\nGET / HTTP/1.1", b"GET / HTTP/1.1\r", b"GET / HTTP/1.1\n",
    b"GET / HTTP/1.1\nX: a", b"HTTP/1.1 200 OK",
]  # fmt: skip

REFUSED_TARGETS = [
    (b"GET * HTTP/1.1", HOST, "malformed target"),
    (b"GET path HTTP/1.1", HOST, "malformed target"),
    (b"GET ?query HTTP/1.1", HOST, "malformed target"),
    (b"OPTIONS ** HTTP/1.1", HOST, "malformed target"),
    (b"GET m:80 HTTP/1.1", b"Host: m:80", "malformed target"),
    (b"CONNECT m:80 HTTP/1.1", b"Host: m:80", "malformed target"),
    (b"CONNECT http://m/ HTTP/1.1", HOST, "malformed target"),
    (b"CONNECT / HTTP/1.1", HOST, "malformed target"),
    (b"GET ftp://m/ HTTP/1.1", HOST, "malformed target"),
    (b"GET http:/m/ HTTP/1.1", HOST, "malformed target"),
    (b"GET http:m HTTP/1.1", HOST, "malformed target"),
    (b"GET http:///a HTTP/1.1", b"Host:", "malformed target"),
    (b"GET http://:80/a HTTP/1.1", b"Host: :80", "malformed target"),
    (b"GET http://user@m/ HTTP/1.1", HOST, "malformed target"),
    (b"GET http://m@x/ HTTP/1.1", HOST, "malformed target"),
    (b"GET http://x/ HTTP/1.1", HOST, "authority is not the Host field's"),
    (b"GET http://m:80/ HTTP/1.1", HOST, "authority is not the Host field's"),
    (b"GET http://m\\x/ HTTP/1.1", HOST, "authority is not the Host field's"),
    (b"GET http://m/ HTTP/1.0", b"X: a", "authority is not the Host field's"),
]

HOST_FAULTS = [
    ([b"X: a"], "no Host field"),
    ([HOST, HOST], "repeated host"),
    ([HOST, b"host: n"], "repeated host"),
    *(
        ([b"Host: " + host], "malformed Host")
        for host in (
            b"a b", b"a/b", b"a@b", b"user:pw@a", b"a, b", b"a,b", b"a\tb", b"a:b", b"a:80:80", b"::1", b"[::1",
            b"[]", b"[g]", b"a[::1]", b"a?b", b"a#b", b"a\\b", b'"a"', b"\xe4", b"<a>", b"http://a",
        )
    ),
]  # fmt: skip

REPLIES = [
    reply(OK, b"Content-Length: 0"),
    reply(OK, b"server:x", b"SET-Cookie: a", b"Set-Cookie:  b ", b"Content-Length: 5", length=5),
    reply(b"HTTP/1.1 404 Not  F\xf6und\t!", b"Content-Length: 5", status=404, reason=b"Not  F\xf6und\t!", length=5),
    reply(b"HTTP/1.1 200", b"Content-Length: 0", reason=b""),
    reply(b"HTTP/1.1 200 ", b"Content-Length: 0", reason=b""),
    reply(b"HTTP/1.1 599  x", b"Content-Length: 0", status=599, reason=b" x"),
    reply(OK, length=UNTIL_CLOSE, keep_alive=False),
    reply(OK, b"Connection: keep-alive", passing=[], length=UNTIL_CLOSE, keep_alive=False),
    reply(b"HTTP/1.0 200 OK", length=UNTIL_CLOSE, keep_alive=False),
    reply(b"HTTP/1.0 200 OK", b"Content-Length: 5", length=5, keep_alive=False),
    reply(
        b"HTTP/1.0 200 OK", b"Content-Length: 5", b"Connection: Keep-Alive", passing=[b"Content-Length: 5"], length=5
    ),
    reply(OK, b"Content-Length: 5", b"Connection: close", passing=[b"Content-Length: 5"], length=5, keep_alive=False),
    reply(OK, b"Transfer-Encoding: Chunked", b"X: a", passing=[b"X: a"], length=CHUNKED),
    reply(b"HTTP/1.0 200 OK", b"Transfer-Encoding: chunked", passing=[], length=CHUNKED, keep_alive=False),
    reply(OK, *HOP_BY_HOP, b"Content-Length: 0", passing=[b"Content-Length: 0"]),
    reply(OK, b"Content-Length: 0", b"X-Request-Id: up", has_request_id=True),
    reply(OK, b"Content-Length: 0", b"X-Sidecar-Version: 3", signed=True),
    reply(b"HTTP/1.1 204 No Content", status=204, reason=b"No Content"),
    reply(b"HTTP/1.1 204 No Content", b"Transfer-Encoding: chunked", passing=[], status=204, reason=b"No Content"),
    reply(
        b"HTTP/1.1 204 X", b"A: b", b"content-length: 5", passing=[b"A: b"], status=204, reason=b"X", keep_alive=False
    ),
    reply(
        b"HTTP/1.1 103 X", b"Content-Length: 5", b"A: b", passing=[b"A: b"], status=103, reason=b"X", keep_alive=False
    ),
    reply(b"HTTP/1.0 304 Not Modified", b"Content-Length: 9", status=304, reason=b"Not Modified", keep_alive=False),
    reply(b"HTTP/1.1 100 Continue", status=100, reason=b"Continue"),
    reply(b"HTTP/1.1 103 Early Hints", b"Link: a", status=103, reason=b"Early Hints"),
    reply(b"HTTP/1.1 101 X", UPGRADE, b"Upgrade: websocket", passing=[], status=101, reason=b"X", upgrade=b"websocket"),
    reply(OK, UPGRADE, b"Upgrade: websocket", b"Content-Length: 0", passing=[b"Content-Length: 0"]),
]

REFUSED_STATUS_LINES = [
    b"", b"garbage", b"HTTP/1.1", b"HTTP/1.1 ", b"HTTP/1.1 OK", b"HTTP/1.1 20 OK", b"HTTP/1.1 2000 OK",
    b"HTTP/1.1 +20 OK", b"HTTP/1.1 099 X", b"HTTP/1.1 600 X", b"HTTP/1.1 999 X", b"HTTP/1.1 200OK",
    b"HTTP/1.1 200\tOK", b"HTTP/1.1  200 OK", b" HTTP/1.1 200 OK", b"http/1.1 200 OK", b"HTTP/2 200",
    b"HTTP/1.2 200 OK", b"HTTP/0.9 200 OK", b"ICY 200 OK", b"HTTP/1.1 200 \x00", b"HTTP/1.1 200 \x7f",
    b"HTTP/1.1 200 OK\r", b"HTTP/1.1 200 OK\n", b"HTTP/1.1 200 OK\nX: a", b"GET / HTTP/1.1", b"\r\nHTTP/1.1 200 OK",
]  # fmt: skip


@pytest.mark.parametrize(("data", "reading"), REQUESTS)
def test_requests_are_read(data: bytes, reading: RequestHead) -> None:
    assert parse_request(data) == reading


@pytest.mark.parametrize("start", REFUSED_STARTS)
def test_a_malformed_request_line_is_refused(start: bytes) -> None:
    with pytest.raises(ValueError, match="malformed request line: expected METHOD TARGET"):
        parse_request(head(start, HOST))


@pytest.mark.parametrize(("start", "host", "fault"), REFUSED_TARGETS)
def test_a_target_that_is_no_path_of_this_host_is_refused(start: bytes, host: bytes, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        parse_request(head(start, host))


@pytest.mark.parametrize(("lines", "fault"), HOST_FAULTS)
def test_a_request_for_no_one_host_is_refused(lines: list[bytes], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        parse_request(head(GET, *lines))


@pytest.mark.parametrize(("lines", "fault"), FIELD_FAULTS)
def test_malformed_lines_are_refused_everywhere_with_their_number(lines: list[bytes], fault: str) -> None:
    block = head(*lines)

    for parse, start in (
        (parse_request, b"GET / HTTP/1.0\r\n"),
        (parse_reply, b"HTTP/1.1 200 OK\r\n"),
        (parse_trailers, b""),
    ):
        with pytest.raises(ValueError, match=f"^malformed (field line|trailer): {fault}$"):
            parse(start + block)


@pytest.mark.parametrize(("lines", "fault"), FRAMING_FAULTS)
def test_messages_that_could_be_framed_in_two_ways_are_refused(lines: list[bytes], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        parse_request(head(POST, HOST, *lines))
    for status in b"200", b"204":
        with pytest.raises(ValueError, match=fault):
            parse_reply(head(b"HTTP/1.1 %b X" % status, *lines))


def test_requests_of_http_1_0_have_no_transfer_coding() -> None:
    with pytest.raises(ValueError, match=r"other than HTTP/1\.1's chunked"):
        parse_request(head(b"POST / HTTP/1.0", HOST, b"Transfer-Encoding: chunked"))


def test_a_block_without_its_last_line_end_is_refused() -> None:
    with pytest.raises(ValueError, match="a bare CR or LF"):
        parse_request(b"GET / HTTP/1.1\r\nHost: m")


@pytest.mark.parametrize(("data", "reading"), REPLIES)
def test_replies_are_read(data: bytes, reading: ReplyHead) -> None:
    assert parse_reply(data) == reading


@pytest.mark.parametrize(
    ("line", "passing"),
    [(b"X: a", [b"X: a"]), (b"Content-Length: 5", [b"Content-Length: 5"]), (b"Transfer-Encoding: chunked", [])],
)
def test_replies_to_head_have_no_body_and_keep_the_connection(line: bytes, passing: list[bytes]) -> None:
    assert parse_reply(head(OK, line), to_head=True) == reply(OK, line, passing=passing)[1]


@pytest.mark.parametrize("start", REFUSED_STATUS_LINES)
def test_a_malformed_status_line_is_refused(start: bytes) -> None:
    with pytest.raises(ValueError, match="malformed status line"):
        parse_reply(head(start, b"Content-Length: 0"))


@pytest.mark.parametrize(
    ("lines", "passing"),
    [
        ([], []),
        ([b"Digest:  a ", b"X-A:1", b"x-a: 2"], [b"Digest:  a ", b"X-A:1", b"x-a: 2"]),
        ([b"Connection: X", b"X: a", b"TE: a", b"Y: b", b"Keep-Alive: a", b"Upgrade: h2c"], [b"Y: b"]),
    ],
)
def test_trailers_lose_only_what_is_hop_by_hop(lines: list[bytes], passing: list[bytes]) -> None:
    assert parse_trailers(head(*lines, b"")[:-2]) == block(passing)


@pytest.mark.parametrize(
    "line",
    [
        b"Content-Length: 5", b"transfer-encoding: chunked", b"HOST: m", b"Content_Length: 5",
        b"Transfer_Encoding: chunked", b"Connection: Content-Length",
    ],
)  # fmt: skip
def test_trailers_that_frame_the_message_are_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"frames|could be taken for"):
        parse_trailers(head(b"X: a", line))


@pytest.mark.parametrize(
    ("data", "extra", "written"),
    [
        (head(GET, *ODD_BUT_ALLOWED), [], head(GET, *ODD_BUT_ALLOWED, b"")),
        (head(GET_1_0, b"X:1"), [HOST], head(GET, b"X:1", HOST, b"")),
        (head(GET, HOST, *HOP_BY_HOP, b"X:1"), [b"Y: 2"], head(GET, HOST, b"X:1", b"Y: 2", b"")),
        (head(POST, HOST, b"Content-Length:  05 "), [], head(POST, HOST, b"Content-Length:  05 ", b"")),
        (
            head(POST, b"transfer-ENCODING:Chunked", HOST),
            [b"Y: 2"],
            head(POST, HOST, b"Transfer-Encoding: chunked", b"Y: 2", b""),
        ),
    ],
)
def test_requests_are_written_from_what_was_read(data: bytes, extra: list[bytes], written: bytes) -> None:
    assert write_request(parse_request(data), block(extra)) == written


@pytest.mark.parametrize(
    ("data", "extra", "written"),
    [
        (head(b"HTTP/1.0 404 N\xe4 ", b"x:1", b"X: 2 "), [], head(b"HTTP/1.1 404 N\xe4 ", b"x:1", b"X: 2 ", b"")),
        (head(b"HTTP/1.1 200", *HOP_BY_HOP, b"x:1"), [b"Y: 2"], head(b"HTTP/1.1 200 ", b"x:1", b"Y: 2", b"")),
        (head(OK, b"Transfer-Encoding: chunked"), [], head(OK, b"")),
    ],
)
def test_replies_are_written_from_what_was_read(data: bytes, extra: list[bytes], written: bytes) -> None:
    assert write_reply(parse_reply(data), block(extra)) == written


def octets(allowed: bytes, min_size: int, max_size: int) -> st.SearchStrategy[bytes]:
    return st.lists(st.sampled_from(allowed), min_size=min_size, max_size=max_size).map(bytes)


TOKENS = octets(b"!#$%&'*+-.^_`|~09azAZ", 1, 8)
VALUES = octets(bytes((9, *range(32, 127), *range(128, 256))), 0, 20)
FRAMING = st.sampled_from([b"Content-Length: 0", b"content-length:\t12 ", b"Transfer-Encoding: chunked", b"X: a"])
CONNECTIONS = st.sampled_from([b"Connection: close", b"Connection: x, 0", b"connection:keep-alive", b"X:a", b"TE:a"])
LINES = st.builds(
    lambda fields, framing, connection: [b"%b:%b" % field for field in fields] + [framing, connection],
    st.lists(st.tuples(TOKENS, VALUES)),
    FRAMING,
    CONNECTIONS,
).flatmap(st.permutations)  # fmt: skip
TARGETS = octets(bytes((33, 34, *range(36, 127))), 0, 30).map(lambda path: b"/" + path)
METHODS = st.from_regex(rb"[A-Z][A-Z-]{0,31}", fullmatch=True).filter(lambda method: method != b"CONNECT")


@given(METHODS, TARGETS, LINES)
def test_a_written_request_reads_as_the_one_that_was_written(method: bytes, target: bytes, lines: list[bytes]) -> None:
    came = parse_request(head(b"%b %b HTTP/1.1" % (method, target), HOST, *lines))
    written = write_request(came)
    again = parse_request(written[:-2])

    assert written.endswith(b"\r\n\r\n")
    assert (came.method, came.target) == (method, target)
    assert (again.method, again.target, again.length) == (method, target, came.length)
    assert again.passing == came.passing
    assert write_request(again) == written


@given(st.integers(100, 599), VALUES, LINES)
def test_a_written_reply_reads_as_the_one_that_was_written(status: int, reason: bytes, lines: list[bytes]) -> None:
    came = parse_reply(head(b"HTTP/1.1 %d %b" % (status, reason), *lines))
    coding = [b"Transfer-Encoding: chunked"] if came.length == CHUNKED else []
    again = parse_reply(write_reply(came, block(coding))[:-2])

    assert (again.status, again.reason, again.length) == (came.status, came.reason, came.length)
    assert (came.status, came.reason) == (status, reason)
    assert again.passing == came.passing


@given(LINES)
def test_what_passes_is_a_choice_among_the_lines_in_their_order(lines: list[bytes]) -> None:
    came = parse_request(head(GET, HOST, *lines))
    remaining = iter([HOST, *lines])

    assert came.lines == block([HOST, *lines])
    assert all(line in remaining for line in came.passing.split(b"\r\n")[:-1])


PIECES = [b"GET / HTTP/1.1\r\n", b"HTTP/1.1 200 OK\r\n", b"Host: m\r\n", b"Connection:", b"\r\n", b":", b" "]


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=4)).map(b"".join))
def test_no_bytes_raise_anything_but_value_error(data: bytes) -> None:
    for parse in parse_request, parse_reply, parse_trailers:
        with suppress(ValueError):
            parse(data)
