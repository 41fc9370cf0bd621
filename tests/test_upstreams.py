import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from msgspec.structs import replace

from sidecar import upstreams as module
from sidecar.build import serving
from sidecar.config.schema import (
    Config,
    Ejection,
    Experiment,
    Headers,
    Health,
    Limits,
    Shadow,
    Split,
    UpstreamTls,
    Variant,
)
from sidecar.config.telemetry import Tail
from sidecar.proxy.copying import Original
from sidecar.proxy.gateway import Gateway
from sidecar.proxy.tap import Tap
from sidecar.sinks.otlp_traces import otlp_traces_settings
from sidecar.stats.traced import Tracing
from sidecar.stats.traffic import Traffic
from sidecar.tasks import Tasks
from sidecar.upstreams import Means, Upstreams
from sidecar.wire.http1 import parse_request
from tests.proxy.rig import OK, Upstream
from tests.steering_rig import until

QUICK = Health(interval_s=0.001, timeout_s=5.0, unhealthy_after=1, healthy_after=1)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UNREADY_S", 0.001)
    monkeypatch.setattr(module, "RETURN_S", 0.001)


class Park:
    """Upstreams, and the gateways that they put."""

    def __init__(self, config: Config, tracing: Tracing | None = None) -> None:
        self.now_s = 100.0
        self.tasks = Tasks()
        means = Means(
            Traffic(max_series=10),
            Tap(buffer_bytes=0),
            self.tasks,
            lambda: b"r",
            lambda: self.now_s,
            lambda: 1e9,
            tracing,
        )
        self.upstreams = Upstreams(config, means)
        self.gateways: list[Gateway] = []
        self.upstreams.put = self.gateways.append

    def share(self, name: str) -> tuple[float, float]:
        """A variant's weight, and the part of it that it is dealt."""
        (found,) = (each for each in self.upstreams.gateway.table.variants if each.name == name)
        return found.weight, found.available


@asynccontextmanager
async def park(config: Config) -> AsyncIterator[Park]:
    made = Park(config)
    try:
        yield made
    finally:
        await made.upstreams.close()
        await made.tasks.close()


def two(**changes: object) -> Config:
    variants = {"a": Variant(url="http://127.0.0.1:1", weight=90), "b": Variant(url="http://127.0.0.1:2", weight=10)}
    return replace(Config(variants=variants), **changes)


def weighed(config: Config, weight: float) -> Config:
    return replace(config, variants={**config.variants, "b": replace(config.variants["b"], weight=weight)})


def run(config: Config, scenario: Callable[[Park], Awaitable[None]]) -> None:
    async def within() -> None:
        async with park(config) as here:
            await scenario(here)

    asyncio.run(within())


def test_what_is_prepared_is_in_force_when_it_is_put() -> None:
    async def scenario(here: Park) -> None:
        put = here.upstreams.prepare(weighed(two(), 30))
        assert here.share("b") == (10, 1.0)
        assert here.gateways == []
        put()
        assert here.share("b") == (30, 1.0)
        assert here.gateways == [here.upstreams.gateway]

    run(two(), scenario)


def test_connections_go_on_where_only_weights_change() -> None:
    async def scenario(here: Park) -> None:
        before = dict(here.upstreams.gateway.pools)
        here.upstreams.prepare(weighed(two(), 30))()
        assert here.upstreams.gateway.pools == before
        moved = weighed(two(), 30)
        moved = replace(moved, variants={**moved.variants, "b": Variant(url="http://127.0.0.1:3")})
        here.upstreams.prepare(moved)()
        assert here.upstreams.gateway.pools["a"] is before["a"]
        assert here.upstreams.gateway.pools["b"] is not before["b"]
        here.upstreams.prepare(replace(moved, limits=Limits(in_flight=7)))()
        assert here.upstreams.gateway.pools["a"] is not before["a"]

    run(two(), scenario)


def test_what_is_known_of_a_variant_goes_on_unless_it_is_elsewhere() -> None:
    config = two(ejection=Ejection(errors=1))

    async def scenario(here: Park) -> None:
        here.upstreams.gateway.pools["b"].availability.failed("error", here.now_s)
        here.upstreams.prepare(weighed(config, 30))()
        assert here.upstreams.states["b"] == ("ejected", 0.0)
        assert here.share("b") == (30, 0.0)
        assert here.upstreams.ejections == {"a": 0, "b": 1}
        elsewhere = {**config.variants, "b": Variant(url="http://127.0.0.1:3")}
        here.upstreams.prepare(replace(config, variants=elsewhere))()
        assert here.share("b") == (1, 1.0)

    run(config, scenario)


def test_a_file_that_cannot_be_used_changes_nothing() -> None:
    async def scenario(here: Park) -> None:
        before = here.upstreams.gateway
        secure = Variant(url="https://127.0.0.1:3", tls=UpstreamTls(ca="/does/not/exist"))
        with pytest.raises(OSError, match="No such file"):
            here.upstreams.prepare(two(variants={"a": secure}))
        assert here.upstreams.gateway is before

    run(two(), scenario)


def test_outcomes_are_noted_where_somebody_weighs_them() -> None:
    async def scenario(here: Park) -> None:
        assert here.upstreams.gateway.served is None
        here.upstreams.prepare(two(experiment=Experiment(name="t", champion="a")))()
        assert here.upstreams.gateway.served is here.upstreams.served

    run(two(), scenario)


@pytest.mark.parametrize(("ratio", "copied"), [(0.0, False), (0.5, True)])
def test_copies_are_sampled_where_there_is_a_shadow(ratio: float, copied: bool) -> None:
    async def scenario(here: Park) -> None:
        gateway = here.upstreams.gateway
        assert (gateway.shadow is not None) == copied
        assert gateway.sampling.ratio == max(ratio, 0.1)
        here.upstreams.prepare(two())()
        assert here.upstreams.gateway.shadow is None

    run(two(shadow=Shadow(variant="b", ratio=ratio)), scenario)


async def _serve(upstream: Upstream, replies: list[bytes]) -> None:
    """Answer each connection's requests with the last of these."""
    with suppress(OSError, AssertionError):
        while True:
            peer = await upstream.accept()
            with suppress(AssertionError):
                while await peer.head():
                    await peer.send(replies[-1])


@pytest.mark.parametrize("path", [None, "/health"])
def test_health_is_seen_over_real_connections(path: str | None) -> None:
    async def scenario() -> None:
        upstream, replies = Upstream(), [OK]
        config = Config(upstream=f"http://127.0.0.1:{upstream.port}", health=replace(QUICK, path=path))
        async with park(config) as here:
            serving = here.tasks.start(_serve(upstream, replies))
            watching = here.tasks.start(here.upstreams.watch())
            await until(lambda: here.upstreams.answering)
            if path is not None:
                replies.append(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
                await until(lambda: not here.upstreams.answering)
                replies.append(OK)
                await until(lambda: here.upstreams.answering)
            upstream.close()
            serving.cancel()
            watching.cancel()

    asyncio.run(scenario())


def test_who_comes_back_is_dealt_its_part_bit_by_bit() -> None:
    config = two(ejection=Ejection(errors=1, eject_s=10, return_s=10))

    async def scenario(here: Park) -> None:
        here.tasks.start(here.upstreams._return())
        here.upstreams.gateway.pools["b"].availability.failed("error", here.now_s)
        here.upstreams.redeal()
        assert here.share("b") == (10, 0.0)
        here.now_s += 15
        await until(lambda: 0 < here.share("b")[1] < 1)
        here.now_s += 15
        await until(lambda: here.share("b") == (10, 1.0))

    run(config, scenario)


@pytest.mark.parametrize("elsewhere", [{}, {"b": Variant(url="http://127.0.0.1:1")}])
def test_connections_that_are_not_needed_any_more_are_closed(elsewhere: dict[str, Variant]) -> None:
    async def scenario() -> None:
        first, second = Upstream(), Upstream()
        config = two(variants={name: at(each) for name, each in (("a", first), ("b", second))})
        async with park(config) as here:
            pools = here.upstreams.gateway.pools
            for pool in pools.values():
                pool.put(await pool.connect())
            kept, gone = await first.accept(), await second.accept()
            changed = {"a": replace(config.variants["a"], weight=7), **elsewhere}
            here.upstreams.prepare(replace(config, variants=changed))()
            await gone.gone()
            assert here.upstreams.gateway.pools["a"] is pools["a"]
            assert (pools["a"].idle, pools["b"].idle) == (1, 0)
            # What was on its way goes on, and closes when it is done.
            late = await pools["b"].connect()
            pools["b"].put(late)
            assert pools["b"].idle == 0
            pools["a"].close()
            await kept.gone()
            first.close()
            second.close()

    asyncio.run(scenario())


def at(upstream: Upstream) -> Variant:
    return Variant(url=f"http://127.0.0.1:{upstream.port}")


def test_another_shadow_ends_the_copies_of_the_one_before() -> None:
    async def scenario() -> None:
        upstream = Upstream()
        config = two(variants={"a": at(upstream), "b": at(upstream)}, shadow=Shadow(variant="b", ratio=0.5))
        async with park(config) as here:
            before = here.upstreams.gateway.shadow
            assert before is not None
            copy = before.begin(parse_request(b"GET / HTTP/1.1\r\nHost: m\r\n"), b"r")
            assert copy is not None
            copy.send(Original("", 0, sampled=False, sample_ratio=1.0, keep_errors=False, max_body_bytes=0))
            peer = await upstream.accept()
            await peer.head()
            assert here.upstreams.shadowed.in_flight == 1
            here.upstreams.prepare(replace(config, shadow=Shadow(variant="b", ratio=0.2)))()
            await peer.gone()
            await until(lambda: here.upstreams.shadowed.in_flight == 0)
            assert here.upstreams.shadowed.failed == {"stopping": 1}
            assert here.upstreams.gateway.shadow not in {before, None}
            upstream.close()

    asyncio.run(scenario())


def test_other_limits_forget_what_was_known() -> None:
    config = two(ejection=Ejection(errors=1))

    async def scenario(here: Park) -> None:
        here.upstreams.gateway.pools["b"].availability.failed("error", here.now_s)
        here.upstreams.prepare(replace(config, ejection=Ejection(errors=9)))()
        assert here.upstreams.states["b"] == ("taking", 1.0)
        assert here.upstreams.gateway.pools["b"].availability.failed("error", here.now_s) is False

    run(config, scenario)


def test_the_last_one_is_never_given_up() -> None:
    async def scenario(here: Park) -> None:
        gateway = here.upstreams.gateway
        for name, parts in (("a", (0.0, 1.0)), ("b", (1.0, 1.0))):
            gateway.pools[name].availability.failed("error", here.now_s)
            gateway.redeal()
            assert (here.share("a")[1], here.share("b")[1]) == parts
        assert {state for state, _ in here.upstreams.states.values()} == {"ejected"}
        assert here.upstreams.ejections == {"a": 1, "b": 1}

    run(two(ejection=Ejection(errors=1)), scenario)


def test_the_first_to_come_back_takes_it_all_from_who_is_still_away() -> None:
    config = two(ejection=Ejection(errors=1, eject_s=10, return_s=0))

    async def scenario(here: Park) -> None:
        pools = here.upstreams.gateway.pools
        pools["a"].availability.failed("error", here.now_s)
        here.now_s += 5
        pools["b"].availability.failed("error", here.now_s)
        here.upstreams.redeal()
        assert (here.share("a"), here.share("b")) == ((90, 1.0), (10, 1.0))
        here.tasks.start(here.upstreams._return())
        here.now_s += 6
        await until(lambda: (here.share("a"), here.share("b")) == ((90, 1.0), (10, 0.0)))
        here.now_s += 6
        assert here.upstreams.states["b"] == ("ejected", 0.0), "nothing is dealt to it before the next look"
        await until(lambda: here.upstreams.states["b"] == ("taking", 1.0))
        assert here.share("b") == (10, 1.0)

    run(config, scenario)


@pytest.mark.parametrize(("fallback", "answering"), [(None, False), ("b", True)])
def test_a_fallback_that_is_well_answers_for_all(fallback: str | None, answering: bool) -> None:
    async def scenario() -> None:
        upstream = Upstream()
        variants = {"a": Variant(url="http://127.0.0.1:1"), "b": replace(at(upstream), weight=0.0)}
        async with park(two(variants=variants, split=Split(fallback=fallback), health=QUICK)) as here:
            here.tasks.start(here.upstreams.watch())
            await until(lambda: here.upstreams.states["a"][0] == "unhealthy")
            assert here.upstreams.answering is answering
            assert here.share("a") == (1.0, 0.0 if fallback else 1.0)
            upstream.close()

    asyncio.run(scenario())


def test_who_was_well_elsewhere_is_not_known_to_be_well() -> None:
    async def scenario() -> None:
        one, other = Upstream(), Upstream()
        places = {name: f"http://127.0.0.1:{each.port}" for name, each in (("a", one), ("b", other))}
        config = two(variants={name: Variant(url=url, weight=50) for name, url in places.items()})
        async with park(config) as here:
            here.tasks.start(here.upstreams.watch())
            await until(lambda: here.upstreams.well == {"a", "b"})
            moved = {**config.variants, "b": replace(config.variants["b"], url="http://127.0.0.1:9")}
            here.upstreams.prepare(replace(config, variants=moved))()
            assert here.upstreams.well == {"a"}
            one.close()
            other.close()

    asyncio.run(scenario())


def test_an_answer_of_who_is_gone_meanwhile_says_nothing() -> None:
    async def scenario() -> None:
        before, after = Upstream(), Upstream()
        looked = replace(QUICK, path="/health")
        config = Config(upstream=f"http://127.0.0.1:{before.port}", health=looked)
        async with park(config) as here:
            here.tasks.start(here.upstreams.watch())
            peer = await before.accept()
            await peer.head()
            here.upstreams.prepare(replace(config, upstream=f"http://127.0.0.1:{after.port}"))()
            peer.close()
            before.close()
            fresh = await after.accept()
            assert here.upstreams.states == {"default": ("taking", 1.0)}
            assert not here.upstreams.answering
            await fresh.head()
            await fresh.send(OK)
            await until(lambda: here.upstreams.answering)
            after.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("tail", [None, Tail(errors=False, slow_s=2.0, per_minute=1), Tail()])
def test_requests_are_traced_as_the_variables_and_the_configuration_say(tail: Tail | None) -> None:
    settings = otlp_traces_settings({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_TRACES_SAMPLER": "always_off"})
    tracing = serving.tracing(settings, tail, random.Random(1).getrandbits)
    assert tracing is not None
    park = Park(Config(upstream="http://127.0.0.1:9", headers=Headers(forwarded_for=True)), tracing)
    gateway = park.upstreams.gateway
    assert (gateway.tracing, gateway.forwarded_for) == (tracing, True)
    assert tracing.draws(b"0" * 16) is False
    slow = tail is not None and tail.slow_s is not None
    assert tracing.notable(failed=False, duration_s=3.0) == ("slow" if slow else "")
    assert tracing.notable(failed=True, duration_s=1.0) == ("error" if tail is not None and tail.errors else "")
    assert [tracing.admits("error", 0.0) for _ in range(2)] == [True, tail is not None and tail.per_minute > 1]


def test_where_nobody_asks_for_traces_there_are_none() -> None:
    assert serving.tracing(otlp_traces_settings({}), Tail(), random.Random(1).getrandbits) is None
    gateway = Park(Config(upstream="http://127.0.0.1:9")).upstreams.gateway
    assert (gateway.tracing, gateway.forwarded_for) == (None, False)
