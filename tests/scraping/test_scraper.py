import asyncio
import logging
import threading
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from math import isnan
from time import monotonic

import pytest
from prometheus_client import Gauge, MetricsHandler

from sidecar.records import Metric
from sidecar.scraping.fetching import session
from sidecar.scraping.scraper import Scraper, Scraping, Target
from tests.scraping.server import Talk, page, serving, silent
from tests.scraping.test_points import EXPECTED, registry, told

PATIENCE_S = 10.0


def target(url: str, variant: str = "champion", *, interval_s: float = 3600.0, timeout_s: float = 5.0) -> Target:
    return Target(url=url, variant=variant, interval_s=interval_s, timeout_s=timeout_s)


def scraper(of: Target, now_s: Callable[[], float] = monotonic) -> Scraper:
    return Scraper(of, asyncio.Lock(), version_of=lambda _: "3", max_series=100, now_s=now_s)


def scraping() -> Scraping:
    return Scraping(version_of=lambda variant: f"of {variant}", max_series=100, now_s=monotonic)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - what it waits for tells nobody
            await asyncio.sleep(0.001)


def names(each: Scraper) -> list[str]:
    return [] if each.scraped is None else [metric.name for metric in each.scraped.metrics]


def test_prometheus_own_server_is_read() -> None:
    made = registry()
    # As vLLM has them. Whoever names OpenMetrics gets another name.
    Gauge("vllm:num_requests_running", "In flight", registry=made).set(2)
    server = ThreadingHTTPServer(("127.0.0.1", 0), MetricsHandler.factory(made))
    thread = threading.Thread(target=server.serve_forever, args=(0.005,))
    thread.start()

    async def scenario() -> list[Metric]:
        looking = scraper(target(f"http://127.0.0.1:{server.server_port}/metrics"))
        async with session() as http:
            await looking.look(http)
        assert looking.up
        assert looking.scraped is not None
        assert told(looking.scraped) == {**EXPECTED, "vllm:num_requests_running": ("gauge", "", [({}, 2.0)])}
        return list(looking.scraped.metrics)

    try:
        assert asyncio.run(scenario())
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_look_that_fails_leaves_nothing_and_a_change_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    answers: list[Talk] = [
        page(b"a 1\n"),
        page(b"", status="500 No"),
        page(b"a\n"),
        page(b"b 1\n"),
        page(b"b 1\n"),
    ]

    async def scenario() -> list[tuple[bool | None, list[str]]]:
        seen: list[tuple[bool | None, list[str]]] = []

        async def talk(head: bytes, writer: asyncio.StreamWriter) -> None:
            await answers[len(seen)](head, writer)

        async with serving(talk) as url, session() as http:
            looking = scraper(target(f"{url}/metrics?token=s3cret"))
            assert (looking.up, looking.scraped, isnan(looking.duration_s)) == (None, None, True)
            for _ in answers:
                await looking.look(http)
                seen.append((looking.up, names(looking)))
        assert looking.failures == {"status": 1, "format": 1}
        assert 0 < looking.duration_s < PATIENCE_S
        return seen

    assert asyncio.run(scenario()) == [(True, ["a"]), (False, []), (False, []), (True, ["b"]), (True, ["b"])]
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("sidecar")]
    assert [line.partition(":")[0] for line in lines] == ["metrics of champion at http"] * 2
    assert lines[0].endswith("/metrics: answered 500, expected 200")
    assert lines[1].endswith("/metrics are there again")


def test_a_page_that_takes_too_long_to_read_is_given_up() -> None:
    # Fetched at once, by this clock; every line takes a second.
    clock = iter(range(10_000)).__next__

    async def scenario() -> dict[str, int]:
        async with serving(page(b"a 1\n" * 1000)) as url, session() as http:
            looking = scraper(target(url + "/", timeout_s=5.0), now_s=clock)
            await looking.look(http)
        return dict(looking.failures)

    assert asyncio.run(scenario()) == {"timeout": 1}


def test_a_fault_of_ours_is_a_look_that_failed_and_no_end(caplog: pytest.LogCaptureFixture) -> None:
    versions = iter(["1", "", "3"])

    def version_of(_: str) -> str:
        if not (version := next(versions)):
            raise RuntimeError("no version behind /metrics?token=s3cret")
        return version

    async def scenario() -> None:
        async with serving(page(b"a 1\n")) as url, session() as http:
            of = target(f"{url}/metrics?token=s3cret")
            looking = Scraper(of, asyncio.Lock(), version_of=version_of, max_series=100, now_s=monotonic)
            seen = []
            for _ in range(3):
                await looking.look(http)
                seen.append((looking.up, names(looking)))
        assert seen == [(True, ["a"]), (False, []), (True, ["a"])]
        assert looking.failures == {"internal": 1}

    asyncio.run(scenario())
    assert "RuntimeError('no version behind /metrics?…')" in caplog.text
    assert "s3cret" not in caplog.text


def test_it_looks_again_and_again_until_it_is_closed() -> None:
    async def scenario() -> int:
        looks = 0

        async def talk(head: bytes, writer: asyncio.StreamWriter) -> None:
            nonlocal looks
            looks += 1
            await page(b"a 1\n")(head, writer)

        async with serving(talk) as url:
            looking = scraping()
            looking.aim([target(url + "/", interval_s=0.001)])
            await until(lambda: looks >= 3)
            await looking.close()
        return len(asyncio.all_tasks())

    assert asyncio.run(scenario()) == 1


def test_a_target_that_stays_goes_on_and_others_come_and_go() -> None:
    async def scenario() -> None:
        async with serving(page(b"a 1\n")) as url, serving(silent) as mute:
            looking = scraping()
            one, two, three = (target(f"{url}/{name}", name) for name in "123")
            looking.aim([one, two, one, target(mute + "/")])
            assert [each.target for each in looking.scrapers] == [one, two, target(mute + "/")]
            await until(lambda: all(each.up for each in looking.scrapers[:2]))
            first = looking.scrapers[0]
            looking.aim([three, one])
            assert looking.scrapers[1] is first
            assert first.scraped is not None
            assert first.scraped.metrics[0].points[0][0]["sidecar.version"] == "of 1"
            await until(lambda: bool(looking.scrapers[0].up))
            looking.aim([])
            assert list(looking.scrapers) == []
            await looking.close()

    asyncio.run(scenario())


def test_nothing_is_opened_where_there_is_nothing_to_look_at() -> None:
    async def scenario() -> int:
        looking = scraping()
        looking.aim([])
        await looking.close()
        return threading.active_count()

    assert asyncio.run(scenario()) >= 1
