"""Whether files have changed: what they lead to is looked at, so that the swapped links of a ConfigMap count."""

import os
from collections.abc import Iterable


def fingerprints(files: Iterable[str]) -> list[tuple[int, ...]]:
    """What changes when a file does: its time, inode and size; nothing for one that is not there."""
    found: list[tuple[int, ...]] = []
    for file in files:
        try:
            status = os.stat(file)
        except OSError:
            found.append(())
        else:
            found.append((status.st_mtime_ns, status.st_ino, status.st_size))
    return found
