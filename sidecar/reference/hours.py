"""Files of an hour on disk, as jobs of Model Monitor leave them: `{folder}/{variant}/yyyy/mm/dd/hh/{name}`, UTC."""

from datetime import UTC, datetime
from pathlib import Path

KEPT = 1000
"""Files of one name and variant, some six weeks of them; the oldest go."""


def hour_file(folder: Path, variant: str, name: str, now_s: float) -> Path:
    """Where the file of this hour is.

    Args:
        now_s: Unix time.
    """
    return folder / variant / datetime.fromtimestamp(now_s, UTC).strftime("%Y/%m/%d/%H") / name


def write_hour(file: Path, data: bytes) -> None:
    """Write a file of an hour, whole or not at all; the first of its hour makes room for itself.

    What is made is readable by its owner alone.

    Raises:
        OSError: It cannot be written.
    """
    new = not file.exists()
    for folder in reversed(file.parents):
        if not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)
    part = file.with_name(f".{file.name}.part")
    part.touch(mode=0o600)
    part.write_bytes(data)
    part.replace(file)
    if new:
        _forget(file.parents[4], file.name)


def _forget(variant: Path, name: str) -> None:
    """Delete the oldest files beyond KEPT, and the folders that held them."""
    files = sorted(variant.glob(f"*/*/*/*/{name}"))
    for file in files[: max(0, len(files) - KEPT)]:
        file.unlink(missing_ok=True)
        for folder in list(file.parents)[:4]:
            if any(folder.iterdir()):
                break
            folder.rmdir()
