from math import inf, nan

import pytest
from msgspec.structs import replace

from sidecar.config.rules import broken_rules
from sidecar.config.schema import Config, Variant
from sidecar.config.telemetry import Attribute, CustomMetric, Scrape, Telemetry

ONE = Config(upstream="http://model:8081")
TWO = Config(variants={"champion": Variant(url="http://a"), "rival": Variant(url="http://b")})
URL = "http://127.0.0.1:8002/metrics"
COST = CustomMetric(name="cost", kind="counter", header="x-cost")
TENANT = Attribute(name="tenant", header="x-tenant", values=("a",))


def faults(telemetry: Telemetry, config: Config = ONE) -> list[str]:
    return list(map(str, broken_rules(replace(config, telemetry=telemetry), [])))


@pytest.mark.parametrize(
    ("config", "scrape", "expected"),
    [
        (ONE, [Scrape(url=URL)], []),
        (ONE, [Scrape(url=URL, variant="default")], []),
        (TWO, [Scrape(url=URL, variant="rival"), Scrape(url=URL, variant="champion")], []),
        (
            TWO,
            [Scrape(url=URL)],
            [
                "telemetry.scrape[0].variant: missing where there are several variants, "
                "expected one of champion, rival",
            ],
        ),
        (
            TWO,
            [Scrape(url=URL, variant="rivel")],
            [
                "telemetry.scrape[0].variant: rivel is no variant, expected one of champion, rival"
                "; did you mean rival?",
            ],
        ),
        (
            ONE,
            [Scrape(url=URL), Scrape(url=URL)],
            ["telemetry.scrape[1].url: the same a second time, expected each once"],
        ),
        (
            ONE,
            [Scrape(url="http://model:99999/metrics")],
            ['telemetry.scrape[0].url: expected a port from 0 to 65535 behind the colon, got "http://model:99999"'],
        ),
        (ONE, [Scrape(url="http://[::1/metrics")], ["telemetry.scrape[0].url: "]),
    ],
)
def test_scrapes(config: Config, scrape: list[Scrape], expected: list[str]) -> None:
    found = faults(Telemetry(scrape=tuple(scrape)), config)
    assert len(found) == len(expected)
    assert all(one.startswith(two) for one, two in zip(found, expected, strict=True)), found


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ([COST], []),
        ([COST, replace(COST, name="cost.of.reply", kind="histogram")], []),
        ([replace(COST, kind="histogram", bounds=(1.0,))], []),
        ([replace(COST, name="accuracy"), replace(COST, name="feature_data_x")], []),
        (
            [COST, replace(COST, kind="value")],
            ["[1].name: cost is what another one is called, here or in Prometheus; expected each once"],
        ),
        (
            [COST, replace(COST, name="cost_total")],
            ["[1].name: cost_total is what another one is called, here or in Prometheus; expected each once"],
        ),
        ([replace(COST, name="feature.count", attributes=(TENANT,))], []),
        ([replace(COST, header=None)], ["[0]: neither header nor pointer; expected one of the two"]),
        ([replace(COST, pointer="/a")], ["[0]: header beside pointer; expected one of the two"]),
        (
            [replace(COST, header="Authorization")],
            ["[0].header: Authorization is among payload.redact_headers, expected another one"],
        ),
        (
            [replace(COST, name="sidecar.cost")],
            ["[0].name: sidecar.cost, and sidecar begins names of ours; expected another one"],
        ),
        (
            [replace(COST, name="http_cost")],
            ["[0].name: http_cost, and http begins names of ours; expected another one"],
        ),
        (
            [COST, COST],
            ["[1].name: cost is what another one is called, here or in Prometheus; expected each once"],
        ),
        (
            [COST, replace(COST, name="cost_total", kind="value")],
            ["[1].name: cost_total is what another one is called, here or in Prometheus; expected each once"],
        ),
        (
            [replace(COST, name="a.b"), replace(COST, name="a-b")],
            ["[1].name: a-b is what another one is called, here or in Prometheus; expected each once"],
        ),
        (
            [replace(COST, kind="histogram", unit="s"), replace(COST, name="cost_seconds_count", kind="value")],
            ["[1].name: cost_seconds_count is what another one is called, here or in Prometheus; expected each once"],
        ),
        (
            [replace(COST, name="target.info", kind="value")],
            ["[0].name: target.info is what another one is called, here or in Prometheus; expected each once"],
        ),
        ([replace(COST, bounds=(1.0, 1.0))], ["[0].bounds: 1, 1; expected them finite and ascending"]),
        ([replace(COST, bounds=(1.0, inf))], ["[0].bounds: 1, inf; expected them finite and ascending"]),
        ([replace(COST, bounds=(nan,))], ["[0].bounds: nan; expected them finite and ascending"]),
        (
            [replace(COST, attributes=(replace(TENANT, header=None),))],
            ["[0].attributes[0]: neither header nor pointer; expected one of the two"],
        ),
        (
            [replace(COST, attributes=(replace(TENANT, header="Cookie"),))],
            ["[0].attributes[0].header: Cookie is among payload.redact_headers, expected another one"],
        ),
        (
            [replace(COST, attributes=(replace(TENANT, header=None, pointer="/a/*"),))],
            ["[0].attributes[0].pointer: /a/* names many values; expected one without *"],
        ),
        (
            [replace(COST, attributes=(replace(TENANT, name="sidecar.version"), replace(TENANT, name="le")))],
            [
                "[0].attributes[0].name: sidecar.version is a name of ours, expected another one",
                "[0].attributes[1].name: le is a name of ours, expected another one",
            ],
        ),
        (
            [replace(COST, attributes=(replace(TENANT, name="a.b"), replace(TENANT, name="a_b")))],
            ["[0].attributes[1].name: a_b a second time, expected each once"],
        ),
    ],
)
def test_metrics_of_ones_own(metrics: list[CustomMetric], expected: list[str]) -> None:
    assert faults(Telemetry(metrics=tuple(metrics))) == [f"telemetry.metrics{each}" for each in expected]


@pytest.mark.parametrize(
    "name",
    [
        "accuracy",
        "f1",
        "weighted_f2_best_constant_classifier",
        "au.prc",
        "feature_data_x",
        "bias-metric/ci",
        "invocations",
    ],
)
def test_names_in_cloudwatch_are_taken_where_they_are_told(name: str) -> None:
    own = replace(COST, name=name)
    told = f"{name} is a name in CloudWatch, which telemetry.cloudwatch_names tells; expected another one"
    assert faults(Telemetry(metrics=(own,))) == []
    assert faults(Telemetry(metrics=(COST, own), cloudwatch_names=True)) == [f"telemetry.metrics[1].name: {told}"]
