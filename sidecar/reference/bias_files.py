"""SageMaker's files about bias and attribution: Clarify's analysis.json, which is the reference, and the violations.

Fields that we do not know are passed over. A metric that Clarify could not compute is null there with its `error`, an
infinite one is told in words; here the first is NaN, and is written as null again.

https://docs.aws.amazon.com/sagemaker/latest/dg/clarify-processing-job-analysis-results.html
https://docs.aws.amazon.com/sagemaker/latest/dg/clarify-model-monitor-bias-drift-violations.html
https://docs.aws.amazon.com/sagemaker/latest/dg/clarify-model-monitor-model-attribution-drift-violations.html
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Generic, Literal, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from sidecar.errors import ConfigError, Fault
from sidecar.records import JSON
from sidecar.reference.files import UNREADABLE, Number

F = TypeVar("F", bound=Struct)
V = TypeVar("V")
Value = Number | None
VERSION = "1.0"

OLDER: Mapping[str, str] = MappingProxyType({"DCA": "DCAcc"})
"""What metrics were called in files of earlier years, and are called since."""


@dataclass(frozen=True, slots=True)
class BiasMetric:
    """One metric of one group.

    Args:
        name: The short one: `DPPL`.
        description: The long one.
        value: NaN where it is unknown.
    """

    name: str
    description: str
    value: float


@dataclass(frozen=True, slots=True)
class GroupBias:
    """The metrics of one group against all others.

    Args:
        facet: By what the group is told apart: the name of a column.
        value_or_threshold: The group's value there, or its interval: `f`, `(40, 60]`.
    """

    facet: str
    value_or_threshold: str
    metrics: tuple[BiasMetric, ...]


@dataclass(frozen=True, slots=True)
class BiasReport:
    """The metrics of labels, or those of predictions.

    Args:
        label: The name of the label's column.
        label_value_or_threshold: The values that are the positive outcome, or their interval.
    """

    label: str
    label_value_or_threshold: str
    groups: tuple[GroupBias, ...]


@dataclass(frozen=True, slots=True)
class Attribution:
    """What a model's answers rest on.

    Args:
        values: The mean |attribution| of each feature.
        expected_value: What the model says when it knows no feature; NaN where nobody tells.
    """

    values: Mapping[str, float]
    expected_value: float = math.nan


@dataclass(frozen=True, slots=True)
class Analysis:
    """The file.

    Args:
        pre_training: Of labels; None where nobody measured.
        post_training: Likewise of predictions.
        attributions: By the name of the model's output: `label0`.
    """

    pre_training: BiasReport | None = None
    post_training: BiasReport | None = None
    attributions: Mapping[str, Attribution] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasViolation:
    """A metric of one group that is not what it may be, under the names that the file has for it.

    Args:
        facet: As `GroupBias` has it.
        facet_value: Its `value_or_threshold`.
        metric_name: The metric's short name.
    """

    facet: str
    facet_value: str
    metric_name: str
    constraint_check_type: Literal["bias_drift_check"] = "bias_drift_check"
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributionViolation:
    """A ranking of features that is no longer the reference's, likewise.

    Args:
        label: The name of the model's output.
        metric_name: The method by which attributions were found; SageMaker knows `shap` only.
    """

    label: str
    metric_name: str = "shap"
    constraint_check_type: Literal["feature_attribution_drift_check"] = "feature_attribution_drift_check"
    description: str = ""


class _Metric(Struct):
    name: str
    description: str = ""
    value: Value = None


class _Group(Struct):
    value_or_threshold: str | float
    metrics: list[_Metric]


class _Report(Struct):
    label: str | float
    facets: dict[str, list[_Group]]
    label_value_or_threshold: str | float = ""


class _Shap(Struct):
    global_shap_values: dict[str, Value]
    expected_value: Value | UnsetType = UNSET


class _Explanations(Struct):
    kernel_shap: dict[str, _Shap] = msgspec.field(default_factory=dict)


class _AnalysisFile(Struct, kw_only=True):
    version: str | float = VERSION
    pre_training_bias_metrics: _Report | UnsetType | None = UNSET
    post_training_bias_metrics: _Report | UnsetType | None = UNSET
    explanations: _Explanations | UnsetType | None = UNSET


class _ViolationsFile(Struct, Generic[V], kw_only=True):
    version: str | float = VERSION
    violations: list[V]


def parse_analysis(data: bytes, where: str) -> Analysis:
    """Read analysis.json.

    Args:
        where: What to call it in an error: its path.

    Raises:
        ConfigError: It is not JSON or a field has the wrong type; the fault names it.
    """
    file = _decode(data, where, _AnalysisFile)
    explained = file.explanations.kernel_shap if file.explanations else {}
    return Analysis(
        _report(file.pre_training_bias_metrics) if file.pre_training_bias_metrics else None,
        _report(file.post_training_bias_metrics) if file.post_training_bias_metrics else None,
        {label: _attribution(shap) for label, shap in explained.items()},
    )


def write_analysis(analysis: Analysis) -> bytes:
    """The file for this analysis."""
    return _encode(analysis_document(analysis))


def analysis_document(analysis: Analysis) -> JSON:
    """What is in it."""
    before, after, shap = analysis.pre_training, analysis.post_training, analysis.attributions
    return msgspec.to_builtins(
        _AnalysisFile(
            pre_training_bias_metrics=_written(before) if before else UNSET,
            post_training_bias_metrics=_written(after) if after else UNSET,
            explanations=_Explanations({label: _shap(each) for label, each in shap.items()}) if shap else UNSET,
        )
    )


def parse_bias_violations(data: bytes, where: str) -> list[BiasViolation]:
    """Read constraint_violations.json of a monitor of bias; arguments and errors as `parse_analysis` has them."""
    return _decode(data, where, _ViolationsFile[BiasViolation]).violations


def write_bias_violations(found: Iterable[BiasViolation]) -> bytes:
    """constraint_violations.json of a monitor of bias."""
    return _encode(_ViolationsFile(violations=list(found)))


def parse_attribution_violations(data: bytes, where: str) -> list[AttributionViolation]:
    """Read constraint_violations.json of a monitor of attributions, likewise."""
    return _decode(data, where, _ViolationsFile[AttributionViolation]).violations


def write_attribution_violations(found: Iterable[AttributionViolation]) -> bytes:
    """constraint_violations.json of a monitor of attributions."""
    return _encode(_ViolationsFile(violations=list(found)))


def _decode(data: bytes, where: str, kind: type[F]) -> F:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise _fault(where, error) from None
    except UNREADABLE as error:
        return _decode_with_tokens(data, where, kind, _fault(where, error))


def _decode_with_tokens(data: bytes, where: str, kind: type[F], otherwise: ConfigError) -> F:
    """As Python writes it, which Clarify is: with NaN and Infinity where JSON has no number."""
    try:
        document = json.loads(data)
        # Half of a surrogate pair is no character, and no text that could be written again.
        json.dumps(document, ensure_ascii=False).encode()
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise _fault(where, error) from None
    except (ValueError, RecursionError):
        raise otherwise from None


def _fault(where: str, error: Exception) -> ConfigError:
    return ConfigError(Fault(where, f"{error}, in a file of SageMaker's"))


def _encode(document: JSON) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _report(given: _Report) -> BiasReport:
    groups = [
        GroupBias(facet, _text(group.value_or_threshold), tuple(_metric(each) for each in group.metrics))
        for facet, members in given.facets.items()
        for group in members
    ]
    return BiasReport(_text(given.label), _text(given.label_value_or_threshold), tuple(groups))


def _metric(given: _Metric) -> BiasMetric:
    return BiasMetric(OLDER.get(given.name, given.name), given.description, _number(given.value))


def _attribution(given: _Shap) -> Attribution:
    values = {name: _number(value) for name, value in given.global_shap_values.items()}
    return Attribution(values, math.nan if given.expected_value is UNSET else _number(given.expected_value))


def _written(report: BiasReport) -> _Report:
    facets: dict[str, list[_Group]] = {}
    for group in report.groups:
        metrics = [_Metric(each.name, each.description, _value(each.value)) for each in group.metrics]
        facets.setdefault(group.facet, []).append(_Group(group.value_or_threshold, metrics))
    return _Report(report.label, facets, report.label_value_or_threshold)


def _shap(attribution: Attribution) -> _Shap:
    values = {name: _value(value) for name, value in attribution.values.items()}
    expected = attribution.expected_value
    return _Shap(values, UNSET if math.isnan(expected) else _value(expected))


def _text(given: str | float) -> str:
    """A value as Clarify writes it; a number without a fraction is told without one."""
    return given if isinstance(given, str) else f"{given:.15g}"


def _number(value: Value) -> float:
    return math.nan if value is None else float(value)


def _value(number: float) -> Value:
    """The number; null where it is unknown, in words where it is infinite."""
    if math.isfinite(number):
        return number
    return None if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
