"""What an experiment is made of: whether it can be, and what makes it another one."""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass

from sidecar.errors import ConfigError, Fault
from sidecar.experiments.guardrails import Guardrail, Saturation
from sidecar.experiments.measures import Cost

MOST_VARIANTS = 16
"""A bit of `users` each."""


def check(variants: Sequence[str], measures: Sequence[Guardrail]) -> None:
    """Refuse what cannot be compared.

    Raises:
        ValueError: A variant is there twice, or they are too many.
        ConfigError: A measure is there twice, or a price is missing.
    """
    if not len(set(variants)) == len(variants) <= MOST_VARIANTS:
        raise ValueError(f"variants {', '.join(variants)}: expected each once, and {MOST_VARIANTS} at most")
    faults, names = [], set[str]()
    for place, each in enumerate(measures):
        name = each.name if isinstance(each, Saturation) else each.judged.name
        if name in names:
            faults.append(Fault(f"measures[{place}]", f"{name} a second time, expected each once"))
        names.add(name)
        if isinstance(each, Cost):
            missing = each.unpriced(variants)
            faults += [Fault(f"measures[{place}].{fault.path}", fault.message) for fault in missing]
    if faults:
        raise ConfigError(*faults)


def identity(measure: object) -> list[object]:
    """What the values of a measure mean; margins only judge them."""
    assert is_dataclass(measure)
    options = {each.name: getattr(measure, each.name) for each in fields(measure)}
    return [type(measure).__name__, [(name, told) for name, told in options.items() if not name.startswith("margin")]]
