import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, cast
from urllib.parse import quote

import orjson
import pytest

from sidecar.admin.catalogue import MAX_BODY_BYTES, WAITING
from sidecar.catalog.remote import Remote
from sidecar.catalog.sqlite import Sqlite
from sidecar.config.schema import Config, Variant
from sidecar.entries import Approval, Draft, Link, Point, Run, RunStatus, Version
from sidecar.errors import ConflictError, DeliveryError
from sidecar.ports import Catalog
from sidecar.records import JSON
from sidecar.runs import Training
from tests.admin.rig import GROUP, ROUTED, Answer, Client, Sidecar, asking, faults, message
from tests.catalog import contract
from tests.catalog.contract import LATER_S, NOW_S, Open

T = TypeVar("T")

VERSIONS = f"/v1/models/{GROUP}/versions"
DESCRIBED = "/v1/models/{group}/versions"
RUNS = "/v1/runs"
FIRST = {"draft": {"metrics": {"auc": 0.9, "loss": "NaN"}, "parameters": {"depth": "4"}}, "by": "ann"}


def got(sidecar: Sidecar, path: str) -> Answer:
    async def ask(client: Client) -> Answer:
        return await client.get(path)

    return asking(sidecar, ask)


def posted(sidecar: Sidecar, path: str, document: JSON = None, *, body: bytes | None = None, **headers: str) -> Answer:
    async def ask(client: Client) -> Answer:
        return await client.post(path, document, body, **headers)

    return asking(sidecar, ask)


@dataclass(slots=True)
class Dated(Sqlite):
    """Says when what came, as the contract expects it of whoever has a clock of his own."""

    def register(self, group: str, draft: Draft, *, by: str, now_s: float) -> Version:  # noqa: ARG002
        return Sqlite.register(self, group, draft, by=by, now_s=NOW_S)

    def decide(self, group: str, name: str, approval: Approval, *, by: str, why: str, now_s: float) -> Version:  # noqa: ARG002
        return Sqlite.decide(self, group, name, approval, by=by, why=why, now_s=LATER_S)

    def begin(self, group: str, name: str, *, now_s: float) -> Run:  # noqa: ARG002
        return Sqlite.begin(self, group, name, now_s=NOW_S)

    def end(self, run: str, status: RunStatus, *, now_s: float) -> None:  # noqa: ARG002
        Sqlite.end(self, run, status, now_s=LATER_S)


@dataclass
class Told:
    """A catalogue, asked by a thread of its own."""

    catalog: Catalog
    group: str = GROUP
    asked: list[str] = field(default_factory=list)
    unknown: dict[str, str] = field(default_factory=dict)

    async def do(self, work: Callable[[Catalog], T]) -> T:
        def note() -> T:
            self.asked.append(threading.current_thread().name)
            return work(self.catalog)

        return await asyncio.to_thread(note)


def having(catalog: Catalog) -> Sidecar:
    sidecar = Sidecar()
    sidecar.cataloguing = Told(catalog)  # type: ignore[assignment]  # all that the admin side asks of it
    return sidecar


def asked_from_elsewhere(sidecar: Sidecar, work: Callable[[Remote], T]) -> T:
    """What somebody finds out who has the address alone."""

    async def ask(client: Client) -> T:
        return await client.aside(lambda: work(Remote(f"http://127.0.0.1:{client.port}")))

    return asking(sidecar, ask)


@pytest.mark.parametrize("case", [*contract.VERSIONS, *contract.RUNS], ids=lambda case: case.__name__)
def test_from_elsewhere_it_is_a_catalogue_like_any_other(case: Callable[[Open], None], tmp_path: Path) -> None:
    sidecar = having(Dated(str(tmp_path)))
    asked_from_elsewhere(sidecar, lambda remote: case(lambda: cast("Catalog", remote)))


def test_a_training_run_logs_here(tmp_path: Path) -> None:
    sidecar = Sidecar(catalog=str(tmp_path))

    def train(remote: Remote) -> tuple[Version, Run]:
        with Training(remote, GROUP, "xgb-7") as run:
            run.log({"max_depth": 6})
            for step in range(1200):
                run.metric("auc", 0.5 + step / 3000, step=step)
            version = run.register(artefact="s3://models/fraud/1")
        return version, remote.run(run.id)

    version, run = asked_from_elsewhere(sidecar, train)

    assert (version.number, dict(version.draft.parameters)) == (1, {"max_depth": "6"})
    assert (run.status, [point.step for point in run.points]) == ("finished", list(range(1200)))
    assert contract.plain(run) == contract.plain(sidecar.catalog.run(version.draft.links[0].target))


def grown(tmp_path: Path, config: Config = ROUTED) -> Sidecar:
    """One whose catalogue has two versions, the second one of the first, and two runs."""
    sidecar = Sidecar(catalog=str(tmp_path), config=config)
    links = [Link("derived_from", "fraud/1"), Link("trained_on", "s3://data", "")]
    second = Draft(metrics={"auc": 0.95, "f1": 0.5}, parameters={"depth": "6"}, links=links)
    catalog = sidecar.catalog
    catalog.register(GROUP, Draft(metrics={"auc": 0.9, "loss": float("nan")}), by="ann", now_s=NOW_S)
    catalog.register(GROUP, second, by="ann", now_s=NOW_S)
    catalog.decide(GROUP, "1", "approved", by="bob", why="good", now_s=NOW_S)
    catalog.report(GROUP, "2", {"auc": 0.85, "latency": float("inf")}, now_s=NOW_S)
    run = catalog.begin(GROUP, "xgb", now_s=NOW_S)
    catalog.log(run.id, parameters={"a": "b"}, points=[Point("auc", 1, float("nan"), NOW_S)], artefacts={"m": "s3://m"})
    catalog.end(run.id, "failed", now_s=LATER_S)
    catalog.begin(GROUP, "", now_s=NOW_S)
    return sidecar


READ = {
    "/v1/models": "/v1/models",
    VERSIONS: DESCRIBED,
    f"{VERSIONS}/2": f"{DESCRIBED}/{{name}}",
    f"/v1/models/{GROUP}/compare?a=1&b=2": "/v1/models/{group}/compare",
    f"/v1/models/{GROUP}/runs": "/v1/models/{group}/runs",
}


@pytest.mark.parametrize("path", READ)
def test_what_the_catalogue_holds_is_told_as_described(path: str, tmp_path: Path) -> None:
    answer = got(grown(tmp_path), path)
    assert (answer.status, faults(READ[path], answer)) == (200, [])


@pytest.mark.parametrize("path", READ)
def test_of_an_empty_catalogue_that_is_told(path: str, tmp_path: Path) -> None:
    answer = got(Sidecar(catalog=str(tmp_path)), path)
    assert (answer.status, faults(READ[path], answer)) == (200 if path == "/v1/models" else 404, [])


def test_a_run_is_told_with_all_of_its_points(tmp_path: Path) -> None:
    sidecar = grown(tmp_path)
    runs = got(sidecar, f"/v1/models/{GROUP}/runs").json()["runs"]
    answer = got(sidecar, f"{RUNS}/{runs[1]['id']}")
    assert (answer.status, faults(f"{RUNS}/{{id}}", answer)) == (200, [])
    assert (answer.json()["points"], answer.json()["status"]) == ([["auc", 1, "NaN", NOW_S]], "failed")


def test_a_version_is_registered_and_decided_on(tmp_path: Path) -> None:
    sidecar = Sidecar(catalog=str(tmp_path))
    made = posted(sidecar, VERSIONS, FIRST)
    decided = posted(sidecar, f"{VERSIONS}/1/approval", {"approval": "rejected", "why": "unfair"})
    assert (made.status, faults(DESCRIBED, made, "post")) == (201, [])
    assert (decided.status, faults(f"{DESCRIBED}/{{name}}/approval", decided, "post")) == (200, [])
    assert made.json()["draft"]["metrics"] == {"auc": 0.9, "loss": "NaN"}
    assert (decided.json()["approval"], made.json()["by"]) == ("rejected", "ann")
    assert decided.json()["decisions"] == [["rejected", sidecar.wall_s(), "api", "unfair"]]


def test_a_run_is_begun_told_and_ended(tmp_path: Path) -> None:
    sidecar = Sidecar(catalog=str(tmp_path))
    begun = posted(sidecar, RUNS, {"group": GROUP, "name": "xgb"})
    path = f"{RUNS}/{begun.json()['id']}"
    logged = posted(sidecar, path, {"points": [["auc", 0, 0.5, NOW_S]]})
    ended = posted(sidecar, f"{path}/end", {"status": "finished"})
    late = posted(sidecar, path, {"parameters": {"a": "b"}})
    assert [each.status for each in (begun, logged, ended, late)] == [201, 200, 200, 409]
    described = (RUNS, f"{RUNS}/{{id}}", f"{RUNS}/{{id}}/end", f"{RUNS}/{{id}}")
    answers = (begun, logged, ended, late)
    assert [faults(each, answer, "post") for each, answer in zip(described, answers, strict=True)] == [[]] * 4


@pytest.mark.parametrize("group", ["a b", "Äh", "a+b", "a.b", "a-b_c", "日本語", "x" * 128])
def test_an_odd_name_of_a_model_is_taken_as_it_is(group: str, tmp_path: Path) -> None:
    sidecar = Sidecar(catalog=str(tmp_path))
    path = f"/v1/models/{quote(group)}/versions"
    assert [posted(sidecar, path, FIRST).status, got(sidecar, f"{path}/1").status] == [201, 200]
    assert got(sidecar, "/v1/models").json() == {"models": [group], "served": GROUP}


ODD = ["%2e%2e", "a%2Fb", "a%252Fb", "%00", "%0A", "%ED%A0%80", "%FF", "%7Bgroup%7D", "x" * 5000, "'%22\\", "%20", "*"]


@pytest.mark.parametrize("odd", ODD)
def test_what_can_be_no_name_is_not_found_and_never_made(odd: str, tmp_path: Path) -> None:
    sidecar = grown(tmp_path)
    for path in (f"/v1/models/{odd}/versions", f"{VERSIONS}/{odd}", f"{RUNS}/{odd}", f"/v1/models/{odd}/runs"):
        answer = got(sidecar, path)
        assert (answer.status, len(answer.body) < 600) == (404, True)
    assert posted(sidecar, f"/v1/models/{odd}/versions", FIRST).status in {400, 404}
    assert posted(sidecar, f"{VERSIONS}/{odd}/approval", {"approval": "approved"}).status == 404
    assert posted(sidecar, f"{RUNS}/{odd}", {}).status == 404
    assert sidecar.catalog.groups() == [GROUP]


BAD: list[tuple[str, bytes, str]] = [
    (VERSIONS, b"", "the body: Input data was truncated"),
    (VERSIONS, b"[]", "the body: Expected `object`, got `array`"),
    (VERSIONS, b"{}", "the body: Object missing required field `draft`"),
    (VERSIONS, b'{"draft": {"metrics": {"auc": "much"}}}', "the body: Expected `float`, got `str`"),
    (
        VERSIONS,
        b'{"draft": {"metric": {"auc": 1}, "note": ""}}',
        "draft.metric: unknown key; expected one of artefact",
    ),
    (VERSIONS, b'{"draft": {}, "who": "ann"}', "the body: Object contains unknown field `who`"),
    (VERSIONS, b'{"draft": {"notes": "\\ud800"}}', "the body: "),
    (VERSIONS, b'{"draft": {"signature": ' + b"[" * 60_000, "the body: nested too deeply"),
    (VERSIONS, b'{"draft": {"links": [["derived_from", "fraud"]]}}', "links[0].target: expected the group and number"),
    (VERSIONS, b'{"draft": {"links": [["made_of", "fraud/1"]]}}', "the body: Invalid enum value 'made_of'"),
    (VERSIONS, b'{"draft": {}, "by": "a\\nb"}', "by: expected one line of text"),
    (f"{VERSIONS}/1/approval", b"{}", "the body: Object missing required field `approval`"),
    (f"{VERSIONS}/1/approval", b'{"approval": "maybe"}', "the body: Invalid enum value 'maybe'"),
    (f"{VERSIONS}/1/approval", b'{"approval": "approved", "why": "\\u0000"}', "why: expected text"),
    (RUNS, b"{}", "the body: Object missing required field `group`"),
    (RUNS, b'{"group": "a/b"}', "group: expected letters, digits"),
    (RUNS, b'{"group": 7}', "the body: Expected `str`, got `int`"),
    (f"{RUNS}/x", b'{"points": [["auc", 1, 0.5]]}', "the body: Expected `array` of length 4"),
    (f"{RUNS}/x", b'{"points": [["", 1, 0.5, 1]]}', "points: expected names that are not empty"),
    (f"{RUNS}/x", b'{"point": []}', "the body: Object contains unknown field `point`"),
    (f"{RUNS}/x", b'{"parameters": {"a": 1}}', "the body: Expected `str`, got `int`"),
    (f"{RUNS}/x/end", b'{"status": "running"}', "status: expected finished or failed"),
    (f"{RUNS}/x/end", b"", "the body: Object missing required field `status`"),
]


@pytest.mark.parametrize(("path", "body", "told"), BAD)
def test_what_no_catalogue_could_take_is_refused(path: str, body: bytes, told: str, tmp_path: Path) -> None:
    sidecar = grown(tmp_path)
    before = sidecar.catalog.mark(GROUP)
    answer = posted(sidecar, path, body=body)
    assert (answer.status, message(answer)[: len(told)]) == (400, told)
    assert (sidecar.catalog.mark(GROUP), len(answer.body) < 1000) == (before, True)


@pytest.mark.parametrize("query", ["", "?a=1", "?a=1&b=", "?b=2"])
def test_of_two_versions_both_are_to_be_named(query: str, tmp_path: Path) -> None:
    answer = got(grown(tmp_path), f"/v1/models/{GROUP}/compare{query}")
    assert (answer.status, faults("/v1/models/{group}/compare", answer)) == (400, [])


def test_a_version_to_compare_must_be_there(tmp_path: Path) -> None:
    assert got(grown(tmp_path), f"/v1/models/{GROUP}/compare?a=1&b=9").status == 404


class Refusing(Sqlite):
    """A catalogue that is elsewhere, and does not answer, or forbids."""

    def groups(self) -> list[str]:
        raise DeliveryError("nobody answers")

    def decide(self, group: str, name: str, approval: Approval, *, by: str, why: str, now_s: float) -> Version:  # noqa: ARG002
        raise ConflictError("it is archived")


def test_a_catalogue_that_does_not_answer_is_to_be_asked_again() -> None:
    answer = got(having(Refusing()), "/v1/models")
    assert (answer.status, answer.headers["retry-after"], message(answer)) == (503, "1", "nobody answers")
    assert faults("/v1/models", answer) == []


def test_what_the_catalogue_forbids_is_told() -> None:
    answer = posted(having(Refusing()), f"{VERSIONS}/1/approval", {"approval": "approved"})
    assert (answer.status, message(answer)) == (409, "it is archived")
    assert faults(f"{DESCRIBED}/{{name}}/approval", answer, "post") == []


def test_where_there_is_no_catalogue_that_is_told() -> None:
    sidecar = Sidecar()
    sidecar.cataloguing = None
    answer = got(sidecar, "/v1/models")
    assert (answer.status, message(answer), faults("/v1/models", answer)) == (404, "there is no catalogue", [])


class Hanging:
    """A catalogue that answers nobody until it is told to."""

    group = GROUP

    def __init__(self) -> None:
        self.asked = 0
        self.unknown: dict[str, str] = {}
        self.full, self.go_on = asyncio.Event(), asyncio.Event()

    async def do(self, _: Callable[[Catalog], T]) -> bytes:
        self.asked += 1
        if self.asked == WAITING:
            self.full.set()
        await self.go_on.wait()
        return b"{}"


def test_a_catalogue_that_hangs_holds_back_so_many_and_nobody_else() -> None:
    sidecar, hanging = Sidecar(), Hanging()
    sidecar.cataloguing = hanging  # type: ignore[assignment]  # all that the admin side asks of it

    async def ask(client: Client) -> tuple[Answer, Answer, list[bytes]]:
        request = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        waiting = [asyncio.ensure_future(client.raw(request)) for _ in range(WAITING)]
        await hanging.full.wait()
        refused, other = await client.get("/v1/models"), await client.get("/v1/routes")
        hanging.go_on.set()
        return refused, other, await asyncio.gather(*waiting)

    refused, other, waited = asking(sidecar, ask)
    assert (refused.status, refused.headers["retry-after"], other.status) == (503, "1", 200)
    assert {answer.split(b"\r\n")[0] for answer in waited} == {b"HTTP/1.1 200 OK"}


def test_the_catalogue_is_asked_in_a_thread() -> None:
    sidecar = having(Sqlite())
    got(sidecar, "/v1/models")
    told = cast("Told", sidecar.cataloguing)
    assert told.asked
    assert threading.main_thread().name not in told.asked


def padded(document: Mapping[str, JSON], size: int) -> bytes:
    body = orjson.dumps(document)
    return body + b" " * (size - len(body))


@pytest.mark.parametrize(("size", "status"), [(100_000, 201), (MAX_BODY_BYTES, 201), (MAX_BODY_BYTES + 1, 413)])
def test_a_version_may_be_large(size: int, status: int, tmp_path: Path) -> None:
    answer = posted(Sidecar(catalog=str(tmp_path)), VERSIONS, body=padded(FIRST, size))
    assert (answer.status, faults(DESCRIBED, answer, "post")) == (status, [])


WRITES = [VERSIONS, f"{VERSIONS}/1/approval", RUNS, f"{RUNS}/x", f"{RUNS}/x/end"]


@pytest.mark.parametrize("path", WRITES)
def test_writes_are_guarded_as_other_changes_are(path: str, tmp_path: Path) -> None:
    async def ask(client: Client) -> list[int]:
        answers = [
            await client.post(path, FIRST),
            await client.post(path, FIRST, Authorization="Bearer s3cret", Origin="http://evil.example"),
            await client.post(path, FIRST, Authorization="Bearer s3cret", Content_Type="text/plain"),
        ]
        return [answer.status for answer in answers]

    sidecar = Sidecar(catalog=str(tmp_path))
    assert asking(sidecar, ask, token="s3cret") == [401, 403, 415]
    assert sidecar.catalog.groups() == []


def test_a_version_that_serves_is_told_with_where_it_serves(tmp_path: Path) -> None:
    sidecar = grown(tmp_path, Config(variants={"only": Variant(url="http://a:1", version="2")}))

    async def ask(client: Client) -> Answer:
        assert sidecar.cataloguing is not None
        await sidecar.cataloguing.look()
        return await client.get(f"{VERSIONS}/2")

    answer = asking(sidecar, ask)
    [deployment] = answer.json()["deployments"]
    assert (deployment[0], deployment[2], deployment[6]) == ("only", None, 100.0)
    assert faults(f"{DESCRIBED}/{{name}}", answer) == []


def fuzzed(path: str, whole: bytes) -> Callable[[Client], Awaitable[set[int]]]:
    async def every(client: Client) -> set[int]:
        found = set()
        for place in range(0, len(whole), 2):
            for byte in (0x22, 0x7B, 0xFF):
                body = whole[:place] + bytes([byte]) + whole[place + 1 :]
                found.add((await client.post(path, body=body)).status)
        return found

    return every


def test_whatever_the_body_it_is_taken_or_refused(tmp_path: Path) -> None:
    sidecar = Sidecar(catalog=str(tmp_path))
    whole = b'{"draft": {"metrics": {"auc": 0.9}, "links": [["trained_on", "s3"]]}, "by": "ann"}'
    assert asking(sidecar, fuzzed(VERSIONS, whole)) <= {201, 400}
