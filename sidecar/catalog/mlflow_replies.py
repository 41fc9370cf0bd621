"""What an MLflow server answers, of it what is of use here, and the few ways in which it writes things down.

Whatever is not there has MLflow's own default, as protobuf's JSON leaves that out. Times are milliseconds.
"""

from collections.abc import Iterable, Mapping
from math import copysign, inf
from sys import float_info
from typing import Annotated

from msgspec import Meta, Struct, field

# What a float holds exactly: any larger one is somebody's joke.
Millis = Annotated[int, Meta(ge=-(2**52), le=2**52)]
# What a date can be: those that a server makes itself are written in tags again.
Moment = Annotated[int, Meta(ge=-62_135_596_800_000, le=253_402_300_799_000)]
Number = Annotated[int, Meta(ge=1, le=2**52)]


class Tag(Struct):
    """A name and its text: a tag or a parameter."""

    key: str
    value: str = ""


class VersionDocument(Struct):
    """A model version."""

    name: str
    version: Number
    creation_timestamp: Moment = 0
    last_updated_timestamp: Moment = 0
    user_id: str = ""
    description: str = ""
    source: str = ""
    run_id: str = ""
    tags: list[Tag] = []


class VersionReply(Struct):
    """One of them."""

    model_version: VersionDocument


class VersionsPage(Struct):
    """A page of them."""

    model_versions: list[VersionDocument] = []
    next_page_token: str = ""


class Alias(Struct):
    """A name for a version of a model."""

    alias: str
    version: Number


class Model(Struct):
    """A registered model."""

    name: str
    last_updated_timestamp: Millis = 0
    aliases: list[Alias] = []


class ModelReply(Struct):
    """One of them."""

    registered_model: Model


class ModelsPage(Struct):
    """A page of them."""

    registered_models: list[Model] = []
    next_page_token: str = ""


class Experiment(Struct):
    """What runs are in."""

    experiment_id: str
    name: str = ""
    lifecycle_stage: str = "active"


class ExperimentReply(Struct):
    """One of them."""

    experiment: Experiment


class Created(Struct):
    """The experiment that was made."""

    experiment_id: str


class Metric(Struct):
    """A value of a metric."""

    key: str
    value: float = 0.0
    timestamp: Millis = 0
    step: int = 0


class MetricsPage(Struct):
    """A page of them."""

    metrics: list[Metric] = []
    next_page_token: str = ""


class RunInfo(Struct):
    """What a run is."""

    run_id: str
    experiment_id: str = ""
    run_name: str = ""
    status: str = ""
    start_time: Millis = 0
    end_time: Millis = 0
    lifecycle_stage: str = "active"


class RunData(Struct):
    """What it has logged: of each metric the last value."""

    metrics: list[Metric] = []
    params: list[Tag] = []
    tags: list[Tag] = []


class Dataset(Struct):
    """Data."""

    name: str = ""
    digest: str = ""


class DatasetInput(Struct):
    """Data that a run has read; what for is a tag."""

    dataset: Dataset = field(default_factory=Dataset)
    tags: list[Tag] = []


class RunInputs(Struct):
    """All of it."""

    dataset_inputs: list[DatasetInput] = []


class RunDocument(Struct):
    """A run."""

    info: RunInfo
    data: RunData = field(default_factory=RunData)
    inputs: RunInputs = field(default_factory=RunInputs)


class RunReply(Struct):
    """One of them."""

    run: RunDocument


class RunsPage(Struct):
    """A page of them."""

    runs: list[RunDocument] = []
    next_page_token: str = ""


def texts(tags: Iterable[Tag]) -> dict[str, str]:
    """By name."""
    return {each.key: each.value for each in tags}


def as_tags(named: Mapping[str, str]) -> list[dict[str, str]]:
    """As a server takes tags and parameters."""
    return [{"key": name, "value": text} for name, text in named.items()]


def as_millis(time_s: float) -> int:
    """A time as a server takes it."""
    return round(time_s * 1000)


def value_of(metric: Metric) -> float:
    """Its value. MLflow's stores in SQL have the largest number that there is in the place of infinity.

    Example:
        >>> value_of(Metric("loss", -1.7976931348623157e308))
        -inf
    """
    return copysign(inf, metric.value) if abs(metric.value) >= float_info.max else metric.value


def quoted(text: str) -> str:
    r"""A comparison with this text, for a filter; of a text with both kinds of quotes with others too.

    Example:
        >>> quoted("fraud"), quoted("it's"), quoted("it's a \"fraud\"")
        ("= 'fraud'", '= "it\'s"', "LIKE 'it_s a _fraud_'")
    """
    if "'" not in text:
        return f"= '{text}'"
    return f'= "{text}"' if '"' not in text else f"LIKE '{_loose(text)}'"


def holding(text: str) -> str:
    """A comparison with texts that hold this one, and perhaps with others."""
    return f"LIKE '%{_loose(text)}%'"


def _loose(text: str) -> str:
    return text.replace("'", "_").replace('"', "_").replace("\\", "_")
