import socket
from pathlib import Path
from threading import Thread

from sidecar.cli.unix import UnixConnection


def test_what_is_asked_goes_through_the_socket(tmp_path: Path) -> None:
    path, heard = str(tmp_path / "admin"), list[bytes]()

    def answer() -> None:
        connection, _ = listening.accept()
        with connection:
            heard.append(connection.recv(4096))
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        server = Thread(target=answer)
        server.start()
        connection = UnixConnection(path, 60.0)
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b"ok"
        connection.close()
        server.join()
    assert heard[0].startswith(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
