"""What identifies the bytes of a model or of data: SHA-256 of a file, or of all files of a folder."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path


def digest_of(path: str | os.PathLike[str]) -> str:
    r"""`sha256:…` of a file's bytes, or of the names and bytes of all files below a folder; read piece by piece.

    A folder's is that of one line for each file, ordered by the bytes of its path, as `sha256sum -z` writes it:

        find -L . -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum -z | sha256sum

    So times, owners, modes and empty folders do not matter; symbolic links are what they lead to.

    Raises:
        OSError: Something cannot be read, a link leads nowhere or round in a circle, or it is no file and no folder.
    """
    root = Path(path)
    if not root.is_dir():
        return "sha256:" + _hashed(root)
    whole = hashlib.sha256()
    for name, place in sorted(_files(root, b"", ())):
        whole.update(_hashed(place).encode() + b"  " + name + b"\0")
    return "sha256:" + whole.hexdigest()


def _hashed(path: Path) -> str:
    if not stat.S_ISREG(path.stat().st_mode):  # whoever opens a pipe waits for somebody to write
        raise OSError(errno.EINVAL, "expected a file or a folder", str(path))
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(folder: Path, prefix: bytes, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[bytes, Path]]:
    """All files below, by what they are called from the root; sockets, pipes and devices are no files."""
    found = folder.stat()
    here = (found.st_dev, found.st_ino)
    if here in above:
        raise OSError(errno.ELOOP, "a link leads to a folder above it", str(folder))
    for path in folder.iterdir():
        name = prefix + os.fsencode(path.name)
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            yield from _files(path, name + b"/", (*above, here))
        elif stat.S_ISREG(mode):
            yield name, path
