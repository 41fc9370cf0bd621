import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from sidecar.__main__ import main
from sidecar.cli.admin import Admin
from sidecar.config.addresses import parse_upstream
from sidecar.errors import ConfigError, ConflictError, DeliveryError, SidecarError, UnknownError
from tests.cli.served import served

Told = pytest.CaptureFixture[str]


@contextmanager
def answering(reply: bytes) -> Iterator[Admin]:
    """A server that reads one request, answers with these bytes and is gone."""
    bound = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        connection, _ = bound.accept()
        # A client that likes the reply not may be gone before it ends.
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(reply)
            # What is left unread when it is closed would reset the connection, and the reply with it.
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield Admin(parse_upstream(f"http://127.0.0.1:{bound.getsockname()[1]}"), "")
    finally:
        thread.join()
        bound.close()


def replied(status: str, body: bytes = b"") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


def said(message: str) -> bytes:
    return b'{"error": {"type": "", "message": "%s"}}' % message.encode()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("400 Bad Request", ConfigError),
        ("401 Unauthorized", ConfigError),
        ("403 Forbidden", ConfigError),
        ("404 Not Found", UnknownError),
        ("409 Conflict", ConflictError),
        ("412 Precondition Failed", ConflictError),
        ("413 Request Entity Too Large", ConfigError),
        ("415 Unsupported Media Type", ConfigError),
        ("429 Too Many Requests", DeliveryError),
        ("500 Internal Server Error", DeliveryError),
        ("503 Service Unavailable", DeliveryError),
    ],
)
def test_a_status_becomes_what_one_can_do_about_it(status: str, kind: type[SidecarError]) -> None:
    with answering(replied(status, said("because"))) as admin, pytest.raises(kind, match="because"):
        admin.ask("POST", "/v1/rollout", {})


@pytest.mark.parametrize("status", ["404 Not Found", "400 Bad Request", "301 Moved Permanently", "201 Created"])
def test_who_is_no_sidecar_is_told_from_one(status: str) -> None:
    with (
        answering(replied(status, b"<html>\x1b[2J")) as admin,
        pytest.raises(ConfigError, match=r"\A--to: 127.0.0.1:\d+: \d+ not the answer of a sidecar\Z"),
    ):
        admin.ask("GET", "/v1/routes")


def test_every_fault_has_a_line_that_no_terminal_obeys() -> None:
    with (
        answering(replied("400 Bad Request", said(r"a: one\nb: two\u001b[2J"))) as admin,
        pytest.raises(ConfigError) as told,
    ):
        admin.ask("PUT", "/v1/routes", {})

    assert str(told.value) == "a: one\nb: two\\x1b[2J"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"revision": "x"}', b"\xff", b"[" * 100_000])
def test_an_answer_of_another_form_is_refused(body: bytes, capsys: Told) -> None:
    with answering(replied("200 OK", body)) as admin:
        url = f"http://{admin._address.address}"
        assert main(["versions", "rollback", "--to", url]) == 64

    out, err = capsys.readouterr()
    assert (out, err.count("\n"), "not the answer of a sidecar" in err) == ("", 1, True)


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", b"SSH-2.0-x\r\n"])
def test_whether_a_change_was_made_is_open_when_the_answer_is_lost(reply: bytes) -> None:
    with answering(reply) as admin, pytest.raises(DeliveryError, match="; whether it was done is not known"):
        admin.ask("POST", "/v1/rollout", {})
    with answering(reply) as admin, pytest.raises(DeliveryError) as told:
        admin.ask("GET", "/v1/routes")
    assert "known" not in str(told.value)


def test_a_sidecar_that_hangs_is_waited_for_no_longer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        admin = Admin(parse_upstream(f"http://127.0.0.1:{bound.getsockname()[1]}"), "", timeout_s=0.01)
        with pytest.raises(DeliveryError, match="timed out"):
            admin.ask("GET", "/v1/routes")


def test_a_socket_in_the_file_system_is_asked(tmp_path: Path, capsys: Told) -> None:
    with served(path=tmp_path / "admin.sock") as made:
        assert main(["versions", "routes", "--to", made.url]) == 0
    assert main(["versions", "routes", "--to", f"unix:{tmp_path}/gone.sock"]) == 69

    out, err = capsys.readouterr()
    assert "revision 1: champion 90 %, challenger 10 %" in out
    told = "No such file or directory; expected the admin side of a running sidecar, or --to with its address"
    assert err == f"unix:{tmp_path}/gone.sock: {told}\n"


def test_the_environment_says_which_sidecar_unless_the_command_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Told
) -> None:
    gone = f"unix:{tmp_path}/gone.sock"
    with served() as made:
        monkeypatch.setenv("SIDECAR_TO", made.url)
        assert main(["versions", "routes"]) == 0
        assert main(["versions", "routes", "--to", gone]) == 69
        monkeypatch.setenv("SIDECAR_TO", gone)
        assert main(["versions", "routes", "--to", made.url]) == 0

    assert capsys.readouterr().err.startswith(gone)


@pytest.mark.parametrize("to", ["", "host", "http://", "http://a/path", "http://me:s3cret@host", "ftp://a"])
def test_an_address_that_can_be_none_is_refused(to: str, capsys: Told) -> None:
    assert main(["versions", "rollback", "--to", to]) == 64

    out, err = capsys.readouterr()
    assert (out, err.count("\n"), "--to" in err, "s3cret" in err) == ("", 1, True, False)


def test_tls_is_spoken_where_the_address_says_so() -> None:
    with answering(b"HTTP/1.1 200 OK\r\n\r\n") as admin:
        over = Admin(parse_upstream(f"https://{admin._address.address}"), "")
        with pytest.raises(DeliveryError, match="SSL"):
            over.ask("GET", "/v1/routes")
