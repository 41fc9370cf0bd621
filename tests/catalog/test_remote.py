import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import cast

import pytest

from sidecar.catalog.remote import Remote
from sidecar.catalog.sqlite import Sqlite
from sidecar.entries import Draft
from sidecar.errors import ConfigError, ConflictError, DeliveryError, UnknownError
from sidecar.ports import Catalog
from tests.catalog import contract
from tests.catalog.admin_server import AdminServer, Reply, served
from tests.catalog.contract import GROUP, NOW_S, Open, register


@contextmanager
def place(instead: Reply = lambda _method, _path: None) -> Iterator[AdminServer]:
    with closing(Sqlite()) as catalog, served(AdminServer(catalog, token="secret", instead=instead)) as server:
        yield server


def opener(server: AdminServer) -> Open:
    # What it has not is what the admin side does not give to others: to deploy, to report, the mark.
    return lambda: cast("Catalog", Remote(server.url, "secret"))


@pytest.mark.parametrize("case", [*contract.VERSIONS, *contract.RUNS], ids=lambda case: case.__name__)
def test_it_does_what_every_catalogue_promises(case: Callable[[Open], None]) -> None:
    with place() as server:
        case(opener(server))


def answering(status: int, body: bytes = b"{}") -> Reply:
    return lambda _method, _path: (status, body)


@pytest.mark.parametrize(
    ("status", "body", "error", "said"),
    [
        (404, b'{"error": {"message": "no such"}}', UnknownError, "404: no such"),
        (409, b'{"error": {"message": "has ended"}}', ConflictError, "409: has ended"),
        (400, b'{"error": {"message": "too long"}}', ConfigError, "400: too long"),
        (413, b'{"error": {"message": "too much"}}', ConfigError, "413: too much"),
        (401, b"[]", DeliveryError, r"401: \[\]"),
        (500, b"\xff<html>\x1b[31m", DeliveryError, r"500: \\ufffd<html>|500: .<html>\\x1b"),
        (302, b"", DeliveryError, "302: "),
        (503, b'{"error": 7}', DeliveryError, "503: "),
        (200, b"<html>", DeliveryError, "expected /v1/models/fraud/versions/1's"),
        (200, b'{"group": 7}', DeliveryError, "expected /v1/models/fraud/versions/1's"),
        (200, b"", DeliveryError, "expected /v1/models/fraud/versions/1's"),
    ],
)
def test_an_answer_becomes_the_error_that_it_means(status: int, body: bytes, error: type[Exception], said: str) -> None:
    with place(answering(status, body)) as server, pytest.raises(error, match=said):
        Remote(server.url, "secret").version(GROUP, "1")


def test_a_wrong_token_is_told_and_never_shown() -> None:
    with place() as server:
        remote = Remote(server.url, "other-secret")
        with pytest.raises(DeliveryError, match="401: expected Authorization") as caught:
            remote.groups()
        assert "other-secret" not in f"{caught.value}{remote!r}"


def test_nobody_there_is_told() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        with pytest.raises(DeliveryError, match="Connection refused"):
            Remote(f"http://127.0.0.1:{port}").groups()


def test_who_speaks_no_tls_is_told() -> None:
    with place() as server, pytest.raises(DeliveryError, match="SSL"):
        Remote(server.url.replace("http:", "https:"), "secret").groups()
    assert server.asked == []


def test_a_host_that_cannot_be_is_told() -> None:
    with pytest.raises(DeliveryError, match="GET http://aaa"):
        Remote(f"http://{'a' * 70}").groups()


def test_an_answer_that_is_nested_too_deeply_is_told() -> None:
    with place(answering(200, b'{"draft": {"signature": ' + b"[" * 50_000)) as server, pytest.raises(DeliveryError):
        Remote(server.url, "secret").version(GROUP, "1")


def test_an_answer_without_end_is_not_read_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.catalog.remote.REPLY_BYTES", 100)
    with place(answering(200, b" " * 101)) as server, pytest.raises(DeliveryError, match="more than 100 bytes"):
        Remote(server.url, "secret").groups()


def test_who_does_not_answer_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        remote = Remote(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.01)
        with pytest.raises(DeliveryError, match="timed out"):
            remote.groups()


@pytest.mark.parametrize("name", ["a b", "Äh", "a+b", "a.b"])
def test_a_name_reaches_the_catalogue_as_it_is(name: str) -> None:
    with place() as server:
        assert Remote(server.url, "secret").register(name, Draft(), by="ada", now_s=NOW_S).group == name
        assert server.catalog.groups() == [name]


@pytest.mark.parametrize("name", ["..", ".", ""])
def test_a_name_that_would_make_another_path_is_never_sent(name: str) -> None:
    with place() as server:
        with pytest.raises(UnknownError):
            Remote(server.url, "secret").version(GROUP, name)
        assert server.asked == []


def test_a_path_in_the_address_comes_first() -> None:
    with place() as server:
        server.url += "/sidecar/"
        with pytest.raises(UnknownError):
            Remote(server.url, "secret").groups()
        assert server.asked == ["GET /sidecar/v1/models"]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a",
        "http://",
        "http://a:b@c",
        "http://a:x",
        "http://a?b",
        "http://[",
        "a",
        "",
        "http://a/b c",
        "http://a/\u00e4",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="expected an address"):
        Remote(url)


def test_a_token_that_no_header_can_hold_is_refused() -> None:
    for token in ("a\r\nHost: b", "ä", "a b"):
        with pytest.raises(ConfigError, match="expected a token"):
            Remote("http://a", token)


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with place() as server:
        assert register(opener(server)()).number == 1
