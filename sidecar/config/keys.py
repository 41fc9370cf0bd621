"""The keys of the configuration, found in its structs: their paths, flags, variables, defaults and descriptions."""

import dataclasses
import re
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT, Meta, Struct

from sidecar.config.schema import Config, Part

PREFIX = "SIDECAR_"
FILE_VARIABLE = "SIDECAR_CONFIG"

TO_VARIABLE = "SIDECAR_TO"
"""The sidecar that commands ask."""

CLIENTS = frozenset({"SIDECAR_TRACKING", TO_VARIABLE})
"""Variables of programs that use a sidecar; where it runs itself, they mean nothing."""

Family = Mapping[str, Callable[..., object]]
"""A registry: the parts of one family by their kind. A part is a dataclass; its keyword-only fields are its options.

To make one touches nothing, so that a check may; what it refuses it raises as ConfigError, the option as the path.
"""

Families = Mapping[str, Family]
"""The registries by the path of the key that names members of them: `capture.sinks`, `monitors[].detectors`."""


class Shape(NamedTuple):
    """An annotation taken apart: the type, whether null is allowed, and what was noted about it."""

    bare: object
    optional: bool
    notes: tuple[Meta, ...]

    @property
    def description(self) -> str:
        """What the key means, for people."""
        return next((note.description for note in self.notes if note.description), "")

    @property
    def secret(self) -> bool:
        """Whether its value must never be shown."""
        return any((note.extra_json_schema or {}).get("writeOnly") for note in self.notes)

    def extra(self, name: str) -> object:
        """What a note says under `name`; None where none does."""
        return next((note.extra[name] for note in self.notes if note.extra and name in note.extra), None)

    def holds(self, kind: type) -> bool:
        """Whether the type is a class derived from `kind`."""
        return isinstance(self.bare, type) and issubclass(self.bare, kind)


class Option(NamedTuple):
    """A field of a struct, or an option of a part, whose annotation then says what its docstring does."""

    name: str
    annotation: object
    required: bool
    default: object


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the configuration.

    Args:
        path: In the document: `timeouts.connect_s`; `<name>` stands for a name that the user chooses.
        annotation: The type of its values.
        required: There is no default.
        default: As the struct has it.
    """

    path: str
    annotation: object
    required: bool
    default: object

    @property
    def flag(self) -> str:
        """Its flag of `sidecar run`; empty within a mapping or a list: there the whole of it is a flag."""
        if own := shape(self.annotation).extra("flag"):
            return str(own)
        return "" if "<" in self.path or "[" in self.path else "--" + self.path.replace(".", "-").replace("_", "-")

    @property
    def variable(self) -> str:
        """Its environment variable; empty within a list."""
        return "" if "[" in self.path else PREFIX + self.path.replace(".", "__").upper()

    @property
    def description(self) -> str:
        """What it means."""
        return shape(self.annotation).description

    @property
    def meaning(self) -> str:
        """What it means, with the few words that it may be where that does not name them all."""
        bare, told, how = shape(self.annotation).bare, self.description, "One"
        if get_origin(bare) is tuple:
            bare, how = shape(get_args(bare)[0]).bare, "Any"
        known = get_args(bare) if get_origin(bare) is Literal else ()
        named = set(re.findall(r"\w+", told))
        return told if named.issuperset(known) else f"{told} {how} of: {', '.join(known)}."

    @property
    def default_text(self) -> str:
        """Its default as one would write it; empty where it is nothing."""
        if self.required:
            return "required"
        if isinstance(self.default, str):
            return self.default
        return "" if self.default in (None, (), {}) else msgspec.json.encode(plain(self.default)).decode()


def plain(value: object) -> object:
    """The value as a document has it: a struct is what differs from its defaults, a part its kind and options.

    Example:
        >>> plain((Part(kind="jsonl", options={"path": "captures"}), 1.0))
        [{'kind': 'jsonl', 'path': 'captures'}, 1.0]
    """
    if isinstance(value, Part):
        return {"kind": value.kind, **value.options}
    if isinstance(value, Struct):
        told = {option.name: (getattr(value, option.name), option.default) for option in fields(type(value))}
        return {name: plain(mine) for name, (mine, default) in told.items() if mine != default}
    return [plain(each) for each in value] if isinstance(value, tuple) else value


def shape(annotation: object) -> Shape:
    """Take an annotation apart.

    Example:
        >>> shape(Annotated[int | None, Meta(description="A number.")])[:2]
        (<class 'int'>, True)
    """
    optional = False
    notes: tuple[Meta, ...] = ()
    while True:
        origin = get_origin(annotation)
        arguments = get_args(annotation)
        if origin is Annotated:
            annotation = arguments[0]
            notes += tuple(note for note in arguments[1:] if isinstance(note, Meta))
        elif origin in (Union, types.UnionType) and types.NoneType in arguments and len(arguments) == 2:
            optional = True
            annotation = next(argument for argument in arguments if argument is not types.NoneType)
        else:
            return Shape(annotation, optional, notes)


def fields(struct: type[Struct]) -> list[Option]:
    """The fields of a struct, in their order."""
    return [
        Option(field.name, field.type, field.required, None if field.required else _default(field))
        for field in msgspec.structs.fields(struct)
    ]


def _default(field: msgspec.structs.FieldInfo) -> object:
    return field.default if field.default_factory is NODEFAULT else field.default_factory()


def options(part: Callable[..., object]) -> list[Option]:
    """The options of a part: its keyword-only fields. Its positional ones are what the sidecar itself supplies."""
    if not (isinstance(part, type) and dataclasses.is_dataclass(part)):
        return []
    known = [field for field in dataclasses.fields(part) if field.init and field.kw_only]
    # Of these alone: what else a part holds may be of a type that is not there before it is needed.
    wanted = {"__annotations__": {field.name: field.type for field in known}, "__module__": part.__module__}
    hints = get_type_hints(type("Options", (), wanted), include_extras=True)
    told = dict(re.findall(r"^ +(\w+): (.+)$", part.__doc__ or "", re.MULTILINE))
    return [_option(field, Annotated[hints[field.name], Meta(description=told.get(field.name))]) for field in known]


def _option(field: "dataclasses.Field[object]", annotation: object) -> Option:
    if field.default_factory is not dataclasses.MISSING:
        return Option(field.name, annotation, required=False, default=field.default_factory())
    required = field.default is dataclasses.MISSING
    return Option(field.name, annotation, required, None if required else field.default)


def keys(struct: type[Struct] = Config, prefix: str = "") -> Iterator[Key]:
    """Every key that holds a value of its own, in the document's order; a mapping or a list before its members."""
    for option in fields(struct):
        path = prefix + option.name
        inner = shape(option.annotation)
        if inner.holds(Struct) and not inner.holds(Part):
            assert isinstance(inner.bare, type)
            yield from keys(inner.bare, path + ".")
            continue
        yield Key(path, option.annotation, option.required, option.default)
        if get_origin(inner.bare) is dict:
            yield from keys(get_args(inner.bare)[1], f"{path}.<name>.")
        elif get_origin(inner.bare) is tuple:
            member = shape(get_args(inner.bare)[0])
            if member.holds(Struct) and not member.holds(Part):
                assert isinstance(member.bare, type)
                yield from keys(member.bare, f"{path}[].")


def table(families: Families) -> str:
    """The keys as a table in Markdown, the options of parts behind them.

    The flag of a key is its path with `-` for `.` and `_`; the table names only the variables.
    """
    rows = ["| key | default | environment variable | meaning |", "|---|---|---|---|"]
    known = list(keys())
    rows += [_row(key.path, key.default_text, key.variable and f"`{key.variable}`", key.meaning) for key in known]
    alone = {key.path for key in known if shape(key.annotation).holds(Part)}
    for path, family in families.items():
        place = path if path in alone else f"{path}[]"
        for kind, part in family.items():
            rows.append(_row(f"{place} kind: {kind}", "", "", (part.__doc__ or "").partition("\n")[0]))
            for option in options(part):
                rows += [_row(key.path, key.default_text, "", key.meaning) for key in _option_keys(place, option)]
    return "\n".join(rows) + "\n"


def _option_keys(place: str, option: Option) -> Iterator[Key]:
    """The option of a part as a key; one that is a struct as those of its fields."""
    inner, whole = shape(option.annotation), f"{place}.{option.name}"
    if inner.holds(Struct):
        assert isinstance(inner.bare, type)
        yield from keys(inner.bare, f"{whole}.")
    else:
        yield Key(whole, option.annotation, option.required, option.default)


def _row(path: str, default: str, variable: str, meaning: str) -> str:
    cells = (f"`{path}`", default and f"`{default}`", variable, meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
