"""YAML as kubectl and the API server read it, which is as Go's package yaml.v2 does: neither YAML 1.1 nor 1.2.

Of 1.1 it has `yes` and `0644`, of 1.2 `1e3` and `0o644`, of neither that `22:30` is 1350. Dates are texts, as are keys
of any kind. What is written here is written so that readers of every version read the same.

References: sigs.k8s.io/yaml (yaml.go), go.yaml.in/yaml/v2 (resolve.go, decode.go).
"""

import json
import re
from collections.abc import Hashable, Sequence
from contextlib import suppress
from itertools import pairwise
from json import JSONDecodeError
from math import isinf
from typing import NamedTuple, cast

import yaml
from yaml.constructor import ConstructorError

from sidecar.records import JSON

Pairs = list[tuple[yaml.Node, yaml.Node]]

_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"

_TRUE, _FALSE = {"y", "yes", "true", "on"}, {"n", "no", "false", "off"}
_NULL = {"", "~", "null"}

_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INTEGERS = (
    (re.compile("[-+]?(0|[1-9][0-9]*)"), 10),
    (re.compile("[-+]?0[oO]?[0-7]+"), 8),
    (re.compile("[-+]?0[xX][0-9a-fA-F]+"), 16),
    (re.compile("[-+]?0[bB][01]+"), 2),
)
DIGITS = 70
"""More of them than any number of 64 bits has, in whatever base."""

# What some reader of YAML takes for something else than text has another look, or is one of these words.
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*")
_WORDS = {*_TRUE, *_FALSE, *_NULL, "nan", "inf"}
# A block keeps its line breaks, and there are more of them than the one.
_BREAKS = re.compile("[\r\x85\u2028\u2029]")


class Part(NamedTuple):
    """A document: its text, from where it begins to where the next one does, and what it holds."""

    text: str
    document: JSON


def load_all(text: str) -> list[JSON]:
    """The documents; an empty one is none. JSON is read as JSON, of which YAML is a superset but for its escapes.

    Raises:
        YAMLError: It is not YAML.
        ValueError: A scalar is not what its tag says.
        RecursionError: It is nested too deeply.

    Example:
        >>> load_all("{at: 22:30, port: 8_080, old: 0644, new: 1e3, on: off}")
        [{'at': '22:30', 'port': 8080, 'old': 420, 'new': 1000, 'true': False}]
    """
    return [each for each in _every(text) if each is not None]


def parts(text: str) -> list[Part]:
    r"""The documents with their texts, which together are the text; empty ones, too.

    Raises:
        YAMLError: As above, and the other two.

    Example:
        >>> [each.text for each in parts("# ours\n---\na: 1\n---\nb: 2\n")]
        ['# ours\n---\na: 1\n', '---\nb: 2\n']
    """
    documents = _every(text)
    if len(documents) < 2:
        return [Part(text, each) for each in documents]
    marks = [each.start_mark for each in yaml.parse(text, _Loader) if isinstance(each, yaml.DocumentStartEvent)]
    later = [mark.index for mark in marks[1:] if mark]
    bounds = pairwise([0, *later, len(text)])
    return [Part(text[start:end], each) for (start, end), each in zip(bounds, documents, strict=True)]


def tree(text: str) -> yaml.Node:
    """The nodes of the only document, which know where they stand.

    Raises:
        YAMLError: It is not YAML, or not one document.
        ValueError: It is empty.
    """
    found = yaml.compose(text, _Loader)
    if found is None:
        raise ValueError("no document")
    return found


def _every(text: str) -> list[JSON]:
    if text.lstrip().startswith("{"):
        with suppress(JSONDecodeError):
            return [json.loads(text)]
    return list(yaml.load_all(text, _Loader))


def dump_all(documents: Sequence[JSON]) -> str:
    """The text of documents, without comments and aliases."""
    return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)


def number(text: str) -> int | float | str:
    """The number that a scalar is, or the scalar: one out of range is a text, a whole one has no point in JSON.

    Example:
        >>> [number(each) for each in ("0o17", "08", "-0x1F", "5.", "1E400", "1:20")]
        [15, 8, -31, 5, '1E400', '1:20']
    """
    plain = text.replace("_", "")
    whole = next((int(plain, base) for form, base in _INTEGERS if form.fullmatch(plain) and len(plain) < DIGITS), None)
    if whole is not None and -(2**63) <= whole < 2**64:
        return whole
    if not _FLOAT.fullmatch(plain):
        return text
    found = float(plain)
    if isinf(found):
        return text
    return int(found) if found.is_integer() and abs(found) < 2**53 else found


class _Loader(yaml.SafeLoader):
    """Reads what JSON has, whose keys are texts."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """`<<` puts in what it names where it stands: later keys, of whichever, replace earlier ones."""
        node.value = [pair for key, value in node.value for pair in self._pairs(key, value)]

    def _pairs(self, key: yaml.Node, value: yaml.Node) -> Pairs:
        if key.tag != _MERGE:
            return [(key, value)]
        # Of several, the first counts most.
        mappings = value.value[::-1] if isinstance(value, yaml.SequenceNode) else [value]
        return [pair for mapping in mappings for pair in self._of(mapping)]

    def _of(self, mapping: yaml.Node) -> Pairs:
        if not isinstance(mapping, yaml.MappingNode):
            raise _wrong("a mapping to merge", mapping)
        self.flatten_mapping(mapping)
        return cast("Pairs", mapping.value)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, JSON]:  # noqa: FBT001, FBT002  # PyYAML calls it so
        """What a mapping holds."""
        found = super().construct_mapping(node, deep=deep)
        return {_key(key, node): value for key, value in found.items()}


def _wrong(expected: str, node: yaml.Node) -> ConstructorError:
    return ConstructorError(None, None, f"expected {expected}", node.start_mark)


def _key(key: object, node: yaml.Node) -> str:
    if not isinstance(key, str | int | float):
        raise _wrong("a key that is a scalar", node)
    return str(key).lower() if isinstance(key, bool) else str(key)


def _text(loader: _Loader, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


def _truth(loader: _Loader, node: yaml.ScalarNode) -> bool:
    word = _text(loader, node).lower()
    if word not in _TRUE | _FALSE:
        raise _wrong("true or false", node)
    return word in _TRUE


def _implicit(loader: _Loader, node: yaml.ScalarNode) -> int | float | str:
    return number(_text(loader, node))


def _explicit(loader: _Loader, node: yaml.ScalarNode) -> int | float:
    found = _implicit(loader, node)
    if isinstance(found, str):
        raise _wrong("a number", node)
    return found


def _binary(loader: _Loader, node: yaml.ScalarNode) -> str:
    return loader.construct_yaml_binary(node).decode()


def _cased(words: set[str]) -> str:
    """A pattern of these words, in small letters, in capitals, or beginning with one."""
    return "|".join(sorted({form for each in words for form in (each, each.title(), each.upper())}))


_NUMBER = "!number"

# What a scalar without quotes is: its tag, how it looks, and with what such ones begin.
_LOOKS = (
    (f"{_TAG}bool", _cased(_TRUE | _FALSE), "yYnNtTfFoO"),
    (f"{_TAG}null", _cased(_NULL), ["~", "n", "N", ""]),
    (_MERGE, "<<", "<"),
    (_NUMBER, "[-+.0-9].*", "-+.0123456789"),
)
_Loader.yaml_implicit_resolvers = {}
for _tag, _look, _starts in _LOOKS:
    _Loader.add_implicit_resolver(_tag, re.compile(rf"(?:{_look})\Z"), [*_starts])

# Whatever has another tag is refused: none of Kubernetes' has.
_Loader.yaml_constructors = {
    tag: yaml.SafeLoader.yaml_constructors[tag] for tag in (None, *(f"{_TAG}{each}" for each in ("null", "seq", "map")))
}
_Loader.add_constructor(_NUMBER, _implicit)
for _name, _construct in (
    ("str", _text), ("merge", _text), ("bool", _truth), ("int", _explicit), ("float", _explicit), ("binary", _binary),
):  # fmt: skip
    _Loader.add_constructor(f"{_TAG}{_name}", _construct)


class _Dumper(yaml.SafeDumper):
    """Writes so that every reader of YAML reads the same."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002  # PyYAML calls it so
        """Whatever is written twice is the reader's, and need not be an alias."""
        return True


def _written(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    style = None if plain else "|" if "\n" in text and not _BREAKS.search(text) else '"'
    return dumper.represent_scalar(f"{_TAG}str", text, style=style)


_Dumper.add_representer(str, _written)
