"""SageMaker's capture files: one JSON line per capture, in folders by endpoint, variant and UTC hour."""

import contextlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sidecar.errors import ConfigError, DeliveryError, Fault
from sidecar.records import Capture
from sidecar.sinks.capture_lines import file_place, folder_name, line
from sidecar.sinks.lines import PART, LineFile, recover

MAX_FILE_BYTES = 64 << 20
MAX_TOTAL_BYTES = 1 << 30
MAX_OPEN_FILES = 64
SLACK_RATIO = 1 / 16
"""What is freed beyond need when the files are full, so that the tree is not walked for every batch."""

_HOUR_FOLDER = re.compile(r"[^/]+/(\d{4}/\d\d/\d\d/\d\d)")
_FILE_NAME = re.compile(rf"\.?(\d\d-\d\d-\d{{3}}-\d{{6,}}-[0-9a-f]{{32}}\.jsonl)({re.escape(PART)})?")


def _make_folder(folder: Path) -> None:
    """`makedirs` would give its mode to the last folder only."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(0o700, exist_ok=True)


def _found(root: Path) -> list[tuple[str, Path, int]]:
    """Hour and name, path, bytes of every file of ours under `root`; what others put there is not ours to count."""
    found = []
    for folder, _, names in os.walk(root):
        hour = _HOUR_FOLDER.fullmatch(os.path.relpath(folder, root))
        for name in names if hour else ():
            path = Path(folder, name)
            with contextlib.suppress(FileNotFoundError):  # another process of this tree sweeps too
                if hour and (match := _FILE_NAME.fullmatch(name)):
                    found.append((f"{hour[1]}/{match[1]}", path, path.lstat().st_size))
    return found


def _delete(path: Path) -> None:
    """Delete a file, and its folders up to the variant's where they become empty."""
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        for folder in path.parents[:5]:
            folder.rmdir()


def _recover(root: Path) -> None:
    """Show the whole lines of the files that killed processes left hidden; not of those that living ones write."""
    for _, path, _ in _found(root):
        if path.name.endswith(PART):
            with contextlib.suppress(OSError):
                recover(path)


@dataclass(kw_only=True, slots=True)
class Jsonl:
    """Writes captures to `{path}/{endpoint}/{variant}/yyyy/mm/dd/hh/*.jsonl`; files 0600, folders 0700.

    Nothing is touched before the first export. A folder that is removed is made again.

    Args:
        path: The folder above all; made where it is missing.
        endpoint: SageMaker's word for the served model; one folder under `path`, and the tree that the total bounds.
        max_file_bytes: A file that has no room for the next line is closed and another begun.
        max_total_bytes: Bound of the whole tree, files of earlier runs included; the oldest go first.

    Attributes:
        deleted_files: How many went.

    Raises:
        ConfigError: A limit is not positive, or `path` can be no folder.
    """

    path: str
    endpoint: str = "sidecar"
    max_file_bytes: int = MAX_FILE_BYTES
    max_total_bytes: int = MAX_TOTAL_BYTES
    deleted_files: int = field(default=0, init=False)
    _files: dict[tuple[str, int], LineFile] = field(default_factory=dict, init=False, repr=False)
    _stored_bytes: float = field(default=float("inf"), init=False, repr=False)  # not counted yet: the first sweep does
    _number: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        limits = {"max_file_bytes": self.max_file_bytes, "max_total_bytes": self.max_total_bytes}
        faults = [Fault(name, f"{value}, expected 1 or more") for name, value in limits.items() if value < 1]
        if not self.path or "\0" in self.path:
            faults.append(Fault("path", f"{self.path!r}, expected a folder"))
        if faults:
            raise ConfigError(*faults)

    def export(self, captures: Sequence[Capture]) -> None:
        """Write these, in order for each variant and hour.

        Raises:
            DeliveryError: Some or all are not written; what is written is whole. The next export starts afresh.
        """
        groups: dict[tuple[str, int], list[Capture]] = {}
        for capture in captures:
            groups.setdefault((capture.variant, int(capture.started_s) // 3600), []).append(capture)
        try:
            for key, group in groups.items():
                self._write(key, group)
        except OSError as error:
            where = error.filename or self.path
            raise DeliveryError(f"{where}: {error.strerror}, expected a folder with room to write in") from error
        finally:
            self._close_past(max((hour for _, hour in groups), default=0))

    def close(self) -> None:
        """Close every file."""
        while self._files:
            self._files.popitem()[1].close()

    def _write(self, key: tuple[str, int], captures: Sequence[Capture]) -> None:
        lines = list(map(line, captures))
        need = 2 * sum(map(len, lines))  # the filling before a line is shorter than the line
        if need > self.max_total_bytes:
            raise DeliveryError(f"{self.path}: a batch of {need} bytes, expected max_total_bytes to hold it")
        if self._stored_bytes + need > self.max_total_bytes:
            self._sweep(need)
        done = 0
        while done < len(lines):
            file = self._file(key, captures[done].started_s)
            taken, grown = file.append(lines[done:], self.max_file_bytes)
            self._stored_bytes += grown
            done += taken
            if done < len(lines):
                self._files.pop(key).close()

    def _file(self, key: tuple[str, int], started_s: float) -> LineFile:
        """The file that is open for this variant and hour; a new one where there is none, or somebody deleted it."""
        file = self._files.get(key)
        if file and not file.gone():
            return file
        if file:
            self._files.pop(key).close()
        if len(self._files) >= MAX_OPEN_FILES:
            self._files.pop(next(iter(self._files))).close()
        self._number += 1
        path = self._root / file_place(key[0], started_s, self._number)
        _make_folder(path.parent)
        self._files[key] = file = LineFile(path)
        return file

    def _close_past(self, latest_hour: int) -> None:
        """Where an hour ends, requests of the old and the new one end in turn: a neighbouring hour stays open."""
        for key in [key for key in self._files if abs(key[1] - latest_hour) > 1]:
            self._files.pop(key).close()

    @property
    def _root(self) -> Path:
        return Path(self.path, folder_name(self.endpoint))

    def _sweep(self, need: int) -> None:
        """Count the tree; where `need` bytes have no room in it, delete the oldest files that nobody here writes."""
        if self._stored_bytes == float("inf"):
            _recover(self._root)
        found = sorted(_found(self._root))
        self._stored_bytes = sum(size for _, _, size in found)
        if self._stored_bytes + need <= self.max_total_bytes:
            return
        goal = self.max_total_bytes * (1 - SLACK_RATIO) - need
        in_use = {path for file in self._files.values() for path in (file.path, file.hidden_path)}
        for _, path, size in found:
            if self._stored_bytes > goal and path not in in_use:
                _delete(path)
                self._stored_bytes -= size
                self.deleted_files += 1
        if self._files and self._stored_bytes + need > self.max_total_bytes:
            self.close()
            self._sweep(need)
