"""Versions that are said by aliases of the catalogue: what each means, and when a variant follows one that was moved.

A variant follows its alias when that is moved, and only then. Who moves it to a version that another variant serves
says who has won, not what is behind a server: nobody's version changes, then or later, until it is moved again. The
sidecar moves aliases itself after a promotion or a rollback, and only ever to versions that serve; so it never follows
its own moves.
"""

from collections.abc import Mapping
from typing import NamedTuple

from sidecar.config.routes import Routes


class Meanings(NamedTuple):
    """What aliases mean, by alias.

    Args:
        versions: What stands behind the variants that are said by it.
        unfollowed: To where it was moved last, where that is another version.
    """

    versions: Mapping[str, str]
    unfollowed: Mapping[str, str]

    def seen(self, alias: str) -> str | None:
        """Where it was when somebody looked; None where nobody has yet."""
        return self.unfollowed.get(alias, self.versions.get(alias))


def followed(written: Routes, before: Meanings, meant: Mapping[str, str]) -> Meanings:
    """What each alias means from now on; what comes of this a second time is the same.

    Args:
        written: The routes, with their aliases.
        before: What each alias meant so far.
        meant: The version to which the catalogue has it now; of one that is not among them nobody knows more than that.

    Example:
        >>> from sidecar.config.routes import parse_routes
        >>> said = {"a": "@champion", "b": "4"}
        >>> routes = parse_routes({"variants": {n: {"url": "http://m", "version": each} for n, each in said.items()}})
        >>> followed(routes, Meanings({"@champion": "3"}, {}), {"@champion": "5"})
        Meanings(versions={'@champion': '5'}, unfollowed={})
        >>> followed(routes, Meanings({"@champion": "3"}, {}), {"@champion": "4"})
        Meanings(versions={'@champion': '3'}, unfollowed={'@champion': '4'})
    """
    there = {alias: meant[alias] for alias in written.aliases.values() if alias in meant}
    moved = {alias: version for alias, version in there.items() if before.seen(alias) not in {None, version}}
    # Of one that is resolved for the first time there is nothing to stay with.
    versions = there | dict(before.versions)
    while (alias := _free(written, versions, moved)) is not None:
        versions[alias] = moved[alias]  # which may make room for another
    last = {**before.unfollowed, **moved}
    return Meanings(versions, {alias: version for alias, version in last.items() if versions.get(alias) != version})


def _free(written: Routes, versions: Mapping[str, str], moved: Mapping[str, str]) -> str | None:
    """An alias that was moved to a version which nobody else serves; None where there is none."""
    for alias, version in moved.items():
        others = {each.version for each in written.variants.values()} - {alias}
        served = {versions.get(other, other) for other in others}
        if version not in {versions[alias], *served}:
            return alias
    return None


def lasting(written: Routes, meanings: Meanings) -> Meanings:
    """What these routes' aliases mean, for routes that come after them; one that is new there is resolved anew."""
    used = set(written.aliases.values())
    versions, unfollowed = ({alias: version for alias, version in each.items() if alias in used} for each in meanings)
    return Meanings(versions, unfollowed)


def resolutions(written: Routes, before: Meanings, after: Meanings) -> list[str]:
    """What has changed by it, for people: `variants.a.version: 3 → 4 (@champion)`, or that an alias is elsewhere."""
    told = []
    for name, alias in written.aliases.items():
        was, now = before.versions.get(alias), after.versions.get(alias)
        if was != now:
            told.append(f"variants.{name}.version: {now if was is None else f'{was} → {now}'} ({alias})")
    return told + [
        f"{alias}: {before.seen(alias)} → {after.seen(alias)}, which {_serving(written, after, alias)}"
        for alias in dict.fromkeys(written.aliases.values())
        if before.seen(alias) != after.seen(alias) and before.versions.get(alias) == after.versions.get(alias)
    ]


def _serving(written: Routes, meanings: Meanings, alias: str) -> str:
    """Who has the version to which an alias was moved."""
    variants = written.resolved(meanings.versions).variants
    names = [name for name, variant in variants.items() if variant.version == meanings.seen(alias)]
    return f"{' and '.join(names)} {'serves' if len(names) == 1 else 'serve'}"
