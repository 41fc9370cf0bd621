"""JSON Patch (RFC 6902), the one operation of it that is needed here: nothing of a pod is taken away or replaced."""

from collections.abc import Sequence
from typing import NamedTuple

from sidecar.records import JSON


class Add(NamedTuple):
    """Puts a value in.

    Args:
        path: Where: keys, positions in lists, `-` for the end of a list.
        value: What.
    """

    path: tuple[str, ...]
    value: JSON

    @property
    def document(self) -> JSON:
        """As RFC 6902 writes it.

        Example:
            >>> Add(("metadata", "annotations", "a/b"), "c").document["path"]
            '/metadata/annotations/a~1b'
        """
        escaped = "".join("/" + each.replace("~", "~0").replace("/", "~1") for each in self.path)
        return {"op": "add", "path": escaped, "value": self.value}


def apply(document: JSON, patch: Sequence[Add]) -> JSON:
    """The document with what the patch puts in; the one given stays as it is.

    Example:
        >>> apply({"a": [1]}, [Add(("a", "0"), 0), Add(("b",), {})])
        {'a': [0, 1], 'b': {}}
    """
    for each in patch:
        document = _put(document, each.path, each.value)
    return document


def _put(found: JSON, path: Sequence[str], value: JSON) -> JSON:
    """A copy along the path: in YAML, what is beside it may be the same object in several places."""
    step, *rest = path
    if isinstance(found, list):
        place = len(found) if step == "-" else int(step)
        return (
            [*found[:place], _put(found[place], rest, value), *found[place + 1 :]]
            if rest
            else _with(found, place, value)
        )
    return {**found, step: _put(found[step], rest, value) if rest else value}


def _with(found: list[JSON], place: int, value: JSON) -> list[JSON]:
    return [*found[:place], value, *found[place:]]
