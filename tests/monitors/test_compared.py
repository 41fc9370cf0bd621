import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.monitors.compared import EVERY_S, MAX_FEATURES, Compared, Judging
from sidecar.monitors.groups import FacetOf
from sidecar.quality.bias import UNBIASED, Facet, post_training, pre_training
from sidecar.quality.flipping import flip_test
from sidecar.quality.ranges import measured
from sidecar.quality.reading import Reading, Task
from sidecar.records import Labelled, Table
from sidecar.reference.bias_files import BiasMetric, GroupBias
from tests.monitors.rig import of

NOW_S = 1e9
OLD, WOMEN, SENIOR = (
    FacetOf(feature="age", above=0.0),
    FacetOf(header="x-sex", values=("f",)),
    FacetOf(group="senior", values=("true",)),
)
CLASSES = ("cat", "dog", "fish")


def judging(*facets: FacetOf, task: Task = "binary", **changes: object) -> Judging:
    outcomes = {"binary": {"1"}, "multiclass": {"cat", "fish"}, "regression": set[str]()}[task]
    made = Judging(
        facets=facets or (OLD, WOMEN),
        outcomes=frozenset(outcomes),
        outcome_above=10.0 if task == "regression" else None,
        strata="city",
        allowed={},
        reference=(),
        confidence=0.95,
        least_rows=20,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # of whatever field


def compared(judged: Judging, task: Task = "binary", *, rows: int = 10_000, seconds: float = 1e6) -> Compared:
    reading = Reading(task=task, classes=CLASSES if task == "multiclass" else ())
    return Compared(judged, reading, rows=rows, seconds=seconds)


def simulated(seed: int, n: int, task: Task = "binary", *, unfair: float = 0.0) -> Labelled:
    """Rows a second apart, some of unknown groups; the model turns down a share of the old."""
    rng = np.random.default_rng(seed)
    age, income, city = rng.normal(size=n), rng.normal(size=n), rng.choice(["a", "b", "c"], size=n).tolist()
    sex = rng.choice(["f", "m", "?"], size=n)
    sexes = [None if each == "?" else str(each) for each in sex]
    down = (age > 0) & (rng.random(n) < unfair)
    texts: dict[str, dict[int, Sequence[str | None]]] = {"labels": {}, "predictions": {}}
    if task == "multiclass":
        values = {name: np.full(n, np.nan) for name in texts}
        for name in texts:
            texts[name] = {0: [CLASSES[place] for place in rng.integers(3, size=n)]}
    elif task == "regression":
        values = {"labels": rng.normal(10, 2, n), "predictions": rng.normal(10, 2, n) - 9 * down}
    else:
        values = {
            "labels": rng.integers(2, size=n) * 1.0,
            "predictions": np.where(down, 0, rng.integers(2, size=n)) * 1.0,
        }
    return Labelled(
        "champion",
        "3",
        NOW_S - n + np.arange(n, dtype=np.float64),
        rng.integers(1, 4, size=n).astype(np.float64),
        of(np.column_stack([age, income, np.full(n, np.nan)]), "age", "income", "city", texts={2: city}),
        of(values["predictions"], "answer", texts=texts["predictions"]),
        of(values["labels"], "label", texts=texts["labels"]),
        of(np.full(n, np.nan), "x-sex", texts={0: sexes}),
    )


def cut(rows: Labelled, places: Sequence[int]) -> Iterator[Labelled]:
    """The rows in pieces that begin at these places."""
    n = len(rows.times_s)
    ends = sorted({0, *places, n})

    def part(table: Table, low: int, high: int) -> Table:
        texts = {column: cells[low:high] for column, cells in table.texts.items()}
        return Table(table.names, table.values[low:high], texts)

    for low, high in pairwise(ends):
        tables = (part(each, low, high) for each in (rows.features, rows.predictions, rows.labels, rows.groups))
        yield Labelled(rows.variant, rows.version, rows.times_s[low:high], rows.weights[low:high], *tables)


def facet_of(rows: Labelled, facet: FacetOf, task: Task, kept: slice = slice(None)) -> Facet:
    """What the metrics are to be of, worked out plainly."""
    if task == "multiclass":
        labels = np.array([CLASSES.index(str(cell)) for cell in rows.labels.texts[0]])
        actual = np.isin(labels, [0, 2])
        predicted = np.array([cell in ("cat", "fish") for cell in rows.predictions.texts[0]])
    else:
        limit = 10.0 if task == "regression" else 0.5
        actual, predicted = rows.labels.values[:, 0] > limit, rows.predictions.values[:, 0] > limit
        labels = actual.astype(np.int64)
    if facet is OLD:
        known, inside = np.ones(len(actual), dtype=bool), rows.features.values[:, 0] > 0
    else:
        cells = np.array([cell or "" for cell in rows.groups.texts[0]])
        known, inside = cells != "", cells == "f"
    cities = np.array([ord(str(cell)) for cell in rows.features.texts[2]])
    chosen = np.flatnonzero(known)
    chosen = chosen[np.isin(chosen, np.arange(len(actual))[kept])]
    return Facet(inside, actual, predicted, rows.weights, cities, labels).at(chosen)


def same(found: Mapping[str, float], expected: Mapping[str, float]) -> None:
    assert found.keys() == expected.keys()
    np.testing.assert_allclose(list(found.values()), list(expected.values()), rtol=1e-9, atol=1e-12)


def metrics(facet: Facet) -> dict[str, float]:
    return {**pre_training(facet), **post_training(facet)}


@settings(max_examples=25, deadline=None)
@given(
    task=st.sampled_from(("binary", "multiclass", "regression")),
    n=st.integers(1, 400),
    places=st.lists(st.integers(0, 400), max_size=6),
    restarted=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_however_rows_are_cut_window_and_lifetime_are_the_metrics_of_all_of_them(
    task: Task, n: int, places: list[int], restarted: bool, seed: int
) -> None:
    rows = simulated(seed, n, task)
    found = compared(judging(task=task), task)
    for piece in cut(rows, [min(place, n) for place in places]):
        found.take(piece)
        if restarted:
            state = found.state()
            found = compared(judging(task=task), task)
            found.restore(state)
    found.assess(NOW_S)

    assert found.labelled == n
    assert [group.facet for group in found.groups] == [OLD, WOMEN]
    for group in found.groups:
        expected = facet_of(rows, group.facet, task)
        inside = int(expected.disfavoured.sum())
        assert group.rows == (inside, len(expected.disfavoured) - inside)
        same(group.lifetime, metrics(expected))
        window = {name: each.value for name, each in group.window.items()}
        same(window, {name: each.value for name, each in measured(expected, least_rows=20).items()})
        deviations = {name: each.deviation for name, each in group.window.items()}
        same(deviations, {name: each.deviation for name, each in measured(expected, least_rows=20).items()})


def test_the_window_is_of_the_latest_rows_and_the_lifetime_of_all() -> None:
    rows = simulated(1, 1000)
    found = compared(judging(), rows=300)
    for piece in cut(rows, range(0, 1000, 70)):
        found.take(piece)
    found.assess(NOW_S)

    for group in found.groups:
        same(group.lifetime, metrics(facet_of(rows, group.facet, "binary")))
        window = facet_of(rows, group.facet, "binary", slice(700, None))
        same({name: each.value for name, each in group.window.items() if name != "FT"}, metrics(window))


def test_what_breaks_is_over_when_its_rows_are_too_old() -> None:
    """Though no label comes any more."""
    found = compared(judging(allowed={"DPPL": (-0.1, 0.1)}), seconds=1000.0)
    found.take(simulated(2, 800, unfair=1.0))
    found.assess(NOW_S)
    assert found.findings("champion", "3")

    found.assess(NOW_S + 500)
    assert sum(found.groups[0].rows) == 500
    found.assess(NOW_S + 2000)
    assert (found.groups[0].rows, found.findings("champion", "3")) == ((0, 0), [])
    assert not math.isnan(found.groups[0].lifetime["DPPL"])


def test_groups_are_compared_seldom_and_only_where_there_are_other_rows() -> None:
    found = compared(judging())
    found.assess(NOW_S)
    assert len(found.groups) == 0
    found.take(simulated(3, 300))
    found.assess(NOW_S)
    first = found.groups
    found.take(simulated(4, 300))
    found.assess(NOW_S + EVERY_S - 1)
    assert found.groups is first
    found.assess(NOW_S + EVERY_S)
    second = found.groups
    assert sum(second[0].rows) == 600
    found.assess(NOW_S + 3 * EVERY_S)
    assert found.groups is second


def test_below_the_least_number_of_rows_nothing_is_known_and_nothing_breaks() -> None:
    found = compared(judging(allowed={"DPPL": (-0.1, 0.1)}, least_rows=1000))
    found.take(simulated(5, 1500, unfair=1.0))
    found.assess(NOW_S)

    assert all(math.isnan(each.value) for each in found.groups[0].window.values())
    assert found.findings("champion", "3") == []


def test_what_breaks_is_one_finding_with_a_carrier_for_each_metric_of_each_group() -> None:
    young = FacetOf(feature="age", below=-0.5)
    found = compared(judging(OLD, young, WOMEN, allowed={"DPPL": (-0.1, 0.1), "AD": (-1.0, 1.0), "DI": (0.8, 1.25)}))
    rows = simulated(6, 2000, unfair=1.0)
    found.take(rows)
    found.assess(NOW_S)
    (finding,) = found.findings("champion", "3")

    assert finding.key == ("bias", "bias_drift_check", "champion", "groups")
    assert finding.version == "3"
    names = ["DPPL of age (0, inf)", "DI of age (0, inf)", "DPPL of age (-inf, -0.5)", "DI of age (-inf, -0.5)"]
    assert [each.name for each in finding.carriers] == names
    assert [each.threshold for each in finding.carriers] == [0.1, 0.8, -0.1, 1.25]
    assert [each.rows for each in finding.carriers] == [2000] * 4
    assert sum(each.share for each in finding.carriers) == pytest.approx(1)
    expected = metrics(facet_of(rows, OLD, "binary"))
    assert [each.statistic for each in finding.carriers[:2]] == pytest.approx([expected["DPPL"], expected["DI"]])
    assert finding.sentence.startswith(
        f"champion treats groups unequally: DPPL of age (0, inf) ({expected['DPPL']:.3g}, expected -0.1 to 0.1), DI of"
    )


def test_each_carrier_has_the_rows_of_its_own_group() -> None:
    """Two groups of one column, of whom not all are known."""
    women, unsaid = WOMEN, FacetOf(header="x-sex", values=("d",))
    rows = simulated(7, 900)
    found = compared(judging(unsaid, women, OLD, allowed={"CI": (2.0, 3.0)}))
    found.take(rows)
    found.assess(NOW_S)
    (finding,) = found.findings("champion", "3")

    told = {each.name: each.rows for each in finding.carriers}
    assert told == {
        "CI of x-sex f": len(facet_of(rows, WOMEN, "binary").disfavoured),
        "CI of age (0, inf)": 900,
    }


def test_many_carriers_are_counted_in_the_sentence() -> None:
    found = compared(judging(allowed=dict.fromkeys(("CI", "DPL", "DPPL", "RD", "AD", "SD"), (2.0, 3.0))))
    found.take(simulated(8, 900))
    found.assess(NOW_S)
    (finding,) = found.findings("champion", "3")

    assert len(finding.carriers) == 12
    assert finding.sentence.endswith(", 7 more")


def test_a_reference_s_groups_have_its_ranges_where_nothing_else_is_allowed() -> None:
    known = (
        BiasMetric("DPPL", "", 0.05),
        BiasMetric("DI", "", 0.8),
        BiasMetric("RD", "", math.nan),
        BiasMetric("X", "", 1.0),
    )
    groups = (GroupBias("age", "(0.0, 2.5]", known), GroupBias("age", "(7.0, 2.5]", (BiasMetric("AD", "", 0.1),)))
    judged = judging(reference=groups, allowed={"DI": (0.9, 1.1)})

    assert judged.limits(OLD) == {"DPPL": (-0.05, 0.05), "DI": (0.9, 1.1)}
    assert judged.limits(WOMEN) == {"DI": (0.9, 1.1)}


# The flip test


def test_the_flip_test_is_made_where_a_range_is_asked_for_without_the_facet_s_own_column() -> None:
    rows = simulated(9, 600, unfair=0.7)
    found = compared(judging(OLD, allowed={"FT": (-1.0, 1.0)}, strata=""))
    for piece in cut(rows, [100, 101, 400]):
        found.take(piece)
    found.assess(NOW_S)

    # City is a text: a column of missing values.
    others = rows.features.values[:, 1:].astype(np.float32).astype(np.float64)
    expected = flip_test(facet_of(rows, OLD, "binary"), others)
    assert found.groups[0].window["FT"].value == pytest.approx(expected)
    assert "FT" not in found.groups[0].lifetime


def test_without_a_range_for_it_no_features_are_kept() -> None:
    found = compared(judging())
    found.take(simulated(10, 300))
    found.assess(NOW_S)

    assert math.isnan(found.groups[0].window["FT"].value)
    assert found.state()["ledger.column.features"].shape == (300, 0)


def test_features_keep_their_places_whatever_columns_come() -> None:
    rows = simulated(11, 400)
    found = compared(judging(OLD, allowed={"FT": (-1.0, 1.0)}, strata=""))
    first, second = cut(rows, [200])
    turned = Table(("extra", "income", "age"), np.column_stack([second.times_s, second.features.values[:, [1, 0]]]))
    found.take(first)
    found.take(replace(second, features=turned))
    kept = found.state()["ledger.column.features"]

    np.testing.assert_array_equal(kept[:, :2], rows.features.values[:, :2].astype(np.float32))


def test_numbers_of_any_size_and_any_number_of_features_are_taken() -> None:
    rows = simulated(12, 300)
    wide = np.full((300, 100), 1e300)
    wide[:, 0], wide[::3, 1] = rows.features.values[:, 0], -math.inf
    names = ("age", *(f"f{number}" for number in range(99)))
    found = compared(judging(OLD, allowed={"FT": (-1.0, 1.0)}, strata=""))
    found.take(replace(rows, features=Table(names, wide)))
    found.assess(NOW_S)

    assert found.state()["ledger.column.features"].shape == (300, MAX_FEATURES)
    assert -1 <= found.groups[0].window["FT"].value <= 1


# What rows may lack


def test_rows_without_a_label_an_answer_or_a_group_say_nothing() -> None:
    rows = simulated(13, 300)
    labels, answers = rows.labels.values.copy(), rows.predictions.values.copy()
    labels[:100], answers[50:150] = np.nan, np.nan
    found = compared(judging(OLD, SENIOR))
    found.take(replace(rows, labels=of(labels, "label"), predictions=of(answers, "answer")))
    found.take(replace(rows, labels=of(np.full((300, 1), np.nan), "label")))
    found.assess(NOW_S)

    assert found.labelled == 150
    assert [sum(group.rows) for group in found.groups] == [150, 0]
    assert all(math.isnan(value) for value in found.groups[1].lifetime.values())
    assert all(math.isnan(each.value) for each in found.groups[1].window.values())


def test_groups_that_come_with_some_labels_only_are_known_of_these() -> None:
    rows = simulated(14, 300)
    first, second = cut(rows, [100])
    posted = of(np.full(200, np.nan), "senior", texts={0: ["true", "false"] * 100})
    found = compared(judging(SENIOR, WOMEN))
    found.take(first)
    found.take(replace(second, groups=posted))
    found.assess(NOW_S)

    assert found.groups[0].rows == (100, 100)
    assert sum(found.groups[1].rows) == sum(cell is not None for cell in rows.groups.texts[0][:100])


def test_strata_may_be_posted_with_labels_and_be_missing() -> None:
    rows = simulated(15, 300)
    places = np.random.default_rng(1).integers(2, size=300)
    posted = of(np.full(300, np.nan), "region", texts={0: [("n", "s")[place] for place in places]})
    found = compared(judging(OLD, strata="region"))
    found.take(replace(rows, groups=posted))
    found.take(simulated(16, 200))
    found.assess(NOW_S)

    both = facet_of(rows, OLD, "binary"), facet_of(simulated(16, 200), OLD, "binary")
    columns = {
        name: np.concatenate([getattr(each, name) for each in both])
        for name in ("disfavoured", "actual", "predicted", "weights", "labels")
    }
    expected = Facet(**columns, strata=np.concatenate([places, np.full(200, 2)]))
    same(found.groups[0].lifetime, metrics(expected))


def test_without_strata_the_disparity_within_them_is_unknown() -> None:
    found = compared(judging(strata=""))
    found.take(simulated(17, 300))
    found.assess(NOW_S)

    names = {name for name, value in found.groups[0].lifetime.items() if math.isnan(value)}
    assert names == {"CDDL", "CDDPL"}
    assert found.groups[0].window.keys() == UNBIASED.keys()


def test_a_class_that_comes_later_changes_nothing_of_what_was() -> None:
    found = compared(judging(OLD, task="multiclass"), "multiclass")
    rows = simulated(18, 300, "multiclass")
    found.take(rows)
    other = replace(simulated(19, 1, "multiclass"), labels=of(np.full(1, np.nan), "label", texts={0: ["bird"]}))
    found.take(other)
    found.assess(NOW_S)

    expected = facet_of(rows, OLD, "multiclass")
    assert sum(found.groups[0].rows) == len(expected.disfavoured) + 1
    assert found.groups[0].lifetime["KL"] != pytest.approx(metrics(expected)["KL"])
    assert found.reading.classes == (*CLASSES, "bird")


def test_a_state_of_another_shape_is_refused() -> None:
    found = compared(judging())
    found.take(simulated(20, 50))
    state = found.state()

    with pytest.raises(KeyError):
        compared(judging()).restore({name: part for name, part in state.items() if name != "totals.1"})
    with pytest.raises(ValueError, match="different lengths"):
        compared(judging()).restore({**state, "ledger.times_s": np.zeros(3)})


def test_texts_that_are_no_unicode_are_kept_over_a_restart() -> None:
    """JSON can spell half of a surrogate pair: whoever posts one must not keep all monitors from saving."""
    judged = judging(OLD, task="multiclass")
    one, again = compared(judged, "multiclass"), compared(judged, "multiclass")
    n = 4
    nothing = Table((), np.empty((n, 0)))
    label = Table(("label",), np.full((n, 1), np.nan), {0: ["\ud800", "b"] * 2})
    one.take(Labelled("champion", "3", np.zeros(n), np.ones(n), nothing, label, label, nothing))
    again.restore(one.state())

    assert again.reading.classes == one.reading.classes
    assert "\ud800" in again.reading.classes
