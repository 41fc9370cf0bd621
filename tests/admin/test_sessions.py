import itertools
from collections.abc import Awaitable, Callable
from http.cookies import SimpleCookie
from itertools import count
from typing import TypeVar

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from sidecar.admin.sessions import LASTS_S, MAX_SESSIONS, NAME, WRONG, WRONG_S, Sessions
from tests.admin.rig import Answer, Client, Sidecar, alert, asking, faults, message

T = TypeVar("T")
TOKEN = "s3cret"
ID = "0123456789abcdef"
SILENCE = f"/v1/alerts/{ID}/silence"


def with_token(ask: Callable[[Client], Awaitable[T]], sidecar: Sidecar | None = None) -> T:
    return asking(sidecar or Sidecar(), ask, token=TOKEN)


def cookie(answer: Answer) -> SimpleCookie:
    return SimpleCookie(answer.headers["set-cookie"])


def pair(answer: Answer) -> str:
    (morsel,) = cookie(answer).values()
    return f"{morsel.key}={morsel.value}"


async def logged_in(client: Client) -> str:
    answer = await client.post("/v1/session", {"token": TOKEN})
    assert (answer.status, faults("/v1/session", answer, "post")) == (200, [])
    return pair(answer)


def test_where_no_token_is_demanded_everybody_is_in() -> None:
    async def ask(client: Client) -> list[Answer]:
        return [await client.get("/v1/session"), await client.post("/v1/session", {"token": "any"})]

    for answer in asking(Sidecar(), ask):
        assert (answer.status, answer.json(), "set-cookie" in answer.headers) == (
            200,
            {"needed": False, "in": True},
            False,
        )


def test_who_shows_the_token_once_may_read_with_the_cookie() -> None:
    async def ask(client: Client) -> list[object]:
        before = await client.get("/v1/session")
        known = await logged_in(client)
        after = await client.get("/v1/session", Cookie=known)
        return [before.json(), after.json(), (await client.get("/v1/status", Cookie=known)).status]

    assert with_token(ask) == [{"needed": True, "in": False}, {"needed": True, "in": True}, 200]


def test_no_script_and_no_other_site_gets_the_cookie() -> None:
    async def ask(client: Client) -> Answer:
        return await client.post("/v1/session", {"token": TOKEN})

    (morsel,) = cookie(with_token(ask)).values()
    told = {name: morsel[name] for name in ("httponly", "samesite", "path", "secure", "max-age", "domain")}
    assert told == {
        "httponly": True,
        "samesite": "Strict",
        "path": "/",
        "secure": "",
        "max-age": str(int(LASTS_S)),
        "domain": "",
    }
    assert TOKEN not in morsel.value
    assert len(morsel.value) >= 40


def test_two_sidecars_of_one_host_do_not_take_each_others_cookie() -> None:
    async def ask(client: Client) -> tuple[str, int]:
        return pair(await client.post("/v1/session", {"token": TOKEN})).partition("=")[0], client.port

    name, port = with_token(ask)
    assert name == f"{NAME}_{port}"


@pytest.mark.parametrize("given", ["x", "", "a" * 5000])
def test_a_cookie_that_nobody_gave_says_nothing(given: str) -> None:
    async def ask(client: Client) -> int:
        await logged_in(client)
        return (await client.get("/v1/status", Cookie=f"{NAME}_{client.port}={given}")).status

    assert with_token(ask) == 401


def test_a_session_ends_when_it_is_ended() -> None:
    async def ask(client: Client) -> list[object]:
        known = await logged_in(client)
        page = {"Origin": f"http://{client.host}:{client.port}", "Cookie": known}
        foreign = await client.get("/v1/session", "DELETE", Cookie=known)
        kept = (await client.get("/v1/status", Cookie=known)).status
        ended = await client.get("/v1/session", "DELETE", **page)
        assert faults("/v1/session", ended, "delete") == []
        assert pair(ended).endswith("=")
        return [foreign.status, kept, ended.json(), (await client.get("/v1/status", Cookie=known)).status]

    assert with_token(ask) == [403, 200, {"needed": True, "in": False}, 401]


def test_a_session_ends_after_twelve_hours() -> None:
    sidecar = Sidecar()

    async def ask(client: Client) -> list[int]:
        known = await logged_in(client)
        found = []
        for later_s in (LASTS_S - 1, 1.0):
            sidecar.now_s += later_s
            found.append((await client.get("/v1/status", Cookie=known)).status)
        return found

    assert with_token(ask, sidecar) == [200, 401]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Sec_Fetch_Site": "same-origin"}, 200),
        ({"Origin": "own"}, 200),
        ({"Origin": "http://evil.example", "Sec_Fetch_Site": "same-origin"}, 403),
    ],
)
def test_with_the_cookie_only_a_page_of_ours_changes_anything(headers: dict[str, str], status: int) -> None:
    sidecar = Sidecar()
    sidecar.alerting.alerts = [alert(ID)]

    async def ask(client: Client) -> int:
        known = await logged_in(client)
        own = f"http://{client.host}:{client.port}"
        sent = {name: own if value == "own" else value for name, value in headers.items()}
        return (await client.post(SILENCE, {"seconds": 60}, None, Cookie=known, **sent)).status

    assert with_token(ask, sidecar) == status


def test_the_bearer_needs_no_origin() -> None:
    sidecar = Sidecar()
    sidecar.alerting.alerts = [alert(ID)]

    async def ask(client: Client) -> int:
        return (await client.post(SILENCE, {"seconds": 60}, Authorization=f"Bearer {TOKEN}")).status

    assert with_token(ask, sidecar) == 200


def test_wrong_tokens_are_refused_and_too_many_not_even_looked_at() -> None:
    sidecar = Sidecar()

    async def ask(client: Client) -> list[Answer]:
        found = [await client.post("/v1/session", {"token": f"{TOKEN}{place}"}) for place in range(WRONG)]
        found.append(await client.post("/v1/session", {"token": TOKEN}))
        found.append(await client.get("/v1/status", Authorization=f"Bearer {TOKEN}"))
        sidecar.now_s += WRONG_S
        found.append(await client.post("/v1/session", {"token": TOKEN}))
        return found

    answers = with_token(ask, sidecar)

    assert [each.status for each in answers] == [401] * WRONG + [429, 200, 200]
    assert answers[WRONG].headers["retry-after"] == "60"
    assert message(answers[WRONG]) == "10 wrong tokens within 60 s: expected the next in 60 s"
    assert [faults("/v1/session", each, "post") for each in (*answers[: WRONG + 1], answers[-1])] == [[]] * (WRONG + 2)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{}", 400),
        (b'{"token": 1}', 400),
        (b"token=x", 400),
        (b'{"token": "x", "a": 1}', 400),
        (b'{"token": "\xc3\xa9"}', 401),
    ],
)
def test_what_is_no_token_is_refused(body: bytes, status: int) -> None:
    async def ask(client: Client) -> Answer:
        return await client.post("/v1/session", body=body)

    answer = with_token(ask)
    assert (answer.status, faults("/v1/session", answer, "post")) == (status, [])


def test_no_form_of_another_site_logs_anybody_in() -> None:
    async def ask(client: Client) -> list[int]:
        told = {"token": TOKEN}
        plain = await client.post("/v1/session", told, Content_Type="text/plain")
        return [plain.status, (await client.post("/v1/session", told, Origin="http://evil.example")).status]

    assert with_token(ask) == [415, 403]


def asked(sessions: Sessions, given: str) -> bool:
    return sessions.knows(make_mocked_request("GET", "/", headers={"Cookie": f"{NAME}={given}"}))


def test_of_too_many_sessions_the_oldest_goes() -> None:
    fresh = map(str, itertools.count())
    now_s = count()
    sessions = Sessions(TOKEN, now_s=lambda: float(next(now_s)), fresh=lambda: next(fresh))
    for _ in range(MAX_SESSIONS + 1):
        sessions.open()
    assert [asked(sessions, name) for name in ("0", "1", str(MAX_SESSIONS))] == [False, True, True]


@pytest.mark.parametrize(("link", "secure"), [("", False), ("http://ops", False), ("https://ops", True)])
def test_the_cookie_is_for_tls_only_where_people_come_by_that(link: str, secure: bool) -> None:
    sessions = Sessions(TOKEN, now_s=lambda: 0.0, fresh=lambda: "x", link=link)
    answer = web.Response()
    sessions.give(make_mocked_request("POST", "/v1/session"), answer)
    assert bool(answer.cookies[NAME]["secure"]) is secure
