from dataclasses import replace

import pytest

from sidecar.catalog.lineage import Lineage
from sidecar.cli.tree import DEPTH, GROUPS, LINES, drawn, gathered
from sidecar.entries import Draft, Link, Version
from sidecar.errors import ConfigError, UnknownError


def version(key: str, *parents: str, children: tuple[str, ...] = ()) -> Version:
    group, _, number = key.partition("/")
    draft = Draft(links=[Link("derived_from", parent) for parent in parents])
    return Version(group=group, number=int(number), draft=draft, registered_s=0.0, by="ada", children=children)


class Shelf:
    """Versions by model, and which models were asked for; some are refused."""

    def __init__(self, *versions: Version, refused: tuple[str, ...] = ()) -> None:
        self.asked: list[str] = []
        self._versions = versions
        self._refused = refused

    def versions(self, group: str) -> list[Version]:
        self.asked.append(group)
        if group in self._refused:
            raise ConfigError
        if found := [each for each in self._versions if each.group == group]:
            return found
        raise UnknownError(group)


def test_a_graph_goes_through_other_models() -> None:
    tuned = version("chat/1", "base/2", children=("small/1",))
    shelf = Shelf(tuned, version("base/1"), version("base/2", "base/1"), version("small/1", "chat/1"), version("x/1"))

    graph = gathered(shelf, tuned)

    assert (graph.ancestors("chat/1"), graph.descendants("chat/1")) == (["base/2", "base/1"], ["small/1"])
    assert sorted(shelf.asked) == ["base", "chat", "small"]


@pytest.mark.parametrize("refused", [(), ("gone",)])
def test_of_what_is_not_there_the_name_is_known(refused: tuple[str, ...]) -> None:
    lost = version("chat/1", "gone/3")

    assert gathered(Shelf(lost, refused=refused), lost).ancestors("chat/1") == ["gone/3"]


def test_models_are_asked_for_once_and_not_without_end() -> None:
    chain = [version(f"m{number}/1", f"m{number + 1}/1") for number in range(GROUPS + 5)]
    shelf = Shelf(*chain)

    gathered(shelf, chain[0])

    assert shelf.asked == [f"m{number}" for number in range(GROUPS)]


def test_a_circle_is_drawn_once() -> None:
    graph = Lineage([version("a/1", "a/3"), version("a/2", "a/1"), version("a/3", "a/2")])

    assert drawn("a/1", graph.parents) == ["└─ a/3", "   └─ a/2", "      └─ a/1 …"]


def test_nothing_is_drawn_of_nothing() -> None:
    assert drawn("a/1", Lineage([replace(version("a/1"), number=2)]).parents) == []


def test_a_drawing_ends() -> None:
    deep = drawn("0", lambda name: [str(int(name) + 1)])
    wide = drawn("0", lambda name: [f"0{place}" for place in range(LINES + 50)] if name == "0" else [])

    assert (len(deep), deep[-1].endswith(" …")) == (DEPTH + 1, True)
    assert (len(wide), wide[-1]) == (LINES + 1, "…")
