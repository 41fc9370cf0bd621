"""Words on the command line for lengths of time, moments, sizes and groups; read as `words` are."""

import math
import re
from datetime import UTC, datetime

import click

from sidecar.monitors.groups import FacetOf

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
BYTES = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}

LONGEST_S = 366 * 86_400
"""A slice of time is no longer than a year."""

_LENGTH = re.compile(r"([0-9]{1,9})([smhd])")
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?([KMGT]i)?B?")
_FACET = re.compile(r"(?P<name>[^=<>]+)(?P<sign>[=<>])(?P<value>.+)", re.DOTALL)


def length(text: str) -> float:
    """A length of time, in seconds.

    Raises:
        BadParameter: It is none; as for the others below.

    Example:
        >>> length("1h"), length("15m")
        (3600.0, 900.0)
    """
    found = _LENGTH.fullmatch(text)
    seconds = int(found[1]) * SECONDS[found[2]] if found else 0
    if not 0 < seconds <= LONGEST_S:
        raise click.BadParameter(f"expected a length of time such as 1h, 15m or 1d, 366d at most, got {text!r}.")
    return float(seconds)


def moment(text: str) -> float:
    """A Unix time, from an ISO date and time; in UTC unless it says otherwise.

    Example:
        >>> moment("2026-11-23"), moment("2026-11-23T12:30:00+01:00")
        (1795392000.0, 1795433400.0)
    """
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise click.BadParameter(f"expected a moment such as 2026-11-23 or 2026-11-23T12:00Z, got {text!r}.") from None


def size(text: str) -> int:
    """A number of bytes.

    Example:
        >>> size("4GiB"), size("1048576"), size("1.5 MiB")
        (4294967296, 1048576, 1572864)
    """
    found = _SIZE.fullmatch(text)
    if not found or not (count := int(float(found[1]) * BYTES[f"{found[2]}B" if found[2] else ""])):
        raise click.BadParameter(f"expected a size such as 4GiB or 512MiB, got {text!r}.")
    return count


def facet(text: str) -> FacetOf:
    """A group, by a feature's value or by a limit.

    Example:
        >>> facet("gender=f,x").values, facet("age<25").below, facet("age>60").above
        (('f', 'x'), 25.0, 60.0)
    """
    found = _FACET.fullmatch(text)
    if not found:
        raise click.BadParameter(f"expected FEATURE=VALUE, FEATURE<NUMBER or FEATURE>NUMBER, got {text!r}.")
    name, value = found["name"], found["value"]
    if found["sign"] == "=":
        return FacetOf(feature=name, values=tuple(value.split(",")))
    number = _number(value)
    return FacetOf(feature=name, below=number) if found["sign"] == "<" else FacetOf(feature=name, above=number)


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise click.BadParameter(f"expected a number behind < or >, got {text!r}.")
    return number
