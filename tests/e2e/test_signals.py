import http.client
import json
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event

import pytest
import requests

from tests.e2e.rig import PATIENCE_S, Sidecar, sidecar
from tests.e2e.upstreams import PREDICT, Model

GET = b"GET /idle HTTP/1.1\r\nHost: m\r\n\r\n"
CLIENTS = 8


def exchange(connection: socket.socket, request: bytes) -> http.client.HTTPResponse:
    """Send this, and read the reply."""
    connection.sendall(request)
    reply = http.client.HTTPResponse(connection)
    reply.begin()
    reply.read()
    return reply


def keeping(folder: Path) -> list[str]:
    return ["--capture-sample-ratio", "1", "--capture-sinks", json.dumps([{"kind": "jsonl", "path": str(folder)}])]


@contextmanager
def waiting(running: Sidecar, first: Model) -> Iterator[Future[requests.Response]]:
    """A request that the model has and does not answer yet."""
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(requests.get, running.url + "/slow", timeout=PATIENCE_S)
        assert first.waiting.wait(PATIENCE_S)
        yield slow
        first.go_on.set()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_finishes_what_it_has_begun(tmp_path: Path, first: Model, number: signal.Signals) -> None:
    with sidecar("--upstream", first.url, *keeping(tmp_path)) as running:
        running.ready()
        with running.connect() as idle, running.connect() as half, waiting(running, first) as slow:
            before = exchange(idle, GET)
            half.sendall(GET[:20])
            running.process.send(number)
            running.process.says("stopping")
            last = exchange(idle, GET)
            rest = exchange(half, GET[20:])
            ready = running.ask("/readyz")
            assert running.ask("/healthz").status_code == 200
            with pytest.raises(ConnectionRefusedError):
                running.connect()
            assert idle.recv(1) == b""
        late, code = slow.result(PATIENCE_S), running.process.ends()

    assert (before.status, before.getheader("connection")) == (200, None)
    assert [(reply.status, reply.getheader("connection")) for reply in (last, rest)] == [(200, "close")] * 2
    assert (ready.status_code, ready.json()["reasons"]) == (503, ["stopping"])
    assert (late.text, late.headers["connection"]) == ("late from first", "close")
    assert code == 0
    files = list(tmp_path.rglob("*"))
    captured = [json.loads(line) for file in files if file.suffix == ".jsonl" for line in file.read_text().splitlines()]
    assert sorted(line["sidecar"]["path"] for line in captured) == ["/idle", "/idle", "/idle", "/slow"]
    assert not [file for file in files if file.suffix == ".part"]


def test_what_outlasts_the_grace_is_cut(first: Model) -> None:
    with sidecar("--upstream", first.url, "--timeouts-drain-s", "0.1") as running, waiting(running, first) as slow:
        assert running.stop() == 0
        with pytest.raises(requests.ConnectionError):
            slow.result(PATIENCE_S)


def test_told_twice_it_ends_at_once(first: Model) -> None:
    with sidecar("--upstream", first.url, code=128 + signal.SIGTERM) as running, waiting(running, first) as slow:
        running.process.send(signal.SIGTERM)
        running.process.says("stopping")
        running.process.send(signal.SIGTERM)
        running.process.ends()
        with pytest.raises(requests.ConnectionError):
            slow.result(PATIENCE_S)


def test_told_before_monitoring_is_there_it_ends_well(first: Model) -> None:
    with sidecar("--upstream", first.url) as running:
        assert running.stop() == 0


class Service:
    """An address behind which sidecars come and go."""

    def __init__(self) -> None:
        self.address = ""

    def client(self, over: Event) -> int:
        """Send requests, one after the other, on a connection kept until a reply says `close`; none is sent twice."""
        connection: http.client.HTTPConnection | None = None
        done = 0
        while not over.is_set():
            connection = connection or http.client.HTTPConnection(self.address, timeout=PATIENCE_S)
            connection.request("POST", PREDICT, json.dumps({"instances": [[done]]}))
            reply = connection.getresponse()
            assert reply.status == 200
            assert json.loads(reply.read())["predictions"] == [done]
            done += 1
            if reply.will_close:
                connection.close()
                connection = None
        if connection:
            connection.close()
        return done


def test_no_request_fails_over_rolling_restarts(first: Model) -> None:
    service, over = Service(), Event()

    with ExitStack() as sidecars, ThreadPoolExecutor(CLIENTS) as pool:
        old = sidecars.enter_context(sidecar("--upstream", first.url))
        service.address = old.address
        clients = [pool.submit(service.client, over) for _ in range(CLIENTS)]
        try:
            for _ in range(3):
                new = sidecars.enter_context(sidecar("--upstream", first.url))
                new.ready()
                service.address = new.address
                assert old.stop() == 0
                old = new
        finally:
            over.set()
        counts = [client.result(PATIENCE_S) for client in clients]

    assert min(counts) > 3
