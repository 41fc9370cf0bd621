import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Thread

import grpc
import pytest
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

from tests.e2e.rig import PATIENCE_S, Sidecar, program, sidecar, until

MIB = 1 << 20


def _echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


@pytest.fixture(scope="module")
def sockets() -> Iterator[Sidecar]:
    """Before a server of WebSockets that echoes."""
    with serve(_echo, "127.0.0.1", 0, max_size=None) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        with sidecar("--upstream", f"http://127.0.0.1:{server.socket.getsockname()[1]}") as found:
            yield found
        server.shutdown()
        thread.join(PATIENCE_S)


def test_websocket_messages_pass_both_ways_and_end_with_their_code(sockets: Sidecar) -> None:
    sent: list[str | bytes] = ["text", b"\x00\xff", "", "x" * 4 * MIB]

    with connect(f"ws://{sockets.address}/chat", max_size=None, proxy=None) as client:
        received = []
        for message in sent:
            client.send(message)
            received.append(client.recv(PATIENCE_S))
        client.close(4321, "enough")

    assert received == sent
    assert client.protocol.close_rcvd is not None
    assert client.protocol.close_rcvd.code == 4321
    assert sockets.told("tunnels", "websocket") > 0


def test_a_hundred_websockets_at_once_do_not_mix(sockets: Sidecar) -> None:
    def talk(number: int) -> bool:
        with connect(f"ws://{sockets.address}/", proxy=None) as client:
            for step in range(5):
                client.send(f"{number} {step}")
                if client.recv(PATIENCE_S) != f"{number} {step}":
                    return False
        return True

    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(talk, range(100)))


def _unary(request: bytes, _context: grpc.ServicerContext) -> bytes:
    return request[::-1]


def _both_ways(requests: Iterator[bytes], _context: grpc.ServicerContext) -> Iterator[bytes]:
    for request in requests:
        yield request[::-1]


def _fails(_request: bytes, context: grpc.ServicerContext) -> object:
    return context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no model")


@contextmanager
def grpc_server() -> Iterator[str]:
    """The address of a gRPC server whose messages are bytes."""
    methods = {
        "Reverse": grpc.unary_unary_rpc_method_handler(_unary),
        "Chat": grpc.stream_stream_rpc_method_handler(_both_ways),
        "Fail": grpc.unary_unary_rpc_method_handler(_fails),
    }
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", -1)])
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Model", methods)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait(PATIENCE_S)


@pytest.fixture(scope="module")
def remote() -> Iterator[Sidecar]:
    """Before a gRPC server."""
    with grpc_server() as address, sidecar("--upstream", f"http://{address}") as found:
        yield found


@pytest.fixture
def channel(remote: Sidecar) -> Iterator[grpc.Channel]:
    options = [("grpc.max_receive_message_length", -1), ("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(remote.address, options=options) as found:
        yield found


def test_grpc_calls_pass(channel: grpc.Channel, remote: Sidecar) -> None:
    reverse = channel.unary_unary("/test.Model/Reverse")

    assert reverse(b"abc", timeout=PATIENCE_S) == b"cba"
    assert reverse(b"a" + b"b" * 4 * MIB, timeout=PATIENCE_S) == b"b" * 4 * MIB + b"a"
    assert remote.told("tunnels", "h2") > 0


def test_grpc_streams_pass_both_ways_message_by_message(channel: grpc.Channel) -> None:
    sent = [b"one", b"two", b"three"]
    received: list[bytes] = []

    # The next is sent when the answer to the one before is there.
    def requests() -> Iterator[bytes]:
        for number, message in enumerate(sent):
            until(lambda number=number: len(received) == number)  # type: ignore[misc]  # bound at once
            yield message

    for reply in channel.stream_stream("/test.Model/Chat")(requests(), timeout=PATIENCE_S):
        received.append(reply)  # noqa: PERF402  (looked at meanwhile)

    assert received == [b"eno", b"owt", b"eerht"]


def test_grpc_errors_pass_with_their_status_and_words(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/test.Model/Fail")(b"", timeout=PATIENCE_S)

    assert isinstance(caught.value, grpc.Call)
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "no model")


def test_curl_speaks_http_2_with_prior_knowledge(remote: Sidecar) -> None:
    done = subprocess.run(
        [program("curl"), "--silent", "--show-error", "--include", "--max-time", f"{PATIENCE_S:g}",
         "--http2-prior-knowledge", "--header", "Content-Type: application/grpc", "--header", "TE: trailers",
         "--data-binary", "@-", f"{remote.url}/test.Model/Reverse"],
        input=b"\0\0\0\0\3abc",
        capture_output=True,
        check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"HTTP/2 200")
    assert b"\0\0\0\0\3cba" in done.stdout
    assert b"grpc-status: 0" in done.stdout


def test_grpc_to_an_upstream_that_is_away_is_unavailable_not_a_hang() -> None:
    with (
        sidecar("--upstream", "http://127.0.0.1:1") as alone,
        grpc.insecure_channel(alone.address, options=[("grpc.enable_http_proxy", 0)]) as channel,
    ):
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/test.Model/Reverse")(b"", timeout=PATIENCE_S)
        assert isinstance(caught.value, grpc.Call)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        assert alone.told("refused").keys() == {"connect_failed"}
