"""What is told of versions: one of them whole, with its lineage, or two side by side."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from math import isfinite
from typing import TypeVar

from sidecar.catalog.lineage import Lineage
from sidecar.entries import Version
from sidecar.errors import UnknownError
from sidecar.ports import Catalog
from sidecar.records import JSON

T = TypeVar("T")

GROUPS = 16
"""Models that a version's lineage is followed into."""

RELATED = 200
"""Ancestors that are told of a version, and descendants."""


def described(version: Version) -> dict[str, JSON]:
    """Its fields, and what was decided last."""
    return {each.name: getattr(version, each.name) for each in fields(version)} | {"approval": version.approval}


def whole(catalog: Catalog, version: Version) -> JSON:
    """All of it: what is measured of it beside what was in training, and where it comes from."""
    measures = _beside(version.draft.metrics, version.live, ("training", "live"))
    return {**described(version), "measures": measures, "lineage": _lineage(catalog, version)}


def _lineage(catalog: Catalog, version: Version) -> JSON:
    """Its part of the graph: all that it comes from and that comes from it, and what these rest on."""
    known = _known(catalog, version)
    graph = Lineage(known.values())
    ancestors, descendants = graph.ancestors(version.key), graph.descendants(version.key)
    told = dict.fromkeys((version.key, *ancestors[:RELATED], *descendants[:RELATED]))
    edges = [(name, parent) for name in told for parent in graph.parents(name) if parent in told]
    return {
        "ancestors": ancestors[:RELATED],
        "descendants": descendants[:RELATED],
        "omitted": max(0, len(ancestors) - RELATED) + max(0, len(descendants) - RELATED),
        "nodes": [_node(name, known.get(name)) for name in told],
        "edges": [{"version": name, "derived_from": parent} for name, parent in edges],
        "rests_on": [{"version": rest.version, **rest.link._asdict()} for rest in graph.rests_on(version.key)],
    }


def _known(catalog: Catalog, version: Version) -> dict[str, Version]:
    """Versions by name: of its own model, and of those that links of related ones lead to."""
    known = {version.key: version}
    groups = [version.group]
    for group in groups:  # which grows meanwhile
        try:
            known |= {each.key: each for each in catalog.versions(group)}
        except UnknownError:
            continue
        graph = Lineage(known.values())
        related = [version.key, *graph.ancestors(version.key), *graph.descendants(version.key)]
        children = [child for name in related if name in known for child in known[name].children]
        named = dict.fromkeys(name.rpartition("/")[0] for name in (*related, *children))
        groups.extend([name for name in named if name not in groups][: GROUPS - len(groups)])
    return known


def _node(name: str, version: Version | None) -> JSON:
    """A version of the graph; of one that the catalogue does not have only the name is known."""
    if version is None:
        return {"version": name, "approval": None, "registered_s": None}
    return {"version": name, "approval": version.approval, "registered_s": version.registered_s}


def compared(group: str, one: Version, other: Version) -> JSON:
    """Two of them side by side."""
    sides = ("a", "b")
    parameters = [
        {"name": name, "a": mine, "b": theirs, "equal": mine == theirs}
        for name, mine, theirs in _paired(one.draft.parameters, other.draft.parameters)
    ]
    return {
        "group": group,
        "a": _node(one.key, one),
        "b": _node(other.key, other),
        "parameters": parameters,
        "metrics": _beside(one.draft.metrics, other.draft.metrics, sides),
        "live": _beside(one.live, other.live, sides),
    }


def _beside(one: Mapping[str, float], other: Mapping[str, float], names: Sequence[str]) -> list[JSON]:
    """Numbers of two sides by name, and by how much the second is more."""
    return [
        {"name": name, names[0]: first, names[1]: second, "difference": _difference(first, second)}
        for name, first, second in _paired(one, other)
    ]


def _paired(one: Mapping[str, T], other: Mapping[str, T]) -> Iterator[tuple[str, T | None, T | None]]:
    for name in sorted(one.keys() | other.keys()):
        yield name, one.get(name), other.get(name)


def _difference(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return None
    return difference if isfinite(difference := other - one) else None
