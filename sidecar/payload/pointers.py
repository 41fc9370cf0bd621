"""JSON pointers (RFC 6901) as patterns: a token `*` stands for every member of an object and element of an array."""

import re
from collections.abc import Iterable

from sidecar.records import JSON

_INDEX = re.compile("0|[1-9][0-9]{0,15}")

Pointer = tuple[str, ...]
"""The tokens, without escapes."""


def parse_pointer(pattern: str) -> Pointer:
    """Read a pattern.

    >>> parse_pointer("/explanations/*/a~1b")
    ('explanations', '*', 'a/b')

    Raises:
        ValueError: It is not a JSON pointer.
    """
    bare = pattern.replace("~0", "").replace("~1", "")
    if (pattern and not pattern.startswith("/")) or "~" in bare:
        raise ValueError(f"{pattern!r}, expected a JSON pointer: empty or starting with '/', '~' only as ~0 or ~1")
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in pattern.split("/")[1:])


def at(document: JSON, pointer: Pointer) -> list[JSON]:
    """All values that the pattern matches, in the document's order.

    >>> at({"rows": [{"a": 1}, {"b": 2}, {"a": 3}]}, ("rows", "*", "a"))
    [1, 3]
    """
    nodes = [document]
    for token in pointer:
        nodes = [node[key] for node in nodes for key in keys(node, token)]
    return nodes


def keys(node: JSON, token: str) -> Iterable[str | int]:
    """The members or positions of a value that a token stands for."""
    if isinstance(node, dict):
        if token == "*":
            return list(node)
        return (token,) if token in node else ()
    if isinstance(node, list):
        positions = range(len(node))
        return positions if token == "*" else positions[slice(*_span(token))]
    return ()


def _span(token: str) -> tuple[int, int]:
    """The position that a token names, as a slice; an empty one for other tokens (RFC 6901: no leading zeros)."""
    if not _INDEX.fullmatch(token):
        return 0, 0
    return int(token), int(token) + 1
