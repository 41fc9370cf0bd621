"""A patch written into the text of YAML: all else of it stays as it is, to the byte, comments and order and style.

A patch only adds, so a text need only grow: by lines below the last of a mapping or a list, by lines below the key of a
list, or within a line where the text is in JSON's style. Whatever comes of it is read again. Where that is not what was
wanted (an alias, a merged mapping, a key with a null), that one document is written anew, without its comments.
"""

import json
import re
from collections.abc import Sequence
from textwrap import indent
from typing import NamedTuple

from yaml import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode, YAMLError

from sidecar.injection.go_yaml import Part, dump_all, load_all, tree
from sidecar.injection.patching import Add, apply
from sidecar.records import JSON

# What may follow on a line that is over, and between a key and the lines of what it holds.
_REST = re.compile(r"[ \t]*(?:#[^\r\n]*)?(?=\r?\n|\Z)")
_COLON = re.compile(r"[ \t]*:[ \t]*(?:#[^\r\n]*)?(?=\r?\n)")

_HEAD = re.compile(r"(?:(?:---)?[ \t]*(?:#[^\r\n]*)?\r?\n)*")
"""Lines before a document, with the one that begins it."""


class _Edit(NamedTuple):
    """What is to be put in.

    Args:
        at: Before which character.
        rank: The lower ones first, where several are to be put in there.
    """

    at: int
    rank: int
    text: str


def written(parts: Sequence[Part], patches: Sequence[Sequence[Add]]) -> str:
    """The text of documents with what patches put in; the very text of those that have none."""
    texts = [_part(part, patch, place) for place, (part, patch) in enumerate(zip(parts, patches, strict=True))]
    text = "".join(texts)
    if len(texts) == 1:
        return text
    wanted = [apply(part.document, patch) for part, patch in zip(parts, patches, strict=True)]
    wanted = [each for each in wanted if each is not None]
    return text if _means(text, wanted) else dump_all(wanted)


def _part(part: Part, patch: Sequence[Add], place: int) -> str:
    if not patch:
        return part.text
    wanted = apply(part.document, patch)
    text = spliced(part.text, patch)
    return text if text and _means(text, [wanted]) else _anew(part.text, wanted, place)


def _means(text: str, wanted: Sequence[JSON]) -> bool:
    try:
        return load_all(text) == wanted
    except (YAMLError, ValueError, RecursionError):
        return False


def _anew(text: str, wanted: JSON, place: int) -> str:
    """The document written anew below the comments that stand before it."""
    found = _HEAD.match(text)
    head = found[0] if found else ""
    begun = any(line.startswith("---") for line in head.splitlines())
    return head + ("---\n" if place and not begun else "") + dump_all([wanted])


def spliced(text: str, patch: Sequence[Add]) -> str:
    r"""The text of a document with what a patch puts in; empty where it cannot be told where to.

    Example:
        >>> print(spliced("a:\n- 1  # one\nb: 2  # two\n", [Add(("a", "0"), 0), Add(("c",), [3])]))
        a:
        - 0
        - 1  # one
        b: 2  # two
        c:
        - 3
        <BLANKLINE>
    """
    try:
        root = tree(text)
        edits = sorted((_edit(text, root, each) for each in patch), key=lambda each: each[:2])
    except (YAMLError, ValueError, RecursionError):
        return ""
    line = "\r\n" if "\r\n" in text else "\n"
    for each in reversed(edits):
        text = text[: each.at] + each.text.replace("\n", line) + text[each.at :]
    return text


def _edit(text: str, root: Node, add: Add) -> _Edit:
    """One addition.

    Raises:
        ValueError: It cannot be told where to.
    """
    *way, last = add.path
    key, parent = root, root
    for step in way:
        key, parent = _child(parent, step)
    if not isinstance(parent, CollectionNode) or not parent.value:
        raise ValueError(f"nothing to put {last} beside")
    # The deeper ones first: where a mapping ends, its last list ends as well.
    at, more = _place(text, key, parent, last, add.value)
    return _Edit(at, -len(add.path), more)


def _child(node: Node, step: str) -> tuple[Node, Node]:
    """The key, or else the node itself, and what is there."""
    if isinstance(node, SequenceNode):
        return node, node.value[int(step)]
    pairs = node.value if isinstance(node, MappingNode) else []
    found = [pair for pair in pairs if isinstance(pair[0], ScalarNode) and pair[0].value == step]
    if len(found) != 1:
        raise ValueError(f"{len(found)} times {step}")
    key, value = found[0]
    return key, value


def _place(text: str, key: Node, parent: CollectionNode, last: str, value: JSON) -> tuple[int, str]:
    if isinstance(parent, MappingNode):
        first, _ = parent.value[0]
        if any(isinstance(each, ScalarNode) and each.value == last for each, _ in parent.value):
            raise ValueError(f"{last} is there, and holds nothing")
        if parent.flow_style:
            return _end(parent.value[-1][1]), f", {_line(last)}: {_line(value)}"
        return _below(text, parent, first.start_mark.column, {last: value})
    if parent.flow_style:
        first, final = parent.value[0], parent.value[-1]
        return (_end(final), f", {_line(value)}") if last == "-" else (first.start_mark.index, f"{_line(value)}, ")
    if not text.startswith("-", parent.start_mark.index):
        raise ValueError("its first line is somewhere else")
    if last == "-":
        return _below(text, parent, parent.start_mark.column, [value])
    # Below the key, and so above the comments of the first.
    return _matched(_COLON, text, key.end_mark.index), "\n" + _lines([value], parent.start_mark.column).rstrip("\n")


def _below(text: str, node: Node, column: int, value: JSON) -> tuple[int, str]:
    end, lines = _end(node), _lines(value, column)
    if text[:end].endswith("\n"):
        return end, lines  # a block of text has its line's end
    return _matched(_REST, text, end), "\n" + lines.rstrip("\n")


def _matched(form: re.Pattern[str], text: str, at: int) -> int:
    found = form.match(text, at)
    if not found:
        raise ValueError("there is more on that line")
    return found.end()


def _end(node: Node) -> int:
    """Where the last of it is over: a block's own mark is where the next one begins."""
    if isinstance(node, CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(node, MappingNode) else last)
    return int(node.end_mark.index)


def _line(value: JSON) -> str:
    return json.dumps(value, ensure_ascii=False)


def _lines(value: JSON, column: int) -> str:
    return indent(dump_all([value]), " " * column)
