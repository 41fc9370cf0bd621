import logging

import pytest

from sidecar.admin.guard import HEADERS, is_loopback
from sidecar.config.addresses import SocketAddress, UnixAddress
from sidecar.records import Event, Report
from sidecar.trace_context import Trace, current
from tests.admin.rig import Answer, Client, Sidecar, asking, message

TOKEN = "s3cret"
PATHS = (
    "/metrics",
    "/v1/status",
    "/v1/overview",
    "/v1/history?of=evidence&variant=champion",
    "/v1/features",
    "/v1/routes",
    "/v1/traffic",
    "/v1/experiments",
    "/v1/models",
    "/v1/captures",
    "/openapi.json",
    "/nothing",
)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("LOCALHOST:9901", True),
        ("sidecar.localhost:9901", True),
        ("127.0.0.1:9901", True),
        ("127.8.8.8", True),
        ("[::1]:9901", True),
        ("[::1]", True),
        ("localhost:", True),
        ("evil.example", False),
        ("evil.example:9901", False),
        ("localhost.evil.example", False),
        ("notlocalhost", False),
        ("127.0.0.1.evil.example", False),
        ("10.0.0.1", False),
        ("0.0.0.0:9901", False),
        ("[2001:db8::1]", False),
        ("localhost:9901\n", False),
        ("", False),
    ],
)
def test_only_this_machines_own_names_are_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def asked(path: str, method: str = "GET", *, token: str | None = None, **headers: str) -> Answer:
    async def ask(client: Client) -> Answer:
        return await client.get(path, method, **headers)

    return asking(Sidecar(), ask, token=token)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "10.0.0.1"])
@pytest.mark.parametrize("path", ["/v1/captures", "/healthz"])
def test_on_loopback_a_foreign_host_is_refused(path: str, host: str) -> None:
    answer = asked(path, Host=host)
    assert (answer.status, answer.json()["error"]["type"]) == (403, "forbidden")


@pytest.mark.parametrize("address", [SocketAddress("0.0.0.0", 9901), UnixAddress("/run/admin.sock")])
def test_elsewhere_any_host_will_do(address: SocketAddress | UnixAddress) -> None:
    async def ask(client: Client) -> Answer:
        return await client.get("/v1/status", Host="sidecar.example")

    assert asking(Sidecar(), ask, address=address).status == 200


def test_a_request_without_a_host_comes_from_no_browser() -> None:
    async def ask(client: Client) -> bytes:
        return await client.raw(b"GET /healthz HTTP/1.0\r\n\r\n")

    assert asking(Sidecar(), ask).startswith(b"HTTP/1.0 200 OK\r\n")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("given", [None, "Bearer wrong", f"Basic {TOKEN}", TOKEN, "Bearer ", f"Bearer {TOKEN}x", "é"])
def test_without_the_token_nothing_is_told(path: str, given: str | None) -> None:
    answer = asked(path, token=TOKEN, **({} if given is None else {"Authorization": given}))
    assert (answer.status, answer.json()["error"]["type"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_without_the_token_no_document_is_looked_on() -> None:
    assert asked("/v1/live?of=status", token=TOKEN).status == 401


@pytest.mark.parametrize("path", PATHS[:-1])
def test_with_the_token_all_is_told(path: str) -> None:
    assert asked(path, token=TOKEN, Authorization=f"Bearer {TOKEN}").status == 200


@pytest.mark.parametrize("path", ["/", "/ui/app.css", "/v1/session"])
def test_the_page_itself_needs_no_token(path: str) -> None:
    assert asked(path, token=TOKEN).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/ui/../v1/status",
        "/ui/%2e%2e/v1/status",
        "/ui/..%2fv1%2fstatus",
        "/ui//v1/status",
        "//v1/status",
        "/UI/app.css",
    ],
)
def test_no_path_of_the_page_leads_elsewhere(path: str) -> None:
    assert asked(path, token=TOKEN).status in {401, 404}


def sent(site: str, to: str, method: str = "GET", path: str = "/v1/status") -> int:
    """What a browser is answered for a request that a page of this site has it send."""
    return asked(path, method, **{"Sec-Fetch-Site": site, "Sec-Fetch-Dest": to}).status


@pytest.mark.parametrize("path", ["/v1/status", "/v1/live?of=nothing", "/metrics", "/ui/app.css"])
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("to", ["empty", "script", "image", "iframe", ""])
def test_other_pages_ask_for_nothing_though_they_could_not_read_it(path: str, site: str, to: str) -> None:
    assert sent(site, to, path=path) == 403


def test_a_link_on_another_page_may_be_followed() -> None:
    assert (sent("cross-site", "document", path="/"), sent("cross-site", "document", "POST", "/v1/rollout")) == (
        200,
        403,
    )


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_our_own_page_and_who_types_the_address_may_ask(site: str) -> None:
    assert sent(site, "empty") == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_needs_no_token(path: str) -> None:
    assert asked(path, token=TOKEN).status == 200


@pytest.mark.parametrize(
    ("path", "method", "status", "kind"),
    [
        ("/nothing", "GET", 404, "not_found"),
        ("/v1/status/", "GET", 404, "not_found"),
        ("/v1/status", "POST", 405, "method_not_allowed"),
        ("/v1/captures?limit=many", "GET", 400, "bad_request"),
    ],
)
def test_errors_are_json(path: str, method: str, status: int, kind: str) -> None:
    answer = asked(path, method)
    assert (answer.status, answer.json()["error"]["type"]) == (status, kind)
    assert set(answer.json()["error"]) == {"type", "message"}


def test_a_wrong_method_is_told_the_right_ones() -> None:
    assert asked("/v1/status", "DELETE").headers["allow"] == "GET,HEAD"


def test_a_fault_of_ours_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    async def fault() -> Report:
        raise ValueError("secret")

    async def ask(client: Client) -> Answer:
        return await client.get("/metrics")

    answer = asking(Sidecar(report=fault), ask)
    assert (answer.status, answer.json()["error"]["type"]) == (500, "internal_server_error")
    assert b"secret" not in answer.body
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.ERROR, "admin: /metrics failed")
    ]


@pytest.mark.parametrize("path", ["/", "/healthz", "/v1/status", "/nothing"])
def test_every_reply_is_safe_in_a_browser_and_tells_no_version(path: str) -> None:
    answer = asked(path)
    own = {"Content-Security-Policy", "Cache-Control"} if path == "/" else set()
    assert {name: answer.headers[name.lower()] for name in HEADERS if name not in own} == {
        name: value for name, value in HEADERS.items() if name not in own
    }
    assert answer.headers["server"] == "sidecar"


@pytest.mark.parametrize(
    "data", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n", b"\x16\x03\x01"]
)
def test_what_is_not_http_is_refused_without_a_word_in_the_log(
    data: bytes, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    async def ask(client: Client) -> bytes:
        return await client.raw(data)

    answer = asking(Sidecar(), ask)
    assert answer.startswith((b"HTTP/1.0 400 ", b"HTTP/1.1 400 "))
    assert b"aiohttp" not in answer
    assert b"Traceback" not in answer
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("path", "method", "expected"),
    [
        (
            "/v1/captures?limt=5",
            "GET",
            "limt: unknown field of the query; expected one of limit, variant, status, contains",
        ),
        ("/v1/captures?limit=5&limit=6", "GET", "limit: 2 times in the query; expected it once"),
        ("/v1/routes?revision=7&why=late", "PUT", "revision: unknown field of the query; expected one of by, why"),
        ("/v1/routes/weight?percent=5", "POST", "percent: unknown field of the query; expected none here"),
        ("/v1/models/fraud/compare?a=1&c=2", "GET", "c: unknown field of the query; expected one of a, b"),
        ("/v1/alerts?%0a%ED%A0%80=", "GET", "\\n"),
        ("/v1/alerts?=", "GET", ": unknown field of the query; expected one of state"),
        (f"/v1/alerts?{'x' * 5000}", "GET", f"{'x' * 59}…: unknown field of the query"),
    ],
)
def test_a_field_of_a_query_that_means_nothing_is_refused_by_name(path: str, method: str, expected: str) -> None:
    answer = asked(path, method)
    assert (answer.status, message(answer)[: len(expected)]) == (400, expected)


@pytest.mark.parametrize(
    ("path", "status"),
    [("/?tab=routes", 200), ("/metrics?name[]=x", 200), ("/v1/status?now=1", 200), ("/nothing?a=1", 404)],
)
def test_where_nothing_can_be_asked_for_nothing_is_misunderstood(path: str, status: int) -> None:
    assert asked(path).status == status


def test_head_is_refused_as_get_is() -> None:
    assert asked("/v1/captures?limt=5", "HEAD").status == 400


TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE = Trace("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", 1)


@pytest.mark.parametrize(("field", "expected"), [(TRACEPARENT, TRACE), ("nonsense", None), (None, None)])
def test_what_is_done_for_somebody_is_done_under_his_trace(field: str | None, expected: Trace | None) -> None:
    traces: list[Trace | None] = []

    async def report() -> Report:
        traces.append(current())
        return Report(0.0, 1.0, [])

    async def ask(client: Client) -> Answer:
        return await client.get("/metrics", **({} if field is None else {"traceparent": field}))

    assert asking(Sidecar(report=report), ask).status == 200
    assert (traces, current()) == ([expected], None)


def test_two_traces_are_none() -> None:
    traces: list[Trace | None] = []

    async def report() -> Report:
        traces.append(current())
        return Report(0.0, 1.0, [])

    async def ask(client: Client) -> bytes:
        fields = f"traceparent: {TRACEPARENT}\r\n" * 2
        return await client.raw(f"GET /metrics HTTP/1.0\r\n{fields}\r\n".encode())

    assert asking(Sidecar(report=report), ask).startswith(b"HTTP/1.0 200")
    assert traces == [None]


def test_an_order_is_told_under_the_trace_of_who_gave_it() -> None:
    told: list[tuple[str, Trace | None]] = []

    def tell(event: Event) -> None:
        told.append((event.name, current()))

    sidecar = Sidecar()
    sidecar.steering.telling(tell)

    async def ask(client: Client) -> Answer:
        order = {"variant": "challenger", "percent": 5, "by": "ann", "why": ""}
        return await client.post("/v1/routes/weight", order, traceparent=TRACEPARENT)

    assert asking(sidecar, ask).status == 200
    assert told[-1] == ("sidecar.routes.changed", TRACE)
