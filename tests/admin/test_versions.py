from collections.abc import Iterable
from contextlib import closing
from math import inf, nan

from sidecar.admin.versions import GROUPS, RELATED, compared, whole
from sidecar.catalog.documents import decode, encode
from sidecar.catalog.sqlite import Sqlite
from sidecar.entries import Draft, Link, Version
from sidecar.errors import UnknownError
from sidecar.records import JSON
from tests.admin.rig import undescribed
from tests.catalog.contract import DRAFT, NOW_S, plain


class Shelf(Sqlite):
    """Versions that a registry of somebody else's holds: circles and gaps included."""

    def __init__(self, *versions: Version) -> None:
        super().__init__()
        self.held = versions
        self.looked: list[str] = []

    def versions(self, group: str) -> list[Version]:
        self.looked.append(group)
        if found := [each for each in self.held if each.group == group]:
            return found
        raise UnknownError(group)


def version(key: str, *parents: str, links: Iterable[Link] = (), children: Iterable[str] = ()) -> Version:
    group, _, number = key.rpartition("/")
    draft = Draft(links=[*(Link("derived_from", parent) for parent in parents), *links])
    return Version(group=group, number=int(number), draft=draft, registered_s=NOW_S, by="ann", children=list(children))


def lineage(*versions: Version) -> JSON:
    """Of the first."""
    told = whole(Shelf(*versions), versions[0])["lineage"]
    assert undescribed("Lineage", told) == []
    return told


def test_a_version_comes_back_from_what_is_told_of_it() -> None:
    with closing(Sqlite()) as catalog:
        made = catalog.register("fraud", DRAFT, by="ann", now_s=NOW_S)
        told = encode(whole(catalog, made))
    assert plain(decode(told, Version)) == plain(made)
    assert undescribed("VersionWhole", decode(told, dict[str, object])) == []


def test_what_is_measured_stands_beside_what_was_in_training() -> None:
    made = Version(
        group="m",
        number=1,
        draft=Draft(metrics={"auc": 0.75, "loss": nan, "rows": 5.0}),
        registered_s=NOW_S,
        by="ann",
        live={"auc": 0.5, "loss": 0.5, "latency": inf},
    )
    assert decode(encode(whole(Shelf(made), made)["measures"]), list[JSON]) == [
        {"name": "auc", "training": 0.75, "live": 0.5, "difference": -0.25},
        {"name": "latency", "training": None, "live": "Infinity", "difference": None},
        {"name": "loss", "training": "NaN", "live": 0.5, "difference": None},
        {"name": "rows", "training": 5.0, "live": None, "difference": None},
    ]


def test_the_graph_leads_to_other_models_and_back() -> None:
    data = Link("trained_on", "s3://data", "sha256:1")
    told = lineage(
        version("b/2", "b/1", "a/1", children=["c/1"]),
        version("b/1"),
        version("a/1", links=[data], children=["b/2"]),
        version("c/1", "b/2", children=["d/1"]),
        version("d/1", "c/1"),
    )
    assert (told["ancestors"], told["descendants"], told["omitted"]) == (["b/1", "a/1"], ["c/1", "d/1"], 0)
    assert [node["version"] for node in told["nodes"]] == ["b/2", "b/1", "a/1", "c/1", "d/1"]
    assert {(each["version"], each["derived_from"]) for each in told["edges"]} == {
        ("b/2", "b/1"),
        ("b/2", "a/1"),
        ("c/1", "b/2"),
        ("d/1", "c/1"),
    }
    assert told["rests_on"] == [
        {"version": "a/1", "relation": "trained_on", "target": "s3://data", "digest": "sha256:1"}
    ]


def test_a_circle_ends() -> None:
    told = lineage(version("a/1", "a/3"), version("a/2", "a/1"), version("a/3", "a/2"))
    assert (told["ancestors"], told["descendants"]) == (["a/3", "a/2"], ["a/2", "a/3"])


def test_an_ancestor_that_the_catalogue_does_not_have_is_named() -> None:
    told = lineage(version("a/2", "gone/7"))
    assert told["ancestors"] == ["gone/7"]
    assert told["nodes"][1] == {"version": "gone/7", "approval": None, "registered_s": None}


def test_a_long_line_is_told_in_part() -> None:
    told = lineage(*(version(f"a/{number}", f"a/{number - 1}") for number in range(RELATED + 50, 0, -1)))
    assert (len(told["ancestors"]), told["omitted"], len(told["edges"])) == (RELATED, 50, RELATED)
    assert told["ancestors"][0] == f"a/{RELATED + 49}"


def test_so_many_models_are_looked_at() -> None:
    shelf = Shelf(*(version(f"m{number}/1", f"m{number + 1}/1") for number in range(3 * GROUPS)))
    whole(shelf, shelf.held[0])
    assert shelf.looked == [f"m{number}" for number in range(GROUPS)]


def test_two_versions_are_told_side_by_side() -> None:
    one, other = (
        Version(group="m", number=number, draft=draft, registered_s=NOW_S, by="ann", live=live)
        for number, draft, live in (
            (1, Draft(parameters={"a": "1", "b": "2"}, metrics={"auc": 0.5}), {"f1": -inf}),
            (2, Draft(parameters={"a": "1", "c": ""}, metrics={"auc": 0.75}), {"f1": inf}),
        )
    )
    told = decode(encode(compared("m", one, other)), dict[str, JSON])
    assert undescribed("Compared", told) == []
    assert (told["a"]["version"], told["b"]["version"]) == ("m/1", "m/2")
    assert told["parameters"] == [
        {"name": "a", "a": "1", "b": "1", "equal": True},
        {"name": "b", "a": "2", "b": None, "equal": False},
        {"name": "c", "a": None, "b": "", "equal": False},
    ]
    assert told["metrics"] == [{"name": "auc", "a": 0.5, "b": 0.75, "difference": 0.25}]
    assert told["live"] == [{"name": "f1", "a": "-Infinity", "b": "Infinity", "difference": None}]
