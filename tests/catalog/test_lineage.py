from dataclasses import replace

from sidecar.catalog.lineage import Lineage, Rest
from sidecar.entries import Link, Version
from tests.catalog.contract import DRAFT


def version(key: str, *links: Link) -> Version:
    group, _, number = key.partition("/")
    return Version(group=group, number=int(number), draft=replace(DRAFT, links=links), registered_s=0.0, by="ada")


def derived(parent: str) -> Link:
    return Link("derived_from", parent)


OLD, NEW, TEST = Link("trained_on", "s3://2025", "sha256:1"), Link("trained_on", "s3://2026"), Link("evaluated_on", "t")
RUN = Link("produced_by", "a" * 32)

# base/1 ── fraud/1 ─┬─ fraud/2 ─┬─ fraud/4 ── other/1
#                    └─ fraud/3 ─┘
GRAPH = Lineage(
    [
        version("other/1", derived("fraud/4"), derived("gone/7")),
        version("fraud/4", derived("fraud/2"), derived("fraud/3"), RUN),
        version("fraud/3", derived("fraud/1"), NEW, TEST),
        version("fraud/2", derived("fraud/1"), derived("fraud/1"), NEW),
        version("fraud/1", derived("base/1"), OLD),
        version("base/1"),
    ]
)


def test_parents_and_children_are_those_drawn() -> None:
    assert GRAPH.parents("fraud/2") == ["fraud/1"]
    assert GRAPH.parents("other/1") == ["fraud/4", "gone/7"]
    assert GRAPH.children("fraud/1") == ["fraud/2", "fraud/3"]
    assert (GRAPH.parents("base/1"), GRAPH.children("other/1")) == ([], [])


def test_ancestors_come_nearest_first_and_once() -> None:
    assert GRAPH.ancestors("other/1") == ["fraud/4", "gone/7", "fraud/2", "fraud/3", "fraud/1", "base/1"]


def test_descendants_come_nearest_first_and_once() -> None:
    assert GRAPH.descendants("fraud/1") == ["fraud/2", "fraud/3", "fraud/4", "other/1"]
    assert GRAPH.descendants("gone/7") == ["other/1"]


def test_what_a_version_rests_on_is_its_own_and_its_ancestors() -> None:
    assert GRAPH.rests_on("fraud/4") == [
        Rest("fraud/4", RUN),
        Rest("fraud/2", NEW),
        Rest("fraud/3", TEST),
        Rest("fraud/1", OLD),
    ]
    assert GRAPH.rests_on("base/1") == []


def test_what_rests_on_data_is_found_by_name_and_by_digest() -> None:
    expected = ["fraud/1", "fraud/2", "fraud/3", "fraud/4", "other/1"]
    assert GRAPH.resting_on("s3://2025") == expected
    assert GRAPH.resting_on("sha256:1") == expected
    assert GRAPH.resting_on("s3://2026") == ["fraud/2", "fraud/4", "other/1", "fraud/3"]
    assert GRAPH.resting_on("a" * 32) == ["fraud/4", "other/1"]


def test_data_that_a_version_was_only_tested_with_has_not_gone_into_it() -> None:
    assert GRAPH.resting_on("t") == []


def test_no_name_finds_nothing() -> None:
    assert GRAPH.resting_on("") == []


def test_a_circle_ends() -> None:
    circle = Lineage(
        [version("a/1", derived("a/2"), OLD), version("a/2", derived("a/1")), version("a/3", derived("a/3"))]
    )
    assert (circle.ancestors("a/1"), circle.descendants("a/1")) == (["a/2"], ["a/2"])
    assert (circle.ancestors("a/3"), circle.descendants("a/3")) == ([], [])
    assert circle.resting_on("s3://2025") == ["a/1", "a/2"]


def test_of_a_version_that_nobody_knows_nothing_is_known() -> None:
    assert (GRAPH.ancestors("x/1"), GRAPH.descendants("x/1"), GRAPH.rests_on("x/1")) == ([], [], [])


def test_a_long_line_is_no_trouble() -> None:
    line = Lineage(version(f"a/{n}", *([derived(f"a/{n - 1}")] if n > 1 else [])) for n in range(1, 3001))
    assert len(line.ancestors("a/3000")) == len(line.descendants("a/1")) == 2999


def test_edges_are_all_links() -> None:
    assert GRAPH.edges()["fraud/3"] == [derived("fraud/1"), NEW, TEST]
    assert len(GRAPH.edges()) == 6
