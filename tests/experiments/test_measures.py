import math
from collections.abc import Callable

import numpy as np
import pytest

from sidecar.config.keys import options
from sidecar.errors import ConfigError
from sidecar.experiments import GUARDRAILS, MEASURES
from sidecar.experiments.measures import (
    Batch,
    Cost,
    Errors,
    Latency,
    Lost,
    Measure,
    Metric,
    Outcome,
    Outcomes,
    Predicted,
    Quality,
    Replied,
    Served,
)
from sidecar.records import JSON
from sidecar.stats.moments import Floats

NAN = math.nan
SERVED = Served(np.array([True, False, False, False]), np.array([9.0, 0.5, NAN, -1.0]))
DOCUMENTS: list[JSON] = [{"n": 3}, {"n": "3"}, None, {"n": [1, 2]}]
REPLIED = Replied(DOCUMENTS, np.array([1.0, 2.0, 3.0, NAN]))
BATCHES: list[Batch] = [SERVED, Lost(np.ones(2)), Outcomes("a", np.ones(2)), REPLIED, Predicted(np.ones(2))]


def values(measure: Measure, batch: Batch, variant: str = "champion") -> Floats:
    found = measure.values(variant, batch)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("measure", "name", "margin", "relative"),
    [
        (Errors(), "errors", 0.002, False),
        (Latency(), "latency.mean", 0.05, True),
        (Latency(quantile=0.99), "latency.p99", 0.05, True),
        (Latency(quantile=0.999, margin_ratio=0.2), "latency.p99.9", 0.2, True),
        (Latency(quantile=0.55), "latency.p55", 0.05, True),
        (Quality(), "quality", 0.005, False),
        (Outcome(metric="chargeback_amount", better="lower"), "outcome.chargeback_amount", 0.05, True),
        (Metric(pointer="/usage/0/tokens", better="lower"), "metric./usage/0/tokens", 0.05, True),
        (Cost(per_request={"champion": 1.0}), "cost", 0.05, True),
    ],
)
def test_a_measure_has_a_name_of_its_own(measure: Measure, name: str, margin: float, *, relative: bool) -> None:
    judged = measure.judged

    assert (judged.name, judged.margin, judged.relative) == (name, margin, relative)


def test_a_measure_reads_what_it_is_about_and_nothing_else() -> None:
    asked: dict[Measure, type] = {
        Errors(): Served,
        Latency(quantile=0.5): Served,
        Quality(): Lost,
        Outcome(metric="a", better="higher"): Outcomes,
        Metric(pointer="/n", better="higher"): Replied,
    }
    for measure, kind in asked.items():
        read = [type(batch) for batch in BATCHES if measure.values("champion", batch) is not None]
        assert read == [kind]
    assert Outcome(metric="b", better="higher").values("champion", Outcomes("a", np.ones(2))) is None


def test_a_request_that_failed_is_an_error_and_has_no_latency() -> None:
    np.testing.assert_array_equal(values(Errors(), SERVED), [1, 0, 0, 0])
    np.testing.assert_array_equal(values(Latency(), SERVED), [NAN, 0.5, NAN, NAN])


@pytest.mark.parametrize(
    ("scale", "told"),
    [
        (1.0, [0, 0.5, 1, 1, 1, 1]),
        (10.0, [0, 0.05, 0.1, 1, 1, 1]),
        (1e-300, [0, 1, 1, 1, 1, 1]),
        (1e100, [0, 5e-101, 1e-100, 2e-99, 1, 1]),
    ],
)
def test_an_error_counts_by_its_scale_and_as_one_from_there_on(scale: float, told: list[float]) -> None:
    losses = np.array([0.0, 0.5, 1.0, 20.0, 1e308, math.inf])

    np.testing.assert_allclose(values(Quality(scale=scale), Lost(losses)), told, rtol=1e-15)


def test_a_loss_below_nought_is_none() -> None:
    np.testing.assert_array_equal(values(Quality(scale=2.0), Lost(np.array([-0.1, NAN, -math.inf]))), [NAN, NAN, NAN])


def test_an_outcome_that_cannot_be_meant_is_none() -> None:
    found = values(Outcome(metric="a", better="higher"), Outcomes("a", np.array([-5.0, 1e300, -math.inf])))

    np.testing.assert_array_equal(found, [-5, NAN, NAN])


@pytest.mark.parametrize(
    ("pointer", "document", "number"),
    [
        ("/n", {"n": 3}, 3.0),
        ("/n", {"n": True}, 1.0),
        ("/n", {"n": None}, NAN),
        ("/n", {"n": "3"}, NAN),
        ("/n", {"n": {}}, NAN),
        ("/n", {}, NAN),
        ("/n", None, NAN),
        ("/n", [1], NAN),
        ("/n", {"n": 10**400}, NAN),
        ("/n", {"n": -(10**400)}, NAN),
        ("/n", {"n": math.inf}, NAN),
        ("/n", {"n": NAN}, NAN),
        ("", 7, 7.0),
        ("/rows/*/n", {"rows": [{"n": 1}, {"n": 2}]}, 1.5),
        ("/rows/*/n", {"rows": [{"n": 1}, {"n": "x"}]}, NAN),
        ("/rows/*/n", {"rows": []}, NAN),
    ],
)
def test_a_metric_is_the_number_at_its_pointer(pointer: str, document: JSON, number: float) -> None:
    found = values(Metric(pointer=pointer, better="higher"), Replied([document], np.zeros(1)))

    np.testing.assert_array_equal(found, [number])


def test_no_reply_has_no_metric() -> None:
    assert values(Metric(pointer="/n", better="higher"), Replied([], np.empty(0))).shape == (0,)


@pytest.mark.parametrize(
    ("cost", "batch", "expected"),
    [
        (Cost(per_request={"champion": 2.0}), SERVED, [2, 2, 2, 2]),
        (Cost(per_request={"champion": 2.0}, per_second={"champion": 10.0}), SERVED, [92, 7, NAN, NAN]),
        (Cost(pointer="/n", per_unit={"champion": 0.5}), REPLIED, [1.5, NAN, NAN, NAN]),
        (Cost(per_second={"champion": 2.0}, pointer="/n", per_unit={"champion": 0.5}), REPLIED, [3.5, NAN, NAN, NAN]),
    ],
)
def test_a_cost_is_the_sum_of_its_prices(cost: Cost, batch: Batch, expected: list[float]) -> None:
    np.testing.assert_array_equal(values(cost, batch), expected)


def test_a_cost_with_units_is_read_from_replies_alone() -> None:
    assert Cost(per_request={"champion": 1.0}).values("champion", REPLIED) is None
    assert Cost(pointer="/n", per_unit={"champion": 1.0}).values("champion", SERVED) is None


@pytest.mark.parametrize(
    ("make", "path", "message"),
    [
        (Cost, "per_request", "no price"),
        (lambda: Cost(per_request={}), "per_request", "no price"),
        (lambda: Cost(per_request={"a": 1.0}, pointer="/n"), "per_unit", "together"),
        (lambda: Cost(per_unit={"a": 1.0}), "per_unit", "together"),
        (lambda: Cost(per_unit={"a": 1.0}, pointer="n"), "pointer", "JSON pointer"),
        (lambda: Metric(pointer="n", better="higher"), "pointer", "JSON pointer"),
        (lambda: Metric(pointer="/~2", better="higher"), "pointer", "JSON pointer"),
    ],
)
def test_options_that_cannot_be_used_are_refused_with_their_path(
    make: Callable[[], Measure], path: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        make()

    assert [fault.path for fault in caught.value.faults] == [path]


def test_a_variant_without_a_price_where_another_has_one_is_told() -> None:
    cost = Cost(per_request={"a": 1.0}, per_second={"a": 0.0, "b": 0.0})

    assert [str(fault).partition(";")[0] for fault in cost.unpriced(("a", "b"))] == ["per_request: no price for b"]


@pytest.mark.parametrize("kind", GUARDRAILS)
def test_every_option_is_told(kind: str) -> None:
    known = options(GUARDRAILS[kind])

    assert known
    assert [option.name for option in known if not repr(option.annotation).count("description=")] == []


def test_every_measure_is_a_guardrail_too() -> None:
    assert list(GUARDRAILS) == [*MEASURES, "drift", "saturation"]
