"""YAML as configuration needs it: YAML 1.2's core schema, read by its events: a document can neither grow nor run.

PyYAML's own loaders follow YAML 1.1 (`no` is false, `1:30` is 90, `1e3` is a text), expand aliases without bound, keep
the last of repeated keys, and raise anything for a bad date. Only its scanner and parser are used here.
"""

from collections.abc import Iterator

import yaml

from sidecar.config.scalars import parse_scalar
from sidecar.errors import ConfigError, Fault

DEPTH = 32  # the deepest key is five levels down; recursion stays far from its limit
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is ten times faster, and not in every build

_TEXT_TAGS = frozenset({None, "!", "tag:yaml.org,2002:str"})


def parse_yaml(text: str) -> object:
    """The document as mappings, lists and scalars; None where it is empty.

    Raises:
        ConfigError: It is not YAML, holds aliases, tags or several documents, is too deep, or repeats a key.

    Example:
        >>> parse_yaml("{listen: '0.0.0.0:80', timeouts: {connect_s: 1e1}}")
        {'listen': '0.0.0.0:80', 'timeouts': {'connect_s': 10.0}}
    """
    reader = _Reader(text)
    try:
        document = reader.document()
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ConfigError(Fault("", f"{line}not YAML: {error.problem}")) from None
    except yaml.YAMLError as error:
        raise ConfigError(Fault("", f"not YAML: {str(error).splitlines()[0]}")) from None
    if reader.faults:
        raise ConfigError(*reader.faults)
    return document


class _Reader:
    """Builds values from the events of one document."""

    def __init__(self, text: str) -> None:
        self.faults: list[Fault] = []
        self._events: Iterator[yaml.Event] = iter(yaml.parse(text, Loader=LOADER))

    def document(self) -> object:
        value: object = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _refusal(event, "a second document; expected one")
                value = self._value(next(self._events), "", DEPTH)
        return value

    def _value(self, event: yaml.Event, path: str, depth: int) -> object:
        if depth == 0:
            raise _refusal(event, f"nested too deeply; expected at most {DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            raise _refusal(event, f"the alias *{event.anchor}; write the value out")
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event)
        assert isinstance(event, yaml.CollectionStartEvent)
        if event.tag is not None:
            raise _refusal(event, f"the tag {event.tag}; expected none")
        return self._list(path, depth) if isinstance(event, yaml.SequenceStartEvent) else self._mapping(path, depth)

    def _list(self, path: str, depth: int) -> list[object]:
        values: list[object] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            values.append(self._value(event, f"{path}[{len(values)}]", depth - 1))
        return values

    def _mapping(self, path: str, depth: int) -> dict[str, object]:
        values: dict[str, object] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise _refusal(event, "a key that is not a text")
            inner = f"{path}.{event.value}" if path else event.value
            if event.value in values:
                self.faults.append(Fault(inner, f"{_line(event)}given again, expected once"))
            values[event.value] = self._value(next(self._events), inner, depth - 1)
        return values


def _scalar(event: yaml.ScalarEvent) -> object:
    if event.tag not in _TEXT_TAGS:
        raise _refusal(event, f"the tag {event.tag}; expected none")
    return parse_scalar(event.value) if event.implicit[0] else event.value


def _refusal(event: yaml.Event, message: str) -> ConfigError:
    return ConfigError(Fault("", f"{_line(event)}{message}"))


def _line(event: yaml.Event) -> str:
    return f"line {event.start_mark.line + 1}: " if event.start_mark else ""
