"""The journal of one sidecar: every change of who serves whom, with how all stood after it; it survives a restart."""

import sqlite3
import threading
from pathlib import Path
from typing import Any

from sidecar.entries import Change
from sidecar.errors import DeliveryError
from sidecar.sqlite_file import Schema, open_file, transaction

FILE = "routing.sqlite"
CHANGES = 10_000
"""Kept; of more the oldest go."""
DOCUMENTS = 100
"""Of these the latest are kept with what stood after them."""
BUSY_S = 5.0
"""For the process before us to let go of the file."""

_TABLES = Schema(
    application_id=0x53444A4E,  # SDJN
    version=1,
    settings=("synchronous = FULL",),
    statements=(
        """CREATE TABLE changes (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            revision INTEGER NOT NULL,
            time_s REAL NOT NULL,
            who TEXT NOT NULL,
            what TEXT NOT NULL,
            why TEXT NOT NULL,
            document BLOB
        )""",
    ),
)


class Journal:
    """Keeps changes. May be called from any thread; every call is short.

    Args:
        folder: Of the file; None keeps everything in memory.

    Raises:
        ConfigError: There can be no such file, it is not ours, of a later version, or another process's.
    """

    def __init__(self, folder: Path | None) -> None:
        self._lock = threading.Lock()
        self._connection = open_file(None if folder is None else folder / FILE, _TABLES, BUSY_S)

    def documents(self) -> list[bytes]:
        """How all stood, the latest first.

        Raises:
            DeliveryError: They cannot be read.
        """
        return [
            document for (document,) in self._read("SELECT document FROM changes", "document IS NOT NULL", DOCUMENTS)
        ]

    def add(self, revision: int, change: Change, document: bytes) -> None:
        """Keep a change, and how all stands after it.

        Raises:
            DeliveryError: It could not be.
        """
        row = (revision, *change, document)
        try:
            with self._lock, transaction(self._connection):
                connection = self._connection
                connection.execute(
                    "INSERT INTO changes (revision, time_s, who, what, why, document) VALUES (?, ?, ?, ?, ?, ?)", row
                )
                top = connection.execute("SELECT max(number) FROM changes").fetchone()[0]
                connection.execute("DELETE FROM changes WHERE number <= ?", (top - CHANGES,))
                connection.execute("UPDATE changes SET document = NULL WHERE number <= ?", (top - DOCUMENTS,))
        except sqlite3.Error as error:
            raise DeliveryError(f"{FILE}: {error}") from error

    def changes(self, limit: int) -> list[tuple[int, Change]]:
        """The latest, each with the revision that it made.

        Raises:
            DeliveryError: They cannot be read.
        """
        rows = self._read("SELECT revision, time_s, who, what, why FROM changes", "TRUE", limit)
        return [(revision, Change(*rest)) for revision, *rest in rows]

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    def _read(self, select: str, where: str, limit: int) -> list[tuple[Any, ...]]:
        try:
            with self._lock:
                return self._connection.execute(
                    f"{select} WHERE {where} ORDER BY number DESC LIMIT ?", (limit,)
                ).fetchall()
        except sqlite3.Error as error:
            raise DeliveryError(f"{FILE}: {error}") from error
