"""Files of decoded rows, as the Parquet sink writes them: a table already, or a part of one."""

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.errors import ConfigError, Fault
from sidecar.report.decoding.inputs import Input, fetched, find, told
from sidecar.report.decoding.lines import Tally
from sidecar.sinks.row_files import make_folder
from sidecar.sinks.rows import FEATURE, FEATURE_TEXT, PLAIN, PREDICTION, PREDICTION_TEXT
from sidecar.texts import shown

if TYPE_CHECKING:
    import pyarrow

NUMBERS, TEXTS = (FEATURE, PREDICTION), (FEATURE_TEXT, PREDICTION_TEXT)
"""What columns begin with."""

COUNTED = {"time", "row", "sample_ratio", "answered"}
"""Columns without which nothing can be counted."""

MAX_SHOWN = 80
"""Characters of a name."""

_PLACE = re.compile(r"(.*)/(variant=[^/]+/hour=[^/]+)/[^/]+")


def table_of(inputs: Sequence[Input]) -> Path | None:
    """The folder that has these files of rows, and no others."""
    places = [None if each.store else _PLACE.fullmatch(each.name) for each in inputs]
    roots = {place[1] if place else "" for place in places}
    if len(roots) != 1 or "" in roots:
        return None
    root = roots.pop()
    if any(Path(each.name).name.startswith("_") for each in inputs):  # Spark passes such files over
        return None
    return Path(root) if {each.name for each in find([root])} == {each.name for each in inputs} else None


def checked(source: Input, path: Path) -> Tally:
    """How much a file of rows has.

    Raises:
        ConfigError: It has not their columns.
    """
    import pyarrow as arrow
    from pyarrow import compute, parquet

    tally = Tally()
    try:
        with parquet.ParquetFile(path) as file:
            what = _other(file.schema_arrow)
            if what or not _PLACE.fullmatch(source.name):
                what = what or "in no folder variant=…/hour=…"
                raise ConfigError(Fault(source.name, f"{what}, expected rows as the Parquet sink writes them"))
            tally.rows = file.metadata.num_rows
            tally.captures = compute.sum(compute.equal(file.read(["row"])["row"], 0)).as_py() or 0
    except (arrow.ArrowException, OSError) as error:
        return _unread(source, error)
    return tally


def _other(schema: "pyarrow.Schema") -> str:
    """What of a file's columns the Parquet sink does not write so; empty where it does."""
    from pyarrow import types

    if missing := set(PLAIN) - set(schema.names):
        return f"no column {min(missing)}"
    for field in schema:
        kind = field.type.value_type if types.is_dictionary(field.type) else field.type
        if "\0" in field.name:  # which the sink escapes, and engines end a name at
            return f"column {shown(field.name, MAX_SHOWN)}"
        if not (_fits(field.name, kind) or (types.is_null(kind) and field.name not in COUNTED)):
            return f"column {shown(field.name, MAX_SHOWN)} is {kind}"
    return ""


def _fits(name: str, kind: "pyarrow.DataType") -> bool:
    """Whether a column is of a type that can be counted as what its name says."""
    from pyarrow import types

    number = types.is_floating(kind) or types.is_integer(kind)
    if name == "time":
        return bool(types.is_timestamp(kind))
    if name == "answered":
        return bool(types.is_boolean(kind))
    if name in ("row", "status", "sample_ratio"):
        return bool(number)
    if name.startswith(NUMBERS):
        return bool(number or types.is_boolean(kind))
    if name in PLAIN or name.startswith(TEXTS):
        return bool(types.is_string(kind) or types.is_large_string(kind))
    return True


def linked(source: Input, work: Path, table: Path, name: str) -> tuple[Tally, list[str]]:
    """Put a file of rows into a table, in the folder that its own is called as; what it has, and where it is there.

    Args:
        work: Where copies of what is fetched go.
        name: What it is called there, without its end.

    Raises:
        ConfigError: It has not the columns of rows.
    """
    place = _PLACE.fullmatch(source.name)
    try:
        with fetched(source, work) as path:
            tally = checked(source, path)
            if not tally.whole or place is None:
                return tally, []
            file = f"{place[2]}/{name}.parquet"
            make_folder((table / file).parent)
            _link(path, table / file)
            return tally, [file]
    except OSError as error:
        return _unread(source, error), []


def _unread(source: Input, error: Exception) -> Tally:
    tally = Tally(whole=False)
    tally.skip("file", f"{source.name}: {told(error)}")
    return tally


def _link(path: Path, name: Path) -> None:
    name.unlink(missing_ok=True)
    try:
        os.link(path, name)
    except OSError:  # another file system, or one without links
        shutil.copyfile(path, name)
