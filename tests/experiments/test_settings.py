import pytest

from sidecar.errors import ConfigError
from sidecar.experiments.guardrails import Drift, Guardrail, Saturation
from sidecar.experiments.measures import Cost, Errors, Latency, Quality
from sidecar.experiments.settings import MOST_VARIANTS, check, identity

VARIANTS = ("champion", "challenger")


def test_a_measure_a_second_time_and_a_missing_price_are_refused_with_their_place() -> None:
    with pytest.raises(ConfigError) as caught:
        check(VARIANTS, (Errors(), Cost(per_request={"champion": 1.0}), Errors(margin=0.1)))

    assert [fault.path for fault in caught.value.faults] == ["measures[1].per_request", "measures[2]"]


@pytest.mark.parametrize(
    "variants", [["champion", "champion"], ["a", "b", "b"], [f"v{n}" for n in range(MOST_VARIANTS + 1)]]
)
def test_variants_are_each_there_once_and_not_too_many(variants: list[str]) -> None:
    with pytest.raises(ValueError, match="expected each once, and 16 at most"):
        check(variants, [Errors()])


def test_measures_of_one_kind_may_differ_in_what_they_measure() -> None:
    check(VARIANTS, [Latency(), Latency(quantile=0.5), Latency(quantile=0.99), Saturation(in_flight=3)])


@pytest.mark.parametrize(
    ("one", "other"),
    [(Errors(), Errors(margin=0.5)), (Latency(), Latency(margin_ratio=0.3)), (Drift(), Drift(margin=0.3))],
)
def test_another_margin_makes_no_other_measure(one: Guardrail, other: Guardrail) -> None:
    assert identity(one) == identity(other)


@pytest.mark.parametrize(
    ("one", "other"), [(Latency(), Latency(quantile=0.5)), (Quality(), Quality(scale=2.0)), (Errors(), Quality())]
)
def test_other_options_do(one: Guardrail, other: Guardrail) -> None:
    assert identity(one) != identity(other)
