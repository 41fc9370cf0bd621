import asyncio
import re
from collections.abc import Sequence

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sidecar.admin.prometheus import render
from sidecar.instruments.scraped import scrape_metrics
from sidecar.instruments.table import INSTRUMENTS
from sidecar.records import Buckets, Metric, Report
from sidecar.scraping.points import Scraped
from sidecar.scraping.scraper import Scraper, Target
from tests.instruments.rig import by_name

GAUGE = Metric("queue", "", "Waiting", "gauge", [({"a": "1"}, 1.0)])
PLACE = {"server.address": "model", "server.port": 8081, "url.path": "/metrics"}


def looked(*metrics: Metric, variant: str = "champion", url: str = "http://model:8081/metrics?token=x") -> Scraper:
    """What has been looked at, and had these metrics."""
    target = Target(url=url, variant=variant, interval_s=1, timeout_s=1)
    made = Scraper(target, asyncio.Lock(), version_of=lambda _: "3", max_series=100, now_s=lambda: 0.0)
    made.scraped, made.up, made.duration_s = Scraped(metrics, {"series": 7}), True, 0.25
    return made


def failed() -> Scraper:
    made = looked(url="https://model")
    made.scraped, made.up = None, False
    made.failures.update(timeout=2)
    return made


def told(*scrapers: Scraper, beside: Sequence[Metric] = ()) -> dict[str, Metric]:
    return by_name(scrape_metrics(scrapers, beside=beside))


def omitted(metrics: dict[str, Metric], variant: str = "champion") -> dict[str, float]:
    return {
        str(at["sidecar.reason"]): value
        for at, value in metrics["sidecar.scrape.omitted"].points
        if at["feature_flag.result.variant"] == variant and isinstance(value, (int, float)) and value
    }


def test_without_targets_there_is_nothing() -> None:
    assert told() == {}


def test_what_was_scraped_is_told_and_how_that_went() -> None:
    metrics = told(looked(GAUGE), failed())
    champion = {"feature_flag.result.variant": "champion"}
    at, bad = {**champion, **PLACE}, {**champion, "server.address": "model", "server.port": 443, "url.path": "/"}
    assert metrics["queue"] == GAUGE
    assert metrics["sidecar.scrape.up"].points == [(at, 1.0), (bad, 0.0)]
    assert metrics["sidecar.scrape.duration"].points == [(at, 0.25), (bad, 0.25)]
    assert metrics["sidecar.scrape.points"].points == [(at, 1)]
    assert omitted(metrics) == {"series": 7}
    assert metrics["sidecar.scrape.failures"].points == [({**bad, "sidecar.reason": "timeout"}, 2)]


def test_a_target_that_nobody_has_looked_at_is_not_told() -> None:
    fresh = Scraper(failed().target, asyncio.Lock(), version_of=str, max_series=1, now_s=lambda: 0.0)
    assert [each.name for each in told(fresh).values() if each.points] == []


def test_one_name_at_two_targets_is_one_metric() -> None:
    other = Metric("queue", "", "Else", "gauge", [({"a": "2"}, 2.0), ({"a": "1"}, 3.0)])
    metrics = told(looked(GAUGE), looked(other, variant="challenger"))
    assert metrics["queue"] == Metric("queue", "", "Waiting", "gauge", [({"a": "1"}, 1.0), ({"a": "2"}, 2.0)])
    assert omitted(metrics, "challenger") == {"series": 7, "repeated": 1}
    assert [value for _, value in metrics["sidecar.scrape.points"].points] == [1, 1]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sidecar_tunnels", "counter"),
        ("sidecar.tunnels", "counter"),
        ("sidecar_tunnels_total", "gauge"),
        ("sidecar_info", "gauge"),
        ("http_server_request_duration_seconds", "histogram"),
        ("http_server_request_duration_seconds_count", "gauge"),
        ("target_info", "gauge"),
        ("tokens", "counter"),
        ("1st", "gauge"),
        ("", "gauge"),
    ],
)
def test_a_name_of_ours_or_none_is_left_out_and_counted(name: str, kind: str) -> None:
    value = Buckets([], [1], 1.0) if kind == "histogram" else 1.0
    scraped = Metric(name, "", "", kind, [({}, value), ({"a": "1"}, value)])  # type: ignore[arg-type]  # a kind
    metrics = told(looked(scraped, GAUGE), beside=[Metric("tokens", "", "", "counter", [])])
    assert name not in metrics
    assert omitted(metrics) == {"series": 7, "name": 2}
    assert metrics["queue"] == GAUGE


def test_a_name_that_only_opentelemetry_has_twice_is_left_out() -> None:
    """A counter and a gauge differ in Prometheus, by `_total`."""
    metrics = scrape_metrics([looked(GAUGE)], beside=[Metric("queue", "", "Ours", "counter", [({}, 1.0)])])
    assert "queue" not in by_name(metrics)
    assert omitted(by_name(metrics)) == {"series": 7, "name": 1}


@pytest.mark.parametrize(
    "other",
    [
        Metric("queue", "", "", "counter", [({}, 1.0)]),
        Metric("que.ue", "", "", "gauge", [({}, 1.0)]),
        Metric("que", "", "", "histogram", [({}, Buckets([], [1], 1.0))]),
    ],
)
def test_the_first_target_has_the_name(other: Metric) -> None:
    first = {"queue": GAUGE, "que.ue": Metric("que_ue", "", "", "gauge", [({}, 1.0)])}.get(other.name)
    first = first or Metric("que_count", "", "", "counter", [({}, 1.0)])
    if other.name == "que":
        first = Metric("que_count", "", "", "gauge", [({}, 1.0)])
    metrics = told(looked(first), looked(other, variant="challenger"))
    assert metrics[first.name] == first
    assert omitted(metrics, "challenger") == {"series": 7, "name": 1}


def test_all_of_it_is_an_exposition_again() -> None:
    scraped = [
        Metric("tokens", "", "Tokens", "counter", [({"a": "1"}, 2.0)]),
        Metric("latency", "s", "", "histogram", [({}, Buckets([1.0], [1, 2], 3.5))]),
    ]
    metrics = scrape_metrics([looked(GAUGE, *scraped), failed()], beside=[])
    text = render(Report(0.0, 0.0, metrics)).decode()
    samples = {sample.name: sample.value for each in text_string_to_metric_families(text) for sample in each.samples}
    assert samples["queue"] == 1.0
    assert samples["tokens_total"] == 2.0
    assert samples["latency_seconds_count"] == 3
    assert len(re.findall("^# TYPE", text, re.MULTILINE)) == len([each for each in metrics if each.points])


def test_every_metric_of_a_look_is_in_the_table() -> None:
    names = {each.name for each in told(looked()).values()}
    assert names == {name for name in INSTRUMENTS if name.startswith("sidecar.scrape.")}


def test_what_a_model_server_counts_began_without_us() -> None:
    counter = Metric("tokens", "", "", "counter", [({"a": "1"}, 2.0)], foreign=True)
    other = Metric("tokens", "", "", "counter", [({"a": "2"}, 3.0)], foreign=True)
    metrics = told(looked(counter), looked(other, variant="challenger"))
    assert metrics["tokens"].foreign
    assert not metrics["sidecar.scrape.failures"].foreign
