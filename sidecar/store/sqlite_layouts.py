"""Layouts that many documents share, by number: in a table, and in memory for whoever writes and reads them."""

import sqlite3
from contextlib import suppress

from sidecar.store.documents import Layout, decode_layout, encode_layout

MAX_LAYOUTS = 256
"""More than variants and versions make; payloads whose columns are never the same find no room, and need none."""
MAX_LAYOUT_BYTES = 65_536


class Layouts:
    """Those of one file, as they are after its last transaction, or within the one that is under way.

    Args:
        newest: The number of the newest prediction.
    """

    def __init__(self, connection: sqlite3.Connection, newest: int) -> None:
        self._connection = connection
        self._layouts: dict[int, Layout | None] = {}
        for number, document in connection.execute("SELECT number, document FROM layouts"):
            self._layouts[number] = _decoded(document)
        self._numbers = {layout: number for number, layout in self._layouts.items() if layout is not None}
        self._last = dict.fromkeys(self._layouts, newest)

    def get(self, number: int) -> Layout | None:
        """The layout of this number; None where there is none that could be read."""
        return self._layouts.get(number)

    def number(self, layout: Layout, prediction: int) -> int | None:
        """The layout's, from now on used by this prediction; None where there is no room for another one."""
        number = self._numbers.get(layout)
        if number is None:
            number = self._add(layout)
        if number is not None:
            self._last[number] = prediction
        return number

    def _add(self, layout: Layout) -> int | None:
        if len(self._layouts) >= MAX_LAYOUTS or len(document := encode_layout(layout)) > MAX_LAYOUT_BYTES:
            return None
        number = max(self._layouts, default=0) + 1
        self._connection.execute("INSERT INTO layouts VALUES (?, ?)", (number, document))
        self._layouts[number] = layout
        self._numbers[layout] = number
        return number

    def make_room(self, oldest: float) -> None:
        """Where all the room is taken, drop those that predictions before the oldest that is there used last."""
        if len(self._layouts) < MAX_LAYOUTS:
            return
        unused = [number for number, last in self._last.items() if last < oldest]
        self._connection.executemany("DELETE FROM layouts WHERE number = ?", [(number,) for number in unused])
        for number in unused:
            del self._last[number]
            if layout := self._layouts.pop(number):
                del self._numbers[layout]


def _decoded(document: bytes) -> Layout | None:
    with suppress(ValueError):
        return decode_layout(document)
    return None
