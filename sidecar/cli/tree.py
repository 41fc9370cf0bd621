"""Where a version comes from and what came of it, drawn as lines of text."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Protocol

from sidecar.catalog.lineage import Lineage
from sidecar.entries import Version
from sidecar.errors import ConfigError, UnknownError

GROUPS = 20
"""Models that are asked for: links may lead from one to another."""
DEPTH = 30
LINES = 200


class Versions(Protocol):
    """What a lineage needs of a catalogue."""

    def versions(self, group: str) -> list[Version]:
        """All versions of a model."""
        ...


def gathered(catalog: Versions, version: Version) -> Lineage:
    """The graph around a version, through other models too; of those that the catalogue does not have, the names."""
    known: dict[str, list[Version]] = {}
    wanted = {version.group}
    graph = Lineage([version])
    while (missing := wanted - known.keys()) and len(known) < GROUPS:
        group = min(missing)
        known[group] = _versions(catalog, group)
        every = [each for those in known.values() for each in those]
        graph = Lineage(every)
        near = {version.key, *graph.ancestors(version.key), *graph.descendants(version.key)}
        children = {child for each in every if each.key in near for child in each.children}
        wanted = {key.rpartition("/")[0] for key in near | children}
    return graph


def drawn(root: str, after: Callable[[str], Sequence[str]]) -> list[str]:
    r"""The lines below a root; what goes on behind a name that was drawn before, or far away, is `…`.

    Example:
        >>> after = {"a": ["b", "c"], "b": ["d"], "c": ["b"]}
        >>> print(*drawn("a", lambda name: after.get(name, [])), sep="\n")
        ├─ b
        │  └─ d
        └─ c
           └─ b …
    """
    lines = list(islice(_below(root, after, "", {root}, DEPTH), LINES + 1))
    return lines if len(lines) <= LINES else [*lines[:LINES], "…"]


def _below(name: str, after: Callable[[str], Sequence[str]], indent: str, seen: set[str], depth: int) -> Iterator[str]:
    found = after(name)
    for place, each in enumerate(found, start=1):
        last, again = place == len(found), each in seen or not depth
        seen.add(each)
        yield f"{indent}{'└─' if last else '├─'} {each}{' …' if again and after(each) else ''}"
        if not again:
            yield from _below(each, after, indent + ("   " if last else "│  "), seen, depth - 1)


def _versions(catalog: Versions, group: str) -> list[Version]:
    try:
        return catalog.versions(group)
    except (UnknownError, ConfigError):  # a registry that is not ours may link to what it does not have
        return []
