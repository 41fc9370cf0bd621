import math
from functools import cache

import pytest

from sidecar.instruments.bias import bias_metrics
from sidecar.monitors.bias import Bias, Comparing
from sidecar.monitors.groups import FacetOf
from sidecar.quality.bias import MEANING
from sidecar.records import Metric
from tests.instruments.rig import attributes, by_name, comparing, labelled

CHAMPION = {"feature_flag.result.variant": "champion", "sidecar.version": "3"}
ODD = FacetOf(feature="a\udc80", above=0.0)


@cache
def two() -> Comparing:
    """Two versions, of which the last has too few rows to say anything."""
    return comparing(labelled(400), labelled(20, variant="challenger", version="4"))


def told(of: Comparing | None, limit: int = 1000) -> dict[str, Metric]:
    return by_name(bias_metrics(of, max_series=limit))


def test_metrics_are_told_by_version_and_group_under_the_names_of_clarify() -> None:
    points = told(two())["sidecar.bias.metric"].points
    (champion,) = (each for key, each in two().versions if key.variant == "champion")
    assert {(at["sidecar.facet"], at["sidecar.facet.value"]) for at, _ in points} == {
        ("gender", "f"),
        ("amount", "(0, inf)"),
    }
    assert {at["sidecar.metric"] for at, _ in points} < set(MEANING)
    at = {**CHAMPION, "sidecar.facet": "gender", "sidecar.facet.value": "f", "sidecar.metric": "DPPL"}
    assert [value for each, value in points if each == at] == [champion.groups[0].window["DPPL"].value]


def test_what_is_undefined_is_left_out() -> None:
    found = told(two())
    assert {at["feature_flag.result.variant"] for at in attributes(found["sidecar.bias.metric"])} == {"champion"}
    assert all(math.isfinite(float(str(value))) for _, value in found["sidecar.bias.metric"].points)
    assert found["sidecar.bias.omitted"].points == [({}, 0)]


def test_a_group_whose_name_is_no_text_is_told_as_its_escape() -> None:
    rows = labelled(300, column="a\udc80")
    metrics = told(comparing(rows, options=Bias(facets=(ODD,))))
    facets = {(at["sidecar.facet"], at["sidecar.facet.value"]) for at in attributes(metrics["sidecar.bias.metric"])}
    assert facets == {("a\\udc80", "(0, inf)")}


def test_before_groups_have_been_compared_and_without_a_monitor_nothing_is_told() -> None:
    assert told(comparing())["sidecar.bias.metric"].points == []
    assert all(metric.points == [] for metric in bias_metrics(None, max_series=100))


@pytest.mark.parametrize("limit", [0, 1, 20, 10_000])
def test_it_is_bounded_by_the_limit_of_series_the_latest_version_first(limit: int) -> None:
    both = comparing(labelled(300), labelled(400, variant="challenger", version="4"))
    every = told(both)["sidecar.bias.metric"].points

    found = told(both, limit)

    assert found["sidecar.bias.metric"].points == every[:limit]
    assert found["sidecar.bias.omitted"].points == [({}, len(every[limit:]))]
    assert [at["feature_flag.result.variant"] for at, _ in every[:1]] == ["challenger"]
