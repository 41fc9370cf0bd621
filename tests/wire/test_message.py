import pytest

from sidecar.wire.http1 import parse_reply, parse_request
from sidecar.wire.message import CHUNKED, UNTIL_CLOSE, ReplyHead, RequestHead


def test_lengths_that_are_no_numbers_cannot_be_taken_for_lengths() -> None:
    assert CHUNKED < 0
    assert UNTIL_CLOSE < 0
    assert CHUNKED != UNTIL_CLOSE


@pytest.mark.parametrize("head", [parse_request(b"GET / HTTP/1.0\r\n"), parse_reply(b"HTTP/1.1 200 OK\r\n")])
def test_heads_hold_what_they_name_and_nothing_else(head: RequestHead | ReplyHead) -> None:
    with pytest.raises(AttributeError):
        head.body = b""  # type: ignore[union-attr]  # what must not be there
