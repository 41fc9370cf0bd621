import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from sidecar.catalog import mlflow_link
from sidecar.catalog.mlflow_link import MAX_REPLY_BYTES, Link, Nothing, pages
from sidecar.catalog.mlflow_replies import VersionReply, VersionsPage
from sidecar.errors import ConfigError, ConflictError, DeliveryError, SidecarError, UnknownError
from tests.e2e.rig import free_address

PATIENCE_S = 30.0


class Scripted:
    """A server that answers each request with the next of some bytes, whatever is asked, and hangs up."""

    def __init__(self, *replies: bytes, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self._replies = replies
        self._tls = tls
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Scripted":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(PATIENCE_S)

    def _run(self) -> None:
        for reply in self._replies:
            with suppress(OSError), self._accepted() as connection:
                self.requests.append(request(connection))
                connection.sendall(reply)

    def _accepted(self) -> socket.socket:
        connection, _ = self._socket.accept()
        connection.settimeout(PATIENCE_S)
        return self._tls.wrap_socket(connection, server_side=True) if self._tls else connection


def request(connection: socket.socket) -> bytes:
    read = b""
    while b"\r\n\r\n" not in read:
        read += connection.recv(65536)
    head, _, body = read.partition(b"\r\n\r\n")
    size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(body) < size:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def reply(status: int, body: bytes, *fields: bytes) -> bytes:
    head = [b"HTTP/1.1 %d X" % status, b"content-length: %d" % len(body), *fields]
    return b"\r\n".join([*head, b"", body])


def asked(server: Scripted, token: str = "") -> VersionReply:
    asking = link(f"http://{server.address}", environ={"MLFLOW_TRACKING_TOKEN": token})
    return asking.get("model-versions/get", VersionReply, name="a b", version=1)


def link(uri: str, timeout_s: float = PATIENCE_S, environ: Mapping[str, str] | None = None) -> Link:
    return Link(uri, timeout_s, environ or {})


VERSION = b'{"model_version":{"name":"m","version":"3"}}'


def test_a_question_is_what_mlflow_documents() -> None:
    with Scripted(reply(200, VERSION)) as server:
        assert asked(server, "t").model_version.version == 3
    (sent,) = server.requests
    head = sent.decode().split("\r\n")
    assert head[0] == "GET /api/2.0/mlflow/model-versions/get?name=a+b&version=1 HTTP/1.1"
    assert {f"host: {server.address}", "connection: close", "authorization: Bearer t"} <= set(head)


def test_an_order_goes_below_the_path_of_the_server() -> None:
    with Scripted(reply(200, b"{}")) as server:
        link(f"http://{server.address}/team/").send("a/b", Nothing, {"n": "ü"}, method="DELETE")
    (sent,) = server.requests
    assert sent.startswith(b"DELETE /team/api/2.0/mlflow/a/b HTTP/1.1\r\n")
    assert sent.endswith('\r\n\r\n{"n":"ü"}'.encode())


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "RESOURCE_DOES_NOT_EXIST", UnknownError),
        (404, "NOT_FOUND", UnknownError),
        (404, "ENDPOINT_NOT_FOUND", DeliveryError),
        (400, "RESOURCE_ALREADY_EXISTS", ConflictError),
        (409, "RESOURCE_CONFLICT", ConflictError),
        (400, "INVALID_PARAMETER_VALUE", ConfigError),
        (400, "BAD_REQUEST", ConfigError),
        (401, "UNAUTHENTICATED", DeliveryError),
        (403, "PERMISSION_DENIED", DeliveryError),
        (429, "REQUEST_LIMIT_EXCEEDED", DeliveryError),
        (500, "INTERNAL_ERROR", DeliveryError),
        (503, "TEMPORARILY_UNAVAILABLE", DeliveryError),
    ],
)
def test_what_mlflow_refuses_is_an_error_for_whoever_asked(
    status: int, code: str, expected: type[SidecarError]
) -> None:
    body = b'{"error_code": "%s", "message": "because\\nof that"}' % code.encode()
    with Scripted(reply(status, body)) as server, pytest.raises(SidecarError) as refused:
        asked(server)
    assert type(refused.value) is expected
    assert f"mlflow {server.address}: " in str(refused.value)
    if status not in {401, 403}:
        assert "because\\nof that" in str(refused.value)


HOSTILE = {
    "nothing": b"",
    "no HTTP": b"SSH-2.0-OpenSSH\r\n\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\ncontent-le",
    "half a body": b'HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"model_version"',
    "half a chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\n{",
    "no chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{",
    "a page": reply(200, b"<html>Sign in</html>"),
    "a redirect": reply(302, b"", b"location: http://elsewhere/"),
    "an empty reply": reply(204, b""),
    "a page for an error": reply(502, b"<html>Bad Gateway</html>"),
    "not found by a proxy": reply(404, b"{}"),
    "a list": reply(200, b"[]"),
    "null": reply(200, b"null"),
    "no UTF-8": reply(200, b'{"model_version":{"name":"\xff","version":1}}'),
    "wrong types": reply(200, b'{"model_version":{"name":5,"version":1}}'),
    "a version below all": reply(200, b'{"model_version":{"name":"m","version":0}}'),
    "a version beyond all": reply(200, b'{"model_version":{"name":"m","version":' + b"9" * 5000 + b"}}"),
    "depths": reply(200, b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
    "many fields": b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 1000 + b"\r\n{}",
    "a long field": b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000 + b"\r\n\r\n{}",
    "an endless length": b"HTTP/1.1 200 OK\r\ncontent-length: " + b"9" * 5000 + b"\r\n\r\n{}",
    "a negative length": b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{}",
    "always to be continued": b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
    "a refusal of odd types": reply(400, b'{"error_code": 5, "message": []}'),
    "a refusal without end": reply(500, b'{"error_code": "INTERNAL_ERROR", "message": "' + b"x" * 1_000_000 + b'"}'),
    "controls": reply(500, b'{"error_code": "INTERNAL_ERROR", "message": "\\u001b[2J\\u202e"}'),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_reply_is_no_more_than_an_error(name: str) -> None:
    with Scripted(HOSTILE[name]) as server, pytest.raises(DeliveryError) as failed:
        asked(server, "s3cret")
    text = str(failed.value)
    assert len(text) < 500
    assert text.isprintable()
    assert "s3cret" not in text


@given(st.binary(max_size=200), st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n{"]))
def test_whatever_bytes_come_it_is_an_error_of_ours(data: bytes, before: bytes) -> None:
    with Scripted(before + data) as server, suppress(SidecarError):
        asked(server)


def test_a_reply_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow_link, "MAX_REPLY_BYTES", 1000)
    for data in (reply(200, b"x" * 1001), b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000):
        with Scripted(data) as server, pytest.raises(DeliveryError, match="answered more than 1000 bytes"):
            asked(server)
    assert MAX_REPLY_BYTES <= 16 << 20


@contextmanager
def dripping(data: bytes) -> Iterator[str]:
    """A server that sends one byte whenever the last one must have been read, for ever."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        over = threading.Event()

        def run() -> None:
            connection, _ = listening.accept()
            with suppress(OSError), connection:
                connection.sendall(data)
                while not over.wait(0.01):
                    connection.sendall(b"x")

        thread = threading.Thread(target=run)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        over.set()
        thread.join(PATIENCE_S)


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_reply_that_drips_ends_in_time(data: bytes) -> None:
    with dripping(data) as address, pytest.raises(DeliveryError, match=r"no answer within 0\.1 s"):
        link(f"http://{address}", timeout_s=0.1).get("a", Nothing)


def test_a_server_that_is_not_there_is_told_without_a_cause_that_may_tell_more() -> None:
    address = free_address()
    with pytest.raises(DeliveryError, match=f"mlflow {address}: no connection: Connection refused") as failed:
        link(f"http://{address}").get("a", Nothing)
    assert failed.value.__context__ is None


def test_a_name_that_nobody_knows_is_told() -> None:
    with pytest.raises(DeliveryError, match=r"mlflow nobody\.invalid: no connection: "):
        link("http://nobody.invalid").get("a", Nothing)


def test_a_certificate_is_verified(tmp_path: Path) -> None:
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    file = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(file))
    with Scripted(reply(200, VERSION), tls=context) as server:
        told = link(f"https://{server.address}", environ={"MLFLOW_TRACKING_SERVER_CERT_PATH": str(file)})
        assert told.get("model-versions/get", VersionReply).model_version.name == "m"
    with Scripted(reply(200, VERSION), tls=context) as server:
        with pytest.raises(DeliveryError, match="its certificate is not trusted"):
            link(f"https://{server.address}").get("model-versions/get", VersionReply)
        assert server.requests == []


def test_what_utf8_cannot_hold_is_refused_before_it_is_sent() -> None:
    with pytest.raises(ConfigError, match="lone surrogate"):
        link("http://127.0.0.1:1").send("a", Nothing, {"a": "\ud800"})


def listed(tokens: Sequence[str]) -> Callable[[object], VersionsPage]:
    given = iter(tokens)
    return lambda _: VersionsPage([], next(given))


def test_a_list_is_read_to_its_end() -> None:
    assert len(list(pages(listed(["a", "b", "", "c"])))) == 3


def test_a_list_without_end_is_given_up() -> None:
    with pytest.raises(DeliveryError, match="more than 200 pages"):
        list(pages(listed(["a"] * 1000)))


def test_time_that_has_passed_before_anything_was_read_counts() -> None:
    times = iter([0.0, 1.0, 31.0])
    with Scripted(reply(200, b"{}")) as server, pytest.raises(DeliveryError, match="no answer within 30 s"):
        Link(f"http://{server.address}", PATIENCE_S, {}, lambda: next(times)).get("a", Nothing)
