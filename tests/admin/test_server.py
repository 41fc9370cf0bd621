import asyncio
import re
import socket
from collections import deque
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import orjson
import pytest
import uvloop
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from prometheus_client.parser import text_string_to_metric_families

from sidecar.admin.server import LIMIT, MAX_LIMIT, application, start
from sidecar.config.addresses import UnixAddress
from sidecar.reference.constraints import Constraint, Constraints, Monitoring
from tests.admin.rig import LOOPBACK, Answer, Client, Sidecar, Way, asking, busy_sidecar, capture

OPENAPI = orjson.loads((files("sidecar.admin") / "openapi.json").read_bytes())
DOCUMENTS = ("/readyz", "/v1/status", "/v1/features", "/v1/violations", "/v1/routes", "/v1/captures")
STRICT = Monitoring(datatype_threshold=1.0, domain_threshold=1.0)
CONSTRAINTS = Constraints(
    [
        Constraint("amount", "Integral", 1.0, non_negative=True, domain=None, monitoring=STRICT),
        Constraint("gone", "Fractional", 1.0, non_negative=False, domain=None, monitoring=STRICT),
    ],
    STRICT,
)


def got(sidecar: Sidecar, path: str, method: str = "GET") -> Answer:
    async def ask(client: Client) -> Answer:
        return await client.get(path, method)

    return asking(sidecar, ask)


def faults(path: str, answer: Answer) -> list[str]:
    """What the reply has that its description does not allow."""
    described = OPENAPI["paths"][path]["get"]["responses"][str(answer.status)]
    reference = described.get("$ref", "").removeprefix("#/components/responses/")
    described = OPENAPI["components"]["responses"][reference] if reference else described
    schema = described["content"]["application/json"]["schema"]
    whole = {"components": OPENAPI["components"], **schema}
    return [error.message for error in Draft202012Validator(whole).iter_errors(answer.json())]


def test_the_description_is_openapi() -> None:
    validate(OPENAPI)


@pytest.mark.parametrize("path", DOCUMENTS)
@pytest.mark.parametrize("busy", [True, False])
def test_replies_are_as_described(path: str, busy: bool) -> None:
    sidecar = busy_sidecar() if busy else Sidecar()
    sidecar.exporter = Way("otlp") if busy else None
    sidecar.constraints = CONSTRAINTS
    answer = got(sidecar, path)
    assert answer.status == 200
    assert faults(path, answer) == []


@pytest.mark.parametrize("path", ["/v1/captures?limit=0", "/readyz", "/v1/violations"])
def test_refusals_are_as_described(path: str) -> None:
    answer = got(Sidecar(reasons=["no upstream answers"]), path)
    assert faults(path.partition("?")[0], answer) == []


def test_violations_are_told_by_variant_and_feature() -> None:
    sidecar = busy_sidecar()
    sidecar.constraints = CONSTRAINTS

    found = got(sidecar, "/v1/violations").json()["violations"]

    assert [(each["variant"], each["feature_name"], each["constraint_check_type"]) for each in found] == [
        ("champion", "country", "extra_column_check"),
        ("champion", "empty", "extra_column_check"),
        ("champion", "amount", "data_type_check"),
        ("champion", "gone", "missing_column_check"),
    ]


def test_every_path_is_described_and_every_description_has_a_path() -> None:
    async def paths() -> set[str]:
        app = application(Sidecar().view(), token=None, address=LOOPBACK)
        return {resource.canonical for resource in app.router.resources()}

    assert asyncio.run(paths()) == set(OPENAPI["paths"])


def test_the_description_carries_the_version() -> None:
    assert got(Sidecar(), "/openapi.json").json()["info"]["version"] == "1.2.3"


def test_the_start_page_links_every_other_path_and_brings_no_script() -> None:
    page = got(Sidecar(), "/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert set(re.findall(r'href="([^"]+)"', page.body.decode())) == set(OPENAPI["paths"]) - {"/"}
    assert not re.search(rb"<script|<style|\son\w+=|\sstyle=|https?:", page.body)


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


@pytest.mark.parametrize(("query", "count"), [("", LIMIT), ("?limit=1", 1), ("?limit=100", 60), ("?other=1", LIMIT)])
def test_captures_are_limited(query: str, count: int) -> None:
    sidecar = Sidecar(recent=deque(capture(str(number)) for number in range(60)))
    captures = got(sidecar, f"/v1/captures{query}").json()["captures"]
    assert (len(captures), captures[0]["request_id"]) == (count, "59")


@pytest.mark.parametrize("limit", ["0", "-1", "101", "1e1", "", "%C2%B2", "9" * 5000, "1.0"])
def test_a_bad_limit_is_refused_by_name(limit: str) -> None:
    answer = got(Sidecar(), f"/v1/captures?limit={limit}")
    assert answer.status == 400
    assert answer.json()["error"]["message"].startswith(f"limit: expected a number from 1 to {MAX_LIMIT}, got ")


@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics", *DOCUMENTS])
def test_head_is_get_without_a_body(path: str) -> None:
    sidecar = busy_sidecar()
    head, get = got(sidecar, path, "HEAD"), got(sidecar, path)
    assert (head.status, head.body) == (get.status, b"")
    assert head.headers["content-length"] == get.headers["content-length"]


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
