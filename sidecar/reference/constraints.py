"""What the data ought to be: what constraints.json holds, its overrides applied."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from sidecar.reference.profile import Kind, Profile, Profiles

Method = Literal["Simple", "Robust"]
CategoricalMethod = Literal["LInfinity", "ChiSquared"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitoring:
    """How strict the checks are: `monitoring_config`, for all features or for one.

    Args:
        evaluates: Whether anything is checked.
        emits: Whether metrics are wanted.
        compares: Whether distributions are compared with the reference's.
        datatype_threshold: The share of values that must be of the type.
        domain_threshold: The share of texts that must be in the domain.
        comparison_threshold: Of the distance between distributions.
        comparison_method: Of numbers: the greatest distance of the distribution functions, or that less what chance
            explains.
        categorical_threshold: Of the distance between categories, or of the p-value; None where it is the same as
            `comparison_threshold`.
        categorical_method: Of categories.
    """

    evaluates: bool = True
    emits: bool = True
    compares: bool = True
    datatype_threshold: float = 0.1
    domain_threshold: float = 0.1
    comparison_threshold: float = 0.1
    comparison_method: Method = "Robust"
    categorical_threshold: float | None = None
    categorical_method: CategoricalMethod = "LInfinity"


@dataclass(frozen=True, slots=True)
class Constraint:
    """What one feature ought to be.

    Args:
        completeness: The least share of rows with a value.
        non_negative: No number is below zero.
        domain: The texts that may occur; None where any may.
        monitoring: How strict its checks are.
        minimum: The least number that may occur; None where any may, and never suggested: SageMaker has no such field.
        maximum: Likewise the greatest.
    """

    name: str
    kind: Kind
    completeness: float
    non_negative: bool
    domain: Sequence[str] | None
    monitoring: Monitoring
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True)
class Constraints:
    """What the features ought to be, in the file's order, and how strict checks are where none says otherwise."""

    features: Sequence[Constraint]
    monitoring: Monitoring = field(default_factory=Monitoring)


MAX_DOMAIN = 100
"""Texts of a feature that is still taken for a choice among some; one with more is free text."""

GENERATED = Monitoring(datatype_threshold=1.0, domain_threshold=1.0)
"""What SageMaker writes into the constraints that it suggests."""


def suggested(profiles: Profiles, earlier: Constraints | None = None) -> Constraints:
    """The constraints that the data themselves keep, as SageMaker suggests them.

    Args:
        earlier: What somebody has chosen holds on: how strict checks are, as a whole and by feature, and the ranges of
            numbers. None for what SageMaker writes.
    """
    strict = earlier.monitoring if earlier else GENERATED
    own = {feature.name: feature for feature in earlier.features} if earlier else {}
    return Constraints([_suggested(profile, own.get(profile.name), strict) for profile in profiles.features], strict)


def _suggested(profile: Profile, earlier: Constraint | None, strict: Monitoring) -> Constraint:
    categories = profile.categories
    closed = categories is not None and len(categories.counts) == categories.distinct <= MAX_DOMAIN
    return Constraint(
        name=profile.name,
        kind=profile.kind,
        completeness=profile.completeness,
        non_negative=profile.numbers is not None and profile.numbers.minimum >= 0,
        domain=list(categories.counts) if categories is not None and closed else None,
        monitoring=earlier.monitoring if earlier else strict,
        minimum=earlier.minimum if earlier else None,
        maximum=earlier.maximum if earlier else None,
    )
