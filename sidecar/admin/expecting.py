"""What a body should have been: in msgspec's words, and with the choices that these leave out."""

import re
from typing import Literal, get_args, get_origin, get_type_hints

from sidecar.config.keys import shape
from sidecar.texts import shown

SHOWN = 200
"""Characters of what is wrong with a body: the name of an unknown key may be as long as the body."""

# What follows the last of it is never what somebody sent.
_PLACED = re.compile(r"(?P<what>.*)(?P<at> - at `\$(?P<path>[^`]*)`)", re.DOTALL)
_STEP = re.compile(r"\.(?P<name>\w+)|\[(?P<index>\d+|\.\.\.)\]")
_MISSING = re.compile(r"Object missing required field `(\w+)`")


def told(error: Exception, kind: object) -> str:
    """What is wrong with a body of this kind: what, where, and one of what was expected.

    Example:
        >>> import msgspec
        >>> kind = dict[str, Literal["hold", "resume"]]
        >>> try:
        ...     msgspec.json.decode(b'{"order": "stop"}', type=kind)
        ... except ValueError as error:
        ...     print(told(error, kind))
        the body: Invalid enum value 'stop' - at `$[...]`; expected one of hold, resume
    """
    if isinstance(error, RecursionError):
        return "the body: nested too deeply"
    text = str(error)
    placed = _PLACED.fullmatch(text)
    what, at, path = placed.group("what", "at", "path") if placed else (text, "", "")
    expected = _choices(_within(kind, path), what)
    return f"the body: {shown(what, SHOWN)}{at}" + (f"; expected one of {', '.join(expected)}" if expected else "")


def _choices(kind: object, what: str) -> list[str]:
    """What there may be in the place of what is wrong; empty where that is any text or number."""
    if what.startswith("Object contains unknown field"):
        return list(_fields(kind))
    if missing := _MISSING.fullmatch(what):
        kind = _fields(kind).get(missing[1])
    bare = shape(kind).bare
    return [str(each) for each in get_args(bare)] if get_origin(bare) is Literal else []


def _within(kind: object, path: str) -> object:
    """The type at this place of a document; None where that is not known."""
    for step in _STEP.finditer(path):
        fields = list(_fields(kind).items())
        name, index = step.group("name", "index")
        if name:
            kind = dict(fields).get(name)
        elif fields:
            kind = fields[int(index)][1]  # of a tuple whose fields have names
        else:
            kind = (get_args(shape(kind).bare) or (None,))[-1]
    return kind


def _fields(kind: object) -> dict[str, object]:
    """What a struct has, by name; empty for what is none."""
    bare = shape(kind).bare
    return get_type_hints(bare, include_extras=True) if isinstance(bare, type) and get_origin(bare) is None else {}
