"""Words on the command line that say two things at once: `depth=6`, `auc=0.93@3`, `s3://data@sha256:…`.

Each is read by a function, which click names the option to when it refuses.
"""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import click

from sidecar.catalog.bounds import STEP

T = TypeVar("T")

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_INTEGER = re.compile(r"-?[0-9]{1,19}")


class Measured(NamedTuple):
    """A metric's value.

    Args:
        step: None where it was not said.
    """

    name: str
    value: float
    step: int | None


class Data(NamedTuple):
    """Where data are, and their digest; empty where it was not said."""

    place: str
    digest: str


def pair(text: str) -> tuple[str, str]:
    """A name and a text.

    Raises:
        BadParameter: It is none; as for the others below.

    Example:
        >>> pair("objective=binary:logistic, a=b")
        ('objective', 'binary:logistic, a=b')
    """
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise click.BadParameter(f"expected NAME=VALUE, got {text!r}.")
    return name, value


def metric(text: str) -> Measured:
    """A name and a number; NaN and infinities too: that a loss diverged is worth knowing.

    Example:
        >>> metric("auc=0.93")
        Measured(name='auc', value=0.93, step=None)
    """
    name, _, number = text.partition("=")
    try:
        value = float(number)
    except ValueError:
        value = None
    if not name or value is None:
        raise click.BadParameter(f"expected NAME=NUMBER, got {text!r}.")
    return Measured(name, value, None)


def stepped(text: str) -> Measured:
    """The same, and perhaps at which step.

    Example:
        >>> stepped("precision@10=0.5@3"), stepped("loss=nan").step
        (Measured(name='precision@10', value=0.5, step=3), None)
    """
    _, at, step = text.partition("=")[2].partition("@")
    if at and not (_INTEGER.fullmatch(step) and abs(int(step)) <= STEP):
        raise click.BadParameter(f"expected NAME=NUMBER@STEP with a whole number of 64 bits, got {text!r}.")
    return metric(text.removesuffix(at + step))._replace(step=int(step) if at else None)


def data(text: str) -> Data:
    """Where data are, and perhaps their digest: whatever follows `@sha256:` has to be one.

    Example:
        >>> data("s3://me@host/data")
        Data(place='s3://me@host/data', digest='')
    """
    place, at, rest = text.rpartition("@sha256:")
    if not at:
        place = text
    digest = f"sha256:{rest.lower()}" if at else ""
    if not place or (at and not _DIGEST.fullmatch(digest)):
        raise click.BadParameter(f"expected a place, or one with @sha256: and 64 hexadecimal digits, got {text!r}.")
    return Data(place, digest)


def digest(text: str) -> str:
    """`auto`, or a digest."""
    if text != "auto" and not _DIGEST.fullmatch(text.lower()):
        raise click.BadParameter(f"expected auto, or sha256: and 64 hexadecimal digits, got {text!r}.")
    return text.lower()


def percent(text: str) -> float:
    """A number from 0 to 100; not NaN, which is neither too small nor too large."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0.0 <= number <= 100.0:
        raise click.BadParameter(f"expected a number from 0 to 100, got {text!r}.")
    return number


def once(pairs: Sequence[tuple[str, T]], option: str) -> dict[str, T]:
    """By name.

    Raises:
        BadParameter: A name was said twice: one of the two would be lost.
    """
    found: dict[str, T] = {}
    for name, each in pairs:
        if name in found:
            raise click.BadParameter(f"{name} is said twice; expected each name once.", param_hint=option)
        found[name] = each
    return found
