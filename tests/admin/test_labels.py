import asyncio
import gzip
import json
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from importlib.resources import files
from typing import TypeVar

import orjson
import pytest
from aiohttp import web
from jsonschema import Draft202012Validator

from sidecar.admin.changing import ASIDE_BYTES
from sidecar.admin.guard import replies
from sidecar.admin.labels import MAX_BODY_BYTES, Add, Labels
from sidecar.admin.server import start
from sidecar.errors import DeliveryError
from sidecar.payload.labels import MAX_ENTRIES
from sidecar.records import JSON, Label, LabelStatus
from tests.admin.rig import LOOPBACK, Answer, Client

T = TypeVar("T")

OPENAPI = orjson.loads((files("sidecar.admin") / "openapi.json").read_bytes())
PATH = "/v1/labels"
POST = OPENAPI["paths"][PATH]["post"]
STATUSES: dict[str, LabelStatus] = {"w": "waiting", "d": "duplicate", "u": "unknown", "e": "expired", "m": "malformed"}
ONE = {"id": "a", "label": 1}


class Shelf:
    """Takes labels, and says what became of each by the first letter of its id."""

    def __init__(self) -> None:
        self.labels: list[Label] = []

    async def add(self, labels: Sequence[Label]) -> list[LabelStatus]:
        self.labels += labels
        return [STATUSES.get(label.id[0], "joined") for label in labels]


async def refuse(_: Sequence[Label]) -> list[LabelStatus]:
    raise DeliveryError("the disk is full")


def serving(labels: Labels, add: Add | None, ask: Callable[[Client], Awaitable[T]]) -> T:
    """What `ask` finds out from a server of its own."""

    async def run() -> T:
        app = web.Application(middlewares=[replies])
        app.router.add_post(PATH, partial(labels.post, add=add))
        runner = await start(app, socket.create_server((LOOPBACK.host, 0)))
        try:
            return await ask(Client(*runner.addresses[0][:2]))
        finally:
            await runner.cleanup()

    return asyncio.run(run())


def asked(add: Add | None, body: bytes, query: str = "", **headers: str) -> Answer:
    """What is answered to a body."""

    async def ask(client: Client) -> Answer:
        return await client.post(f"{PATH}{query}", body=body, **headers)

    return serving(Labels(), add, ask)


def posted(document: JSON, query: str = "", **headers: str) -> Answer:
    return asked(Shelf().add, json.dumps(document).encode(), query, **headers)


def message(answer: Answer) -> str:
    found: str = answer.json()["error"]["message"]
    return found


def undescribed(answer: Answer) -> list[str]:
    """What the reply has that its description does not allow."""
    described = POST["responses"][str(answer.status)]
    if "$ref" in described:
        described = OPENAPI["components"]["responses"][described["$ref"].rpartition("/")[2]]
    whole = {"components": OPENAPI["components"], **described["content"]["application/json"]["schema"]}
    return [error.message for error in Draft202012Validator(whole).iter_errors(answer.json())]


ENTRIES = [
    {"id": "a", "label": 1},
    {"id": "b", "label": [1, None]},
    {"id": "w", "metric": "click", "value": 1},
    {"id": "m", "label": [1, 2]},
    {"id": "c", "label": 0},
    3,
]
ODD = [
    {
        "id": "b",
        "status": "malformed",
        "place": "[1].label[1]",
        "error": "null, expected a text of at most 1000 characters, a finite number, true or false",
    },
    {"id": "w", "status": "waiting"},
    {
        "id": "m",
        "status": "malformed",
        "place": "[3]",
        "error": "values: 2, expected one for each row of the prediction",
    },
    {"id": None, "status": "malformed", "place": "[5]", "error": "expected an object with id and label"},
]
COUNTS = {"joined": 2, "waiting": 1, "duplicate": 0, "unknown": 0, "expired": 0, "malformed": 3}


def test_it_says_of_each_what_became_of_it_in_the_order_posted() -> None:
    answer = posted(ENTRIES)

    assert answer.status == 200
    joined = [{"id": name, "status": "joined"} for name in "ac"]
    assert answer.json() == {"counts": COUNTS, "labels": [joined[0], *ODD[:3], joined[1], ODD[3]]}
    assert undescribed(answer) == []


def test_in_brief_it_tells_of_the_odd_ones_and_counts_all() -> None:
    assert posted(ENTRIES, "?brief=1").json() == {"counts": COUNTS, "labels": ODD}
    assert posted(ENTRIES, "?brief=0").json() == posted(ENTRIES).json()


def test_every_status_is_counted() -> None:
    answer = posted([{"id": name, "label": 1} for name in ("a", "w", "w", "d", "u", "u", "u", "e", "m")])

    assert answer.json()["counts"] == {
        "joined": 1,
        "waiting": 2,
        "duplicate": 1,
        "unknown": 3,
        "expired": 1,
        "malformed": 1,
    }


@pytest.mark.parametrize(
    ("media", "body"),
    [
        ("application/json", b'{"id": "a", "label": 1}'),
        ("APPLICATION/JSON; charset=utf-8", b'[{"id": "a", "label": 1}]'),
        ("application/jsonlines", b'{"id": "a", "label": 1}\n'),
        ("application/x-ndjson", b'{"id": "a", "label": 1}\n'),
        ("application/json", b'{"groundTruthData": {"data": "1"}, "eventMetadata": {"eventId": "a"}}'),
    ],
)
def test_every_form_is_taken(media: str, body: bytes) -> None:
    shelf = Shelf()

    assert asked(shelf.add, body, Content_Type=media).json()["counts"]["joined"] == 1
    assert shelf.labels == [Label("a", (1,))]


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if isinstance(entry, dict)])
def test_what_is_taken_is_described(entry: JSON) -> None:
    schema = {"components": OPENAPI["components"], "$ref": "#/components/schemas/PostedLabel"}

    described = Draft202012Validator(schema).is_valid(entry)

    assert described == (asked(Shelf().add, json.dumps({**entry, "id": "a"}).encode()).json()["counts"]["joined"] == 1)


def test_long_bodies_are_read_alike() -> None:
    body = b"".join(b'{"id": "%d", "label": 1}\n' % number for number in range(4000)) + b"x"
    assert len(body) > ASIDE_BYTES

    answer = asked(Shelf().add, body, "?brief=1", Content_Type="application/jsonlines").json()

    assert (answer["counts"]["joined"], [each["place"] for each in answer["labels"]]) == (4000, ["line 4001"])


def test_a_body_may_be_compressed() -> None:
    body = gzip.compress(json.dumps(ONE).encode())
    assert asked(Shelf().add, body, Content_Encoding="gzip").json()["counts"]["joined"] == 1


def test_the_store_is_not_asked_where_there_is_no_label() -> None:
    assert asked(refuse, b"[]").json()["labels"] == []
    assert asked(refuse, b"[3]").json()["counts"]["malformed"] == 1


def test_nothing_is_acknowledged_that_the_store_does_not_take() -> None:
    answer = asked(refuse, json.dumps(ENTRIES).encode())

    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert message(answer) == "no label was taken: the disk is full"
    assert undescribed(answer) == []


def test_where_nothing_wants_labels_it_says_what_to_configure() -> None:
    answer = asked(None, json.dumps(ONE).encode())

    assert (answer.status, message(answer)) == (
        409,
        "nothing wants labels: expected a monitor of kind quality or bias",
    )
    assert undescribed(answer) == []


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "body: empty, expected labels"),
        (b"{", "body: unexpected end of data: line 1 column 2 (char 1), expected JSON"),
        (b"3", "body: a single value, expected an object with id and label, or a list of them"),
        (b'"' + b"x" * 500, "body: unexpected end of data"),
    ],
)
def test_what_cannot_be_read_at_all_is_refused(body: bytes, told: str) -> None:
    answer = asked(Shelf().add, body)

    assert answer.status == 400
    assert message(answer).startswith(told)
    assert undescribed(answer) == []


@pytest.mark.parametrize("query", ["?brief=2", "?brief=yes", "?brief="])
def test_another_value_of_brief_is_refused(query: str) -> None:
    assert posted(ONE, query).status == 400


@pytest.mark.parametrize("media", ["text/plain", "text/csv", "application/x-www-form-urlencoded", ""])
def test_what_a_page_may_send_without_asking_is_refused(media: str) -> None:
    answer = posted(ONE, Content_Type=media)

    assert answer.status == 415
    assert undescribed(answer) == []


@pytest.mark.parametrize(("origin", "status"), [("http://evil.example", 403), ("http://localhost:9", 200)])
def test_a_page_of_another_origin_adds_nothing(origin: str, status: int) -> None:
    assert posted(ONE, Origin=origin, Host="localhost:9").status == status


@pytest.mark.parametrize(("size", "status"), [(MAX_BODY_BYTES, 200), (MAX_BODY_BYTES + 1, 413)])
def test_a_body_is_bounded(size: int, status: int) -> None:
    body = json.dumps(ONE).encode()
    answer = asked(Shelf().add, gzip.compress(body + b" " * (size - len(body)), 1), Content_Encoding="gzip")

    assert answer.status == status
    assert undescribed(answer) == []


def test_labels_are_bounded_in_number() -> None:
    answer = asked(Shelf().add, b"[" + b"1," * MAX_ENTRIES + b"1]")

    assert (answer.status, message(answer)) == (413, "body: 100001 entries, expected at most 100000")


def test_a_body_of_another_coding_than_told_is_refused() -> None:
    answer = posted(ONE, Content_Encoding="gzip")

    assert (answer.status, message(answer)) == (400, "the body: broken, expected what its head says")


def large(name: str) -> bytes:
    return b'{"id": "%s", "label": 1}' % name.encode() + b" " * ASIDE_BYTES


def test_large_bodies_are_taken_one_at_a_time_and_small_ones_pass() -> None:
    happened: list[str] = []
    clients: list[Client] = []

    async def add(labels: Sequence[Label]) -> list[LabelStatus]:
        name = labels[0].id
        happened.append(f"{name} begins")
        if name != "small":
            await clients[0].post(PATH, {"id": "small", "label": 1})
        happened.append(f"{name} ends")
        return ["joined"]

    async def ask(client: Client) -> list[int]:
        clients.append(client)
        answers = await asyncio.gather(*[client.post(PATH, body=large(name)) for name in "ab"])
        return [answer.status for answer in answers]

    assert serving(Labels(), add, ask) == [200, 200]

    small = ["small begins", "small ends"]
    each = [[f"{name} begins", *small, f"{name} ends"] for name in "ab"]
    assert happened in (each[0] + each[1], each[1] + each[0])


HEAD = b"POST /v1/labels HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99999\r\n\r\n"


def test_a_large_body_that_does_not_come_keeps_nobody_waiting_for_long() -> None:
    async def ask(client: Client) -> tuple[bytes, int]:
        reader, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(HEAD + b"[")
        head = await reader.readuntil(b"\r\n")
        writer.close()
        await writer.wait_closed()
        return head, (await client.post(PATH, body=large("a"))).status

    assert serving(Labels(read_s=0.01), Shelf().add, ask) == (b"HTTP/1.1 408 Request Timeout\r\n", 200)


def test_who_goes_away_while_others_wait_for_him_lets_them_pass() -> None:
    async def ask(client: Client) -> int:
        await client.leave(HEAD + b"[")
        return (await client.post(PATH, body=large("a"))).status

    assert serving(Labels(), Shelf().add, ask) == 200


def test_malformed_labels_are_counted_once_the_others_are_taken() -> None:
    refused: list[int] = []
    taken = Shelf()

    async def run() -> list[int]:
        app = web.Application(middlewares=[replies])
        app.router.add_post(PATH, partial(Labels().post, add=taken.add, refuse=refused.append))
        runner = await start(app, socket.create_server((LOOPBACK.host, 0)))
        try:
            client = Client(*runner.addresses[0][:2])
            posted = [b'[{"id": "a", "label": 1}, {"id": 7}, {"label": 1}]', b"[nothing"]
            return [(await client.post(PATH, body=body)).status for body in posted]
        finally:
            await runner.cleanup()

    assert (asyncio.run(run()), refused) == ([200, 400], [2])
