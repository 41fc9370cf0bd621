"""Scalars as Python's own: training code and samples have numpy's where the types say `str`, `int` or `float`."""

from numbers import Integral, Real


def plain(value: object) -> str | int | float:
    """The scalar, of Python's own type.

    Raises:
        TypeError: It is none.

    Example:
        >>> from fractions import Fraction
        >>> plain(Fraction(1, 2))
        0.5
    """
    match value:
        case str():
            return str(value)
        case Integral():
            return int(value)
        case Real():
            return float(value)
    raise TypeError(f"{type(value).__name__} is no text and no number")
