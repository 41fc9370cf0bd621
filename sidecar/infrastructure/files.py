"""Files of the kernel, read without trust: some are seen through the root folder of somebody else's container."""

import os
from pathlib import Path

MAX_BYTES = 1 << 20
"""Of a longer file the rest is not read: of sockets the kernel lists those that listen before their connections."""


def text_of(path: Path) -> str | None:
    """What the file says; None where it cannot be read.

    A pipe in its place does not block, a link in its place is not followed.
    """
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _whole(opened)
    except OSError:
        return None
    finally:
        os.close(opened)


def _whole(opened: int) -> str:
    pieces: list[bytes] = []
    left = MAX_BYTES
    # The kernel gives long files of /proc a page at a time.
    while left > 0 and (piece := os.read(opened, min(left, 1 << 16))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces).decode("utf-8", "replace")
