"""What model servers offer to Prometheus, beside our own metrics; and how the looks at it went."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from math import isfinite

from sidecar.config.addresses import SocketAddress, parse_upstream
from sidecar.instruments.table import INSTRUMENTS, Points, counted_by, metric
from sidecar.prometheus_names import RESERVED, sample_names
from sidecar.records import Attributes, Metric, Value
from sidecar.scraping.scraper import Scraper
from sidecar.texts import encodable

OMITTED = ("series", "name", "repeated", "malformed", "kind")
"""Why a point may be left out, as `Scraped` has it."""

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


def scrape_metrics(scrapers: Sequence[Scraper], *, beside: Sequence[Metric]) -> list[Metric]:
    """What was scraped, and how that went. May be called from any thread.

    What has the same name at several targets is one metric. A name that one of ours has, in Prometheus too, now or in
    another report, is not told, nor one that has another kind at an earlier target.

    Args:
        beside: Everything else that is told.
    """
    if not scrapers:
        return []
    joining = _Joining({*RESERVED, *_ours(beside)}, {each.name for each in beside})
    looks = [_Look(each) for each in scrapers]
    for look in looks:
        for each in look.metrics:
            look.leave_out(joining.add(each))
    return [*joining.metrics(), *_of_looks(looks)]


def _ours(beside: Sequence[Metric]) -> Iterator[str]:
    """All names in Prometheus of our own: those of this report, and those that may come."""
    for each in (*beside, *(metric(name, []) for name in INSTRUMENTS)):
        yield from sample_names(each.name, each.unit, each.kind)


class _Look:
    """What the latest look at a target found, as it is now: another may end meanwhile."""

    def __init__(self, scraper: Scraper) -> None:
        scraped = scraper.scraped
        self.at = _where(scraper.target.url, scraper.target.variant)
        self.up = scraper.up
        self.duration_s = scraper.duration_s
        self.failures = dict(scraper.failures)
        self.metrics = () if scraped is None else scraped.metrics
        self.told = sum(len(each.points) for each in self.metrics)
        self.omitted = Counter({} if scraped is None else scraped.omitted)

    def leave_out(self, omitted: Mapping[str, int]) -> None:
        """Count points of it that are not told after all, by reason."""
        self.omitted.update(omitted)
        self.told -= sum(omitted.values())


def _where(url: str, variant: str) -> dict[str, str | int | bool]:
    """The attributes of what is told of a target; its URL's query may hold a token."""
    address = parse_upstream("/".join(url.split("/", 3)[:3])).address
    assert isinstance(address, SocketAddress)
    path = "/" + "/".join(url.split("/", 3)[3:]).partition("?")[0]
    at = {"feature_flag.result.variant": encodable(variant), "server.address": address.host}
    return {**at, "server.port": address.port, "url.path": path}


def _of_looks(looks: Sequence[_Look]) -> list[Metric]:
    """How the latest looks went; nothing of a target that has not been looked at."""
    done = [each for each in looks if each.up is not None]
    omitted = [_by_reason(each.at, {reason: each.omitted[reason] for reason in OMITTED}) for each in done if each.up]
    failures = [_by_reason(each.at, each.failures) for each in done]
    return [
        metric("sidecar.scrape.up", [(each.at, float(each.up is True)) for each in done]),
        metric("sidecar.scrape.duration", [(each.at, each.duration_s) for each in done if isfinite(each.duration_s)]),
        metric("sidecar.scrape.points", [(each.at, each.told) for each in done if each.up]),
        metric("sidecar.scrape.omitted", chain.from_iterable(omitted)),
        metric("sidecar.scrape.failures", chain.from_iterable(failures)),
    ]


def _by_reason(at: Attributes, counts: Mapping[str, int]) -> Points:
    return [({**at, **reason}, count) for reason, count in counted_by("sidecar.reason", counts)]


@dataclass(slots=True)
class _Joined:
    """Metrics of one name."""

    first: Metric
    points: list[tuple[Attributes, Value]] = field(default_factory=list)
    seen: set[frozenset[tuple[str, str | int | bool]]] = field(default_factory=set)


class _Joining:
    """Metrics of all targets, by name.

    Args:
        taken: Names in Prometheus that are somebody else's.
        named: Names in OpenTelemetry that are.
    """

    def __init__(self, taken: Collection[str], named: Collection[str]) -> None:
        self._taken = set(taken)
        self._named = named
        self._joined: dict[str, _Joined] = {}

    def add(self, scraped: Metric) -> Mapping[str, int]:
        """How many points of a metric are left out, by reason."""
        joined = self._joined.get(scraped.name)
        if joined is None:
            names = sample_names(scraped.name, scraped.unit, scraped.kind)
            free = scraped.name not in self._named and self._taken.isdisjoint(names)
            if not free or not all(map(_NAME.fullmatch, names)):
                return {"name": len(scraped.points)}
            self._taken.update(names)
            joined = self._joined[scraped.name] = _Joined(scraped)
        elif joined.first.kind != scraped.kind:
            return {"name": len(scraped.points)}
        repeated = 0
        for at, value in scraped.points:
            if (key := frozenset(at.items())) in joined.seen:
                repeated += 1
                continue
            joined.seen.add(key)
            joined.points.append((at, value))
        return {"repeated": repeated}

    def metrics(self) -> list[Metric]:
        """One of each name."""
        return [replace(each.first, points=each.points) for each in self._joined.values()]
