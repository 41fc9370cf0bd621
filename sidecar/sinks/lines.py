"""A file of lines that a kill leaves whole, and of which who opens it beside us meets no half.

One `write` does not give that: Linux copies page by page, shows each page as it comes, and gives up between two of
them when SIGKILL is pending (`generic_perform_write`; 26 of 40 kills in a loop of 80 KiB writes left half a line). So
a line does not cross a page of the file: spaces before the line end, which JSON allows, fill the page before it. A
line longer than a page must cross; its file goes by a hidden name while it is written, and what a killed process
leaves hidden is cut to whole lines and shown by the next one.

Not covered: power cuts (nothing is synced), and a reader that holds the file open while a longer line is written.
"""

import contextlib
import fcntl
import mmap
import os
from collections.abc import Sequence
from pathlib import Path

PAGE_BYTES = 4096
"""The smallest page in use; larger ones are multiples of it."""
PART = ".part"
"""Ends a hidden name, which begins with a dot: Spark skips the one, `pathlib`'s `*.jsonl` the other."""

_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW


def _lay_out(lines: Sequence[bytes], size: int, limit: int) -> tuple[bytearray, int]:
    """What to write over the last byte of a file of `size` bytes, and how many of the lines that holds.

    The last byte is the line end before: where the next line does not fit into the page, that line is filled up.
    """
    start = max(size - 1, 0)
    data = bytearray(b"\n" if size else b"")
    for taken, line in enumerate(lines):
        end = start + len(data)
        room = -end % PAGE_BYTES
        fill = room if room < len(line) <= PAGE_BYTES else 0
        if end and end + fill + len(line) > limit:
            return data, taken
        if fill:
            data[-1:] = b" " * fill + b"\n"
        data += line
    return data, len(lines)


class LineFile:
    """A file that we write; hidden until its first line is whole, and while a line longer than a page is not.

    Its lock tells other processes of this tree that it is in use, and ends with this process.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.hidden_path = path.with_name(f".{path.name}{PART}")
        self._hidden = True
        self._descriptor = os.open(self.hidden_path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def gone(self) -> bool:
        """Whether somebody deleted it."""
        return os.fstat(self._descriptor).st_nlink == 0

    def append(self, lines: Sequence[bytes], limit: int) -> tuple[int, int]:
        """Write as many of the lines as fit below `limit` bytes, at least one into an empty file.

        Returns:
            Lines written, bytes by which the file grew.

        Raises:
            OSError: None was written.
        """
        size = os.fstat(self._descriptor).st_size
        data, taken = _lay_out(lines, size, limit)
        if not taken:
            return 0, 0
        if not self._hidden and max(map(len, lines)) > PAGE_BYTES:
            self.path.rename(self.hidden_path)
            self._hidden = True
        try:
            self._write(data, max(size - 1, 0))
        except OSError:
            os.ftruncate(self._descriptor, size)
            if size:
                os.pwrite(self._descriptor, b"\n", size - 1)
            raise
        finally:
            self._show()
        return taken, max(size - 1, 0) + len(data) - size

    def _write(self, data: bytearray, start: int) -> None:
        """A short write goes on with the rest, which then says what is wrong."""
        view = memoryview(data)
        done = 0
        while done < len(data):
            done += os.pwrite(self._descriptor, view[done:], start + done)

    def _show(self) -> None:
        if self._hidden and os.fstat(self._descriptor).st_size:
            self.hidden_path.rename(self.path)
            self._hidden = False

    def close(self) -> None:
        """Let go of it; what never got a line is deleted."""
        with contextlib.suppress(OSError):
            if self._hidden:
                self.hidden_path.unlink()
        os.close(self._descriptor)


def recover(hidden: Path) -> None:
    """Show the whole lines of a file that a killed process left hidden.

    Raises:
        OSError: It cannot be read or written, or a living process holds it.
    """
    descriptor = os.open(hidden, _FLAGS)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        size = os.fstat(descriptor).st_size
        if size:
            with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as content:
                size = content.rfind(b"\n") + 1
            os.ftruncate(descriptor, size)
        if size:
            hidden.rename(hidden.with_name(hidden.name[1:].removesuffix(PART)))
        else:
            hidden.unlink()
    finally:
        os.close(descriptor)
