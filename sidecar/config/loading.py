"""Puts a configuration together: the file, over it the environment, over that the flags; whole or not at all."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args, get_origin

from msgspec import Struct

from sidecar.config.keys import CLIENTS, FILE_VARIABLE, PREFIX, Families, fields, keys, shape
from sidecar.config.reading import nearest, read
from sidecar.config.rules import broken_rules
from sidecar.config.scalars import parse_scalar
from sidecar.config.schema import Config
from sidecar.errors import ConfigError, Fault

FILE_BYTES = 1 << 20  # the JSON Schema of every key with every option is a tenth of it

# What Kubernetes sets in every pod of a namespace that has a Service called `sidecar` or `sidecar-…`: not meant for us.
_SERVICE_LINK = re.compile(r"SIDECAR_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a configuration comes from; loading it again reads the file as it then is.

    Args:
        path: The YAML file; without one there are only the others.
        flags: The flags' texts by the path of their key: `{"timeouts.connect_s": "3"}`.
        environ: The environment; `SIDECAR_TIMEOUTS__CONNECT_S` stands for `timeouts.connect_s`.
    """

    path: str | None = None
    flags: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)

    def load(self, families: Families) -> Config:
        """The configuration, checked as a whole.

        Args:
            families: The registries by the path of the key that names their parts.

        Raises:
            ConfigError: It cannot be used; holds every fault that was found.
        """
        layers = _Layers()
        layers.file(self.path)
        layers.environment(self.environ)
        layers.flags(self.flags)
        if not isinstance(layers.document, dict):
            raise ConfigError(*layers.faults)
        reading = read(layers.document, families)
        faults = reading.faults + broken_rules(reading.config, [*layers.faults, *reading.faults])
        if layers.faults or faults:
            raise ConfigError(*layers.faults, *(layers.attributed(fault) for fault in faults))
        return reading.config


class _Layers:
    """One document made of several, the later over the earlier, and who set what in it."""

    def __init__(self) -> None:
        self.document: object = {}
        self.faults: list[Fault] = []
        self._setters: dict[str, str] = {}

    def file(self, path: str | None) -> None:
        if path is None:
            return
        try:
            document = _document(_text(path))
        except ConfigError as error:
            self.faults += [Fault(fault.path or path, fault.message) for fault in error.faults]
            self.document = None
            return
        self.document = {} if document is None else document
        if not isinstance(self.document, dict):
            self.faults.append(Fault(path, "expected a mapping of keys"))

    def environment(self, environ: Mapping[str, str]) -> None:
        variables = [name for name in environ if name.startswith(PREFIX) and name not in {FILE_VARIABLE, *CLIENTS}]
        # A mapping given whole comes before what is set in it.
        for name in sorted(variables, key=lambda name: (name.count("__"), name)):
            path = tuple(self._path(name.removeprefix(PREFIX).split("__")))
            if path:
                self._set(path, environ[name], name)
            elif not _SERVICE_LINK.fullmatch(name):
                known = [key.variable for key in keys() if key.flag]
                self.faults.append(Fault(name, "unknown variable" + nearest(name, known)))

    def flags(self, flags: Mapping[str, str]) -> None:
        for path, text in flags.items():
            self._set(tuple(path.split(".")), text, "--" + re.sub("[._]", "-", path))

    def attributed(self, fault: Fault) -> Fault:
        """The fault with the name of the variable or flag that brought its value."""
        for path, name in reversed(self._setters.items()):
            if fault.path == path or fault.path.startswith((f"{path}.", f"{path}[")):
                return Fault(fault.path, f"{fault.message} (from {name})")
        return fault

    def _path(self, segments: list[str]) -> Iterator[str]:
        """The path of a variable's key; nothing where there is none."""
        path: list[str] = []
        here: object = self.document
        annotation: object = Config
        for segment in segments:
            inner = shape(annotation).bare
            name = segment.lower()
            here = here if isinstance(here, dict) else {}
            if get_origin(inner) is dict:
                # Variables are upper case, names need not be.
                name = next((known for known in here if known.lower() == name), name)
                annotation = get_args(inner)[1]
            else:
                annotation = _annotation(inner, name)
            if annotation is None:
                return
            path.append(name)
            here = here.get(name)
        if not shape(annotation).holds(Struct):
            yield from path

    def _set(self, path: tuple[str, ...], text: str, setter: str) -> None:
        whole = ".".join(path)
        annotation: object = Config
        here: object = self.document
        for depth, name in enumerate(path):
            inner = shape(annotation).bare
            annotation = get_args(inner)[1] if get_origin(inner) is dict else _annotation(inner, name)
            if not isinstance(here, dict):
                return  # the file has something else there, and a fault for it
            if depth < len(path) - 1:
                here[name] = {} if here.get(name) is None else here[name]
                here = here[name]
                continue
            try:
                here[name] = _typed(_encodable(text), annotation)
            except ConfigError as error:
                self.faults += [Fault(whole, f"{fault} (from {setter})") for fault in error.faults]
                here.pop(name, None)
            self._setters[whole] = setter


def _annotation(inner: object, name: str) -> object:
    if not (isinstance(inner, type) and issubclass(inner, Struct)):
        return None
    return next((option.annotation for option in fields(inner) if option.name == name), None)


def _typed(text: str, annotation: object) -> object:
    """A text as the value that a document would hold; as it is where it is none: reading refuses it."""
    inner = shape(annotation)
    if not text and inner.optional:
        return None
    if inner.bare is str or get_origin(inner.bare) is Literal:
        return text
    if inner.bare in (int, float, bool):
        return parse_scalar(text)
    return _document(text)


def _encodable(text: str) -> str:
    """The text, unless the process got it as bytes that are not UTF-8 (PEP 383)."""
    if text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text):
        return text
    raise ConfigError(Fault("", "expected a text in UTF-8"))


def _document(text: str) -> object:
    from sidecar.config.documents import parse_yaml  # 40 ms that a start from plain flags can do without

    return parse_yaml(text)


def _text(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            data = file.read(FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(Fault(path or "--config", f"cannot be read: {error.strerror or error}")) from None
    except ValueError as error:
        raise ConfigError(Fault(repr(path), f"cannot be read: {error}")) from None
    if len(data) > FILE_BYTES:
        raise ConfigError(Fault(path, f"expected at most {FILE_BYTES} bytes"))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(Fault(path, f"expected a text in UTF-8, got other bytes at {error.start}")) from None
