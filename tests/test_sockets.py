import socket
from pathlib import Path

import pytest

from sidecar.config.addresses import SocketAddress, UnixAddress
from sidecar.sockets import listening


@pytest.mark.parametrize(("host", "client"), [("127.0.0.1", "127.0.0.1"), ("::", "127.0.0.1"), ("::", "::1")])
def test_every_address_is_one_of_either_family(host: str, client: str) -> None:
    with listening(SocketAddress(host, 0)) as found:
        port = found.getsockname()[1]
        with socket.create_connection((client, port), 5):
            found.accept()[0].close()


def test_an_address_that_is_taken_is_an_error() -> None:
    with listening(SocketAddress("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            listening(SocketAddress("127.0.0.1", port))


def test_a_socket_that_nobody_serves_any_more_gives_way(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    listening(UnixAddress(path)).close()

    with listening(UnixAddress(path)) as found, socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        found.accept()[0].close()


def test_a_socket_that_is_served_stays(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with listening(UnixAddress(path)), pytest.raises(OSError, match="in use"):
        listening(UnixAddress(path))


def test_a_file_that_is_no_socket_stays(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    path.write_text("precious")

    with pytest.raises(OSError, match="in use"):
        listening(UnixAddress(str(path)))

    assert path.read_text() == "precious"
