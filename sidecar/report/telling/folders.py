"""SageMaker's own files beside a report: `{folder}/{variant}/statistics.json`, those of quality and bias below it."""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

MAX_NAME = 200
"""File systems allow 255 bytes."""

OWNER_ONLY = 0o700


def write_files(folder: Path, files: Mapping[str, Mapping[str, bytes]]) -> int:
    """Write the files of each variant, each whole or not at all; how many there are.

    Args:
        files: By variant, and by name in the variant's folder: `statistics.json`, `bias/analysis.json`.

    Raises:
        OSError: One cannot be written.
    """
    for variant, named in files.items():
        for name, data in named.items():
            write_whole(folder / folder_name(variant) / name, data)
    return sum(map(len, files.values()))


def folder_name(variant: str) -> str:
    r"""A variant's name as that of a folder, which leads nowhere else.

    Example:
        >>> folder_name("champion"), folder_name("../a b"), folder_name("")
        ('champion', '%2E.%2Fa%20b', '%')
    """
    quoted = quote(variant, safe="", errors="replace") or "%"
    if quoted[0] in "._":
        quoted = f"%{ord(quoted[0]):02X}{quoted[1:]}"
    return quoted[:MAX_NAME]


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
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
        opened.write(data)
    part.replace(file)
