import asyncio
import math

import pytest
from aiohttp import ClientSession

from sidecar.admin.rates import Rates
from sidecar.admin.status import by_variant, status, traffic
from sidecar.admin.view import VariantView
from sidecar.errors import DeliveryError
from sidecar.records import JSON, Notice
from sidecar.stats.traffic import Labels
from tests.admin.rig import STARTED_S, Sidecar, Way, alert, busy_sidecar, learned, table


class Deaf:
    """A channel that takes nothing."""

    async def send(self, notice: Notice, http: ClientSession) -> None:
        raise DeliveryError(f"{notice.id}: deaf" if not http.closed else "")


def told(sidecar: Sidecar) -> JSON:
    return status(sidecar.view(), Rates(0.0), by_variant(sidecar.traffic))


def test_a_sidecar_that_has_served_nobody_has_no_latency() -> None:
    document = told(Sidecar())
    (champion,) = document["variants"]
    assert (champion["requests"], champion["rate"]["requests_per_s"], champion["share_ratio"]) == (0, 0.0, 1.0)
    assert math.isnan(champion["duration_s"]["p50"])
    assert (document["uptime_s"], document["started_s"], document["version"]) == (10.0, STARTED_S, "1.2.3")


def test_variants_are_told_apart() -> None:
    champion, challenger = told(busy_sidecar())["variants"]
    assert (champion["share_ratio"], challenger["share_ratio"]) == (0.9, 0.1)
    assert (champion["requests"], champion["statuses"]) == (5, {"200": 4, "502": 1})
    assert (champion["errors"], challenger["errors"]) == ({"connect_failed": 1}, {})
    assert champion["rate"] == {"requests_per_s": 0.5, "errors_per_s": 0.1, "over_s": 10.0}
    assert (champion["active_requests"], challenger["active_requests"]) == (1, 0)
    assert challenger["upstream"] == "unix:/b"
    assert champion["request_bytes"] == 3500.0


@pytest.mark.parametrize(("name", "exact_s"), [("p50", 0.03), ("p90", 0.5), ("p99", 0.5)])
def test_quantiles_of_latency_are_right_to_five_percent(name: str, exact_s: float) -> None:
    champion = told(busy_sidecar())["variants"][0]
    assert champion["duration_s"][name] == pytest.approx(exact_s, rel=0.05)


def test_a_request_without_a_reply_from_upstream_has_no_first_byte() -> None:
    champion = told(busy_sidecar())["variants"][0]
    assert champion["first_byte_s"]["p50"] == pytest.approx(0.01, rel=0.05)


def test_refusals_belong_to_no_variant() -> None:
    document = told(busy_sidecar())
    assert document["refused"] == {"bad_request": 1}
    assert [variant["name"] for variant in document["variants"]] == ["champion", "challenger"]


def test_a_removed_variant_is_still_to_be_seen() -> None:
    sidecar = busy_sidecar()
    sidecar.variants = [VariantView("champion", "3", 1.0, "http://a:1")]
    shares = {variant["name"]: variant["share_ratio"] for variant in told(sidecar)["variants"]}
    assert shares == {"champion": 1.0, "challenger": 0.0}


def test_readiness_captures_sinks_and_configuration_are_told() -> None:
    sidecar = busy_sidecar()
    sidecar.reasons = ["draining"]
    sidecar.exporters = [Way("otlp", failed=3, last_error="refused"), Way("otlp-logs", last_error="away", failing=True)]
    document = told(sidecar)
    assert (document["ready"], document["not_ready"]) == (False, ["draining"])
    assert document["captures"] == {
        "offered": 5,
        "captured": 4,
        "dropped": {"buffer_full": 1},
        "held_bytes": 2048,
        "waiting": 1,
        "rows": {"champion": 40},
        "failures": {"json": 2},
    }
    assert document["sinks"] == [
        {"name": "jsonl", "delivered": 3, "dropped": 1, "failed": 2, "waiting": 0, "last_error": "full"}
    ]
    exporters = [(each["last_error"], each["failing"]) for each in document["exporters"]]
    assert exporters == [("refused", False), ("away", True)]
    assert document["config"] == {"revision": 2, "loaded_s": STARTED_S + 5, "error": ""}
    assert document["tunnels"] == {"websocket": 2}


def test_what_there_is_not_is_told_as_nothing() -> None:
    document = told(Sidecar())
    assert document["exporters"] == []
    assert document["reference"] == {"rows": 0, "features": [], "learning": None}
    assert document["alerts"] == {"pending": 0, "firing": 0, "dropped": 0, "channels": []}


def test_the_reference_is_told_and_what_is_learned_beside_it() -> None:
    sidecar = Sidecar()
    sidecar.watch(learned(("amount", "a\udc80")))
    sidecar.watching.learn(500, None)
    assert sidecar.watching.learning
    sidecar.watching.learning.learner.update(table(20))
    assert told(sidecar)["reference"] == {
        "rows": 1000,
        "features": ["amount", "a\\udc80"],
        "learning": {"rows": 20, "of": 500},
    }


def test_alerts_are_counted_by_state() -> None:
    sidecar = Sidecar()
    sidecar.alerting.alerts = [alert("a"), alert("b"), alert("c", state="pending"), alert("d", state="resolved")]
    sidecar.alerting.dropped = 3
    assert told(sidecar)["alerts"] == {"pending": 1, "firing": 2, "dropped": 3, "channels": []}


def test_a_channel_is_told_with_what_waits_for_it() -> None:
    sidecar = Sidecar(channels={"hook[0]": Deaf()})
    before = alert()
    sidecar.store.commit([before], [Notice("a-1", before, STARTED_S, "", 60.0)], ["hook[0]"], STARTED_S)

    async def channels() -> JSON:
        await sidecar.alerting.start()
        (courier,) = sidecar.alerting.outlets
        while not courier.failed:  # noqa: ASYNC110  # the store's thread is waited for
            await asyncio.sleep(0)
        found = told(sidecar)["alerts"]
        await sidecar.deliveries.close(0)
        return found

    assert asyncio.run(channels()) == {
        "pending": 0,
        "firing": 1,
        "dropped": 0,
        "channels": [
            {"name": "hook[0]", "delivered": 0, "dropped": 0, "failed": 1, "last_error": "a-1: deaf", "waiting": 1}
        ],
    }


def test_traffic_adds_up_statuses() -> None:
    rows = {
        (each["variant"], each["method"], each["route"]): each for each in traffic(busy_sidecar().traffic)["routes"]
    }
    assert list(rows) == [("", "_OTHER", ""), ("challenger", "GET", ""), ("champion", "POST", "/infer")]
    infer = rows["champion", "POST", "/infer"]
    assert (infer["version"], infer["requests"], infer["statuses"]) == ("3", 5, {"200": 4, "502": 1})
    assert (infer["errors"], infer["reply_bytes"]) == ({"connect_failed": 1}, 420.0)


def test_a_model_that_fails_counts_as_an_error_under_its_status() -> None:
    sidecar = Sidecar()
    sidecar.traffic.series(Labels("champion", "", "POST", "", 500, "")).add(0.1, 0.1, 0.0, 0, 0)
    sidecar.traffic.series(Labels("champion", "", "POST", "", 0, "client_gone")).add(0.1, 0.0, 0.0, 0, 0)
    champion = told(sidecar)["variants"][0]
    assert champion["errors"] == {"500": 1, "client_gone": 1}
    assert champion["statuses"] == {"500": 1, "none": 1}
