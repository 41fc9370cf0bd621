"""What msgspec finds wrong with a document, as we say it: where, what was expected, what is there."""

import re

from msgspec import ValidationError

from sidecar.errors import Fault

_MESSAGE = re.compile(r"(?P<said>.*?)(?: - at (?:`key` in )?`\$\.?(?P<place>.*)`)?", re.DOTALL)
_MISSING = re.compile("Object missing required field `(.*)`")
_TYPE = re.compile("Expected `(?P<type>[^`]*)`(?P<bound>.*?)(?:, got `(?P<got>[^`]*)`)?")

_WORDS = {
    "object": "a mapping",
    "array": "a list",
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
}


def fault(error: ValidationError, at: str = "") -> Fault:
    """What is wrong.

    Args:
        at: Where the document itself stands.

    Example:
        >>> str(fault(ValidationError("Expected `array` of length >= 1 - at `$.spec.containers`"), "spec.template"))
        'spec.template.spec.containers: expected a list of at least 1'
    """
    found = _MESSAGE.fullmatch(str(error))
    said, place = (found["said"], found["place"] or "") if found else (str(error), "")
    if missing := _MISSING.fullmatch(said):
        return Fault(_path(at, place, missing[1]), "missing")
    if expected := _TYPE.fullmatch(said):
        bound = (
            expected["bound"].replace(" of length >=", " >=").replace(">=", "of at least").replace("<=", "of at most")
        )
        got = f", got {_words(expected['got'])}" if expected["got"] else ""
        return Fault(_path(at, place), f"expected {_words(expected['type'])}{bound}{got}")
    return Fault(_path(at, place), said)


def _path(*steps: str) -> str:
    return ".".join(step for step in steps if step)


def _words(types: str) -> str:
    """What may be null may be left out: nobody is told to write it."""
    several = [each for each in types.split(" | ") if each != "null"] or ["null"]
    return " or ".join(_WORDS.get(each, each) for each in several)
