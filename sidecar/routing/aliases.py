"""Versions that are said by aliases of the catalogue: what each means, and when a variant follows one that was moved.

Who moves an alias to a version that another variant serves says who has won, not what is behind a server: nobody's
version changes. The sidecar moves aliases itself after a promotion or a rollback, and only ever to versions that serve;
so it never follows its own moves.
"""

from collections.abc import Mapping

from sidecar.config.routes import Routes


def followed(written: Routes, versions: Mapping[str, str], meant: Mapping[str, str]) -> dict[str, str]:
    """What each alias means from now on; what comes of this a second time is the same.

    Args:
        written: The routes, with their aliases.
        versions: What each alias meant so far.
        meant: The version to which the catalogue has it now; of one that is not among them nobody knows more than that.

    Example:
        >>> from sidecar.config.routes import parse_routes
        >>> said = {"a": "@champion", "b": "4"}
        >>> routes = parse_routes({"variants": {n: {"url": "http://m", "version": each} for n, each in said.items()}})
        >>> [followed(routes, {"@champion": "3"}, {"@champion": moved})["@champion"] for moved in ("5", "4")]
        ['5', '3']
    """
    used = written.aliases.values()
    # Of one that is resolved for the first time there is nothing to stay with.
    now = {alias: meant[alias] for alias in used if alias in meant} | dict(versions)
    while (alias := _free(written, now, meant)) is not None:
        now[alias] = meant[alias]  # which may make room for another
    return now


def _free(written: Routes, versions: Mapping[str, str], meant: Mapping[str, str]) -> str | None:
    """An alias that was moved to a version which nobody else serves; None where there is none."""
    for alias in written.aliases.values():
        others = {each.version for each in written.variants.values()} - {alias}
        served = {versions.get(version, version) for version in others}
        if alias in meant and meant[alias] not in {versions[alias], *served}:
            return alias
    return None


def lasting(written: Routes, versions: Mapping[str, str]) -> dict[str, str]:
    """What these routes' aliases mean, for routes that come after them; one that is new there is resolved anew."""
    return {alias: versions[alias] for alias in written.aliases.values() if alias in versions}


def resolutions(written: Routes, before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Which variants have other versions by it, for people: `variants.a.version: 3 → 4 (@champion)`."""
    told = []
    for name, alias in written.aliases.items():
        was, now = before.get(alias), after.get(alias)
        if was != now:
            told.append(f"variants.{name}.version: {now if was is None else f'{was} → {now}'} ({alias})")
    return told
