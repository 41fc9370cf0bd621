"""What versions come from, lead to and rest on: a small graph, drawn from the versions' own links.

Nodes are versions, called `{group}/{number}`; edges are their `derived_from`. What else they link to (data, runs) are
leaves. A registry that is not ours may hold circles, and links to what it does not have: both are lived with.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from sidecar.entries import Link, Version


class Rest(NamedTuple):
    """Something that a version rests on, itself or through an ancestor.

    Args:
        version: Whose link it is.
    """

    version: str
    link: Link


class Lineage:
    """The graph of these versions; of as many groups as one likes, since links may lead from one to another.

    Example:
        >>> from sidecar.entries import Draft
        >>> first = Draft(links=[Link("trained_on", "s3://data/2025")])
        >>> second = Draft(links=[Link("derived_from", "fraud/1")])
        >>> graph = Lineage(
        ...     Version(group="fraud", number=n, draft=draft, registered_s=0.0, by="ada")
        ...     for n, draft in ((1, first), (2, second))
        ... )
        >>> graph.ancestors("fraud/2"), graph.descendants("fraud/1"), graph.resting_on("s3://data/2025")
        (['fraud/1'], ['fraud/2'], ['fraud/1', 'fraud/2'])
    """

    def __init__(self, versions: Iterable[Version]) -> None:
        self._links: dict[str, list[Link]] = {}
        self._children: dict[str, list[str]] = {}
        for version in sorted(versions, key=lambda each: (each.group, each.number)):
            self._links[version.key] = list(version.draft.links)
            for parent in self.parents(version.key):
                self._children.setdefault(parent, []).append(version.key)

    def parents(self, version: str) -> list[str]:
        """What it was derived from, in the order in which its links say so."""
        links = self._links.get(version, [])
        return list(dict.fromkeys(link.target for link in links if link.relation == "derived_from"))

    def children(self, version: str) -> list[str]:
        """What was derived from it."""
        return list(self._children.get(version, []))

    def ancestors(self, version: str) -> list[str]:
        """What it was derived from, and so on; the nearest first, those of unknown origin included."""
        return _reached(version, self.parents)

    def descendants(self, version: str) -> list[str]:
        """What was derived from it, and so on; the nearest first."""
        return _reached(version, self.children)

    def rests_on(self, version: str) -> list[Rest]:
        """The data and runs that it links to, then those of its ancestors; the same one of several only once."""
        found: dict[Link, Rest] = {}
        for name in (version, *self.ancestors(version)):
            for link in self._links.get(name, []):
                if link.relation != "derived_from":
                    found.setdefault(link, Rest(name, link))
        return list(found.values())

    def resting_on(self, what: str) -> list[str]:
        """The versions that data or a run has gone into, by its name or digest: what to look at when it was bad.

        Data that a version was only evaluated on has not.
        """
        into: Collection[str] = ("trained_on", "produced_by")
        first = [
            version
            for version, links in self._links.items()
            if any(link.relation in into and what in (link.target, link.digest) for link in links)
        ]
        reached = [each for version in first for each in (version, *self.descendants(version))]
        return list(dict.fromkeys(reached)) if what else []

    def edges(self) -> Mapping[str, list[Link]]:
        """All links by version, for whoever draws them."""
        return {version: list(links) for version, links in self._links.items()}


def _reached(start: str, after: Callable[[str], Iterable[str]]) -> list[str]:
    """All but `start` that one comes to from there, breadth first, each once."""
    reached = {start: None}
    for name in (ring := [start]):
        new = [each for each in after(name) if each not in reached]
        reached.update(dict.fromkeys(new))
        ring.extend(new)
    return list(reached)[1:]
