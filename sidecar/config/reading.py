"""Reads plain values as the typed ones of the structs, and notes every fault on the way, not only the first."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, NamedTuple, cast, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from sidecar.config.keys import Families, Family, Option, Shape, fields, options, shape
from sidecar.config.schema import AUTO, Config, Part
from sidecar.errors import ConfigError, Fault

SHOWN = 60  # characters of a refused value: enough to find it

_KINDS: Mapping[object, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list",
    tuple: "a list",
    dict: "a mapping",
}


class _Broken:
    """Stands for a value that could not be read: its default is used while the search for faults goes on."""


BROKEN: Final = _Broken()


class Reading(NamedTuple):
    """What was read, and what was wrong with it: without faults, `config` is what the document says."""

    config: Config
    faults: list[Fault]


def read(document: object, families: Families) -> Reading:
    """Read a document.

    Args:
        document: Mappings, lists and scalars.
        families: The registries by path; a family is looked up when the document names a part of it.
    """
    reader = _Reader(families)
    config = reader.value(document, Config, "")
    return Reading(config if isinstance(config, Config) else Config(), reader.faults)


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean …?`, where one of `known` resembles `name`; else nothing."""
    from difflib import get_close_matches  # only who errs waits for it

    close = get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _one_of(names: list[str]) -> str:
    return f"one of {', '.join(names)}" if names else "none here"


class _Reader:
    """The walk over one document. A path is where it stands; what it cannot read is noted and BROKEN."""

    def __init__(self, families: Families) -> None:
        self.faults: list[Fault] = []
        self._families = families

    def value(self, value: object, annotation: object, path: str) -> object:
        """`value` as `annotation` describes it."""
        inner = shape(annotation)
        if value is None and inner.optional:
            return None
        if inner.holds(Part):
            return self._part(value, path)
        if inner.holds(Struct):
            return self._struct(value, cast("type[Struct]", inner.bare), path)
        origin = get_origin(inner.bare)
        if origin in (tuple, list):
            return self._list(value, inner, path)
        if origin is dict:
            return self._mapping(value, inner, path)
        return self._leaf(value, annotation, path)

    def _struct(self, value: object, struct: type[Struct], path: str) -> object:
        known = fields(struct)
        found = self._fields(value, known, path)
        if any(option.required and option.name not in found for option in known):
            return BROKEN
        return struct(**found)

    def _fields(self, value: object, known: list[Option], path: str) -> dict[str, object]:
        """Those of `known` that `value` holds and that could be read."""
        if not isinstance(value, dict):
            self._fault(path, f"expected a mapping, got {_shown(value)}")
            return {}
        names = [option.name for option in known]
        for name in value:
            if name not in names:
                likely = nearest(name, names) or f"; expected {_one_of(names)}"
                self._fault(_join(path, name), f"unknown key{likely}")
        found = {}
        for option in known:
            if option.name in value:
                found[option.name] = self.value(value[option.name], option.annotation, _join(path, option.name))
            elif option.required:
                self._fault(_join(path, option.name), f"missing; expected {_expected(shape(option.annotation))}")
        return {name: item for name, item in found.items() if item is not BROKEN}

    def _part(self, value: object, path: str) -> object:
        if not isinstance(value, dict):
            return self._fault(path, f"expected a mapping with a kind, got {_shown(value)}")
        family = self._families[re.sub(r"\[\d+\]", "[]", path).removesuffix("[]")]
        kind = value.get("kind")
        if not isinstance(kind, str):
            return self._fault(_join(path, "kind"), f"expected one of {', '.join(family)}, got {_shown(kind)}")
        if kind not in family:
            return self._unknown(kind, family, _join(path, "kind"))
        rest = {name: item for name, item in value.items() if name != "kind"}
        before = len(self.faults)
        found = self._fields(rest, options(family[kind]), path)
        if len(self.faults) == before:
            self._try(family[kind], found, path)
        return Part(kind=kind, options=found)

    def _try(self, part: Callable[..., object], found: dict[str, object], path: str) -> None:
        """Note what the part itself refuses."""
        try:
            part(**found)
        except ConfigError as error:
            for fault in error.faults:
                self._fault(_join(path, fault.path), fault.message)

    def _list(self, value: object, inner: Shape, path: str) -> object:
        if not isinstance(value, list):
            return self._fault(path, f"expected a list, got {_shown(value)}")
        self._length(value, inner, path)
        member = get_args(inner.bare)[0]
        items = [self.value(item, member, f"{path}[{index}]") for index, item in enumerate(value)]
        kind = cast("Callable[[list[object]], object]", get_origin(inner.bare))
        return BROKEN if BROKEN in items else kind(items)

    def _mapping(self, value: object, inner: Shape, path: str) -> object:
        if not isinstance(value, dict):
            return self._fault(path, f"expected a mapping, got {_shown(value)}")
        self._length(value, inner, path)
        name_kind, member = get_args(inner.bare)
        found = {
            self._leaf(name, name_kind, _join(path, name)): self.value(item, member, _join(path, name))
            for name, item in value.items()
        }
        return BROKEN if BROKEN in found or BROKEN in found.values() else found

    def _length(self, value: list[object] | dict[str, object], inner: Shape, path: str) -> None:
        for note in inner.notes:
            if note.max_length is not None and len(value) > note.max_length:
                self._fault(path, f"expected at most {note.max_length}, got {len(value)}")

    def _leaf(self, value: object, annotation: object, path: str) -> object:
        inner = shape(annotation)
        if isinstance(value, float) and value.is_integer() and inner.bare is int:
            value = int(value)  # JSON Schema's integers include 2e3 and 1.0
        try:
            read: object = msgspec.convert(value, type=annotation)
        except msgspec.ValidationError:
            return self._refuse(value, inner, path)
        if isinstance(read, float) and not math.isfinite(read):
            return self._refuse(value, inner, path)
        parse = cast("Callable[[object], object] | None", inner.extra("parse"))
        try:
            if parse:
                parse(read)
        except ValueError as error:
            return self._fault(path, str(error))
        if read != AUTO and path in self._families:
            return self._member(str(read), path)
        return read

    def _member(self, kind: str, path: str) -> object:
        """The name of a part of the family at `path`."""
        family = self._families[path]
        return kind if kind in family else self._unknown(kind, family, path)

    def _unknown(self, kind: str, family: Family, path: str) -> object:
        message = f"unknown kind {_shown(kind)}; expected one of {', '.join(family)}"
        return self._fault(path, message + nearest(kind, family))

    def _refuse(self, value: object, inner: Shape, path: str) -> object:
        got = "" if inner.secret else f", got {_shown(value)}"
        hint = "; quote it" if _expected(inner).startswith("a text") and isinstance(value, int | float) else ""
        return self._fault(path, f"expected {_expected(inner)}{got}{hint}")

    def _fault(self, path: str, message: str) -> object:
        self.faults.append(Fault(path, message))
        return BROKEN


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _expected(inner: Shape) -> str:
    said = inner.extra("expected")
    if said:
        return str(said)
    if get_origin(inner.bare) is Literal:
        return " or ".join(str(choice) for choice in get_args(inner.bare))
    kind = _KINDS.get(get_origin(inner.bare) or inner.bare, "a value of another type")
    limits = " and ".join(limit for note in inner.notes for limit in _limits(note))
    return f"{kind} {limits}".rstrip() + (" or null" if inner.optional else "")


def _limits(note: Meta) -> list[str]:
    bounds = [(">", note.gt), (">=", note.ge), ("<", note.lt), ("<=", note.le)]
    limits = [f"{sign} {bound:.15g}" for sign, bound in bounds if bound is not None]
    limits += [f"of at least {note.min_length} characters"] if note.min_length is not None else []
    return limits + ([f"of at most {note.max_length} characters"] if note.max_length is not None else [])


def _shown(value: object) -> str:
    """The value as YAML has it, on one line and cut."""
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    if value is None:
        return "nothing"
    text = str(value) if isinstance(value, float) else msgspec.json.encode(value).decode()
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"
