"""The upstreams as they serve: their connections, how much each can take, and the gateway made of all that."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import msgspec

from sidecar.build import serving as build
from sidecar.config.fingerprints import fingerprints
from sidecar.config.schema import Config, Health, UpstreamTls
from sidecar.config.schema import Variant as VariantConfig
from sidecar.proxy.gateway import Gateway, Sampling
from sidecar.proxy.limits import Limits, Timeouts
from sidecar.proxy.pool import Pool
from sidecar.proxy.probe import probe
from sidecar.proxy.shadow import Counts, Shadow
from sidecar.proxy.tap import Tap
from sidecar.routing.availability import Availability, State, shares
from sidecar.routing.table import RoutingTable, Variant
from sidecar.routing.templates import Templates
from sidecar.stats.served import Served
from sidecar.stats.traced import Tracing
from sidecar.stats.traffic import Traffic
from sidecar.tasks import Tasks

log = logging.getLogger(__name__)

UNREADY_S = 0.5
"""Between two looks at the upstreams' health while none is well."""

RETURN_S = 1.0
"""Between two looks at how much those can take that come back."""


class Means(NamedTuple):
    """What lasts for the life of the process.

    Args:
        fresh_id: Makes a request id.
        now_s: A clock that does not go back.
        wall_s: Unix time.
        tracing: Where traces go, if there are any.
    """

    traffic: Traffic
    tap: Tap
    tasks: Tasks
    fresh_id: Callable[[], bytes]
    now_s: Callable[[], float]
    wall_s: Callable[[], float]
    tracing: Tracing | None = None


class Place(NamedTuple):
    """All that makes the connections to an upstream what they are."""

    url: str
    tls: UpstreamTls | None
    timeouts: Timeouts
    idle_limit: int


class Made(NamedTuple):
    """Connections as they were made.

    Args:
        seen: Fingerprints of the files of their TLS.
    """

    place: Place
    seen: Sequence[object]
    pool: Pool


class Upstreams:
    """Makes gateways, and keeps an eye on who can serve.

    Args:
        config: To begin with.
        means: What lasts.

    Attributes:
        gateway: In force.
        put: Called with every other gateway that is to be in force.
        answering: Somebody who has a part of the traffic is well.
        well: Those that answered when they were last looked at.
        served: Where outcomes go while an experiment or a rollout weighs them.
        shadowed: What became of copies.

    Raises:
        ConfigError: A part of the configuration cannot be used.
        OSError: Likewise a file.
    """

    def __init__(self, config: Config, means: Means) -> None:
        self.answering = False
        self.well: set[str] = set()
        self.served = Served()
        self.shadowed = Counts()
        self.put: Callable[[Gateway], None] = _nowhere
        self._means = means
        self._config = config
        self._availabilities: dict[str, Availability] = {}
        self._made: dict[str, Made] = {}
        self._shadow: Shadow | None = None
        self._states: Mapping[str, tuple[State, float]] = {}
        self.gateway: Gateway
        self.prepare(config)()

    def prepare(self, config: Config) -> Callable[[], None]:
        """Make what a configuration needs, and give what puts it in force. Connections go on where all stays.

        Where all but weights stays they go on too if a file is gone meanwhile: the way back needs no certificate.

        Raises:
            OSError: A file of it cannot be used.
        """
        variants = build.variants_of(config.upstream, config.variants)
        limits, timeouts = build.request_limits(config.limits, config.split), build.request_timeouts(config.timeouts)
        places = {name: Place(each.url, each.tls, timeouts, limits.in_flight) for name, each in variants.items()}
        same = (config.health, config.ejection) == (self._config.health, self._config.ejection)
        lightly = bool(self._made) and _but_weights(config) == _but_weights(self._config)
        availabilities, made = {}, {}
        for name, variant in variants.items():
            before = self._made.get(name) if same else None
            known = before is not None and before.place.url == variant.url
            availability = self._availabilities[name] if known else build.availability(config.health, config.ejection)
            availabilities[name] = availability
            seen = fingerprints(_files(variant))
            if before is not None and before.place == places[name] and (lightly or before.seen == seen):
                made[name] = before
            else:
                made[name] = Made(places[name], seen, build.pool(variant, timeouts, limits, availability))
        shadow = self._shadow if lightly else self._copying(config, timeouts, limits)

        def put() -> None:
            gone = [each.pool for name, each in self._made.items() if name not in made or made[name] is not each]
            earlier, self._shadow = self._shadow, shadow
            self.well = {name for name in self.well if made.get(name) is self._made.get(name)}
            self._config, self._availabilities, self._made = config, availabilities, made
            self._enforce(self._gateway(config, limits, timeouts))
            for pool in gone:
                pool.close()
            if earlier is not None and earlier is not shadow:
                self._means.tasks.start(earlier.close())

        return put

    def redeal(self) -> None:
        """Deal the traffic anew: somebody can serve again, or cannot any more."""
        self._enforce(replace(self.gateway, table=self._table()))

    @property
    def states(self) -> Mapping[str, tuple[State, float]]:
        """How each variant was when the traffic was last dealt, and the part of its traffic that it may take since."""
        return self._states

    @property
    def ejections(self) -> Mapping[str, int]:
        """How often each variant was ejected."""
        return {name: each.ejections for name, each in self._availabilities.items()}

    async def watch(self) -> None:
        """Look at the upstreams' health, and let those come back that were away; until cancelled."""
        self._means.tasks.start(self._return())
        while True:
            health, gateway = self._config.health, self.gateway
            looks = [_look(pool, health) for pool in gateway.pools.values()]
            answers = dict(zip(gateway.pools, await asyncio.gather(*looks), strict=True))
            if gateway.pools == self.gateway.pools:
                self._note(answers)
            await asyncio.sleep(health.interval_s if self.answering else min(UNREADY_S, health.interval_s))

    async def close(self) -> None:
        """Send no copies any more."""
        if self._shadow is not None:
            await self._shadow.close()

    def _note(self, answers: Mapping[str, bool]) -> None:
        now_s = self._means.now_s()
        changed = [self._availabilities[name].probed(ok, now_s) for name, ok in answers.items()]
        table = self.gateway.table
        serving = {each.name for each in table.variants if each.weight > 0 or each.name == table.fallback}
        self.well = {name for name, ok in answers.items() if ok}
        before, self.answering = self.answering, not self.well.isdisjoint(serving)
        if before and not self.answering:
            log.error("no upstream answers")
        if any(changed):
            self.redeal()

    async def _return(self) -> None:
        while True:
            await asyncio.sleep(RETURN_S)
            dealt = [variant.available for variant in self.gateway.table.variants]
            # Where nobody can serve, all are dealt to as if they could: of that the table does not tell.
            if min(*dealt, *(part for _, part in self._states.values())) < 1:
                self.redeal()

    def _copying(self, config: Config, timeouts: Timeouts, limits: Limits) -> Shadow | None:
        shadow = config.shadow
        if shadow is None or not shadow.ratio:
            return None
        variant = config.variants[shadow.variant]
        means = self._means
        return Shadow(
            # What copies meet says nothing of whether the variant can serve.
            build.pool(variant, timeouts, limits, build.availability(config.health, config.ejection)),
            Variant(shadow.variant, variant.version),
            build.bounds(shadow, config.timeouts),
            tap=means.tap,
            counts=self.shadowed,
            wall_s=means.wall_s,
        )

    def _gateway(self, config: Config, limits: Limits, timeouts: Timeouts) -> Gateway:
        means = self._means
        return Gateway(
            table=self._table(),
            templates=Templates(config.routes),
            pools={name: each.pool for name, each in self._made.items()},
            signs=build.signs(config.variants) if config.headers.variant else {},
            redeal=self.redeal,
            timeouts=timeouts,
            limits=limits,
            sampling=Sampling(
                # What is copied is to be compared.
                ratio=max(config.capture.sample_ratio, config.shadow.ratio if config.shadow else 0.0),
                all_errors=config.capture.errors == "always",
                max_body_bytes=config.capture.max_body_bytes,
            ),
            request_ids=config.headers.request_id,
            server_timing=config.headers.server_timing,
            forwarded_for=config.headers.forwarded_for,
            traffic=means.traffic,
            tap=means.tap,
            tasks=means.tasks,
            shadow=self._shadow,
            served=self.served if config.experiment or config.rollout else None,
            tracing=means.tracing,
            fresh_id=means.fresh_id,
            now_s=means.now_s,
            wall_s=means.wall_s,
        )

    def _table(self) -> RoutingTable:
        config = self._config
        variants = build.variants_of(config.upstream, config.variants)
        weights = {name: variant.weight for name, variant in variants.items()}
        fallback = config.split.fallback
        now_s = self._means.now_s()
        self._tell({name: (each.state(now_s), each.available(now_s)) for name, each in self._availabilities.items()})
        parts = shares(self._availabilities, weights, now_s, fallback=fallback)
        salt = config.experiment.name if config.experiment else ""
        return build.table(variants, config.split, salt, parts)

    def _tell(self, states: Mapping[str, tuple[State, float]]) -> None:
        for name, (state, _) in states.items():
            if state != self._states.get(name, ("taking", 1.0))[0]:
                level = logging.WARNING if state in {"ejected", "unhealthy"} else logging.INFO
                log.log(level, "%s is %s", name, state.replace("_", " "))
        self._states = states

    def _enforce(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.put(gateway)


async def _look(pool: Pool, health: Health) -> bool:
    """Whether an upstream is well."""
    if health.path is not None:
        return await probe(pool, health.path, health.timeout_s)
    try:
        async with asyncio.timeout(health.timeout_s):
            return await pool.answers()
    except TimeoutError:
        return False


def _files(variant: VariantConfig) -> list[str]:
    tls = variant.tls
    return [each for each in (tls.ca, tls.cert, tls.key) if each is not None] if tls is not None else []


def _but_weights(config: Config) -> Config:
    """All of it but who gets how much."""
    variants = {name: msgspec.structs.replace(each, weight=1.0) for name, each in config.variants.items()}
    return msgspec.structs.replace(config, variants=variants)


def _nowhere(gateway: Gateway) -> None:
    """Before anything serves."""
