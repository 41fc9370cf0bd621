"""An upstream for large bodies, a process of its own: `python -m tests.bench.bulk PORT`.

Blocking threads that copy into one buffer each: it must not be what limits the throughput.
"""

import re
import socket
import sys
import threading

from tests.bench.load import LARGE_BYTES

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n"
DOWNLOAD = HEAD % LARGE_BYTES + bytes(LARGE_BYTES)
UPLOADED = HEAD % 2 + b"ok"


def serve(connection: socket.socket) -> None:
    """Answer a GET with `LARGE_BYTES`, read a POST to its end."""
    room = bytearray(512 * 1024)
    with connection:
        while head := _read_head(connection):
            if head.startswith(b"GET"):
                connection.sendall(DOWNLOAD)
            else:
                _read_body(connection, head, room)
                connection.sendall(UPLOADED)


def _read_head(connection: socket.socket) -> bytes:
    """The head and what came with it; nothing when the peer has closed."""
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(65536)
        if not piece:
            return b""
        head += piece
    return head


def _read_body(connection: socket.socket, head: bytes, room: bytearray) -> None:
    length = LENGTH.search(head)
    left = int(length[1]) if length else 0
    left -= len(head) - head.index(b"\r\n\r\n") - 4
    while left > 0:
        got = connection.recv_into(room, min(left, len(room)))
        if not got:
            return
        left -= got


def main() -> None:
    with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
