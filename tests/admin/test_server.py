import asyncio
import gzip
import random
import socket
import threading
from collections import deque
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import uvloop
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from prometheus_client.parser import text_string_to_metric_families

from sidecar.admin.recent import LIMIT, MAX_LIMIT
from sidecar.admin.server import application, start, unmonitored
from sidecar.alerts.document import document
from sidecar.config.addresses import UnixAddress
from sidecar.monitors.bias import Comparing
from sidecar.monitors.quality import Grading
from sidecar.quality.outcomes import Outcomes
from sidecar.records import JSON, Carrier, Finding, Key, LabelCounts
from sidecar.reference.constraints import Constraint, Constraints, Monitoring
from sidecar.reference.folder import Reference
from sidecar.reference.profile import Profiles
from sidecar.truth import NOTHING, Truth
from tests.admin.rig import (
    LOOPBACK,
    OPENAPI,
    Answer,
    Client,
    Sidecar,
    Way,
    alert,
    asking,
    busy_sidecar,
    capture,
    faults,
    follow,
    learned,
    message,
)
from tests.instruments.rig import comparing, grading, labelled

ID = "0123456789abcdef"
DOCUMENTS = {
    "/readyz": "/readyz",
    "/v1/session": "/v1/session",
    "/v1/overview": "/v1/overview",
    "/v1/history?of=traffic&variant=champion": "/v1/history",
    "/v1/status": "/v1/status",
    "/v1/features": "/v1/features",
    "/v1/violations": "/v1/violations",
    "/v1/drift": "/v1/drift",
    "/v1/quality": "/v1/quality",
    "/v1/bias": "/v1/bias",
    "/v1/attribution": "/v1/attribution",
    "/v1/reference": "/v1/reference",
    "/v1/alerts": "/v1/alerts",
    f"/v1/alerts/{ID}": "/v1/alerts/{id}",
    "/v1/routes": "/v1/routes",
    "/v1/routes/changes": "/v1/routes/changes",
    "/v1/traffic": "/v1/traffic",
    "/v1/experiments": "/v1/experiments",
    "/v1/shadow": "/v1/shadow",
    "/v1/models": "/v1/models",
    "/v1/captures": "/v1/captures",
}
"""What is asked, by the path that describes it."""
NOT_FOUND = {"/v1/shadow", "/v1/violations", "/v1/quality", "/v1/bias", "/v1/attribution", f"/v1/alerts/{ID}"}
"""Where nothing is watched."""
STRICT = Monitoring(datatype_threshold=1.0, domain_threshold=1.0)
CONSTRAINTS = Constraints(
    [
        Constraint("amount", "Integral", 1.0, non_negative=True, domain=None, monitoring=STRICT),
        Constraint("gone", "Fractional", 1.0, non_negative=False, domain=None, monitoring=STRICT),
    ],
    STRICT,
)


def got(sidecar: Sidecar, path: str, method: str = "GET", *, token: str | None = None, **headers: str) -> Answer:
    async def ask(client: Client) -> Answer:
        return await client.get(path, method, **headers)

    return asking(sidecar, ask, token=token)


def posted(
    sidecar: Sidecar,
    path: str,
    document: JSON = None,
    *,
    body: bytes | None = None,
    token: str | None = None,
    **headers: str,
) -> Answer:
    async def ask(client: Client) -> Answer:
        return await client.post(path, document, body, **headers)

    return asking(sidecar, ask, token=token)


@cache
def judged(column: str) -> tuple[Grading, Comparing]:
    """Monitors that labels have told something, of a column of this name."""
    batches = labelled(200, column=column), labelled(300, wrong=0.5, column=column), labelled(20, version="")
    return grading(*batches), comparing(*batches)


def alarmed(rows: int = 300) -> Sidecar:
    """One whose champion has drifted and become worse, with an alert and another reference on its way."""
    sidecar = busy_sidecar()
    follow(sidecar.watch(learned()), rows, shift=2.0)
    sidecar.alerting.alerts = [alert(ID), alert("f" * 16, state="resolved", resolved_s=1.0, pending_s=0.0)]
    sidecar.watching.learn(500, None)
    sidecar.judge(*judged("amount"))
    sidecar.explain("amount")
    return sidecar


def test_the_description_is_openapi() -> None:
    validate(OPENAPI)


def examples() -> list[tuple[JSON, JSON]]:
    """Every schema of the description that has an example beside it, and that."""
    found, rest = [], [OPENAPI]
    while rest:
        each = rest.pop()
        if isinstance(each, dict) and {"schema", "example"} <= each.keys():
            found.append((each["schema"], each["example"]))
        rest += each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
    return found


def test_every_example_is_as_described() -> None:
    assert len(examples()) > 20
    for schema, example in examples():
        Draft202012Validator({"components": OPENAPI["components"], **schema}).validate(example)


@pytest.mark.parametrize("path", DOCUMENTS)
@pytest.mark.parametrize("busy", [True, False])
def test_replies_are_as_described(path: str, busy: bool) -> None:
    sidecar = alarmed() if busy else Sidecar()
    if busy:
        sidecar.exporters = [Way("otlp"), Way("otlp_logs")]
    answer = got(sidecar, path)
    assert answer.status == (404 if not busy and path in NOT_FOUND else 200)
    assert faults(DOCUMENTS[path], answer) == []


@pytest.mark.parametrize("path", ["/v1/captures?limit=0", "/readyz", "/v1/alerts?state=x"])
def test_refusals_are_as_described(path: str) -> None:
    answer = got(Sidecar(reasons=["no upstream answers"]), path)
    assert answer.status in {400, 503}
    assert faults(path.partition("?")[0], answer) == []


def test_violations_are_told_by_variant_and_feature() -> None:
    sidecar = busy_sidecar()
    sidecar.watch(Reference(Profiles(0, ()), CONSTRAINTS))

    found = got(sidecar, "/v1/violations").json()["violations"]

    assert [(each["variant"], each["feature_name"], each["constraint_check_type"]) for each in found] == [
        ("champion", "country", "extra_column_check"),
        ("champion", "empty", "extra_column_check"),
        ("champion", "amount", "data_type_check"),
        ("champion", "gone", "missing_column_check"),
    ]
    assert {each["subject"] for each in found} == {"features"}


def test_violations_of_predictions_and_of_distributions_are_told_too() -> None:
    sidecar = busy_sidecar()
    answered = ("amount", "verdict")
    follow(sidecar.watch(learned(answered)), 300, shift=2.0, names=answered)
    odd = np.full((2, 1), np.nan)
    sidecar.pipeline.windows["champion", "predictions"].update(("verdict",), odd, {0: ["odd", "odder"]}, 5.0)

    found = got(sidecar, "/v1/violations").json()["violations"]

    told = {(each["subject"], each["feature_name"], each["constraint_check_type"]) for each in found}
    assert told >= {
        ("predictions", "verdict", "categorical_values_check"),
        ("features", "amount", "baseline_drift_check"),
    }


def test_every_path_is_described_and_every_description_has_a_path() -> None:
    async def paths() -> set[tuple[str, str]]:
        app = application(Sidecar().view(), token=None, address=LOOPBACK)
        found = {(route.method.lower(), route.resource) for route in app.router.routes()}
        return {(method, resource.canonical) for method, resource in found if resource and method != "head"}

    described = {(method, path) for path, methods in OPENAPI["paths"].items() for method in methods}
    assert asyncio.run(paths()) == described


def test_the_description_carries_the_version() -> None:
    assert got(Sidecar(), "/openapi.json").json()["info"]["version"] == "1.2.3"


def test_healthz_says_ok() -> None:
    answer = got(Sidecar(reasons=["draining"]), "/healthz")
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"ok\n", "text/plain; charset=utf-8")


@pytest.mark.parametrize(("reasons", "status"), [([], 200), (["no upstream answers", "draining"], 503)])
def test_readyz_says_why_not(reasons: list[str], status: int) -> None:
    answer = got(Sidecar(reasons=reasons), "/readyz")
    assert (answer.status, answer.json()) == (status, {"ready": not reasons, "reasons": reasons})


def test_metrics_are_what_prometheus_reads() -> None:
    answer = got(Sidecar(), "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    (family,) = text_string_to_metric_families(answer.body.decode())
    assert [(sample.name, sample.labels, sample.value) for sample in family.samples] == [
        ("m_seconds_total", {"a": "b"}, 3.0)
    ]


def test_nan_is_null() -> None:
    document = got(busy_sidecar(), "/v1/features").json()
    (champion,) = document["variants"]
    columns = {column["name"]: column for column in champion["features"]}
    assert columns["empty"]["lifetime"]["mean"] is None
    assert columns["amount"]["window"]["mean"] == 1.75
    assert [column["name"] for column in champion["predictions"]] == ["score"]


@pytest.mark.parametrize(("query", "count"), [("", LIMIT), ("?limit=1", 1), ("?limit=100", 60)])
def test_captures_are_limited(query: str, count: int) -> None:
    sidecar = Sidecar()
    sidecar.recent = deque(capture(str(number)) for number in range(60))
    captures = got(sidecar, f"/v1/captures{query}").json()["captures"]
    assert (len(captures), captures[0]["request_id"]) == (count, "59")


@pytest.mark.parametrize("limit", ["0", "-1", "101", "1e1", "", "%C2%B2", "9" * 5000, "1.0"])
def test_a_bad_limit_is_refused_by_name(limit: str) -> None:
    answer = got(Sidecar(), f"/v1/captures?limit={limit}")
    assert answer.status == 400
    assert answer.json()["error"]["message"].startswith(f"limit: expected a number from 1 to {MAX_LIMIT}, got ")


@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics", *DOCUMENTS])
def test_head_is_get_without_a_body(path: str) -> None:
    sidecar = alarmed()
    head, get = got(sidecar, path, "HEAD"), got(sidecar, path)
    assert (head.status, head.body) == (get.status, b"")
    assert head.headers["content-length"] == get.headers["content-length"]


@pytest.mark.parametrize("kind", ["quality", "bias"])
def test_without_a_monitor_of_labels_that_is_said(kind: str) -> None:
    answer = got(Sidecar(), f"/v1/{kind}")
    assert (answer.status, message(answer)) == (404, f"no monitor of kind {kind} in the configuration")


def test_one_monitor_of_labels_may_be_without_the_other() -> None:
    sidecar = Sidecar()
    sidecar.judge(grading(), None)
    assert (got(sidecar, "/v1/quality").json()["variants"], got(sidecar, "/v1/bias").status) == ([], 404)
    sidecar.judge(None, comparing())
    quality, bias = got(sidecar, "/v1/quality"), got(sidecar, "/v1/bias")
    assert (quality.json()["variants"], bias.json()["variants"]) == ([], [])
    assert faults("/v1/quality", quality) == faults("/v1/bias", bias) == []


class _Asked:
    """Labels' counts that remember who has asked for them."""

    def __init__(self, truth: Truth) -> None:
        self.threads: set[str] = set()
        self.outcomes, self.grading, self.comparing, self.dropped = Outcomes(), truth.grading, truth.comparing, 0
        self.add = truth.add

    @property
    def counts(self) -> LabelCounts:
        self.threads.add(threading.current_thread().name)
        return NOTHING


@pytest.mark.parametrize("path", ["/v1/quality", "/v1/bias"])
def test_what_labels_say_is_told_by_a_thread(path: str) -> None:
    sidecar = alarmed()
    asked = sidecar.watching.truth = _Asked(sidecar.judge(*judged("amount")))  # type: ignore[assignment]  # to look on

    assert got(sidecar, path).status == 200

    assert asked.threads
    assert threading.main_thread().name not in asked.threads


def test_labels_reach_the_store(tmp_path: Path) -> None:
    sidecar = Sidecar()
    truth = sidecar.judge(*judged("amount"), str(tmp_path))

    answer = posted(sidecar, "/v1/labels", {"id": "a", "label": 1})

    truth.store.close()
    assert (answer.status, faults("/v1/labels", answer, "post")) == (200, [])
    assert answer.json()["labels"] == [{"id": "a", "status": "waiting"}]


def test_without_a_reference_nothing_is_violated_and_that_is_said() -> None:
    answer = got(Sidecar(), "/v1/violations")
    assert (answer.status, message(answer)) == (
        404,
        "no reference: expected reference.path or reference.learn_rows",
    )


@pytest.mark.parametrize("path", DOCUMENTS)
def test_a_name_that_is_no_unicode_is_told_as_its_escape(path: str) -> None:
    sidecar = alarmed()
    odd = ("a\udc80", "b\ud800\n")
    follow(sidecar.watch(learned(odd)), 300, shift=2.0, names=odd)
    sidecar.pipeline.windows["champion", "features"].update(("\udfff",), np.array([[1.0]]), {}, 5.0)
    carrier = Carrier("\ud800", 1.0, np.nan, np.inf, "\ud800", nats=np.inf, p_value=np.nan)
    finding = Finding(Key("data", "psi", "champion", "features"), "3", (carrier,), 1, 1, "\ud800")
    sidecar.alerting.alerts = [alert(ID, finding=finding)]
    sidecar.judge(*judged("\udc80"))
    sidecar.explain("\udc80")

    answer = got(sidecar, path)

    assert answer.status == 200
    assert faults(DOCUMENTS[path], answer) == []


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", [ID, "f" * 16]),
        ("?state=firing", [ID]),
        ("?state=resolved", ["f" * 16]),
        ("?state=pending", []),
    ],
)
def test_alerts_are_told_by_state_the_latest_first(query: str, ids: list[str]) -> None:
    assert [each["id"] for each in got(alarmed(), f"/v1/alerts{query}").json()["alerts"]] == ids


@pytest.mark.parametrize("state", ["", "FIRING", "firing,resolved", "%00", "%ED%A0%80", "x" * 5000])
def test_a_bad_state_is_refused_by_name(state: str) -> None:
    answer = got(alarmed(), f"/v1/alerts?state={state}")
    assert (answer.status, faults("/v1/alerts", answer)) == (400, [])
    assert message(answer).startswith("state: expected one of pending, firing, resolved, got ")
    assert len(answer.body) < 300


ODD_IDS = ["0", "%2e%2e", "%2F", "%00", "%ED%A0%80", "%FF", "ABCDEF0123456789", "%7Bid%7D", "x" * 5000, "'%22\\"]


@pytest.mark.parametrize("odd", ODD_IDS)
def test_an_alert_that_is_none_is_not_found(odd: str) -> None:
    answer = got(alarmed(), f"/v1/alerts/{odd}")
    assert answer.status == 404
    assert faults("/v1/alerts/{id}", answer) == []
    assert len(answer.body) < 400


def test_an_alert_is_told_as_channels_are_told_it() -> None:
    sidecar = alarmed()
    answer = got(sidecar, f"/v1/alerts/{ID}")
    assert answer.json() == document(alert(ID), link=f"http://here/v1/alerts/{ID}")


LEARN = "/v1/reference"
SILENCE = f"/v1/alerts/{ID}/silence"


@pytest.mark.parametrize(
    ("asked", "of"),
    [
        ({}, 2000),
        ({"rows": 100}, 100),
        ({"rows": 300, "seconds": 60, "variant": "champion"}, 300),
        ({"rows": None, "seconds": 0.5}, None),
    ],
)
def test_a_reference_is_learned_on_request(asked: JSON, of: int | None) -> None:
    sidecar = Sidecar()
    answer = posted(sidecar, LEARN, asked)
    assert (answer.status, faults(LEARN, answer, "post")) == (202, [])
    assert answer.json()["learning"] == {"rows": 0, "of": of}
    assert sidecar.pipeline.watches == [sidecar.watching.learning]


def test_an_empty_body_asks_for_the_defaults() -> None:
    assert posted(Sidecar(), LEARN, body=b"").json()["learning"] == {"rows": 0, "of": 2000}


def test_while_another_is_learned_the_reference_in_force_stays() -> None:
    sidecar = Sidecar()
    following = sidecar.watch(learned())
    answer = posted(sidecar, LEARN, {"rows": 100})
    assert (answer.json()["rows"], answer.json()["features"]) == (1000, ["amount", "country"])
    assert sidecar.watching.following is following


def test_whoever_asks_last_is_heard() -> None:
    sidecar = Sidecar()
    posted(sidecar, LEARN, {"rows": 100})
    assert posted(sidecar, LEARN, {"rows": 200}).json()["learning"]["of"] == 200


def test_where_nothing_is_watched_no_reference_is_learned() -> None:
    sidecar = Sidecar(monitor=None)
    answer = posted(sidecar, LEARN, {})
    assert (answer.status, faults(LEARN, answer, "post")) == (409, [])
    assert message(answer) == "nothing is watched: expected a monitor of kind data in the configuration"
    assert sidecar.watching.learning is None


BAD_LEARN: list[tuple[bytes, str]] = [
    (b"rows=100", "the body: JSON is malformed"),
    (b"{", "the body: Input data was truncated"),
    (b"\xff\xfe", "the body: "),
    (b'{"variant": "\xff"}', "the body: 'utf-8' codec"),
    (b'{"variant": "\\ud800"}', "the body: "),
    (b"[]", "the body: Expected `object`, got `array`"),
    (b"null", "the body: Expected `object`, got `null`"),
    (b"[" * 60_000, "the body: Expected `object`"),
    (b'{"row": 1000}', "the body: Object contains unknown field `row`"),
    (b'{"' + b"x" * 60_000 + b'": 1}', "the body: Object contains unknown field `xxx"),
    (b'{"rows": 99}', "the body: Expected `int` >= 100 - at `$.rows`"),
    (b'{"rows": 10000001}', "the body: Expected `int` <= 10000000 - at `$.rows`"),
    (b'{"rows": 1' + b"0" * 400 + b"}", "the body: "),
    (b'{"rows": "1000"}', "the body: Expected `int | null`, got `str` - at `$.rows`"),
    (b'{"rows": true}', "the body: Expected `int | null`, got `bool` - at `$.rows`"),
    (b'{"rows": 500.0}', "the body: Expected `int | null`, got `float` - at `$.rows`"),
    (b'{"seconds": 0}', "the body: Expected `float` > 0.0 - at `$.seconds`"),
    (b'{"seconds": -1}', "the body: Expected `float` > 0.0 - at `$.seconds`"),
    (b'{"seconds": 1e300}', "the body: Expected `float` <= 604800.0 - at `$.seconds`"),
    (b'{"seconds": 1e999}', "the body: Number out of range - at `$.seconds`"),
    (b'{"seconds": NaN}', "the body: JSON is malformed"),
    (b'{"rows": null}', "the body: rows and seconds are both null, expected one of them"),
    (b'{"variant": "nobody"}', "variant: 'nobody' is none, expected one of champion"),
    (b'{"variant": ""}', "variant: '' is none, expected one of champion"),
    (b'{"variant": "\\u0000\\u2028"}', "variant: '\\x00\\u2028' is none"),
    (b'{"variant": ["champion"]}', "the body: Expected `str | null`, got `array` - at `$.variant`"),
]


@pytest.mark.parametrize(("body", "told"), BAD_LEARN)
def test_what_cannot_be_learned_is_refused(body: bytes, told: str) -> None:
    sidecar = Sidecar()
    answer = posted(sidecar, LEARN, body=body)
    assert (answer.status, faults(LEARN, answer, "post")) == (400, [])
    assert message(answer).startswith(told)
    assert len(answer.body) < 400
    assert sidecar.watching.learning is None


def test_an_alert_is_silenced_and_heard_again() -> None:
    sidecar = alarmed()
    answer = posted(sidecar, SILENCE, {"seconds": 3600})
    assert (answer.status, faults("/v1/alerts/{id}/silence", answer, "post")) == (200, [])
    assert answer.json()["silenced_until"] == "2023-11-14T23:13:30.000Z"
    assert [each.silenced_until_s for each in sidecar.store.load()] == [sidecar.wall_s() + 3600, 0.0]
    assert posted(sidecar, SILENCE, {"seconds": 0}).json()["silenced_until"] is None


@pytest.mark.parametrize("seconds", [b"0", b"-0.0", b"1e-300", b"316224000", b"12.5"])
def test_any_time_from_none_to_ten_years_will_do(seconds: bytes) -> None:
    assert posted(alarmed(), SILENCE, body=b'{"seconds": %s}' % seconds).status == 200


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "the body: Object missing required field `seconds`"),
        (b"{}", "the body: Object missing required field `seconds`"),
        (b'{"seconds": null}', "the body: Expected `float`, got `null` - at `$.seconds`"),
        (b'{"seconds": "60"}', "the body: Expected `float`, got `str` - at `$.seconds`"),
        (b'{"seconds": true}', "the body: Expected `float`, got `bool` - at `$.seconds`"),
        (b'{"seconds": -1}', "the body: Expected `float` >= 0.0 - at `$.seconds`"),
        (b'{"seconds": 316224001}', "the body: Expected `float` <= 316224000.0 - at `$.seconds`"),
        (b'{"seconds": 1e999}', "the body: Number out of range - at `$.seconds`"),
        (b'{"seconds": NaN}', "the body: JSON is malformed"),
        (b'{"seconds": 1, "until": 2}', "the body: Object contains unknown field `until`"),
    ],
)
def test_a_silence_without_a_time_is_refused(body: bytes, told: str) -> None:
    sidecar = alarmed()
    answer = posted(sidecar, SILENCE, body=body)
    assert (answer.status, faults("/v1/alerts/{id}/silence", answer, "post")) == (400, [])
    assert message(answer).startswith(told)
    assert [each.silenced_until_s for each in sidecar.alerting.alerts] == [0.0, 0.0]


@pytest.mark.parametrize("odd", ODD_IDS)
def test_an_alert_that_is_none_cannot_be_silenced(odd: str) -> None:
    answer = posted(alarmed(), f"/v1/alerts/{odd}/silence", {"seconds": 1})
    assert (answer.status, faults("/v1/alerts/{id}/silence", answer, "post")) == (404, [])


@pytest.mark.parametrize("path", [LEARN, SILENCE])
@pytest.mark.parametrize("given", ["", "Bearer wrong", "s3cret"])
def test_without_the_token_nothing_is_changed(path: str, given: str) -> None:
    sidecar = Sidecar()
    sidecar.alerting.alerts = before = [alert(ID)]
    answer = posted(sidecar, path, {"seconds": 60}, token="s3cret", Authorization=given)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert (sidecar.alerting.alerts, sidecar.watching.learning) == (before, None)


def test_whatever_the_body_it_is_taken_or_refused_and_never_a_fault_of_ours() -> None:
    rng = random.Random(7)
    whole = b'{"rows": 500, "seconds": 60.5, "variant": "champion"}'

    async def ask(client: Client) -> set[int]:
        found = set()
        for _ in range(200):
            body = bytearray(whole)
            for _ in range(rng.randrange(1, 4)):
                body[rng.randrange(len(body))] = rng.randrange(256)
            answer = await client.post(LEARN, body=bytes(body))
            assert faults(LEARN, answer, "post") == []
            found.add(answer.status)
        return found

    assert asking(Sidecar(), ask) == {202, 400}


def test_with_the_token_it_is_changed() -> None:
    answer = posted(alarmed(), SILENCE, {"seconds": 60}, token="s3cret", Authorization="Bearer s3cret")
    assert answer.status == 200


@pytest.mark.parametrize("path", [LEARN, SILENCE])
@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "PATCH", "DELETE"])
def test_a_preflight_and_other_methods_are_refused(path: str, method: str) -> None:
    answer = got(alarmed(), path, method, Origin="http://evil.example", Access_Control_Request_Method="POST")
    assert (answer.status, answer.json()["error"]["type"]) == (405, "method_not_allowed")


@pytest.mark.parametrize("path", [*DOCUMENTS, "/", "/metrics", "/openapi.json"])
def test_no_page_of_another_origin_may_read_anything(path: str) -> None:
    answer = got(alarmed(), path, Origin="http://evil.example")
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("make_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_unix_socket_serves_too(make_loop: Callable[[], asyncio.AbstractEventLoop], tmp_path: Path) -> None:
    path = str(tmp_path / "admin.sock")

    async def ask() -> bytes:
        bound = socket.socket(socket.AF_UNIX)
        bound.bind(path)
        bound.listen()
        runner = await start(application(Sidecar().view(), token=None, address=UnixAddress(path)), bound)
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: sidecar\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        await runner.cleanup()
        assert bound.fileno() == -1
        return answer

    with asyncio.Runner(loop_factory=make_loop) as runner:
        assert runner.run(ask()).endswith(b"\r\n\r\nok\n")


def test_without_monitoring_health_is_told_and_nothing_else() -> None:
    async def scenario() -> list[int]:
        reasons: list[str] = []
        bound = socket.create_server((LOOPBACK.host, 0))
        runner = await start(unmonitored(lambda: reasons), bound)
        try:
            client = Client(*runner.addresses[0][:2])
            before = [(await client.get(path)).status for path in ("/healthz", "/readyz", "/metrics", "/v1/status")]
            reasons.append("no upstream answers")
            return [*before, (await client.get("/healthz")).status, (await client.get("/readyz")).status]
        finally:
            await runner.cleanup()

    assert asyncio.run(scenario()) == [200, 200, 503, 503, 200, 503]


def test_metrics_are_compressed_for_those_who_read_that() -> None:
    async def ask(client: Client) -> Answer:
        return await client.get("/metrics", Accept_Encoding="gzip")

    answer = asking(busy_sidecar(), ask)

    assert answer.headers["content-encoding"] == "gzip"
    assert b"m_seconds_total" in gzip.decompress(answer.body)
