import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from sidecar.errors import DeliveryError
from sidecar.sinks.kept_connection import MAX_REPLY_BYTES, Answer, KeptConnection
from tests.sinks.rig import PATIENCE_S

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def read_request(connection: socket.socket) -> bytes:
    """A whole request whose body has no zero byte; it ends with `!`."""
    data = b""
    while not data.endswith(b"!"):
        more = connection.recv(65536)
        if not more:
            break
        data += more
    return data


class Server:
    """Answers each request with the next reply; with an empty one by closing. Takes connection after connection."""

    def __init__(self, *connections: list[bytes]) -> None:
        self.requests: list[bytes] = []
        self._connections = connections
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(PATIENCE_S)
        self.port: int = self._listening.getsockname()[1]
        self._closed = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        with self._listening:
            for replies in self._connections:
                connection, _ = self._listening.accept()
                with connection:
                    connection.settimeout(PATIENCE_S)
                    self._answer(connection, replies)
                self._closed.release()

    def _answer(self, connection: socket.socket, replies: list[bytes]) -> None:
        for reply in replies:
            request = read_request(connection)
            if not request:
                return
            self.requests.append(request)
            connection.sendall(reply)

    def has_closed(self) -> None:
        """Wait until it has closed another connection."""
        assert self._closed.acquire(timeout=PATIENCE_S)

    def __enter__(self) -> "Server":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(PATIENCE_S)


@contextmanager
def connected(port: int, timeout_s: float = PATIENCE_S) -> Iterator[KeptConnection]:
    with closing(KeptConnection(f"http://127.0.0.1:{port}/in?a=1", ca=None, timeout_s=timeout_s)) as connection:
        yield connection


def test_a_request_is_what_it_was_given() -> None:
    with Server([OK]) as server, connected(server.port) as connection:
        answer = connection.post(b"body!", {"ce-id": "1"})
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert (answer, body, head.split(b"\r\n")[0]) == (Answer(200), b"body!", b"POST /in?a=1 HTTP/1.1")
    assert {b"ce-id: 1", b"Content-Length: 5", b"Host: 127.0.0.1:%d" % server.port} < set(head.split(b"\r\n"))


def test_one_connection_serves_many_requests() -> None:
    with Server([OK] * 5) as server, connected(server.port) as connection:
        answers = [connection.post(b"!", {}) for _ in range(5)]
    assert answers == [Answer(200)] * 5


def test_a_connection_that_was_closed_meanwhile_is_opened_anew_before_anything_is_sent() -> None:
    with Server([OK], [OK]) as server, connected(server.port) as connection:
        first = connection.post(b"first!", {})
        server.has_closed()
        second = connection.post(b"second!", {})
    assert (first, second, len(server.requests)) == (Answer(200), Answer(200), 2)


def test_a_reply_that_ends_its_connection_is_followed_by_a_new_one() -> None:
    last = b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno"
    with Server([last], [OK]) as server, connected(server.port) as connection:
        answers = [connection.post(b"!", {}), connection.post(b"!", {})]
    assert answers == [Answer(503, "7"), Answer(200)]


def test_a_reply_of_any_length_holds_nobody_up() -> None:
    endless = b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n" + bytes(MAX_REPLY_BYTES)
    with Server([endless, OK], [OK]) as server, connected(server.port) as connection:
        answers = [connection.post(b"!", {}), connection.post(b"!", {})]
    assert answers == [Answer(200), Answer(200)]


def test_a_reply_cut_short_has_said_its_status() -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
    with Server([half], [OK]) as server, connected(server.port) as connection:
        answers = [connection.post(b"!", {}), connection.post(b"!", {})]
    assert (answers, len(server.requests)) == ([Answer(200), Answer(200)], 2)


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (b"", "closed the connection without an answer"),
        (b"220 mail.example ESMTP\r\n", "answered with something that is not HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n", "answered with something that is not HTTP"),
    ],
)
def test_what_is_no_answer_is_told_and_the_next_request_is_served(reply: bytes, problem: str) -> None:
    with Server([reply], [OK]) as server, connected(server.port) as connection:
        answers = [connection.post(b"!", {}), connection.post(b"!", {})]
    assert answers == [Answer(0, problem=problem), Answer(200)]


def test_a_server_that_never_answers_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, connected(silent.getsockname()[1], 0.05) as connection:
        assert connection.post(b"!", {}) == Answer(0, problem="no answer in time")


def test_nobody_there_is_told() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with connected(bound.getsockname()[1]) as connection:
            assert connection.post(b"!", {}) == Answer(0, problem="Connection refused")


def test_a_file_of_authorities_that_cannot_be_used_is_told() -> None:
    connection = KeptConnection("https://127.0.0.1:1/", ca="/nowhere", timeout_s=1.0)
    with pytest.raises(DeliveryError, match=r"^ca /nowhere: No such file or directory, expected a PEM file"):
        connection.post(b"", {})


def test_who_it_is_for_is_told_without_the_path() -> None:
    assert KeptConnection("https://a.example:8443/secret?key=1", ca=None, timeout_s=1.0).authority == "a.example:8443"
