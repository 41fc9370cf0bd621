"""Decoded rows as Parquet, in folders by endpoint, variant and UTC hour: tables that all engines read as they are."""

import contextlib
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.config.values import Seconds
from sidecar.errors import ConfigError, DeliveryError, Fault
from sidecar.records import Capture, Rows
from sidecar.sinks.capture_lines import folder_name

if TYPE_CHECKING:
    # The options are checked before serving, which does not wait for numpy.
    from sidecar.sinks.row_files import RowFiles

BUFFER_BYTES = 32 << 20
"""100,000 rows of 30 features: what engines like to read at once."""
FLUSH_S = 60.0
"""60 files an hour and variant at most where traffic is small, and what a kill costs."""
MAX_TOTAL_BYTES = 1 << 30
SLACK_RATIO = 1 / 16
"""What is freed beyond need when the files are full, so that the tree is not walked for every file."""

_FOLDER = re.compile(r"variant=[^/]+/hour=(\d{4}-\d\d-\d\dT\d\d)")
_FILE_NAME = re.compile(r"\d\d-\d\d-\d{3}-\d{6,}-[0-9a-f]{32}\.parquet")


def _found(root: Path) -> list[tuple[str, Path, int]]:
    """Hour and name, path, bytes of every file of ours under `root`; what others put there is not ours to count."""
    found = []
    for folder, _, names in os.walk(root):
        hour = _FOLDER.fullmatch(os.path.relpath(folder, root))
        for name in names if hour else ():
            path = Path(folder, name)
            with contextlib.suppress(FileNotFoundError):  # another process of this tree sweeps too
                if hour and _FILE_NAME.fullmatch(name):
                    found.append((f"{hour[1]}/{name}", path, path.lstat().st_size))
    return found


def _delete(path: Path) -> None:
    """Delete a file, and its folders up to the variant's where they become empty."""
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        for folder in path.parents[:2]:
            folder.rmdir()


@dataclass(kw_only=True, slots=True)
class Parquet:
    """Writes decoded rows to `{path}/{endpoint}/variant=…/hour=…/*.parquet`: one line for each row (sidecar[report]).

    `{path}/{endpoint}` is one table, whose columns `sinks.rows` tells; the exchanges that it has are those that could
    be decoded. Files are there whole or not at all, 0600, in folders 0700. Nothing is touched before the first rows. A
    folder that is removed is made again.

    Args:
        path: The folder above all; made where it is missing.
        endpoint: SageMaker's word for the served model; one folder under `path`, and the tree that the total bounds.
        buffer_bytes: Rows in memory; beyond that the largest part of them becomes a file.
        flush_s: How long rows may wait in memory, and are lost by a kill.
        max_total_bytes: Bound of the whole tree, files of earlier runs included; the oldest go first.
        clock: Monotonic, in seconds.

    Attributes:
        deleted_files: How many went.

    Raises:
        ConfigError: A limit is not positive, `path` can be no folder, or pyarrow is not installed.
    """

    path: str
    endpoint: str = "sidecar"
    buffer_bytes: int = BUFFER_BYTES
    flush_s: Seconds = FLUSH_S
    max_total_bytes: int = MAX_TOTAL_BYTES
    clock: Callable[[], float] = field(default=time.monotonic, kw_only=False, repr=False)
    deleted_files: int = field(default=0, init=False)
    _made: "RowFiles | None" = field(default=None, init=False, repr=False)
    _stored_bytes: float = field(default=float("inf"), init=False, repr=False)  # not counted yet: the first file does
    _number: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        limits = {"buffer_bytes": self.buffer_bytes, "max_total_bytes": self.max_total_bytes}
        faults = [Fault(name, f"{value}, expected 1 or more") for name, value in limits.items() if value < 1]
        if not self.path or "\0" in self.path:
            faults.append(Fault("path", f"{self.path!r}, expected a folder"))
        if find_spec("pyarrow") is None:
            faults.append(Fault("kind", "parquet needs pyarrow: pip install 'sidecar[report]'"))
        if faults:
            raise ConfigError(*faults)

    @property
    def taken(self) -> int:
        """Exchanges whose rows are in files."""
        return self._files.written

    @property
    def lost(self) -> int:
        """Exchanges whose rows could not be written."""
        return self._files.lost

    @property
    def gathered(self) -> int:
        """Exchanges whose rows are in memory still."""
        return self._files.waiting

    @property
    def gathered_bytes(self) -> int:
        """What these take."""
        return self._files.waiting_bytes

    def export_rows(self, items: Sequence[tuple[Capture, Rows]]) -> None:
        """Gather the rows of these; what has waited long enough, or has no room beside them, becomes files.

        Raises:
            DeliveryError: Something could not be written; `lost` has grown where it had to make room.
        """
        with self._mapped():
            self._files.add(items, self.clock())
        self.tend()

    def tend(self) -> None:
        """Make files of what has waited long enough.

        Raises:
            DeliveryError: Some could not be written; it waits as long again.
        """
        with self._mapped():
            self._files.write(self.clock(), self.flush_s)

    def close(self) -> None:
        """Make files of all that is gathered.

        Raises:
            DeliveryError: Some could not be written, and is lost.
        """
        with self._mapped():
            try:
                self._files.write(self.clock())
            finally:
                self._files.give_up()

    @property
    def _files(self) -> "RowFiles":
        if self._made is None:
            from sidecar.sinks.row_files import RowFiles

            # Beside the table's folder, so that nobody who reads that meets half a file.
            hidden = Path(self.path, f".{folder_name(self.endpoint)}")
            self._made = RowFiles(
                self._root, hidden, max_bytes=self.buffer_bytes, name=self._name, announce=self._make_room
            )
        return self._made

    @contextlib.contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where = error.filename or self.path
            raise DeliveryError(
                f"{where}: {error.strerror or error}, expected a folder with room to write in"
            ) from error

    @property
    def _root(self) -> Path:
        return Path(self.path, folder_name(self.endpoint))

    def _name(self, first_s: float) -> str:
        self._number += 1
        moment = datetime.fromtimestamp(first_s, UTC)
        return f"{moment:%M-%S}-{moment.microsecond // 1000:03}-{self._number:06}-{uuid.uuid4().hex}"

    def _make_room(self, _: Path, need: int) -> None:
        """Count the tree; where a file of `need` bytes has no room in it, delete the oldest ones."""
        if self._stored_bytes + need > self.max_total_bytes:
            found = sorted(_found(self._root))
            self._stored_bytes = sum(size for _, _, size in found)
            if self._stored_bytes + need > self.max_total_bytes:
                self._sweep(found, self.max_total_bytes * (1 - SLACK_RATIO) - need)
        self._stored_bytes += need

    def _sweep(self, found: list[tuple[str, Path, int]], goal: float) -> None:
        for _, path, size in found:
            if self._stored_bytes > goal:
                _delete(path)
                self._stored_bytes -= size
                self.deleted_files += 1
