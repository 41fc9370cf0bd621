"""The reference as a whole, and the folder that keeps it: SageMaker's pair of files, and a sample of whole rows."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from sidecar.errors import ConfigError, Fault
from sidecar.records import Table
from sidecar.reference.constraints import Constraints, suggested
from sidecar.reference.files import (
    keeping,
    parse_constraints,
    parse_statistics,
    write_constraints,
    write_statistics,
)
from sidecar.reference.profile import Profiles
from sidecar.reference.sample import FILE, parse_sample, write_sample

STATISTICS, CONSTRAINTS, SAMPLE = "statistics.json", "constraints.json", FILE
FILES = (STATISTICS, CONSTRAINTS, SAMPLE)

EVERYBODY, OWNER_ONLY = 0o666, 0o600
"""Modes, before the umask; a sample holds rows as they were."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """What the data were like when all was well, and what they ought to be.

    Args:
        profiles: Without features where nobody knows what the data were like.
        sample: Some of the rows, whole; None where there are none.
    """

    profiles: Profiles
    constraints: Constraints
    sample: Table | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Reference):
            return NotImplemented
        same = (self.profiles, self.constraints) == (other.profiles, other.constraints)
        return same and _same(self.sample, other.sample)

    __hash__ = None  # type: ignore[assignment]  # as what it holds


def read_folder(folder: Path, where: str) -> Reference | None:
    """The reference in a folder; None where there is none. Of the two files one is enough.

    Args:
        where: What to call it in an error.

    Raises:
        ConfigError: A file cannot be read, or is broken: by path and field.
    """
    profiles = _read(folder / STATISTICS, parse_statistics, where)
    constraints = _read(folder / CONSTRAINTS, parse_constraints, where)
    if profiles is None and constraints is None:
        return None
    profiles = profiles or Profiles(0, ())
    return Reference(profiles, constraints or suggested(profiles), _read(folder / SAMPLE, parse_sample, where))


def write_folder(folder: Path, reference: Reference) -> None:
    """Write the files; what earlier ones of SageMaker's hold beyond what we know stays.

    Raises:
        OSError: A file cannot be written.
        UnicodeEncodeError: A name or a text has a lone surrogate, which JSON can spell and UTF-8 cannot.
    """
    statistics, constraints = write_statistics(reference.profiles), write_constraints(reference.constraints)
    sample = None if reference.sample is None else write_sample(reference.sample)
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / STATISTICS, statistics)
    _replace(folder / CONSTRAINTS, constraints)
    if sample is None:
        # One from before would be of other rows than the statistics.
        (folder / SAMPLE).unlink(missing_ok=True)
    else:
        _write(folder / SAMPLE, sample, OWNER_ONLY)


def _same(one: Table | None, two: Table | None) -> bool:
    if one is None or two is None:
        return one is two
    alike = (one.names, one.texts) == (two.names, two.texts)
    return alike and np.array_equal(one.values, two.values, equal_nan=True)


def _read(file: Path, parse: Callable[[bytes, str], T], where: str) -> T | None:
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(Fault(where, f"{file}: {error.strerror}, expected a file that can be read")) from error
    return parse(data, f"{where}: {file}")


def _replace(file: Path, data: bytes) -> None:
    """Write a file of SageMaker's in place of an earlier one."""
    _write(file, keeping(data, file.read_bytes()) if file.exists() else data, EVERYBODY)


def _write(file: Path, data: bytes, mode: int) -> None:
    """Write a file whole: who reads it meets the old one or the new one."""
    part = file.with_name(f".{file.name}.part")
    part.unlink(missing_ok=True)
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as opened:
        opened.write(data)
    part.replace(file)
