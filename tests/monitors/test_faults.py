from collections.abc import Callable, Mapping

import numpy as np
import pytest

from sidecar.monitors.drift import Drift
from sidecar.monitors.faults import Batches
from sidecar.records import Table
from sidecar.reference.binning import bins_of
from sidecar.stats.columns import Cells
from sidecar.stats.moments import Floats
from tests.monitors.rig import NAN, nothing, of, reference_of

COUNTRIES = ("AT", "DE", "CH", "FR")


def rows(
    rng: np.random.Generator,
    n: int,
    change: Callable[[Floats, dict[int, Cells]], None] = lambda *_: None,
    categories: tuple[str, ...] = COUNTRIES,
) -> Table:
    """An amount, a constant and a country."""
    values = np.column_stack([rng.gamma(2.0, 50.0, n), np.ones(n), np.full(n, NAN)])
    texts: dict[int, Cells] = {2: rng.choice(categories, n).tolist()}
    change(values, texts)
    return of(values, "amount", "constant", "country", texts=texts)


def found(change: Callable[[Floats, dict[int, Cells]], None] = lambda *_: None, **options: object) -> Mapping[str, str]:
    """What is said of the columns that have changed."""
    rng = np.random.default_rng(1)
    drift = Drift(bins_of(reference_of(rows(rng, 5000)).profiles), false_alarms_per=1e6, tolerance=0.005)
    for changed in [False] * 4 + [True] * 8:
        table = rows(rng, 200, change, **options) if changed else rows(rng, 200)  # type: ignore[arg-type]
        counted, whole = drift.count(table, nothing(200))
        drift.judge(counted, Batches(drift._bins, [whole]), 1.0)
    return {each.name: each.fault for each in drift.carriers("features")}


def change(how: Callable[[Floats], Floats]) -> Callable[[Floats, dict[int, Cells]], None]:
    def changed(values: Floats, _: dict[int, Cells]) -> None:
        values[:, 0] = how(values[:, 0])

    return changed


def no_amounts(values: Floats, _: dict[int, Cells]) -> None:
    values[::4, 0] = NAN


def amounts_as_texts(values: Floats, texts: dict[int, Cells]) -> None:
    texts[0] = [f"{value:.2f}" for value in values[:, 0]]
    values[:, 0] = NAN


def numbers_for_countries(values: Floats, texts: dict[int, Cells]) -> None:
    del texts[2]
    values[:, 2] = 7.0


def no_countries(_: Floats, texts: dict[int, Cells]) -> None:
    texts[2] = [None] * len(texts[2])


def another_constant(values: Floats, _: dict[int, Cells]) -> None:
    values[:, 1] = 500.0


@pytest.mark.parametrize(
    ("changed", "column", "fault"),
    [
        (no_amounts, "amount", "missing"),
        (no_countries, "country", "missing"),
        (amounts_as_texts, "amount", "type"),
        (numbers_for_countries, "country", "type"),
        (change(lambda values: values * 100), "amount", "range"),
        (change(lambda values: -values * 30), "amount", "range"),
        (change(lambda values: np.full_like(values, -1e30)), "amount", "range"),
        (another_constant, "constant", "range"),
    ],
)
def test_a_broken_pipeline_is_told_by_what_it_does(
    changed: Callable[[Floats, dict[int, Cells]], None], column: str, fault: str
) -> None:
    assert found(changed) == {column: fault}


def test_another_spelling_of_all_categories_is_a_fault() -> None:
    assert found(categories=("at", "de", "ch", "fr")) == {"country": "categories"}


def test_a_new_country_is_the_world_s() -> None:
    assert found(categories=(*COUNTRIES, "IT")) == {"country": ""}


@pytest.mark.parametrize("factor", [0.3, 0.8, 1.3, 2.0])
def test_other_amounts_are_the_world_s(factor: float) -> None:
    assert found(change(lambda values: values * factor)) == {"amount": ""}


def test_infinities_are_far_beyond_everything() -> None:
    assert found(change(lambda values: np.full_like(values, np.inf))) == {"amount": "range"}
