"""SageMaker's own files beside a report: `{folder}/{variant}/statistics.json`, those of quality and bias below it."""

import contextlib
import os
from collections.abc import Iterable, Mapping
from hashlib import md5
from pathlib import Path
from urllib.parse import quote

MAX_NAME = 200
"""File systems allow 255 bytes."""

OWNER_ONLY = 0o700

Files = Mapping[str, Mapping[str, bytes]]
"""By variant, and by name in the variant's folder: `statistics.json`, `bias/analysis.json`."""


def write_files(folder: Path, files: Files, *, of: str) -> int:
    """Write the files of each variant, each whole or not at all; how many there are.

    Those that the last report of this name has written here, and that are of this one no more, are deleted: they would
    be taken for what it says. What it has written is kept in `.{of}.written`.

    Args:
        of: The report's name.

    Raises:
        OSError: One cannot be written.
    """
    made = {f"{folder_name(variant)}/{name}": data for variant, named in files.items() for name, data in named.items()}
    ledger = folder / f".{of}.written"
    stale = _written(ledger) - made.keys()
    # Those of both, until the old ones are gone: a killed process is to leave none that nobody knows.
    write_whole(ledger, _listed(stale | made.keys()))
    for name, data in made.items():
        write_whole(folder / name, data)
    for name in stale:
        _delete(folder, name)
    write_whole(ledger, _listed(made))
    return len(made)


def _listed(names: Iterable[str]) -> bytes:
    return "".join(f"{name}\n" for name in sorted(names)).encode()


def _written(ledger: Path) -> set[str]:
    """What is listed there, but for what leads elsewhere."""
    try:
        names = ledger.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return set()
    return {name for name in names if not {"", ".", ".."} & set(name.split("/"))}


def _delete(folder: Path, name: str) -> None:
    """Delete a file, and folders that are empty then; whatever is a link is not ours."""
    path = folder / name
    ours = path.parents[: name.count("/")]
    if path.is_file() and not any(each.is_symlink() for each in (path, *ours)):
        path.unlink()
        with contextlib.suppress(OSError):
            for each in ours:
                each.rmdir()


def folder_name(variant: str) -> str:
    r"""A variant's name as that of a folder, which leads nowhere else.

    Example:
        >>> folder_name("champion"), folder_name("../a b"), folder_name("")
        ('champion', '%2E.%2Fa%20b', '%')
    """
    quoted = quote(variant, safe="", errors="replace") or "%"
    if quoted[0] in "._":
        quoted = f"%{ord(quoted[0]):02X}{quoted[1:]}"
    if len(quoted) > MAX_NAME:
        mark = md5(quoted.encode(), usedforsecurity=False).hexdigest()
        quoted = f"{quoted[: MAX_NAME - len(mark) - 1]}-{mark}"
    return quoted


def write_whole(file: Path, data: bytes) -> None:
    """Write a file so that who reads it meets the old one or the new one; it is its owner's alone.

    Raises:
        OSError: It cannot be written.
    """
    for parent in reversed(file.parents):
        if not parent.exists():
            parent.mkdir(mode=OWNER_ONLY, exist_ok=True)
    part = file.with_name(f".{file.name}.part")
    part.unlink(missing_ok=True)
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
            opened.write(data)
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(file)) from error
