"""Kubernetes' quantities: `250m` of a CPU, `256Mi` of memory."""

import re
from fractions import Fraction

# Of more digits than any machine has of anything.
_FORM = re.compile(
    r"(?P<number>[0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})(?P<unit>[numkMGTPE]|[KMGTPE]i|[eE][-+]?[0-9]{1,2})?"
)

_THOUSANDS = "KMGTPE"

_UNITS = {
    "": Fraction(1),
    **{unit: Fraction(1, 1000**power) for power, unit in enumerate("mun", 1)},
    **{unit: Fraction(1000**power) for power, unit in enumerate(_THOUSANDS.replace("K", "k"), 1)},
    **{f"{unit}i": Fraction(1024**power) for power, unit in enumerate(_THOUSANDS, 1)},
}


def quantity(text: str) -> Fraction:
    """What it amounts to; none is negative here.

    Raises:
        ValueError: It is none.

    Example:
        >>> [str(quantity(each)) for each in ("250m", "1Gi", "0", "1e3", ".5")]
        ['1/4', '1073741824', '0', '1000', '1/2']
    """
    found = _FORM.fullmatch(text)
    if not found:
        raise ValueError(f"expected a quantity of Kubernetes', as in 250m or 256Mi, got {text!r}")
    number, unit = Fraction(found["number"].rstrip(".")), found["unit"] or ""
    return number * _UNITS[unit] if unit in _UNITS else number * Fraction(f"1{unit}")
