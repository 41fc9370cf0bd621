"""Scalars as YAML 1.2 reads them, apart from documents: most flags and variables are one, and need no YAML reader."""

import re

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]{1,18}")  # longer ones are read as floats: int() has a limit of its own, and raises
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


def parse_scalar(text: str) -> object:
    """A text without quotes as null, a boolean, a number, or itself (YAML 1.2, section 10.3.2, without octals).

    Example:
        >>> parse_scalar("1e3"), parse_scalar("true"), parse_scalar("no"), parse_scalar("~")
        (1000.0, True, 'no', None)
    """
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
