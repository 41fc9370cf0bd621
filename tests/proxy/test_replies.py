import json

import pytest

from sidecar.errors import DownstreamError, UpstreamError
from sidecar.proxy.replies import REASONS, error_reply


@pytest.mark.parametrize("status", sorted(REASONS))
def test_every_status_of_ours_has_its_reason_and_a_length(status: int) -> None:
    head, body = error_reply(DownstreamError(status, "word", "text"), b"", minor=1, keep_alive=True)

    assert (head.status, head.reason) == (status, REASONS[status])
    assert b"Content-Length: %d\r\n" % len(body) in head.passing
    assert head.length == len(body)


def test_the_body_has_type_message_and_request_id() -> None:
    _, body = error_reply(UpstreamError(502, "reset", 'it said "no"\n'), b"r-\xe9", minor=1, keep_alive=True)

    expected = {"error": {"type": "reset", "message": 'it said "no"\n'}, "request_id": "r-é"}
    assert json.loads(body) == expected


def test_without_an_id_the_body_has_none() -> None:
    _, body = error_reply(UpstreamError(502, "reset", "no"), b"", minor=1, keep_alive=True)

    assert "request_id" not in json.loads(body)


@pytest.mark.parametrize(
    ("minor", "keep_alive", "connection"),
    [
        (1, True, []),
        (1, False, [b"Connection: close"]),
        (0, True, [b"Connection: keep-alive"]),
        (0, False, [b"Connection: close"]),
    ],
)
def test_says_what_becomes_of_the_connection(minor: int, keep_alive: bool, connection: list[bytes]) -> None:
    head, _ = error_reply(UpstreamError(502, "reset", "no"), b"", minor=minor, keep_alive=keep_alive)

    assert [line for line in head.passing.split(b"\r\n") if line.startswith(b"Connection")] == connection


@pytest.mark.parametrize("status", sorted(REASONS))
def test_only_overload_says_when_to_come_again(status: int) -> None:
    head, _ = error_reply(DownstreamError(status, "word", "text"), b"", minor=1, keep_alive=False)

    assert (b"Retry-After: 1" in head.passing) is (status == 503)
