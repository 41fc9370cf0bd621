"""How commands tell what they found: tables for people on a terminal, tabs for programs, JSON for who asks for it."""

import io
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime

import click
import msgspec

from sidecar.catalog.documents import encode
from sidecar.entries import Version
from sidecar.texts import shown

Cell = str | float | None

NARROW = 20
"""Columns: a terminal may say that it has none."""

CELL = 6000
"""Characters of a cell: as many as the value of a parameter may have."""


def tell(text: str = "") -> None:
    """Write a line to standard output; what its encoding lacks as an escape."""
    encoding = sys.stdout.encoding or "utf-8"
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding))


def table(header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    """Tell rows: aligned and folded on a terminal, elsewhere between tabs, a row a line."""
    texts = [[spelled(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        tell(_aligned(header, texts))
    else:
        for row in (header, *texts):
            tell("\t".join(row))


def document(entry: object) -> None:
    """Tell an entry of the catalogue, or whatever JSON can hold, as JSON for people."""
    tell(msgspec.json.format(encode(entry), indent=2).decode())


def fields_of(version: Version) -> Mapping[str, object]:
    """A version as the admin side tells it, for `document`."""
    return {**{each.name: getattr(version, each.name) for each in fields(version)}, "approval": version.approval}


def spelled(cell: Cell) -> str:
    r"""A cell on one line, and nothing in it that a terminal would obey.

    Example:
        >>> spelled(0.1 + 0.2), spelled(None), spelled("a\tb\x1b[2J")
        ('0.3', '', 'a\\tb\\x1b[2J')
    """
    match cell:
        case None:
            return ""
        case str():
            return shown(cell, CELL)
    return f"{cell:.6g}"


def folded(text: str, indent: str = "") -> str:
    """A text between words where a terminal's line ends; elsewhere it stays on one."""
    if not sys.stdout.isatty():
        return f"{indent}{text}"
    width = max(NARROW, shutil.get_terminal_size().columns)
    return textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def moment(time_s: float | None) -> str:
    """A Unix time for people and programs, in UTC; empty for none.

    Example:
        >>> moment(1_785_412_800.5)
        '2026-07-30T12:00:00Z'
    """
    if time_s is None:
        return ""
    try:
        return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):  # of a clock that nobody ever set
        return f"{time_s:g}"


def _aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(*header, box=None, pad_edge=False, header_style="bold")
    for column in made.columns:
        column.overflow = "fold"
    for row in rows:
        made.add_row(*map(Text, row))
    lines = io.StringIO()
    Console(file=lines, force_terminal=True).print(made)
    return "\n".join(line.rstrip() for line in lines.getvalue().splitlines())
