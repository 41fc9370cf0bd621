import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
import trustme

from sidecar.demo.children import free_ports
from sidecar.errors import DeliveryError
from sidecar.store.redis_link import MAX_PASSWORD_BYTES, PAUSE_S, Link, Place, check_url, has_password
from tests.store.redis_server import RedisServer

ECHO = "return ARGV"
PATIENCE_S = 30.0


@dataclass
class Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s

    def pass_pause(self) -> None:
        self.now_s += PAUSE_S


def link(url: str, clock: Clock | None = None, timeout_s: float = PATIENCE_S, password_file: str | None = None) -> Link:
    return Link(Place(url, password_file), ECHO, ["{p}:a", "{p}:b"], timeout_s=timeout_s, clock=clock or Clock())


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


@pytest.fixture(scope="module")
def locked() -> Iterator[RedisServer]:
    with RedisServer("--requirepass", "s3cret") as running:
        yield running


def problem(reached: Link) -> str:
    with pytest.raises(DeliveryError) as failed:
        reached.run("a")
    assert failed.value.__context__ is None  # which would be shown with it, and may hold what is secret
    return str(failed.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://redis.example",
        "redis://user:p%40ss@redis.example:6380/3",
        "redis://redis.example?db=3",
        "rediss://[::1]:6379/0",
        "unix:///run/redis.sock?db=1&password=p",
        "redis://redis.example/",
    ],
)
def test_a_url_of_a_redis_is_taken(url: str) -> None:
    check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "redis.example:6379",
        "http://secret@redis.example",
        "redis://",
        "redis://:secret@",
        "unix://",
        "unix://redis.sock",
        "redis://secret:6379x",
        "redis://redis.example:0",
        "redis://redis.example:65536",
        "redis://[::1",
        "redis://redis.example/secret",
        "redis://redis.example/-1",
        "redis://redis.example/\u00b2",
        "redis://redis.example/1?db=1",
        "redis://redis.example?db=",
        "redis://redis.example?db",
        "redis://redis.example#secret",
        "redis://redis.example?decode_responses=secret",
    ],
)
def test_another_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="expected") as refused:
        check_url(url)
    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://redis", False),
        ("redis://user@redis", False),
        ("redis://:p@redis", True),
        ("unix:///s?password=p", True),
    ],
)
def test_a_password_in_a_url_is_seen(url: str, expected: bool) -> None:
    assert has_password(url) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://user:secret@redis.example", "redis.example:6379"),
        ("rediss://:secret@[::1]:6380/2", "[::1]:6380"),
        ("unix:///run/a%20b.sock?password=secret", "/run/a b.sock"),
    ],
)
def test_a_place_is_called_by_its_address(url: str, expected: str) -> None:
    assert (Place(url).name, "secret" in repr(Place(url))) == (expected, False)


def test_arguments_arrive_as_they_are(server: RedisServer) -> None:
    with closing(link(server.url)) as reached:
        assert reached.run(b"\0\xff", "\u00e9", 7, 1 / 3) == [b"\0\xff", "\u00e9".encode(), b"7", repr(1 / 3).encode()]


def test_a_number_of_the_database_is_chosen(server: RedisServer) -> None:
    with closing(Link(Place(f"{server.url}?db=3"), "redis.call('SET', KEYS[1], 1)", ["x"], timeout_s=9.0)) as reached:
        reached.run()
    assert redis.Redis(unix_socket_path=str(server.socket), db=3, protocol=2).get("x") == b"1"


def test_the_number_of_a_database_that_is_not_there_is_told(server: RedisServer) -> None:
    with closing(link(f"{server.url}?db=99")) as reached:
        assert problem(reached) == f"redis {server.socket}: answered ERR DB index is out of range"
        assert problem(reached).endswith("out of range; next attempt in 1.0 s")


@pytest.mark.parametrize("query", ["", "?password=wr0ng"])
def test_a_wrong_password_is_told_and_not_shown(locked: RedisServer, query: str) -> None:
    with closing(link(locked.url + query)) as reached:
        assert problem(reached) == f"redis {locked.socket}: refuses the password, or the lack of one"


def test_a_password_lets_in(locked: RedisServer) -> None:
    with closing(link(f"{locked.url}?password=s3cret")) as reached:
        assert reached.run("a") == [b"a"]


def test_a_password_that_nobody_asked_for_is_told(server: RedisServer) -> None:
    with closing(link(f"{server.url}?password=s3cret")) as reached:
        assert "s3cret" not in problem(reached)


def test_a_password_in_a_file_may_be_replaced(locked: RedisServer, tmp_path: Path) -> None:
    file, clock = tmp_path / "password", Clock()
    file.write_text("old\n")
    with closing(link(locked.url, clock, password_file=str(file))) as reached:
        assert problem(reached) == f"redis {locked.socket}: refuses the password, or the lack of one"
        file.write_text("s3cret\n")
        clock.pass_pause()
        assert reached.run("a") == [b"a"]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (None, "No such file or directory, expected a file that can be read"),
        (b"", f"expected up to {MAX_PASSWORD_BYTES} bytes of text, not blank"),
        (b" \n", f"expected up to {MAX_PASSWORD_BYTES} bytes of text, not blank"),
        (b"\xff", f"expected up to {MAX_PASSWORD_BYTES} bytes of text, not blank"),
        (b"x" * (MAX_PASSWORD_BYTES + 1), f"expected up to {MAX_PASSWORD_BYTES} bytes of text, not blank"),
    ],
)
def test_a_file_without_a_password_is_told(locked: RedisServer, tmp_path: Path, data: bytes | None, told: str) -> None:
    file = tmp_path / "password"
    if data is not None:
        file.write_bytes(data)
    with (
        closing(link(locked.url, password_file=str(file))) as reached,
        pytest.raises(DeliveryError, match=f"password_file {file}: {told}"),
    ):
        reached.run("a")


def test_a_server_that_comes_back_is_used_again_without_a_word() -> None:
    with RedisServer() as mortal, closing(link(mortal.url)) as reached:
        assert reached.run("a") == [b"a"]
        mortal.kill()
        mortal.start()
        assert reached.run("b") == [b"b"]


def test_while_a_server_is_down_it_is_tried_once_a_second() -> None:
    clock = Clock()
    with RedisServer() as mortal, closing(link(mortal.url, clock)) as reached:
        mortal.kill()
        assert "no connection: " in problem(reached)
        mortal.start()
        clock.now_s += PAUSE_S / 4
        assert problem(reached).endswith("; next attempt in 0.8 s")
        clock.now_s += PAUSE_S
        assert reached.run("a") == [b"a"]


def test_a_server_that_hangs_costs_no_more_than_the_timeout(server: RedisServer) -> None:
    clock = Clock()
    with closing(link(server.url, clock, timeout_s=0.1)) as reached:
        assert reached.run("a") == [b"a"]
        with server.paused():
            started_s = time.monotonic()
            assert problem(reached) == f"redis {server.socket}: no answer within 0.05 s"
            assert problem(reached).endswith("next attempt in 1.0 s")
            assert time.monotonic() - started_s < PATIENCE_S / 10
        clock.pass_pause()
        assert reached.run("b") == [b"b"]


def test_who_waits_for_others_waits_no_longer_than_the_timeout(server: RedisServer) -> None:
    with closing(link(server.url, timeout_s=0.2)) as reached, server.paused():
        busy = threading.Thread(target=problem, args=(reached,))
        busy.start()
        started_s = time.monotonic()
        assert problem(reached)
        assert time.monotonic() - started_s < PATIENCE_S / 10
        busy.join()


def test_a_turn_that_does_not_come_is_told(server: RedisServer) -> None:
    with closing(link(server.url, timeout_s=0.01)) as reached:
        with reached._lock:
            assert problem(reached) == f"redis {server.socket}: busy with other calls for 0.01 s"
        assert not reached._lock.locked()


def test_threads_take_turns(server: RedisServer) -> None:
    with closing(link(server.url)) as reached:
        replies: list[object] = []

        def call(name: str) -> None:
            replies.extend((name, reached.run(name)) for _ in range(50))

        threads = [threading.Thread(target=call, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(replies, key=str) == [(name, [name.encode()]) for name in "abc" for _ in range(50)]


@contextmanager
def saying(*replies: bytes) -> Iterator[int]:
    """A server that gives each connection one of these and closes it; on this port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for reply in replies:
                taken, _ = listening.accept()
                with taken:
                    taken.recv(65536)
                    taken.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "fewer connections than expected"


@pytest.mark.parametrize(
    ("reply", "told", "pauses"),
    [
        (b"", "no connection: closed without an answer", True),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "answered with something that is not Redis'", True),
        (b"-LOADING Redis is loading the dataset in memory\r\n", "answered LOADING Redis is loading", True),
        (b"-READONLY You can't write against a read only replica.\r\n", "answered READONLY You can't write", True),
        (b"-CLUSTERDOWN The cluster is down\r\n", "answered CLUSTERDOWN The cluster is down", True),
        (b"-ERR max number of clients reached\r\n", "answered ERR max number of clients reached", True),
        (b"-MISCONF Redis is configured to save\r\n", "answered MISCONF Redis is configured to save", False),
        (b"-NOPERM no permissions\r\n", "answered NOPERM no permissions", False),
        (b"-ASK 1 127.0.0.1:1\r\n", "answered ASK ", False),
        (b"-ERR " + b"x" * 9000 + b"\r\n", "answered ERR xxx", False),
    ],
)
def test_what_a_server_says_is_told(reply: bytes, told: str, pauses: bool) -> None:
    with saying(reply) as port, closing(link(f"redis://127.0.0.1:{port}")) as reached:
        said = problem(reached)
        assert said.startswith(f"redis 127.0.0.1:{port}: {told}")
        assert len(said) < 300
    assert ("next attempt" in problem(reached)) == pauses


def test_a_node_of_a_cluster_that_has_the_keys_is_called_instead() -> None:
    with (
        saying(b":7\r\n") as other,
        saying(f"-MOVED 1234 127.0.0.1:{other}\r\n".encode()) as port,
        closing(link(f"redis://127.0.0.1:{port}")) as reached,
    ):
        assert reached.run("a") == 7


def test_nodes_that_send_us_to_and_fro_are_told_of() -> None:
    with (
        saying(b"-MOVED 1 127.0.0.1:1\r\n") as one,
        saying(f"-MOVED 1 127.0.0.1:{one}\r\n".encode()) as port,
        closing(link(f"redis://127.0.0.1:{port}")) as reached,
    ):
        assert "sent us on to another node twice, expected a cluster at rest" in problem(reached)


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The URL of a server that speaks TLS, and the file of the authority that vouches for it."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    ca, both, [port] = folder / "ca.pem", folder / "both.pem", free_ports(1)
    authority.cert_pem.write_to_path(ca)
    certificate.private_key_and_cert_chain_pem.write_to_path(both)
    files = ["--tls-cert-file", str(both), "--tls-key-file", str(both), "--tls-ca-cert-file", str(ca)]
    with RedisServer("--tls-port", str(port), "--tls-auth-clients", "no", *files):
        yield f"rediss://localhost:{port}", str(ca)


def test_a_server_with_a_certificate_of_its_own_authority_is_trusted(certified: tuple[str, str]) -> None:
    url, ca = certified
    with closing(Link(Place(url, None, ca), ECHO, [], timeout_s=PATIENCE_S)) as reached:
        assert reached.run("a") == [b"a"]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_certificate_that_is_not_trusted_or_of_another_name_is_told(certified: tuple[str, str], host: str) -> None:
    url, ca = certified
    place = Place(url.replace("localhost", host), None, None if host == "localhost" else ca)
    with closing(Link(place, ECHO, [], timeout_s=PATIENCE_S)) as reached:
        assert "no connection: its certificate is not trusted (" in problem(reached)


def test_a_file_of_authorities_that_is_not_there_is_told() -> None:
    with closing(Link(Place("rediss://localhost", None, "/none.pem"), ECHO, [], timeout_s=PATIENCE_S)) as reached:
        assert "no connection: " in problem(reached)


def test_a_name_that_nobody_has_is_told() -> None:
    with closing(link("redis://redis.invalid")) as reached:
        assert problem(reached).startswith("redis redis.invalid:6379: no connection: ")
