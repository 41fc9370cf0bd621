"""What a report is made with: the live sidecar's own keys, from its configuration file where there is one."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from sidecar.config.documents import parse_yaml
from sidecar.config.keys import Families
from sidecar.config.loading import FILE_BYTES
from sidecar.config.reading import read
from sidecar.config.rules import broken_rules
from sidecar.config.schema import Config, Model, Part
from sidecar.errors import ConfigError, Fault
from sidecar.monitors.data import Data
from sidecar.monitors.groups import FacetOf
from sidecar.quality.reading import Task

SECTIONS = ("monitors", "model", "payload")
"""The keys that a report heeds. The others are read, so that the sidecar's file will do, and not held against it."""

JUDGES = ("quality", "bias")
"""Monitors that want labels."""


class Settings(NamedTuple):
    """What a report is made with.

    Args:
        data: What features and predictions are watched for.
        model: What the model does.
        judges: The monitors that want labels.
        features: Names, where captures carry none.
        predictions: Likewise.
        format: Of all requests' bodies; `auto` where each tells its own.
    """

    data: Data
    model: Model
    judges: Sequence[Part]
    features: Sequence[str]
    predictions: Sequence[str]
    format: str = "auto"


def read_settings(path: str | None, families: Families) -> Settings:
    """The settings of a configuration file; the defaults without one.

    Args:
        families: The registries by the path of the key that names their parts.

    Raises:
        ConfigError: It cannot be read, or has a fault in what a report heeds.
    """
    return _settings(Config() if path is None else _config(path, families))


def with_flags(settings: Settings, task: Task | None, facets: Sequence[FacetOf], *, labels: bool) -> Settings:
    """The settings with what the command line says on top.

    Args:
        task: Of the model.
        facets: Groups to compare, instead of the file's.
        labels: There are some: quality is judged by them, asked or not.

    Raises:
        ConfigError: Labels are to be judged, and nobody said what the model does.
    """
    model = replace(settings.model, task=task) if task else settings.model
    judges = [each for each in settings.judges if not (facets and each.kind == "bias")]
    if facets:
        options = next((each.options for each in settings.judges if each.kind == "bias"), {})
        judges.append(Part(kind="bias", options={**options, "facets": tuple(facets)}))
    if labels and not any(each.kind == "quality" for each in judges):
        judges.insert(0, Part(kind="quality"))
    if labels and model.task is None:
        told = "missing; labels need it, expected binary, multiclass or regression, or model.task in --config"
        raise ConfigError(Fault("--task", told))
    return settings._replace(model=model, judges=tuple(judges))


def _settings(config: Config) -> Settings:
    parts = [part for part in config.monitors if part.kind == "data"]
    data = Data(**parts[0].options) if parts else Data()  # type: ignore[arg-type]  # read as its fields
    judges = tuple(part for part in config.monitors if part.kind in JUDGES)
    payload = config.payload
    return Settings(data, config.model, judges, payload.features, payload.prediction, payload.format)


def _config(path: str, families: Families) -> Config:
    try:
        document = parse_yaml(_text(path))
    except ConfigError as error:
        raise ConfigError(*(Fault(fault.path or path, fault.message) for fault in error.faults)) from None
    config, faults = read({} if document is None else document, families)
    faults = faults or [fault for fault in broken_rules(config, []) if fault.path.startswith(SECTIONS)]
    if faults:
        raise ConfigError(*faults)
    return config


def _text(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            data = file.read(FILE_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(Fault("--config", f"{path} cannot be read: {error.strerror or error}")) from None
    except ValueError:
        raise ConfigError(Fault(path, "expected a text in UTF-8")) from None
    if len(data) > FILE_BYTES:
        raise ConfigError(Fault(path, f"expected at most {FILE_BYTES} bytes"))
    return text
