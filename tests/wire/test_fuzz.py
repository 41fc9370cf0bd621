"""What we forward, as two parsers that others trust read it: llhttp (through httptools) and h11.

Both must find exactly the message that we read, and its end: another message that follows is found whole behind it.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import TypeVar

import h11
import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.wire.body import reader_for, write_chunk, write_last_chunk
from sidecar.wire.http1 import TOKEN, VALUE, parse_reply, parse_request, write_reply, write_request
from sidecar.wire.message import CHUNKED, UNTIL_CLOSE, ReplyHead, RequestHead

MUTANTS_OF_A_REQUEST = 9_000
MUTANTS_OF_A_REPLY = 3_000
EVERY_NTH_BY_H11 = 20
"""It is written in Python, and slow."""


@dataclass(slots=True)
class Reading:
    """A message as somebody read it: method and target, or status and reason; trailers count as fields."""

    method: bytes = b""
    target: bytes = b""
    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    whole: bool = False


NEXT_REQUEST = b"POST /next HTTP/1.1\r\nHost: n\r\nContent-Length: 1\r\n\r\nn"
NEXT_REQUEST_READING = Reading(b"POST", b"/next", [(b"host", b"n"), (b"content-length", b"1")], b"n", whole=True)
NEXT_REPLY = b"HTTP/1.1 404 Next\r\nContent-Length: 1\r\n\r\nn"
NEXT_REPLY_READING = Reading(b"404", b"Next", [(b"content-length", b"1")], b"n", whole=True)


class Llhttp:
    """httptools' callbacks: what llhttp finds in a stream of messages."""

    def __init__(self, kind: type[httptools.HttpRequestParser | httptools.HttpResponseParser], data: bytes) -> None:
        self.readings: list[Reading] = []
        self._parser = kind(self)
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self.readings.append(Reading())

    def on_url(self, url: bytes) -> None:
        self.readings[-1].target += url

    on_status = on_url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.readings[-1].fields.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        if isinstance(self._parser, httptools.HttpRequestParser):
            self.readings[-1].method = self._parser.get_method()
        else:
            self.readings[-1].method = b"%d" % self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self.readings[-1].body += body

    def on_message_complete(self) -> None:
        self.readings[-1].whole = True


def by_h11(connection: h11.Connection, data: bytes) -> tuple[Reading, bytes]:
    """The first message that h11 finds, and the bytes behind it."""
    reading = Reading()
    connection.receive_data(data)
    while not reading.whole:
        match connection.next_event():
            case h11.Request() as request:
                reading.method, reading.target, reading.fields = request.method, request.target, [*request.headers]
            case h11.Response() | h11.InformationalResponse() as reply:
                reading.method, reading.target, reading.fields = (
                    b"%d" % reply.status_code,
                    reply.reason,
                    [*reply.headers],
                )
                reading.whole = reply.status_code < 200
            case h11.Data() as data_event:
                reading.body += data_event.data
            case h11.EndOfMessage() as end:
                reading.fields += end.headers
                reading.whole = True
            case _:
                break
    return reading, connection.trailing_data[0]


def h11_client() -> h11.Connection:
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "m")]))
    connection.send(h11.EndOfMessage())
    return connection


def fields_of(lines: bytes) -> list[tuple[bytes, bytes]]:
    parts = (line.partition(b":") for line in lines.split(b"\r\n")[:-1])
    return [(name.lower(), value.strip(b" \t")) for name, _, value in parts]


def check_head(written: bytes) -> None:
    """It cannot be cut into lines in two ways, nor its body be framed in two ways."""
    assert written.endswith(b"\r\n\r\n")
    assert b"\r\n\r\n" not in written[:-2]
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n|\0", written)
    names = [name for name, _ in fields_of(written.partition(b"\r\n")[2][:-2])]
    assert names.count(b"content-length") + names.count(b"transfer-encoding") <= 1


def coded(length: int, body: bytes, trailers: bytes) -> bytes:
    return write_chunk(body) + write_last_chunk(trailers) if length == CHUNKED else body


# llhttp knows a list of methods and refuses others: no method can be read in two ways, so others are replaced.
METHODS_OF_ALL = {b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"M-SEARCH"}


def check_request(head: RequestHead, body: bytes, trailers: bytes, slowly: bool) -> None:
    method = head.method if head.method in METHODS_OF_ALL else b"POST"
    head = replace(head, method=method)
    extra = b"" if head.has_host else b"Host: upstream\r\n"
    coding = b"Transfer-Encoding: chunked\r\n" if head.length == CHUNKED else b""
    expected = Reading(method, head.target, fields_of(head.passing + coding + extra + trailers), body, whole=True)

    written = write_request(head, extra)
    stream = written + coded(head.length, body, trailers) + NEXT_REQUEST

    check_head(written)
    assert Llhttp(httptools.HttpRequestParser, stream).readings == [expected, NEXT_REQUEST_READING]
    if slowly:
        assert by_h11(h11.Connection(h11.SERVER), stream) == (expected, NEXT_REQUEST)


def check_reply(head: ReplyHead, body: bytes, trailers: bytes, slowly: bool) -> None:
    if head.status == 101:
        return  # what follows is no longer HTTP
    extra = {CHUNKED: b"Transfer-Encoding: chunked\r\n", UNTIL_CLOSE: b"Connection: close\r\n"}.get(head.length, b"")
    fields = fields_of(head.passing + extra + trailers)
    expected, follows = Reading(b"%d" % head.status, head.reason, fields, body, whole=True), [NEXT_REPLY_READING]
    behind = NEXT_REPLY
    if head.length == UNTIL_CLOSE:
        expected, follows, behind = replace(expected, body=body + NEXT_REPLY, whole=False), [], b""

    written = write_reply(head, extra)
    stream = written + coded(head.length, body, trailers) + NEXT_REPLY

    check_head(written)
    assert Llhttp(httptools.HttpResponseParser, stream).readings == [expected, *follows]
    if slowly:
        assert by_h11(h11_client(), stream) == (expected, behind)


Head = TypeVar("Head", RequestHead, ReplyHead)


def read(parse: Callable[[bytes], Head], data: bytes, random: Random) -> tuple[Head, bytes, bytes] | None:
    """Head, body and trailers of what came, the body in one to three pieces; nothing where it is not complete.

    Raises:
        ValueError: It is refused.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = parse(data[: end + 2])
    reader = reader_for(head.length)
    came = data[end + 4 :]
    body = b""
    for pieces_left in range(random.choice((1, 2, 3)), 0, -1):
        cut = len(came) if pieces_left == 1 else random.randrange(len(came) + 1)
        if not reader.done:
            body += reader.feed(came[:cut])
        came = came[cut:]
    return (head, body, reader.trailers) if reader.done or head.length == UNTIL_CLOSE else None


CHUNKED_POST = b"POST /a HTTP/1.1\r\nHost: m\r\ntransfer-encoding:\tChunked\r\n"
REQUESTS = {
    "plain": b"GET /v2/health/live HTTP/1.1\r\nHost: m:80\r\nAccept: */*\r\nUser-Agent: x\r\n\r\n",
    "old": b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\nX-A: b\r\n\r\n",
    "head": b"HEAD /a?b=c&d=%20 HTTP/1.1\r\nHost: [::1]:80\r\nX-Request-Id: 7\r\n\r\n",
    "absolute": b"GET http://m/a HTTP/1.1\r\nHost: m\r\nAccept:\r\nX:  \t\r\n\r\n",
    "any": b"OPTIONS * HTTP/1.1\r\nHost: m\r\n\r\n",
    "length": b"POST /invocations HTTP/1.1\r\nHost: m\r\nContent-Type: text/csv\r\nContent-Length: 5\r\n\r\n1,2,3",
    "rest": b"PUT /a HTTP/1.1\r\nHost: m\r\nContent-Length:\t05 \r\n\r\n1,2,3GET / HTTP/1.1\r\nHost: n\r\n\r\n",
    "chunked": CHUNKED_POST + b"\r\n5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n",
    "extensions": CHUNKED_POST + b"\r\n2;a=b\r\n\r\n\r\n0005;c\r\n0\r\n\r\n\r\n00;d\r\n\r\n",
    "trailers": CHUNKED_POST + b"Trailer: d\r\n\r\n1\r\na\r\n0\r\nD: e\r\nTE: f\r\n\r\n",
    "hops": b"POST /a HTTP/1.1\r\nConnection: close, X-A\r\nX-A: 1\r\nTE: b\r\nHost: m\r\nContent-Length: 1\r\n\r\na",
    "upgrade": b"GET /ws HTTP/1.1\r\nHost: m\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nOrigin: http://m\r\n\r\n",
}
REPLIES = {
    "length": b"HTTP/1.1 200 OK\r\nServer: a\r\nContent-Length: 5\r\nContent-Type: a/b\r\n\r\n[1,2]",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;a\r\n!\r\n0\r\nD: e\r\n\r\n",
    "close": b"HTTP/1.0 500 Oh \xe4\r\nConnection: close\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\nuntil the end",
    "none": b"HTTP/1.1 204\r\nX: a\r\nKeep-Alive: 5\r\n\r\n",
    "hint": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
}
TRICKS = [
    b"\r", b"\n", b"\r\n", b"\n\n", b"\r\n\r\n", b"\r\n ", b"\r\n\t", b"\0", b"\t", b"\v", b"\x7f", b"\x80", b"\xa0",
    b"\xff", b" ", b"  ", b",", b", ", b":", b" :", b";", b";a=b", b'"', b"#", b"@", b"_", b"+", b"-", b"0", b"0x",
    b"1", b"f", b"%0d%0a", b"chunked", b", chunked", b"identity", b"close", b"keep-alive", b"HTTP/1.0", b"HTTP/1.1",
    b"HTTP/0.9", b"http://m", b"CONNECT", b"0\r\n\r\n", b"5\r\nhello\r\n",
]  # fmt: skip
TRICKY_LINES = [
    b"Transfer-Encoding: chunked", b"transfer-encoding:\tCHUNKED ", b"Transfer-Encoding: identity",
    b"Transfer-Encoding : chunked", b"Transfer-Encoding: \x0bchunked", b"Transfer_Encoding: chunked",
    b"Content-Length: 5", b"content-length:5", b"Content-Length: 6", b"Content-Length: +5", b"Content-Length: 5, 5",
    b"Content_Length: 5", b"Content-Length:", b"Host: m", b"Host: n", b"Connection: Host",
    b"Connection: Content-Length", b"Connection: x, Transfer-Encoding", b"Connection: close", b"Upgrade: h2c",
    b"Expect: 100-continue", b" folded: 5", b"X: a\rY: b", b"X: a\nContent-Length: 5", b"",
    b"Trailer: Content-Length", b"X-A: \xe4\t\"'",
]  # fmt: skip


def flip(data: bytes, at: int, random: Random) -> bytes:
    return data[:at] + bytes(byte ^ 1 << random.randrange(8) for byte in data[at : at + 1]) + data[at + 1 :]


def replace_byte(data: bytes, at: int, random: Random) -> bytes:
    return data[:at] + random.randbytes(1) + data[at + 1 :]


def insert(data: bytes, at: int, random: Random) -> bytes:
    return data[:at] + random.choice(TRICKS) + data[at:]


def insert_line(data: bytes, at: int, random: Random) -> bytes:
    at = data.find(b"\r\n", at) + 2
    return data[:at] + random.choice(TRICKY_LINES) + b"\r\n" + data[at:]


def delete(data: bytes, at: int, random: Random) -> bytes:
    return data[:at] + data[at + random.choice((1, 1, 2, 3, 8, 30)) :]


def double(data: bytes, at: int, random: Random) -> bytes:
    return data[: at + random.choice((1, 2, 8, 30))] + data[at:]


def splice(data: bytes, at: int, random: Random) -> bytes:
    other = random.choice([*REQUESTS.values(), *REPLIES.values()])
    return data[:at] + other[random.randrange(len(other)) :]


MUTATIONS = [flip, replace_byte, insert, insert_line, delete, double, splice]


def mutant(data: bytes, random: Random) -> bytes:
    for _ in range(random.choice((1, 1, 2, 3))):
        data = random.choice(MUTATIONS)(data, random.randrange(len(data) + 1), random)
    return data


def fuzz(
    data: bytes,
    mutants: int,
    parse: Callable[[bytes], Head],
    check: Callable[[Head, bytes, bytes, bool], None],
) -> Counter[str]:
    """How many mutants were accepted, refused and incomplete; each one accepted is checked."""
    random = Random(data)
    outcomes: Counter[str] = Counter()
    for _ in range(mutants):
        try:
            message = read(parse, mutant(data, random), random)
        except ValueError:
            outcomes["refused"] += 1
            continue
        if message is None:
            outcomes["incomplete"] += 1
            continue
        outcomes["accepted"] += 1
        check(*message, outcomes["accepted"] % EVERY_NTH_BY_H11 == 0)
    return outcomes


@pytest.mark.parametrize("data", REQUESTS.values(), ids=REQUESTS)
def test_no_mutant_of_a_request_is_forwarded_that_can_be_read_in_two_ways(data: bytes) -> None:
    outcomes = fuzz(data, MUTANTS_OF_A_REQUEST, parse_request, check_request)

    assert min(outcomes["accepted"], outcomes["refused"]) >= 0.05 * MUTANTS_OF_A_REQUEST


@pytest.mark.parametrize("data", REPLIES.values(), ids=REPLIES)
def test_no_mutant_of_a_reply_is_forwarded_that_can_be_read_in_two_ways(data: bytes) -> None:
    outcomes = fuzz(data, MUTANTS_OF_A_REPLY, parse_reply, check_reply)

    assert min(outcomes["accepted"], outcomes["refused"]) >= 0.05 * MUTANTS_OF_A_REPLY


def matching(pattern: bytes) -> st.SearchStrategy[bytes]:
    # Hypothesis knows no possessive quantifiers.
    return st.from_regex(pattern.replace(b"++", b"+").replace(b"*+", b"*"), fullmatch=True)


FRAMINGS = [b"X: a", b"Content-Length: 3", b"content-length:\t0003 \t", b"TRANSFER-encoding:CHUNKED"]
FIELDS = st.builds(lambda name, value: name + b":" + value, matching(TOKEN), matching(VALUE))
LINES = st.builds(
    lambda lines, framing: [*lines, b"Host: m", framing], st.lists(FIELDS), st.sampled_from(FRAMINGS)
).flatmap(st.permutations)
BODY = b"3\r\n0\r\n\r\n0\r\nD: e\r\n\r\n"


@given(st.sampled_from(sorted(METHODS_OF_ALL - {b"OPTIONS"})), matching(rb"/[\x21\x22\x24-\x7e]*"), LINES)
def test_requests_of_any_fields_are_forwarded_as_others_read_them(
    method: bytes, target: bytes, lines: Sequence[bytes]
) -> None:
    data = b"\r\n".join((b"%b %b HTTP/1.1" % (method, target), *lines, b"", BODY))

    message = read(parse_request, data, Random(0))

    assert message is not None
    check_request(*message, slowly=True)


@given(st.integers(102, 599), matching(VALUE), LINES)
def test_replies_of_any_fields_are_forwarded_as_others_read_them(
    status: int, reason: bytes, lines: Sequence[bytes]
) -> None:
    data = b"\r\n".join((b"HTTP/1.1 %d %b" % (status, reason), *lines, b"", BODY))

    message = read(parse_reply, data, Random(0))

    assert message is not None
    check_reply(*message, slowly=True)
