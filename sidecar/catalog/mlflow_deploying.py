"""What is to be written when other versions serve than before: which tags, and which aliases move. No I/O.

An alias moves when something changes, and only then: who moves one by hand is not moved back by a sidecar that says
again what it said before. None is ever taken away: there may be a model server that starts by it.

- The champion's goes to a version that newly has all of the traffic: it was promoted, or rolled back to.
- The challenger's goes to the one version that newly has a part of it, beside the champion.
- With nothing noted before, what is there is somebody's decision: only an alias that is missing is set.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sidecar.catalog.mlflow_replies import VersionDocument
from sidecar.catalog.mlflow_versions import DEPLOYMENT, DEPLOYMENTS, deployment_tag, deployments, ended_tag
from sidecar.entries import Deployment
from sidecar.ports import Serving


class Order(NamedTuple):
    """A request to be sent.

    Args:
        what: Behind the API's prefix.
    """

    what: str
    document: Mapping[str, object]
    method: str = "POST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """What is written down of a model.

    Args:
        versions: All of them.
        aliases: The version's number, by alias.
        champion: Name of the alias, as the next.
    """

    group: str
    versions: Sequence[VersionDocument]
    aliases: Mapping[str, int]
    champion: str
    challenger: str

    def number(self, name: str) -> int | None:
        """Of the version that is called so, by its number or an alias; None where there is none."""
        if name.startswith("@"):
            return self.aliases.get(name[1:])
        found = (each.version for each in self.versions if str(each.version) == name)
        return next(found, None)


class _Now(NamedTuple):
    """Who puts it there."""

    by: str
    why: str
    now_s: float

    def deployment(self, variant: str, replaced: str) -> Deployment:
        """One that begins."""
        return Deployment(variant, self.now_s, None, self.by, self.why, replaced, 0.0)


def orders(registry: Registry, serving: Sequence[Serving], *, by: str, why: str, now_s: float) -> list[Order]:
    """What is to be sent, in this order.

    Whatever fails in between, the same orders come again when it is asked for again: aliases are moved first, since it
    is the tags that say what was before; and what ends is written down before its own tag is taken away.
    """
    before = {each.version: [d for d in deployments(each) if d.until_s is None] for each in registry.versions}
    weights = {each.variant: each.weight for each in serving if each.weight > 0}
    numbers = {each.variant: registry.number(each.version) for each in serving if each.variant in weights}
    now = _Now(by, why, now_s)
    moved = _aliases(registry, {number for number, here in before.items() if here}, set(numbers.values()))
    begun, ended = list[Order](), list[Order]()
    for document in registry.versions:
        here = {each.variant: each for each in before[document.version]}
        mine = [variant for variant, number in numbers.items() if number == document.version]
        for variant in mine:
            known = here.get(variant) or now.deployment(variant, _held(before, variant))
            if variant not in here or known.weight != weights[variant]:
                text = deployment_tag(known._replace(weight=weights[variant]))
                begun.append(_tag(document, f"{DEPLOYMENT}{variant}", text))
        ended += _endings(document, [each for each in here.values() if each.variant not in mine], mine, now)
    return [*moved, *begun, *ended]


def _aliases(registry: Registry, before: set[int], now: set[int | None]) -> Iterator[Order]:
    champion = registry.aliases.get(registry.champion)
    alone = next(iter(now)) if len(now) == 1 else None
    if alone is not None and before != {alone} and (before or champion is None) and alone != champion:
        yield _alias(registry, registry.champion, alone)
    new = now - before - {champion}
    rival = next(iter(new)) if champion is not None and len(now) > 1 and len(new) == 1 else None
    known = registry.aliases.get(registry.challenger)
    if rival is not None and (before or known is None) and rival != known:
        yield _alias(registry, registry.challenger, rival)


def _alias(registry: Registry, alias: str, number: int) -> Order:
    return Order("registered-models/alias", {"name": registry.group, "alias": alias, "version": str(number)})


def _held(before: Mapping[int, Sequence[Deployment]], variant: str) -> str:
    """Which version was behind the variant; the latest of several, if an earlier call was cut off."""
    those = [(each.since_s, number) for number, here in before.items() for each in here if each.variant == variant]
    return str(max(those)[1]) if those else ""


def _endings(document: VersionDocument, over: Sequence[Deployment], mine: Container[str], now: _Now) -> Iterator[Order]:
    """The tags go of all that have ended, those with them of which an earlier call could not take them away."""
    if over:
        yield _tag(document, DEPLOYMENTS, ended_tag(document, over, by=now.by, why=now.why, now_s=now.now_s))
    for each in document.tags:
        if each.key.startswith(DEPLOYMENT) and each.key.removeprefix(DEPLOYMENT) not in mine:
            where = {"name": document.name, "version": str(document.version), "key": each.key}
            yield Order("model-versions/delete-tag", where, "DELETE")


def _tag(document: VersionDocument, key: str, text: str) -> Order:
    return Order(
        "model-versions/set-tag",
        {"name": document.name, "version": str(document.version), "key": key, "value": text},
    )
