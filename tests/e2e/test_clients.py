import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests

from tests.e2e.rig import PATIENCE_S, Sidecar, curl, port_of, sidecar
from tests.e2e.upstreams import EVENTS, PREDICT, Model, digest, model

MIB = 1 << 20


@pytest.fixture(scope="module")
def server() -> Iterator[Model]:
    with model() as found:
        yield found


@pytest.fixture(scope="module")
def between(server: Model) -> Iterator[Sidecar]:
    with sidecar("--upstream", server.url) as found:
        yield found


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["/a%2Fb//c/../d;x?q=%20&q="], {"method": "GET", "target": "/a%2Fb//c/../d;x?q=%20&q=", "version": "1.1"}),
        (["/", "--data", "a=1"], {"method": "POST", "size": 3, "sha256": digest(b"a=1")}),
        (["/", "--http1.0"], {"method": "GET", "size": 0}),
        (["/", "--http1.0", "--data", "a=1"], {"method": "POST", "size": 3}),
        (["/", "--request", "DELETE"], {"method": "DELETE"}),
        (["/", "--request", "M-SEARCH"], {"method": "M-SEARCH"}),
    ],
    ids=["target", "post", "1.0", "1.0 post", "delete", "method"],
)
def test_curl(between: Sidecar, arguments: list[str], expected: dict[str, Any]) -> None:
    path, *rest = arguments

    reply = json.loads(curl("--path-as-is", *rest, between.url + path))

    assert reply.items() >= expected.items()


def test_curl_gets_what_the_model_says_and_no_more_than_two_fields_of_ours(between: Sidecar, server: Model) -> None:
    replies = [curl("--include", "--output", "-", where + "/same").decode() for where in (server.url, between.url)]

    direct, through = (set(reply.partition("\r\n\r\n")[0].splitlines()) for reply in replies)
    ours = {line.partition(":")[0] for line in through - direct if not line.startswith(("Date:", "Content-Length:"))}
    assert ours == {"x-request-id", "Server-Timing"}


@pytest.mark.parametrize(
    ("body", "arguments"),
    [
        (b"x" * 10, ["--upload-file", "-"]),
        (b"x" * 10 * MIB, ["--upload-file", "-"]),
        (b"x" * 10 * MIB, ["--data-binary", "@-", "--header", "Expect: 100-continue"]),
        (b"x" * 10 * MIB, ["--data-binary", "@-", "--header", "Transfer-Encoding: chunked"]),
        (b"x" * MIB, ["--data-binary", "@-", "--http1.0"]),
    ],
    ids=["chunked", "large chunked", "expect", "chunked post", "1.0"],
)
def test_curl_uploads(between: Sidecar, body: bytes, arguments: list[str]) -> None:
    reply = json.loads(curl(*arguments, between.url + "/upload", body=body))

    assert (reply["size"], reply["sha256"]) == (len(body), digest(body))


def test_curl_waits_for_100_continue_and_gets_it_from_the_model(between: Sidecar, tmp_path: Path) -> None:
    trace = tmp_path / "trace"

    # Were there no 100, curl would send after its own second; here it would wait for longer than it may take.
    curl("--data-binary", "@-", "--header", "Expect: 100-continue", "--expect100-timeout", "3600", "--trace-ascii",
         trace, between.url, body=b"x" * MIB)  # fmt: skip

    assert "HTTP/1.1 100 Continue" in trace.read_text()


def test_head_has_the_length_of_what_is_not_sent(between: Sidecar) -> None:
    lines = curl("--head", between.url + "/").decode().splitlines()

    assert lines[0] == "HTTP/1.1 200 OK"
    assert any(line.lower().startswith("content-length: ") for line in lines)


def test_requests_keeps_its_connection(between: Sidecar) -> None:
    with requests.Session() as session:
        connections = set()
        for number in range(20):
            with session.post(between.url + PREDICT, json={"instances": [[number, 1]]}, stream=True) as reply:
                connections.add(port_of(reply))
                assert reply.json()["predictions"] == [number + 1]

    assert len(connections) == 1


def test_httpx_sees_each_event_before_the_next_is_sent(between: Sidecar, server: Model) -> None:
    seen = []

    with httpx.stream("GET", between.url + "/events", timeout=PATIENCE_S, trust_env=False) as reply:
        server.event.release()
        for line in filter(None, reply.iter_lines()):
            seen.append(line)
            server.event.release()

    assert seen == [f"data: {number}" for number in range(EVENTS)]


def test_httpx_pools_connections_for_concurrent_requests(between: Sidecar) -> None:
    with (
        httpx.Client(base_url=between.url, timeout=PATIENCE_S, trust_env=False) as client,
        ThreadPoolExecutor(10) as pool,
    ):
        replies = pool.map(lambda n: client.post(PREDICT, json={"instances": [[n]] * n}).json(), range(100))

    assert [reply["predictions"] for reply in replies] == [[n] * n for n in range(100)]


def test_a_client_that_names_its_request_finds_the_name_again(between: Sidecar) -> None:
    reply = requests.get(between.url, headers={"X-Request-ID": "mine"}, timeout=PATIENCE_S)

    assert ["X-Request-ID", "mine"] in reply.json()["headers"]
    assert reply.headers["x-request-id"] == "mine"
