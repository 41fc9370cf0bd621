import json
import math
from functools import cache

import numpy as np
import orjson
import pytest

from sidecar.admin.bias import bias
from sidecar.monitors.bias import Bias, Comparing
from sidecar.monitors.compared import PRE_TRAINING
from sidecar.monitors.groups import FacetOf
from sidecar.quality.bias import MEANING
from sidecar.records import JSON
from sidecar.reference.bias_files import BiasReport, parse_analysis, parse_bias_violations
from tests.admin.rig import Sidecar, undescribed
from tests.instruments.rig import AMOUNT, GENDER, comparing, labelled

FAIR = Bias(facets=(AMOUNT, GENDER), allowed={"DPPL": (-0.2, 0.2), "AD": (-1.0, 1.0)})


@cache
def unfair() -> Comparing:
    """A version that says yes to whoever has an amount above 0, and one that has few rows."""
    return comparing(labelled(600), labelled(20, variant="b\udc80", version=""), options=FAIR)


def told(of: Comparing) -> JSON:
    """What is told, as it is read; it is as described, whatever it is."""
    document = bias(Sidecar().judge(None, of), of)
    assert undescribed("Bias", document) == []
    return json.loads(orjson.dumps(document))


def version(of: Comparing, place: int = 0) -> JSON:
    return told(of)["variants"][place]


def values(report: BiasReport | None, facet: str) -> dict[str, float]:
    assert report is not None
    (group,) = (each for each in report.groups if each.facet == facet)
    return {metric.name: metric.value for metric in group.metrics}


def test_versions_are_told_by_name_beside_what_became_of_labels() -> None:
    found = told(unfair())
    assert [(each["name"], each["version"], each["labelled"]) for each in found["variants"]] == [
        ("champion", "3", 600),
        ("b\\udc80", "", 20),
    ]
    assert set(found["labels"]) >= {"awaiting", "waiting", "missing", "posted"}


@pytest.mark.parametrize("side", ["window", "lifetime"])
def test_metrics_are_a_file_of_clarify(side: str) -> None:
    file = version(unfair())[side]
    read = parse_analysis(orjson.dumps(file), side)
    champion = next(each for key, each in unfair().versions if key.variant == "champion")
    group = champion.groups[0]
    expected = {name: each.value for name, each in group.window.items()} if side == "window" else group.lifetime
    before, after = values(read.pre_training, "amount"), values(read.post_training, "amount")
    assert set(before) == set(PRE_TRAINING)
    assert {**before, **after} == pytest.approx(dict(expected), nan_ok=True)
    assert read.post_training is not None
    assert read.post_training.label_value_or_threshold == "1"
    described = file["post_training_bias_metrics"]["facets"]["amount"][0]["metrics"][0]
    assert described["description"] == MEANING[described["name"]]


def test_what_is_unknown_is_null_and_never_0() -> None:
    few = version(unfair(), 1)
    (group,) = few["window"]["post_training_bias_metrics"]["facets"]["gender"]
    assert {metric["value"] for metric in group["metrics"]} == {None}
    assert [each["intervals"] for each in few["groups"]] == [{}, {}]


def test_groups_have_rows_and_intervals() -> None:
    amount, gender = version(unfair())["groups"]
    champion = next(each for key, each in unfair().versions if key.variant == "champion")
    assert (gender["facet"], gender["value_or_threshold"], gender["rows"], gender["other_rows"]) == (
        "gender",
        "f",
        300,
        300,
    )
    assert amount["rows"] + amount["other_rows"] == 600
    low, high = amount["intervals"]["DPPL"]
    assert low <= high < -0.2
    low, high = gender["intervals"]["AD"]
    assert low < champion.groups[1].window["AD"].value < high
    assert "CDDL" not in amount["intervals"]
    assert amount["allowed"] == gender["allowed"] == {"DPPL": [-0.2, 0.2], "AD": [-1.0, 1.0]}


def test_what_breaks_its_range_is_told_as_clarify_does() -> None:
    found = version(unfair())["violations"]
    assert [(each["facet"], each["facet_value"], each["metric_name"]) for each in found] == [
        ("amount", "(0, inf)", "DPPL")
    ]
    assert found[0]["description"].endswith("expected -0.2 to 0.2")
    file = orjson.dumps({"version": "1.0", "violations": found})
    assert [each.metric_name for each in parse_bias_violations(file, "mine")] == ["DPPL"]


def test_before_groups_are_compared_there_is_none() -> None:
    assert told(comparing())["variants"] == []
    made = comparing()
    made.take(labelled(50))
    found = version(made)
    assert (found["labelled"], found["groups"], found["violations"]) == (50, [], [])
    assert found["window"]["pre_training_bias_metrics"]["facets"] == {}


def test_names_that_are_no_text_are_told_as_their_escapes() -> None:
    odd = (FacetOf(group="a\udc80", values=("\ud800",)), FacetOf(feature="b\udc80\n", above=math.pi))
    options = Bias(facets=odd, strata="\udcff")
    found = version(comparing(labelled(300, column="b\udc80\n"), options=options))
    assert [(each["facet"], each["value_or_threshold"]) for each in found["groups"]] == [
        ("a\\udc80", "\\ud800"),
        ("b\\udc80\n", "(3.14159, inf)"),
    ]
    assert list(found["window"]["pre_training_bias_metrics"]["facets"]) == ["a\\udc80", "b\\udc80\n"]


def test_a_violation_of_a_column_that_is_no_text_is_told_as_its_escape() -> None:
    options = Bias(facets=(FacetOf(feature="b\udc80", above=0.0),), allowed={"DPPL": (-0.2, 0.2)})
    (broken,) = version(comparing(labelled(600, column="b\udc80"), options=options))["violations"]
    assert broken["facet"] == "b\\udc80"


def test_where_nobody_gets_the_good_outcome_nothing_is_infinite() -> None:
    rows = labelled(300)
    rows.predictions.values[:] = 0.0
    rows.labels.values[:] = 0.0
    found = version(comparing(rows))
    metrics = found["window"]["post_training_bias_metrics"]["facets"]["amount"][0]["metrics"]
    assert {metric["name"]: metric["value"] for metric in metrics}["DI"] is None
    assert np.isfinite([end for each in found["groups"] for pair in each["intervals"].values() for end in pair]).all()
