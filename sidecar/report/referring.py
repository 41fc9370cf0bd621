"""The reference that a report is made against: a folder here, or one in an object store."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlsplit

from sidecar.errors import ConfigError, Fault
from sidecar.reference.folder import CONSTRAINTS, STATISTICS, Reference, read_folder
from sidecar.report.decoding.inputs import fetched, find

WHERE = "--reference"
"""What it is called in an error."""

FILES = (STATISTICS, CONSTRAINTS)
"""That are read; a sample of whole rows is of no use where nobody sees these."""


def read_reference(place: str) -> Reference:
    """The reference at a place.

    Args:
        place: A folder, or `s3://bucket/prefix` and its like.

    Raises:
        ConfigError: There is none, or a file of it is broken.
    """
    here = Path(unquote(urlsplit(place).path)) if place.startswith("file://") else Path(place)
    if "://" not in place or here.is_absolute():
        return _read(here, place)
    with TemporaryDirectory(prefix="sidecar-") as folder:
        _fetch(place, Path(folder))
        try:
            return _read(Path(folder), place)
        except ConfigError as error:
            url = place.rstrip("/")
            faults = (Fault(each.path.replace(folder, url), each.message) for each in error.faults)
            raise ConfigError(*faults) from error


def _read(folder: Path, place: str) -> Reference:
    if not folder.is_dir():
        raise ConfigError(Fault(WHERE, f"{place} is no folder, expected one with {' and '.join(FILES)}"))
    reference = read_folder(folder, WHERE)
    if reference is None:
        told = f"expected a folder with {' and '.join(FILES)}, got {place}: there is neither"
        raise ConfigError(Fault(WHERE, told))
    return reference


def _fetch(url: str, folder: Path) -> None:
    """Copy its files, and none of what lies below them."""
    for each in find([url], FILES):
        try:
            if each.key in FILES:
                with fetched(each, folder) as copy:
                    shutil.copyfile(copy, folder / each.key)
        except OSError as error:
            raise ConfigError(Fault(WHERE, f"{error}, expected a file that stays")) from error
