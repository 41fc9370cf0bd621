"""SageMaker's two files: statistics.json and constraints.json, read from whoever made them, and written.

What we do not know in them is passed over, and stays when they are written again; what is missing has SageMaker's
default. Both spellings that are about are read, `monitoringConfigOverrides` and `monitoring_config_overrides`, beside
the feature or among its string constraints.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-byoc-statistics.html
https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-byoc-constraints.html
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Literal, TypeVar, get_args

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from sidecar.errors import ConfigError, Fault
from sidecar.records import JSON
from sidecar.reference.constraints import CategoricalMethod, Constraint, Constraints, Method, Monitoring
from sidecar.reference.profile import Categories, Kind, Numbers, Profile, Profiles
from sidecar.reference.sketch import Sketch

F = TypeVar("F", bound=Struct)
Switch = Literal["Enabled", "Disabled"]
Count = Annotated[int, Meta(ge=0, le=1 << 53)]
"""No more rows than a double tells apart, as they are summed."""

Share = Annotated[float, Meta(ge=0, le=1)]
Word = Literal["NaN", "Infinity", "-Infinity"]
Number = float | Word
"""Java's JSON writers put in words what JSON has no number for."""
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises: it is not JSON of the kind that is wanted, not UTF-8, or nested too deeply."""
MAX_K = 65535
"""Of a sketch, as DataSketches has it."""

MAX_LEVELS = 48
"""Of a sketch: an item of the last one stands for 2^47 numbers."""


class _Distribution(Struct):
    perform_comparison: Switch | UnsetType = UNSET
    comparison_threshold: Share | UnsetType = UNSET
    comparison_method: Method | UnsetType = UNSET
    categorical_comparison_threshold: Share | UnsetType = UNSET
    categorical_drift_method: CategoricalMethod | UnsetType = UNSET


class _Monitoring(Struct):
    evaluate_constraints: Switch | UnsetType = UNSET
    emit_metrics: Switch | UnsetType = UNSET
    enable_comparisons: bool | UnsetType = UNSET
    datatype_check_threshold: Share | UnsetType = UNSET
    domain_content_threshold: Share | UnsetType = UNSET
    min_domain_mass: Share | UnsetType = UNSET
    distribution_constraints: _Distribution | UnsetType = UNSET


class _NumberConstraints(Struct):
    is_non_negative: bool = False
    minimum: float | UnsetType | None = UNSET  # ours, as the next
    maximum: float | UnsetType | None = UNSET


class _TextConstraints(Struct):
    domains: list[str] | UnsetType | None = UNSET
    camel_overrides: _Monitoring | UnsetType | None = field(default=UNSET, name="monitoringConfigOverrides")
    overrides: _Monitoring | UnsetType | None = field(default=UNSET, name="monitoring_config_overrides")


class _FeatureConstraints(Struct):
    name: str
    inferred_type: Kind = "Unknown"
    completeness: Share = 0.0
    num_constraints: _NumberConstraints | UnsetType | None = UNSET
    string_constraints: _TextConstraints | UnsetType | None = UNSET
    camel_overrides: _Monitoring | UnsetType | None = field(default=UNSET, name="monitoringConfigOverrides")
    overrides: _Monitoring | UnsetType | None = field(default=UNSET, name="monitoring_config_overrides")


class _ConstraintsFile(Struct, kw_only=True):
    version: float = 0.0
    features: list[_FeatureConstraints]
    monitoring_config: _Monitoring = field(default_factory=_Monitoring)


class _Common(Struct):
    num_present: Count
    num_missing: Count


class _Bucket(Struct):
    lower_bound: Number
    upper_bound: Number
    count: float


class _SketchParameters(Struct):
    c: float
    k: Annotated[float, Meta(gt=0, le=MAX_K)]


class _Sketch(Struct):
    parameters: _SketchParameters
    data: Annotated[list[list[float]], Meta(max_length=MAX_LEVELS)]


class _Kll(Struct):
    buckets: list[_Bucket] = field(default_factory=list)
    sketch: _Sketch | UnsetType | None = UNSET


class _NumberDistribution(Struct):
    kll: _Kll = field(default_factory=_Kll)


class _NumberStatistics(Struct):
    common: _Common
    mean: Number = math.nan
    sum: Number = math.nan
    std_dev: Number = math.nan
    min: Number = math.nan
    max: Number = math.nan
    distribution: _NumberDistribution = field(default_factory=_NumberDistribution)


class _Category(Struct):
    value: str
    count: Count


class _CategoryBuckets(Struct):
    buckets: list[_Category] = field(default_factory=list)


class _TextDistribution(Struct):
    categorical: _CategoryBuckets = field(default_factory=_CategoryBuckets)


class _TextStatistics(Struct):
    common: _Common
    distinct_count: float = 0.0
    distribution: _TextDistribution = field(default_factory=_TextDistribution)


class _FeatureStatistics(Struct):
    name: str
    inferred_type: Kind = "Unknown"
    numerical_statistics: _NumberStatistics | UnsetType | None = UNSET
    string_statistics: _TextStatistics | UnsetType | None = UNSET
    common: _Common | UnsetType | None = UNSET


class _Dataset(Struct):
    item_count: Count


class _StatisticsFile(Struct, kw_only=True):
    version: float = 0.0
    dataset: _Dataset
    features: list[_FeatureStatistics]


def parse_statistics(data: bytes, where: str) -> Profiles:
    """Read statistics.json.

    Args:
        where: What to call it in an error: its path.

    Raises:
        ConfigError: It is not JSON or a field has the wrong type; the fault names it: `$.features[2].name`.
    """
    file = _decode(data, where, _StatisticsFile)
    _require_distinct((feature.name for feature in file.features), where)
    return Profiles(file.dataset.item_count, [_profile(feature, file.dataset.item_count) for feature in file.features])


def parse_constraints(data: bytes, where: str) -> Constraints:
    """Read constraints.json; arguments and errors as `parse_statistics` has them."""
    file = _decode(data, where, _ConstraintsFile)
    _require_distinct((feature.name for feature in file.features), where)
    monitoring = _monitoring(file.monitoring_config, Monitoring())
    return Constraints([_constraint(feature, monitoring) for feature in file.features], monitoring)


def write_statistics(profiles: Profiles) -> bytes:
    """The file for these profiles."""
    features = [_feature_statistics(profile) for profile in profiles.features]
    return _encode(_StatisticsFile(dataset=_Dataset(profiles.rows), features=features))


def write_constraints(constraints: Constraints) -> bytes:
    """The file for these constraints; a feature says in an override only what differs from the whole."""
    features = [_feature_constraints(feature, constraints.monitoring) for feature in constraints.features]
    return _encode(_ConstraintsFile(features=features, monitoring_config=_written(constraints.monitoring, None)))


def keeping(new: bytes, old: bytes) -> bytes:
    """The new file, with the fields of the old one that we do not know: somebody else's, who misses them.

    Args:
        new: As `write_statistics` or `write_constraints` has it.
        old: The file in its place; passed over where it is no such file.
    """
    try:
        earlier = msgspec.json.decode(old)
    except UNREADABLE:
        return new
    document = msgspec.json.decode(new)
    return _encode(_kept(document, earlier, _StatisticsFile if "dataset" in document else _ConstraintsFile))


def _kept(new: JSON, old: JSON, kind: object) -> JSON:
    """A node of the new file, with what the old one's has and `kind`, a Struct, does not name."""
    if isinstance(kind, type) and issubclass(kind, Struct) and isinstance(old, dict) and isinstance(new, dict):
        known = {each.encode_name: each.type for each in msgspec.structs.fields(kind)}
        strange = {name: value for name, value in old.items() if name not in known}
        inner = {name: _kept(value, old.get(name), _struct_in(known[name])) for name, value in new.items()}
        return {**inner, **strange}
    if isinstance(new, list) and isinstance(old, list):
        named = {each["name"]: each for each in old if isinstance(each, dict) and isinstance(each.get("name"), str)}
        return [
            _kept(each, named.get(each["name"]), kind) if isinstance(each, dict) and "name" in each else each
            for each in new
        ]
    return new


def _struct_in(annotation: object) -> object:
    """The Struct among the types of a field, or of a list's members; None where there is none."""
    if isinstance(annotation, type) and issubclass(annotation, Struct):
        return annotation
    return next((found for each in get_args(annotation) if (found := _struct_in(each))), None)


def _decode(data: bytes, where: str, kind: type[F]) -> F:
    try:
        return msgspec.json.decode(data, type=kind)
    except UNREADABLE as error:
        raise ConfigError(Fault(where, f"{error}, in a file of SageMaker's")) from None


def _encode(document: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _require_distinct(names: Iterator[str], where: str) -> None:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            raise ConfigError(
                Fault(where, f"$.features[{index}].name: {name!r} a second time, expected each name once")
            )
        seen.add(name)


# statistics.json


def _profile(feature: _FeatureStatistics, rows: int) -> Profile:
    numbers, texts = feature.numerical_statistics, feature.string_statistics
    statistics = numbers or texts
    common = statistics.common if statistics else feature.common or _Common(0, rows)
    return Profile(
        feature.name,
        feature.inferred_type,
        common.num_present,
        common.num_missing,
        numbers=_numbers(numbers) if numbers else None,
        categories=_categories(texts) if texts else None,
    )


def _numbers(statistics: _NumberStatistics) -> Numbers:
    sketch = statistics.distribution.kll.sketch
    return Numbers(
        mean=float(statistics.mean),
        total=float(statistics.sum),
        std=float(statistics.std_dev),
        minimum=float(statistics.min),
        maximum=float(statistics.max),
        sketch=Sketch(sketch.parameters.k, sketch.data, sketch.parameters.c) if sketch else None,
    )


def _categories(statistics: _TextStatistics) -> Categories:
    buckets = sorted(statistics.distribution.categorical.buckets, key=lambda bucket: -bucket.count)
    return Categories(statistics.distinct_count, {bucket.value: bucket.count for bucket in buckets})


def _feature_statistics(profile: Profile) -> _FeatureStatistics:
    common = _Common(profile.present, profile.missing)
    written = _FeatureStatistics(profile.name, profile.kind)
    if profile.numbers:
        written.numerical_statistics = _number_statistics(profile.numbers, common)
    elif profile.categories:
        buckets = [_Category(text, count) for text, count in profile.categories.counts.items()]
        distribution = _TextDistribution(_CategoryBuckets(buckets))
        written.string_statistics = _TextStatistics(common, profile.categories.distinct, distribution)
    else:
        written.common = common
    return written


def _number_statistics(numbers: Numbers, common: _Common) -> _NumberStatistics:
    kll = _Kll()
    if sketch := numbers.sketch:
        edges, counts = sketch.buckets()
        pairs = zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True)
        levels = [list(map(float, level)) for level in sketch.levels]
        kll = _Kll([_Bucket(*pair) for pair in pairs], _Sketch(_SketchParameters(sketch.c, sketch.k), levels))
    return _NumberStatistics(
        common,
        mean=_in_words(numbers.mean),
        sum=_in_words(numbers.total),
        std_dev=_in_words(numbers.std),
        min=_in_words(numbers.minimum),
        max=_in_words(numbers.maximum),
        distribution=_NumberDistribution(kll),
    )


def _in_words(number: float) -> Number:
    """The number; in words where JSON has none for it: the sum of many large ones."""
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


# constraints.json


def _constraint(feature: _FeatureConstraints, monitoring: Monitoring) -> Constraint:
    numbers, texts = feature.num_constraints, feature.string_constraints
    overrides = [feature.camel_overrides, feature.overrides]
    if texts:
        overrides += [texts.camel_overrides, texts.overrides]
    for override in overrides:
        if override:
            monitoring = _monitoring(override, monitoring)
    return Constraint(
        feature.name,
        feature.inferred_type,
        feature.completeness,
        numbers.is_non_negative if numbers else False,
        texts.domains if texts and texts.domains is not UNSET else None,
        monitoring,
        minimum=_given(numbers.minimum) if numbers else None,
        maximum=_given(numbers.maximum) if numbers else None,
    )


def _monitoring(given: _Monitoring, default: Monitoring) -> Monitoring:
    """What a file says, on top of what holds without it; an older spelling counts where there is no newer one."""
    distribution = given.distribution_constraints or _Distribution()
    compares = _switched(distribution.perform_comparison)
    found: dict[str, object] = {
        "evaluates": _switched(given.evaluate_constraints),
        "emits": _switched(given.emit_metrics),
        "compares": given.enable_comparisons if compares is UNSET else compares,
        "datatype_threshold": given.datatype_check_threshold,
        "domain_threshold": _first(given.domain_content_threshold, given.min_domain_mass),
        "comparison_threshold": distribution.comparison_threshold,
        "comparison_method": distribution.comparison_method,
        "categorical_threshold": distribution.categorical_comparison_threshold,
        "categorical_method": distribution.categorical_drift_method,
    }
    return replace(default, **{name: value for name, value in found.items() if value is not UNSET})  # type: ignore[arg-type]


def _given(number: float | UnsetType | None) -> float | None:
    return None if number is UNSET else number


def _switched(switch: Switch | UnsetType) -> bool | UnsetType:
    return UNSET if switch is UNSET else switch == "Enabled"


def _first(*values: float | UnsetType) -> float | UnsetType:
    return next((value for value in values if value is not UNSET), UNSET)


def _feature_constraints(feature: Constraint, whole: Monitoring) -> _FeatureConstraints:
    numeric = feature.kind in {"Integral", "Fractional"}
    return _FeatureConstraints(
        feature.name,
        feature.kind,
        feature.completeness,
        num_constraints=_number_constraints(feature) if numeric else UNSET,
        string_constraints=_TextConstraints(list(feature.domain)) if feature.domain is not None else UNSET,
        camel_overrides=_written(feature.monitoring, whole) if feature.monitoring != whole else UNSET,
    )


def _number_constraints(feature: Constraint) -> _NumberConstraints:
    low, high = (UNSET if bound is None else bound for bound in (feature.minimum, feature.maximum))
    return _NumberConstraints(feature.non_negative, low, high)


def _written(monitoring: Monitoring, whole: Monitoring | None) -> _Monitoring:
    """All of it, or what differs from the whole."""

    def told(name: str) -> bool:
        return whole is None or getattr(monitoring, name) != getattr(whole, name)

    def switch(name: str) -> Switch | UnsetType:
        if not told(name):
            return UNSET
        return "Enabled" if getattr(monitoring, name) else "Disabled"

    def value(name: str) -> float | UnsetType:
        found: float | None = getattr(monitoring, name)
        return found if found is not None and told(name) else UNSET

    distribution = _Distribution(
        perform_comparison=switch("compares"),
        comparison_threshold=value("comparison_threshold"),
        comparison_method=monitoring.comparison_method if told("comparison_method") else UNSET,
        categorical_comparison_threshold=value("categorical_threshold"),
        categorical_drift_method=monitoring.categorical_method if told("categorical_method") else UNSET,
    )
    return _Monitoring(
        evaluate_constraints=switch("evaluates"),
        emit_metrics=switch("emits"),
        datatype_check_threshold=value("datatype_threshold"),
        domain_content_threshold=value("domain_threshold"),
        distribution_constraints=distribution if distribution != _Distribution() else UNSET,
    )
