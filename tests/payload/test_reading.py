import gzip
from collections.abc import Callable, Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import ConfigError
from sidecar.exchange import Exchange, Message
from sidecar.payload.reading import UNREAD, Documents, Reader
from sidecar.records import Body

MakeExchange = Callable[..., Exchange]

PLAIN = Reader(max_inflated_bytes=1000)
REDACTING = Reader(max_inflated_bytes=1000, redact=["/card"])


def message_of(lines: Iterable[bytes], chunks: Sequence[bytes], truncated: bool = False) -> Message:
    return Message(b"".join(line + b"\r\n" for line in lines), chunks, truncated)


def body_of(reader: Reader, message: Message, make_exchange: MakeExchange) -> Body:
    request = reader.read(make_exchange(message))[0].request
    reply = reader.read(make_exchange(message_of((), ()), message))[0].reply
    assert request == reply
    return request


def test_everything_else_is_the_exchanges_own(make_exchange: MakeExchange) -> None:
    exchange = make_exchange(message_of((), ()), target=b"/a%20b/\xe9?token=secret")._replace(unit=7, shadow=True)

    capture, documents = PLAIN.read(exchange)

    shared = set(exchange._fields) & set(capture._fields) - {"request", "reply"}
    assert {name: getattr(exchange, name) for name in shared} == {name: getattr(capture, name) for name in shared}
    assert len(shared) == 14
    assert capture.path == "/a%20b/é"
    assert capture.headers == {"request": {}, "reply": {}}
    assert capture.inference_id == ""
    assert capture.request == Body("", b"")
    assert documents is UNREAD


def test_the_inference_id_is_the_clients(make_exchange: MakeExchange) -> None:
    lines = [b"X-Amzn-SageMaker-Inference-Id: \tabc 1 "]

    assert PLAIN.read(make_exchange(message_of(lines, ())))[0].inference_id == "abc 1"


def test_only_allowed_fields_are_kept_and_never_redacted_ones(make_exchange: MakeExchange) -> None:
    reader = Reader(
        max_inflated_bytes=1, headers=["X-Tenant", "authorization", "Server", "x.y"], redact_headers=["Authorization"]
    )
    request = message_of([b"Authorization: Basic x", b"x-TENANT:a", b"X-Tenant: \xe9", b"Cookie: c", b"xay: 1"], ())
    reply = message_of([b"server: uvicorn", b"x-tenant-id: 7", b"set-cookie: c"], ())

    headers = reader.read(make_exchange(request, reply))[0].headers

    assert headers == {"request": {"x-tenant": "a, é"}, "reply": {"server": "uvicorn"}}


@pytest.mark.parametrize(
    ("lines", "chunks", "body"),
    [
        ([], [], Body("", b"")),
        ([b"Content-Type: text/csv; a=b"], [b"1,", b"2"], Body("text/csv; a=b", b"1,2")),
        ([b"Content-Encoding: gzip"], [gzip.compress(b"[1]")], Body("", b"[1]")),
        ([b"Content-Encoding: gzip", b"content-encoding: gzip"], [gzip.compress(gzip.compress(b"x"))], Body("", b"x")),
        ([b"Content-Encoding: gzip"], [], Body("", b"")),
        ([b"Content-Encoding: br"], [b"x"], Body("", b"", "inflate")),
        ([b"Content-Encoding: gzip"], [gzip.compress(bytes(1001))], Body("", b"", "too_large")),
    ],
)
def test_bodies_are_stored_without_their_codings(
    lines: list[bytes], chunks: list[bytes], body: Body, make_exchange: MakeExchange
) -> None:
    assert body_of(PLAIN, message_of(lines, chunks), make_exchange) == body


@pytest.mark.parametrize(
    ("reader", "lines", "data"),
    [
        (PLAIN, [], b'{"card": 1'),
        (PLAIN, [b"Content-Encoding: Identity"], b'{"card": 1'),
        (PLAIN, [b"Content-Encoding: gzip"], b""),
        (REDACTING, [], b""),
    ],
)
def test_a_cut_body_is_kept_only_where_it_can_be_read_and_nothing_must_be_hidden(
    reader: Reader, lines: list[bytes], data: bytes, make_exchange: MakeExchange
) -> None:
    message = message_of(lines, [b'{"card": 1'], truncated=True)

    assert body_of(reader, message, make_exchange) == Body("", data, "truncated")


@pytest.mark.parametrize(
    ("data", "kept", "withheld"),
    [
        (b'{"card": 1}', b'{"card":"[redacted]"}', ""),
        (b'{"x":  1}', b'{"x":  1}', ""),
        (b"", b"", ""),
        (b"4111,2", b"", "redact"),
        (b'{"card": 1', b"", "redact"),
        (b"\x89PNG", b"", "redact"),
        (b'{"card":' + b"[" * 5000, b"", "redact"),
    ],
)
def test_a_body_that_redaction_cannot_read_is_withheld(
    data: bytes, kept: bytes, withheld: str, make_exchange: MakeExchange
) -> None:
    assert body_of(REDACTING, message_of((), [data]), make_exchange) == Body("", kept, withheld)


def test_a_body_almost_too_deep_is_withheld_or_redacted(make_exchange: MakeExchange) -> None:
    deep = b"[" * 1010 + b"]" * 1010

    body = body_of(REDACTING, message_of((), [b'{"card": 1, "x":' + deep + b"}"]), make_exchange)

    assert body in (Body("", b"", "redact"), Body("", b'{"card":"[redacted]","x":' + deep + b"}", ""))


def test_compressed_bodies_are_redacted_too(make_exchange: MakeExchange) -> None:
    message = message_of([b"content-encoding: gzip"], [gzip.compress(b'{"card": 1}')])

    assert body_of(REDACTING, message, make_exchange).data == b'{"card":"[redacted]"}'


def test_json_lines_are_redacted_by_line(make_exchange: MakeExchange) -> None:
    message = message_of([b"Content-Type: application/jsonlines"], [b'{"card":1}\n{"card":2}'])

    body = body_of(REDACTING, message, make_exchange)

    assert body.data == b'{"card":"[redacted]"}\n{"card":"[redacted]"}'


def test_documents_that_redaction_has_parsed_are_handed_on(make_exchange: MakeExchange) -> None:
    exchange = make_exchange(message_of((), [b'{"card": 1}']), message_of((), [b"[2]"]))

    assert REDACTING.read(exchange)[1] == Documents({"card": "[redacted]"}, [2])


def test_a_pattern_that_is_no_pointer_is_refused() -> None:
    with pytest.raises(ConfigError):
        Reader(max_inflated_bytes=1, redact=["card"])


@given(st.binary(), st.lists(st.binary()), st.booleans(), st.sampled_from([PLAIN, REDACTING]))
def test_no_message_raises(line: bytes, chunks: list[bytes], truncated: bool, reader: Reader) -> None:
    message = message_of([b"content-encoding: deflate", line.replace(b"\n", b"")], chunks, truncated)
    empty = message_of((), ())

    for request, reply in ((message, empty), (empty, message)):
        reader.read(Exchange("r", "v", "", "POST", line, "", 200, "", request, reply, 0.0, 0.0, 0.0, 0.0, 1.0))
