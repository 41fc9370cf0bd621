import pytest
from aiohttp import web

from sidecar.admin.recent import Wanted, recent, wanted
from sidecar.records import Body
from tests.admin.rig import Answer, Client, Sidecar, asking, capture, faults


def test_the_latest_come_first_and_no_more_than_asked_for() -> None:
    captures = [capture(str(number)) for number in range(5)]
    assert [each["request_id"] for each in recent(captures, Wanted(3))["captures"]] == ["4", "3", "2"]
    assert len(recent(captures, Wanted(100))["captures"]) == 5
    assert recent([], Wanted(3)) == {"captures": []}


@pytest.mark.parametrize(
    ("data", "withheld", "encoding", "text"),
    [
        (b"", "", "text", ""),
        ('{"a": "ä"}'.encode(), "", "text", '{"a": "ä"}'),
        ("12€".encode()[:-1], "truncated", "text", "12"),
        ("12€".encode()[:-1], "", "base64", "MTLigg=="),
        (b"a\xffb", "truncated", "base64", "Yf9i"),
        (b"\x00\xff", "", "base64", "AP8="),
    ],
)
def test_a_body_is_shown_as_text_where_it_is_one(data: bytes, withheld: str, encoding: str, text: str) -> None:
    kept = capture()._replace(request=Body("text/plain", data, withheld))
    assert recent([kept], Wanted(1))["captures"][0]["request"] == {
        "content_type": "text/plain",
        "encoding": encoding,
        "data": text,
        "withheld": withheld,
    }


def test_what_is_withheld_says_why() -> None:
    reply = recent([capture()], Wanted(1))["captures"][0]["reply"]
    assert (reply["data"], reply["withheld"]) == ("", "redact")


KEPT = [
    capture("first", b'{"country": "de"}'),
    capture("second", b'{"country": "FR"}', status=502)._replace(inference_id="Order-7"),
    capture("third", b"\xff\x00", status=0)._replace(variant="challenger", path="/invocations"),
    capture("fourth", "STRASSE 12€".encode()[:-1], status=429),
]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["fourth", "third", "second", "first"]),
        ({"variant": "challenger"}, ["third"]),
        ({"variant": "nobody"}, []),
        ({"status": "200"}, ["first"]),
        ({"status": "5xx"}, ["second"]),
        ({"status": "4xx"}, ["fourth"]),
        ({"status": "none"}, ["third"]),
        ({"contains": "fr"}, ["second"]),
        ({"contains": "ORDER-7"}, ["second"]),
        ({"contains": "INVOC"}, ["third"]),
        ({"contains": "straße"}, ["fourth"]),
        ({"contains": KEPT[0].event_id.upper()}, ["first"]),
        ({"contains": "country", "limit": "1"}, ["second"]),
        ({"contains": "country", "status": "200", "variant": "champion"}, ["first"]),
    ],
)
def test_captures_are_found_by_variant_status_and_what_they_contain(query: dict[str, str], found: list[str]) -> None:
    assert [each["request_id"] for each in recent(KEPT, wanted(query))["captures"]] == found


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"status": "6xx"}, "status: expected one as 200 or 5xx, or none for no reply, got '6xx'"),
        ({"status": "20"}, "status: expected one as 200 or 5xx"),
        ({"status": "2000"}, "status: expected one as 200 or 5xx"),
        ({"status": "\u0662\u0660\u0660"}, "status: expected one as 200 or 5xx"),
        ({"contains": "x" * 201}, "contains: 201 characters, expected at most 200"),
        ({"variant": "x" * 5000}, "variant: 5000 characters, expected at most 200"),
        ({"limit": "0"}, "limit: expected a number from 1 to 100"),
    ],
)
def test_what_can_be_of_no_capture_is_refused_by_name(query: dict[str, str], told: str) -> None:
    with pytest.raises(web.HTTPBadRequest) as refused:
        wanted(query)
    assert (refused.value.text or "").startswith(told)


def test_filters_are_heeded_when_asked() -> None:
    sidecar = Sidecar()
    sidecar.recent.extend(KEPT)

    async def ask(client: Client) -> Answer:
        return await client.get("/v1/captures?status=5xx&contains=fr&variant=champion&limit=5")

    answer = asking(sidecar, ask)
    assert (faults("/v1/captures", answer), len(answer.json()["captures"])) == ([], 1)
