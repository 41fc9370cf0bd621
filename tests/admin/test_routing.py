import asyncio
import random
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from typing import TypeVar

import msgspec
import orjson
import pytest

from sidecar.admin.routing import routing
from sidecar.config.schema import Config, Part, Rollout, Split, SplitRule
from sidecar.entries import Change
from sidecar.errors import ConflictError, DeliveryError
from sidecar.experiments.standing import Standing
from sidecar.experiments.users import Mismatch, Sides
from sidecar.experiments.verdicts import Guarded
from sidecar.ports import Kept
from sidecar.records import JSON
from sidecar.routing.course import decode, encode
from sidecar.steering import Judged, Steering
from tests.admin.rig import ROUTED, Answer, Client, Sidecar, Trials, asking, faults, message, undescribed

T = TypeVar("T")

ROUTES, CHANGES, WEIGHT, ROLLOUT = "/v1/routes", "/v1/routes/changes", "/v1/routes/weight", "/v1/rollout"
PLANNED = Rollout(champion="champion", challenger="challenger", steps=(5.0, 50.0), start="manual")
ROLLING = msgspec.structs.replace(ROUTED, state="/nowhere", rollout=PLANNED)
OTHER = {"variants": {"champion": {"url": "http://c:1", "version": "5"}}}
SHARED = {"variants": {name: {"url": f"http://{name}:1", "weight": 50} for name in ("champion", "challenger")}}


def got(sidecar: Sidecar, path: str = ROUTES, **headers: str) -> Answer:
    async def ask(client: Client) -> Answer:
        return await client.get(path, **headers)

    return asking(sidecar, ask)


def put(
    sidecar: Sidecar, document: JSON = OTHER, query: str = "", *, body: bytes | None = None, **headers: str
) -> Answer:
    async def ask(client: Client) -> Answer:
        return await client.put(f"{ROUTES}{query}", document, body, **headers)

    return asking(sidecar, ask)


def posted(sidecar: Sidecar, path: str, document: JSON = None, *, body: bytes | None = None, **headers: str) -> Answer:
    async def ask(client: Client) -> Answer:
        return await client.post(path, document, body, **headers)

    return asking(sidecar, ask)


def unchanged(sidecar: Sidecar, revision: int = 1) -> bool:
    return (sidecar.steering.course.revision, sidecar.prepared) == (revision, [])


def test_who_serves_whom_is_told() -> None:
    sidecar = Sidecar()
    sidecar.upstreams.known = {"champion": ("taking", 1.0), "challenger": ("ejected", 0.0)}
    sidecar.upstreams.ejections = {"challenger": 2}

    answer = got(sidecar)

    assert (answer.status, answer.headers["etag"], faults(ROUTES, answer)) == (200, '"1"', [])
    told = answer.json()
    assert told["routes"]["variants"]["champion"] == {"url": "http://a:1", "version": "3", "weight": 90.0}
    assert told["shares"] == {"champion": 90.0, "challenger": 10.0}
    assert told["availability"] == {
        "champion": {"state": "taking", "available": 1.0, "ejections": 0},
        "challenger": {"state": "ejected", "available": 0.0, "ejections": 2},
    }
    assert told["change"] == {"time": sidecar.wall_s(), "who": "configuration", "what": "routes", "why": "the first"}
    assert (told["rollout"], told["unkept"]) == (None, "")


def test_versions_are_told_as_aliases_mean_them_and_routes_as_they_were_written() -> None:
    variants = {name: msgspec.structs.replace(each, version=f"@{name}") for name, each in ROUTED.variants.items()}
    sidecar = Sidecar(config=msgspec.structs.replace(ROUTED, variants=variants, catalog=Part(kind="mlflow")))
    asyncio.run(sidecar.steering.resolve({"@champion": "7"}))
    answer = got(sidecar)
    assert faults(ROUTES, answer) == []
    assert answer.json()["versions"] == {"champion": "7", "challenger": "@challenger"}
    assert answer.json()["routes"]["variants"]["champion"]["version"] == "@champion"
    assert put(sidecar, answer.json()["routes"]).json()["revision"] == 2


def test_versions_that_are_not_in_the_catalogue_are_told() -> None:
    sidecar = Sidecar()
    assert got(sidecar).json()["uncatalogued"] == []
    assert sidecar.cataloguing is not None
    asyncio.run(sidecar.cataloguing.look())
    answer = got(sidecar)
    assert faults(ROUTES, answer) == []
    assert (answer.json()["versions"], answer.json()["uncatalogued"]) == (
        {"champion": "3", "challenger": "4"},
        ["challenger", "champion"],
    )
    sidecar.cataloguing = None
    assert got(sidecar).json()["uncatalogued"] == []


def test_an_alias_that_no_catalogue_knows_is_refused() -> None:
    sidecar = Sidecar()
    answer = put(sidecar, {"variants": {"champion": {"url": "http://a:1", "version": "@champion"}}})
    assert (answer.status, faults(ROUTES, answer, "put"), unchanged(sidecar)) == (400, [], True)
    assert message(answer).startswith("variants.champion.version: @champion, and the catalogue (sqlite) has no aliases")


def test_one_upstream_has_all_of_the_traffic() -> None:
    sidecar = Sidecar(config=Config(upstream="http://a:1"))
    sidecar.upstreams.known = {"default": ("taking", 1.0)}
    told = got(sidecar).json()
    assert (told["routes"]["variants"], told["shares"]) == ({}, {"default": 100.0})


def guarded(*guards: Guarded) -> Standing:
    mismatch = Mismatch(p_value=1.0, nats=0.0, alarm=False, counts=(0, 0), shares=(0.5, 0.5))
    variants, rows = ("champion", "challenger"), {"champion": 900, "challenger": 70}
    return Standing("rollout", variants, 0.0, 0.0, rows, 0, (), guards, mismatch, Sides(0, 0.0, 0.0), ())


def rolling() -> Sidecar:
    """One with a rollout at its first step."""
    sidecar = Sidecar(config=ROLLING)
    asyncio.run(sidecar.steering.order("start", None, revision=None, by="ann", why=""))
    sidecar.prepared.clear()
    guard = Guarded("errors", "challenger", "unknown", "who knows")
    judged = Judged(70, {"errors": "unknown"}, ready=True)
    sidecar.trials = Trials({"rollout": guarded(guard, Guarded("errors", "other", "fine", ""))}, judged)
    return sidecar


def test_how_far_the_rollout_is_is_told() -> None:
    sidecar = rolling()
    sidecar.now_s += 200

    answer = got(sidecar)

    assert faults(ROUTES, answer) == []
    assert answer.json()["rollout"] == {
        "champion": "champion",
        "challenger": "challenger",
        "version": "4",
        "phase": "stepping",
        "step": 0,
        "steps": [5.0, 50.0],
        "percent": 5.0,
        "since": sidecar.wall_s() - 200,
        "reason": "started by ann",
        "awaited": "the pause, 400 s more; rows, 130 more",
        "guardrails": [{"name": "errors", "word": "unknown", "sentence": "who knows"}],
    }


@pytest.mark.parametrize("trials", [None, Trials()])
def test_a_rollout_of_which_nothing_is_known_yet_is_told_too(trials: Trials | None) -> None:
    sidecar = rolling()
    sidecar.trials = trials
    answer = got(sidecar)
    assert faults(ROUTES, answer) == []
    assert (answer.json()["rollout"]["awaited"], answer.json()["rollout"]["guardrails"]) == ("", [])


@pytest.mark.parametrize(
    ("rejected", "ready", "awaited"),
    [
        ((), False, "the servers of both to answer"),
        ((), True, ""),
        (None, True, "what the catalogue says of the versions"),
        ({("challenger", "4")}, True, "another version, as this one was rejected"),
    ],
)
def test_a_rollout_that_waits_tells_for_what(
    rejected: Collection[tuple[str, str]] | None, ready: bool, awaited: str
) -> None:
    sidecar = Sidecar(config=msgspec.structs.replace(ROLLING, rollout=msgspec.structs.replace(PLANNED, start="auto")))
    sidecar.steering.rejected = rejected
    sidecar.trials = Trials({}, Judged(0, {}, ready=ready))
    told = got(sidecar).json()["rollout"]
    assert (told["phase"], told["step"], told["percent"], told["awaited"]) == ("waiting", -1, 0.0, awaited)


def test_a_rollout_that_does_not_begin_by_itself_waits_for_an_order() -> None:
    assert got(Sidecar(config=ROLLING)).json()["rollout"]["awaited"] == "an order to start"


CHANGED = (
    "routes: variants.champion.url http://a:1 → http://c:1, variants.champion.version 3 → 5, "
    "without variants.champion.weight, without variants.challenger"
)


def test_other_routes_are_put_in_force() -> None:
    sidecar = Sidecar()

    answer = put(sidecar, query="?by=ann&why=a+new+one%2C+at+last")

    assert (answer.status, answer.headers["etag"], faults(ROUTES, answer, "put")) == (200, '"2"', [])
    assert answer.json()["routes"]["variants"] == OTHER["variants"]
    assert [list(config.variants) for config in sidecar.prepared] == [["champion"]]
    told = got(sidecar, CHANGES)
    assert faults(CHANGES, told) == []
    assert told.json()["changes"] == [
        {"revision": 2, "time": sidecar.wall_s(), "who": "ann", "what": CHANGED, "why": "a new one, at last"}
    ]


def test_what_is_told_can_be_put_again() -> None:
    split = Split(rules=(SplitRule(variant="champion", path="/admin/*"),), fallback="champion")
    sidecar = Sidecar(config=msgspec.structs.replace(ROUTED, split=split))
    before = sidecar.steering.routes
    answer = put(sidecar, got(sidecar).json()["routes"])
    assert (answer.status, sidecar.steering.routes) == (200, before)


def test_a_shadow_is_put_and_taken_away() -> None:
    sidecar = Sidecar()
    variants = {"champion": {"url": "http://a:1"}, "new": {"url": "http://b:1", "weight": 0}}
    copied = put(sidecar, {"variants": variants, "shadow": {"variant": "new", "ratio": 0.5}})
    assert copied.json()["routes"]["shadow"] == {"variant": "new", "ratio": 0.5}
    assert "shadow" not in put(sidecar, {"variants": variants, "shadow": None}).json()["routes"]


@pytest.mark.parametrize("given", ['"1"', "*", ' "1" '])
def test_routes_that_the_client_has_seen_are_replaced(given: str) -> None:
    assert put(Sidecar(), If_Match=given).status == 200


@pytest.mark.parametrize("given", ['"2"', '"0"', '"01"', '"one"', '""', f'"{"9" * 30}"', '"ä"'])
def test_routes_that_the_client_has_not_seen_stay(given: str) -> None:
    sidecar = Sidecar()
    answer = put(sidecar, If_Match=given)
    assert (answer.status, answer.headers["etag"], faults(ROUTES, answer, "put")) == (412, '"1"', [])
    assert message(answer) == "revision 1 is in force, not the one of If-Match: look again"
    assert unchanged(sidecar)


@pytest.mark.parametrize("given", ["1", 'W/"1"', '"1", "2"', '*, "1"', "", "'1'", '"1', '"1""2"', "x" * 5000])
def test_what_is_no_single_strong_tag_is_refused(given: str) -> None:
    sidecar = Sidecar()
    answer = put(sidecar, If_Match=given)
    assert (answer.status, faults(ROUTES, answer, "put")) == (400, [])
    assert message(answer).startswith('If-Match: expected one strong ETag of /v1/routes, as in "7", or *, got ')
    assert len(answer.body) < 300
    assert unchanged(sidecar)


def test_two_fields_of_if_match_are_a_list() -> None:
    head = f"PUT {ROUTES} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
    body = orjson.dumps(OTHER)

    async def ask(client: Client) -> bytes:
        fields = f'If-Match: "1"\r\nIf-Match: *\r\nContent-Length: {len(body)}\r\n\r\n'
        return await client.raw((head + fields).encode() + body)

    sidecar = Sidecar()
    assert asking(sidecar, ask).startswith(b"HTTP/1.1 400 ")
    assert unchanged(sidecar)


@pytest.mark.parametrize("count", [2, 20])
def test_of_several_at_once_that_have_seen_the_same_one_wins(count: int) -> None:
    sidecar = Sidecar()
    documents = [{"variants": {"champion": {"url": f"http://c:{port}"}}} for port in range(1, count + 1)]

    async def ask(client: Client) -> list[Answer]:
        return await asyncio.gather(*(client.put(ROUTES, document, If_Match='"1"') for document in documents))

    answers = asking(sidecar, ask)

    assert sorted(answer.status for answer in answers) == [200, *[412] * (count - 1)]
    assert {answer.headers["etag"] for answer in answers} == {'"2"'}
    [won] = [document for document, answer in zip(documents, answers, strict=True) if answer.status == 200]
    assert sidecar.steering.routes.document["variants"] == won["variants"]
    assert [revision for revision, _ in sidecar.steering.journal.changes(9)] == [2]
    assert len(sidecar.prepared) == 1


BAD: list[tuple[bytes, list[str]]] = [
    (b"", ["variants: missing; expected who is to serve, by name"]),
    (b"{}", ["variants: missing; expected who is to serve, by name"]),
    (b'{"split": {}}', ["variants: missing; "]),
    (b"[]", ["the body: Expected `object`, got `array`"]),
    (b"variants: {}", ["the body: JSON is malformed"]),
    (b'{"variants": ' + b"[" * 30_000, ["the body: nested too deeply"]),
    (b'{"variants": NaN}', ["the body: JSON is malformed"]),
    (b'{"variants": {"a": {"url": "\\ud800"}}}', ["the body: "]),
    (b'{"variants": {}}', ["upstream: missing; expected an upstream, or variants"]),
    (b'{"variants": null}', ["variants: "]),
    (b'{"variants": {"a": {}}}', ["variants.a.url: missing"]),
    (b'{"variants": {"..": {"url": "http://a:1"}}}', ["variants...: expected 1 to 63 letters"]),
    (b'{"variants": {"a": {"url": "http://a:1", "weight": 0}}}', ["variants: "]),
    (b'{"variants": {"a": {"url": "http://a:1", "weight": -1}}}', ["variants.a.weight: "]),
    (b'{"variants": {"a": {"url": "http://a:1", "weight": 1e400}}}', ["the body: "]),
    (b'{"variants": {"a": {"url": "http://a:1"}}, "listen": "0.0.0.0:1"}', ["listen: unknown key; expected one of"]),
    (b'{"variants": {"a": {"url": "ftp://a", "wait": 1}}}', ["variants.a.wait: unknown key", "variants.a.url: "]),
    (b'{"variants": {"a": {"url": "http://a:1"}}, "split": {"fallback": "b"}}', ["split.fallback: "]),
    (b'{"variants": {"a": {"url": "http://a:1"}}, "shadow": {"variant": "b", "ratio": 1}}', ["shadow.variant: "]),
]


@pytest.mark.parametrize(("body", "told"), BAD)
def test_what_no_routes_can_be_is_refused_with_every_fault(body: bytes, told: list[str]) -> None:
    sidecar = Sidecar()
    answer = put(sidecar, body=body)
    assert (answer.status, faults(ROUTES, answer, "put")) == (400, [])
    lines = message(answer).splitlines()
    assert [line for line, start in zip(lines, told, strict=False) if not line.startswith(start)] == []
    assert len(lines) >= len(told)
    assert unchanged(sidecar)


def test_of_very_many_faults_the_first_ones_are_told() -> None:
    answer = put(Sidecar(), {"variants": {}, **{f"key{number}": 1 for number in range(2000)}})
    assert (answer.status, len(message(answer).splitlines())) == (400, 51)
    assert message(answer).endswith("and 1950 more")


def test_a_file_that_cannot_be_used_is_told_and_nothing_is_changed() -> None:
    sidecar = Sidecar()
    sidecar.unusable = "/nowhere/ca.pem"
    answer = put(sidecar)
    assert (answer.status, message(answer)) == (400, "a file that is named cannot be used: /nowhere/ca.pem")
    assert unchanged(sidecar)


def test_the_weights_of_a_rollout_are_its_own() -> None:
    sidecar = rolling()
    for answer in (put(sidecar, SHARED), posted(sidecar, WEIGHT, {"variant": "4", "percent": 5})):
        assert answer.status == 409
        assert message(answer).startswith("the weights of champion and challenger are the rollout's; expected start, ")
    assert put(sidecar, SHARED, If_Match='"2"').status == 409
    assert unchanged(sidecar, 2)


@dataclass
class Shared:
    """A fleet in which somebody else is always first, or nobody answers."""

    kept: Kept | None

    async def read(self) -> Kept | None:
        return self.kept

    async def write(self, document: bytes, mark: str | None) -> str:  # noqa: ARG002  the protocol's
        raise DeliveryError("nobody answers") if self.kept is None else ConflictError("somebody else was first")

    async def changed(self, mark: str | None) -> Kept:
        raise NotImplementedError

    async def close(self) -> None:
        pass


def shared(kept: Kept | None) -> Sidecar:
    """One of a fleet, whose journal is its own."""
    sidecar = Sidecar()
    alone = sidecar.steering
    sidecar.steering = Steering(
        ROUTED, alone.journal, fleet=Shared(kept), prepare=sidecar.prepare, wall_s=sidecar.wall_s
    )
    return sidecar


def test_what_another_of_the_fleet_has_put_first_counts() -> None:
    alone = Sidecar().steering.course
    kept = Kept(encode(alone.after(alone.change._replace(who="bob"))), "mark")
    without, matched = put(shared(kept)), put(shared(kept), If_Match='"1"')
    assert (without.status, message(without)) == (409, "somebody else was first")
    assert (matched.status, matched.headers["etag"]) == (412, '"2"')
    assert decode(kept.document).revision == 2


def test_a_change_that_cannot_be_kept_is_to_be_asked_for_again() -> None:
    sidecar = shared(None)
    answer = put(sidecar)
    assert (answer.status, answer.headers["retry-after"], message(answer)) == (503, "1", "nobody answers")
    assert faults(ROUTES, answer, "put") == []
    assert unchanged(sidecar)


def test_a_rollback_that_cannot_be_kept_holds_and_that_is_told() -> None:
    sidecar = rolling()
    sidecar.steering.journal.close()
    answer = posted(sidecar, ROLLOUT, {"order": "rollback"})
    assert (answer.status, faults(ROLLOUT, answer, "post")) == (200, [])
    assert answer.json()["rollout"]["phase"] == "rolled_back"
    assert "closed" in answer.json()["unkept"]
    changes = got(sidecar, CHANGES)
    assert (changes.status, changes.headers["retry-after"], faults(CHANGES, changes)) == (503, "1", [])


@pytest.mark.parametrize("name", ["challenger", "4"])
def test_a_variant_or_its_version_gets_a_part(name: str) -> None:
    sidecar = Sidecar()
    asked = {"variant": name, "percent": 25, "revision": 1, "by": "ann", "why": "so"}
    answer = posted(sidecar, WEIGHT, asked)
    assert (answer.status, answer.headers["etag"], faults(WEIGHT, answer, "post")) == (200, '"2"', [])
    assert answer.json()["shares"] == {"champion": 75.0, "challenger": 25.0}
    assert answer.json()["change"]["who"] == "ann"


@pytest.mark.parametrize(
    ("path", "document", "status", "told"),
    [
        (
            WEIGHT,
            {"variant": "nobody", "percent": 5},
            404,
            "'nobody' is no variant or version of one; expected one of ",
        ),
        (WEIGHT, {"variant": "\x00\u2028", "percent": 5}, 404, "'\\x00\\u2028' is no variant"),
        (WEIGHT, {"variant": "4", "percent": 5, "revision": 2}, 409, "revision 1 is in force, expected 2"),
        (WEIGHT, {"variant": "4", "percent": 101}, 400, "the body: Expected `float` <= 100.0 - at `$.percent`"),
        (WEIGHT, {"variant": "4", "percent": -1}, 400, "the body: Expected `float` >= 0.0 - at `$.percent`"),
        (WEIGHT, {"variant": "4", "percent": None}, 400, "the body: Expected `float`, got `null`"),
        (WEIGHT, {"variant": "4", "percent": 5, "revision": 0}, 400, "the body: Expected `int` >= 1"),
        (WEIGHT, {"variant": "4", "percent": 5, "revision": "1"}, 400, "the body: Expected `int | null`, got `str`"),
        (WEIGHT, {"variant": "x" * 129, "percent": 5}, 400, "the body: Expected `str` of length <= 128"),
        (WEIGHT, {"variant": "4", "percent": 5, "share": 5}, 400, "the body: Object contains unknown field `share`"),
        (WEIGHT, {"percent": 5}, 400, "the body: Object missing required field `variant`"),
        (WEIGHT, {"variant": "4", "percent": 5, "by": "x" * 129}, 400, "by: expected one line of at most 128 char"),
        (WEIGHT, {"variant": "4", "percent": 5, "why": "a\nb"}, 400, "why: expected one line of at most 500 char"),
        (ROLLOUT, {}, 400, "the body: Object missing required field `order`"),
        (ROLLOUT, {"order": "stop"}, 400, "the body: Invalid enum value 'stop' - at `$.order`"),
        (ROLLOUT, {"order": "start"}, 409, "cannot start anything: there is no rollout"),
        (ROLLOUT, {"order": "rollback"}, 409, "nothing to roll back to: "),
        (ROLLOUT, {"order": "promote", "variant": "9"}, 404, "'9' is no variant or version of one"),
        (ROLLOUT, {"order": "promote", "variant": "4", "revision": 7}, 409, "revision 1 is in force, expected 7"),
    ],
)
def test_what_cannot_be_done_is_refused(path: str, document: JSON, status: int, told: str) -> None:
    sidecar = Sidecar()
    answer = posted(sidecar, path, document)
    assert (answer.status, faults(path, answer, "post")) == (status, [])
    assert message(answer).startswith(told)
    assert unchanged(sidecar)


def test_nobody_takes_the_rest() -> None:
    sidecar = Sidecar(config=Config(variants={"champion": ROUTED.variants["champion"]}))
    answer = posted(sidecar, WEIGHT, {"variant": "champion", "percent": 50})
    assert (answer.status, unchanged(sidecar)) == (409, True)


def test_a_rollout_does_as_it_is_told() -> None:
    sidecar = Sidecar(config=ROLLING)
    phases = []
    for command in ("start", "hold", "resume", "promote", "rollback"):
        answer = posted(sidecar, ROLLOUT, {"order": command, "by": "ann", "why": "so"})
        assert (answer.status, faults(ROLLOUT, answer, "post")) == (200, [])
        phases.append(answer.json()["rollout"]["phase"])
    assert phases == ["stepping", "held", "stepping", "promoted", "rolled_back"]
    assert sidecar.steering.routes.variants["challenger"].weight == 0.0


def test_without_a_rollout_a_variant_is_promoted_and_that_undone() -> None:
    sidecar = Sidecar()
    promoted = posted(sidecar, ROLLOUT, {"order": "promote", "variant": "4"})
    assert promoted.json()["shares"] == {"champion": 0.0, "challenger": 100.0}
    back = posted(sidecar, ROLLOUT, {"order": "rollback"})
    assert back.json()["shares"] == {"champion": 90.0, "challenger": 10.0}


def changed(count: int) -> Sidecar:
    """One whose routes were changed so often."""
    sidecar = Sidecar()

    async def change() -> None:
        for percent in range(count):
            await sidecar.steering.weigh("4", percent % 100, revision=None, by="ann", why=str(percent))

    asyncio.run(change())
    return sidecar


@pytest.mark.parametrize(("query", "count"), [("", 100), ("?limit=1", 1), ("?limit=1000", 120)])
def test_changes_are_told_the_latest_first(query: str, count: int) -> None:
    answer = got(changed(120), f"{CHANGES}{query}")
    assert faults(CHANGES, answer) == []
    assert [each["revision"] for each in answer.json()["changes"]] == list(range(121, 121 - count, -1))


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "", "1.0", "9" * 5000, "%C2%B2"])
def test_a_bad_limit_of_changes_is_refused(limit: str) -> None:
    answer = got(Sidecar(), f"{CHANGES}?limit={limit}")
    assert (answer.status, faults(CHANGES, answer)) == (400, [])
    assert message(answer).startswith("limit: expected a number from 1 to 1000, got ")


@pytest.mark.parametrize(
    ("query", "status", "who"),
    [
        ("", 200, "api"),
        ("?by=", 200, "api"),
        ("?by=%C3%84nn%20B", 200, "Änn B"),
        (f"?by={'x' * 128}&why={'y' * 500}", 200, "x" * 128),
        (f"?by={'x' * 129}", 400, ""),
        (f"?why={'y' * 501}", 400, ""),
        ("?by=a%0Ab", 400, ""),
        ("?by=%00", 400, ""),
        ("?by=%E2%80%AE", 400, ""),
        ("?why=%1B[31m", 400, ""),
    ],
)
def test_who_and_why_are_bounded(query: str, status: int, who: str) -> None:
    sidecar = Sidecar()
    answer = put(sidecar, query=query)
    assert (answer.status, faults(ROUTES, answer, "put")) == (status, [])
    assert answer.json().get("change", {"who": ""})["who"] == who
    assert unchanged(sidecar) is (status == 400)


@pytest.mark.parametrize("query", ["?by=%FF", "?by=%ED%A0%80", "?by=%", "?by=%ZZ", "?why=%C3%28"])
def test_words_that_are_no_utf_8_are_taken_or_refused_and_never_a_fault_of_ours(query: str) -> None:
    assert put(Sidecar(), query=query).status in {200, 400}


@pytest.mark.parametrize(("path", "method"), [(ROUTES, "put"), (WEIGHT, "post"), (ROLLOUT, "post")])
def test_changes_are_guarded_as_others_are(path: str, method: str) -> None:
    async def ask(client: Client) -> list[Answer]:
        send = client.put if method == "put" else client.post
        return [
            await send(path, OTHER),
            await send(path, OTHER, Authorization="Bearer s3cret", Origin="http://evil.example"),
            await send(path, OTHER, Authorization="Bearer s3cret", Content_Type="text/plain"),
            await send(path, body=b" " * 65_537, Authorization="Bearer s3cret"),
        ]

    sidecar = Sidecar()
    answers = asking(sidecar, ask, token="s3cret")
    assert [answer.status for answer in answers] == [401, 403, 415, 413]
    assert [fault for answer in answers for fault in faults(path, answer, method)] == []
    assert unchanged(sidecar)


def mutated(ask: Callable[[Client, bytes], Awaitable[Answer]], whole: bytes, sidecar: Sidecar) -> set[int]:
    """The statuses of replies to bodies with some bytes changed."""
    rng = random.Random(5)

    async def every(client: Client) -> set[int]:
        found = set()
        for _ in range(150):
            body = bytearray(whole)
            for _ in range(rng.randrange(1, 4)):
                body[rng.randrange(len(body))] = rng.randrange(256)
            found.add((await ask(client, bytes(body))).status)
        return found

    return asking(sidecar, every)


def test_whatever_the_body_it_is_taken_or_refused() -> None:
    whole = orjson.dumps({**OTHER, "split": {"sticky": {"header": "x-user"}, "rules": [{"variant": "champion"}]}})
    assert mutated(lambda client, body: client.put(ROUTES, body=body), whole, Sidecar()) == {200, 400}


def test_words_that_are_no_unicode_are_told_as_their_escape() -> None:
    sidecar = Sidecar()
    sidecar.steering._helm.course = replace(sidecar.steering.course, change=Change(1.0, "\ud800", "a\udc80b", "\udfff"))
    told = routing(sidecar.view())
    assert told["change"] == {"time": 1.0, "who": "\\ud800", "what": "a\\udc80b", "why": "\\udfff"}
    assert undescribed("Routing", told) == []
