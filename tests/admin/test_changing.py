import gzip
import json

import pytest

from sidecar.admin.changing import MAX_BODY_BYTES
from tests.admin.rig import Answer, Client, Sidecar, alert, asking

PATH = "/v1/alerts/0123456789abcdef/silence"
BODY = b'{"seconds": 60}'


def sidecar() -> Sidecar:
    made = Sidecar()
    made.alerting.alerts = [alert()]
    return made


def posted(body: bytes = BODY, **headers: str) -> Answer:
    async def ask(client: Client) -> Answer:
        return await client.post(PATH, body=body, **headers)

    return asking(sidecar(), ask)


def sent(*pieces: bytes, head: bytes = b"") -> bytes:
    """What is answered to a body in pieces."""
    start = b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"

    async def ask(client: Client) -> bytes:
        return await client.raw(start + b"Content-Type: application/json\r\n" + head + b"\r\n", *pieces)

    return asking(sidecar(), ask)


def told(answer: bytes) -> tuple[int, str]:
    """The status, and the type of the error."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body).get("error", {}).get("type", "")


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON", " application/json "]
)
def test_json_is_taken(kind: str) -> None:
    assert posted(Content_Type=kind).status == 200


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "text/plain; application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json, text/plain",
        "application/jsonx",
        "application/cloudevents+json",
        "",
        "/",
    ],
)
def test_what_a_page_may_send_without_asking_is_refused(kind: str) -> None:
    answer = posted(Content_Type=kind)
    assert (answer.status, answer.json()["error"]["type"]) == (415, "unsupported_media_type")


def test_a_request_without_a_type_is_refused() -> None:
    request = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

    async def ask(client: Client) -> bytes:
        return await client.raw(request.encode())

    assert told(asking(sidecar(), ask)) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://localhost.evil.example",
        "http://localhost:8888",
        "http://127.0.0.1",
        "null",
        "",
        "localhost",
        "file://",
        "http://",
        "http://user@localhost",
        "http://localhost, http://evil.example",
    ],
)
def test_a_page_of_another_origin_changes_nothing(origin: str) -> None:
    answer = posted(Origin=origin, Host="localhost:9901")
    assert (answer.status, answer.json()["error"]["type"]) == (403, "forbidden")


@pytest.mark.parametrize("origin", ["http://localhost:9901", "https://localhost:9901"])
def test_a_page_of_our_own_may(origin: str) -> None:
    assert posted(Origin=origin, Host="localhost:9901").status == 200


def test_a_foreign_page_is_refused_before_its_body_is_read() -> None:
    assert posted(b"nonsense", Origin="http://evil.example").status == 403


def test_a_body_may_come_in_pieces() -> None:
    for cut in range(1, len(BODY)):
        assert told(sent(BODY[:cut], BODY[cut:], head=b"Content-Length: 15\r\n")) == (200, "")


def test_a_body_may_come_in_chunks() -> None:
    chunked = b"Transfer-Encoding: chunked\r\n"
    assert told(sent(b"5\r\n" + BODY[:5] + b"\r\n", b"a\r\n" + BODY[5:] + b"\r\n0\r\n\r\n", head=chunked)) == (200, "")


@pytest.mark.parametrize(("size", "status"), [(MAX_BODY_BYTES, 200), (MAX_BODY_BYTES + 1, 413), (1 << 20, 413)])
def test_a_body_is_bounded(size: int, status: int) -> None:
    answer = posted(BODY + b" " * (size - len(BODY)))
    assert answer.status == status
    assert status == 200 or answer.json()["error"]["message"] == "expected at most 65536 bytes"


def test_a_body_that_inflates_is_bounded_all_the_same() -> None:
    bomb = gzip.compress(b" " * (16 << 20))
    assert posted(bomb, Content_Encoding="gzip").status == 413


def test_a_body_of_another_coding_than_told_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    answer = posted(Content_Encoding="gzip")
    assert (answer.status, answer.json()["error"]["message"]) == (400, "the body: broken, expected what its head says")
    assert caplog.records == []


def test_a_client_that_goes_away_in_the_midst_is_no_fault_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    start = f"POST {PATH} HTTP/1.1\r\nHost: a.localhost\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n"

    async def ask(client: Client) -> None:
        await client.leave(start.encode() + BODY[:5])

    made = sidecar()
    before = made.alerting.alerts
    asking(made, ask)
    assert (caplog.records, made.alerting.alerts) == ([], before)
