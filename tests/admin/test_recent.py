import pytest

from sidecar.admin.recent import recent
from sidecar.records import Body
from tests.admin.rig import capture


def test_the_latest_come_first_and_no_more_than_asked_for() -> None:
    captures = [capture(str(number)) for number in range(5)]
    assert [each["request_id"] for each in recent(captures, 3)["captures"]] == ["4", "3", "2"]
    assert len(recent(captures, 100)["captures"]) == 5
    assert recent([], 3) == {"captures": []}


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
    assert recent([kept], 1)["captures"][0]["request"] == {
        "content_type": "text/plain",
        "encoding": encoding,
        "data": text,
        "withheld": withheld,
    }


def test_what_is_withheld_says_why() -> None:
    reply = recent([capture()], 1)["captures"][0]["reply"]
    assert (reply["data"], reply["withheld"]) == ("", "redact")
