import asyncio
import base64
import hashlib
import hmac
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from sidecar.alerts.document import document
from sidecar.alerts.webhook import MAX_KEYS, Webhook
from sidecar.config.keys import options, shape
from sidecar.errors import ConfigError, DeliveryError
from tests.alerts.receiver import LINK, Post, named, notice, posted, receiving, refused, send, status

KEY, OTHER_KEY = bytes(range(24)), bytes(range(64, 128))
SENT_S = 1_700_000_123


def secret(key: bytes) -> str:
    return "whsec_" + base64.b64encode(key).decode()


def clock() -> int:
    return SENT_S * 1_000_000_000 + 999_999_999


def signed_by(file: Path) -> Callable[[str], Webhook]:
    return lambda url: Webhook(clock, url=url, secret_file=str(file))


def signed(key: bytes, post: Post) -> str:
    """The signature as the specification words it, from what arrived."""
    content = b".".join([post.headers["webhook-id"].encode(), post.headers["webhook-timestamp"].encode(), post.body])
    return "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()


@pytest.mark.parametrize("state", ["firing", "resolved"])
def test_a_notice_is_a_cloud_event(state: str) -> None:
    told = notice("resolved" if state == "resolved" else "firing", number=2, after_s=7200.5)

    (post,) = posted(lambda url: Webhook(url=url + "/hook?key=1", source="/sidecars/a"), told)

    assert (post.method, post.target) == ("POST", "/hook?key=1")
    assert post.headers["Content-Type"] == "application/cloudevents+json; charset=utf-8"
    assert post.document == {
        "specversion": "1.0",
        "id": "0123456789abcdef-2",
        "source": "/sidecars/a",
        "type": f"dev.sidecar.alert.{state}",
        "subject": "champion/data/sequential/features",
        "time": "2023-11-15T00:13:20.500Z",
        "datacontenttype": "application/json",
        "data": document(told.alert, link=LINK),
    }


def test_without_files_nothing_is_signed_or_authorized() -> None:
    (post,) = posted(lambda url: Webhook(url=url), notice())

    assert not {"Authorization", "webhook-id", "webhook-timestamp", "webhook-signature", "Cookie"} & set(post.headers)


@pytest.mark.parametrize("text", [secret(KEY), secret(KEY).removeprefix("whsec_"), f"\n{secret(KEY)}\r\n"])
def test_a_notice_is_signed_with_the_secret_of_the_file(text: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(text)

    (post,) = posted(signed_by(file), named("Größe", "\u20ac"))

    assert post.headers["webhook-id"] == post.document["id"] == "0123456789abcdef-1"
    assert post.headers["webhook-timestamp"] == str(SENT_S)
    assert post.headers["webhook-signature"] == signed(KEY, post)


def test_during_a_change_both_secrets_sign(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{secret(OTHER_KEY)}\n{secret(KEY)}\n")

    (post,) = posted(signed_by(file), notice())

    assert post.headers["webhook-signature"] == f"{signed(OTHER_KEY, post)} {signed(KEY, post)}"


def test_a_secret_is_read_at_each_notice(tmp_path: Path) -> None:
    file = tmp_path / "secret"

    async def scenario() -> list[Post]:
        async with receiving() as receiver:
            channel = signed_by(file)(receiver.url)
            for key in (KEY, OTHER_KEY):
                file.write_text(secret(key))
                await send(channel, notice())
            return receiver.posts

    first, second = asyncio.run(scenario())
    assert first.headers["webhook-signature"] == signed(KEY, first)
    assert second.headers["webhook-signature"] == signed(OTHER_KEY, second)


@pytest.mark.parametrize(
    "text",
    [
        "whsec_c2hvcnQ=",
        "s3cret!",
        secret(KEY[:-1]),
        secret(KEY)[:-1],
        f"whsec_{secret(KEY)}",
        f"{secret(KEY)}\ns3cret",
        f"{secret(KEY)[:10]}!{secret(KEY)[10:]}",
        "\n".join([secret(KEY)] * (MAX_KEYS + 1)),
    ],
)
def test_a_secret_that_is_none_is_a_failure_by_its_file(text: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(text)

    with pytest.raises(DeliveryError, match=rf"^secret_file {file}: expected whsec_ and at least 24 bytes") as caught:
        posted(signed_by(file), notice())
    assert text not in "".join(traceback.format_exception(caught.value))


def test_nothing_is_sent_unsigned_when_the_secret_is_missing(tmp_path: Path) -> None:
    assert refused(signed_by(tmp_path / "secret")).startswith(f"secret_file {tmp_path}/secret: No such file")


def test_a_file_authorizes(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("Bearer 0123\n")

    (post,) = posted(lambda url: Webhook(url=url, authorization_file=str(file)), notice())

    assert post.headers["Authorization"] == "Bearer 0123"


def test_a_receivers_refusal_is_a_failure() -> None:
    assert refused(lambda url: Webhook(url=url + "/s3cret"), status(503)) == ": answered 503, expected 2xx"


def test_only_the_states_asked_for_are_told() -> None:
    notices = [notice(), notice("resolved"), notice("pending")]

    def told(*on: Literal["firing", "resolved"]) -> list[str]:
        return [post.document["data"]["state"] for post in posted(lambda url: Webhook(url=url, on=on), *notices)]

    assert told("firing") == ["firing"]
    assert told("resolved") == ["resolved"]
    assert told("firing", "resolved") == ["firing", "resolved"]


@pytest.mark.parametrize("name", ['"}, {"', "\r\nHost: other", "a\ud800\0", "<!channel>", "x" * 100_000])
def test_a_name_changes_nothing_but_itself(name: str) -> None:
    (post,) = posted(lambda url: Webhook(url=url), named(name))
    event = post.document

    assert list(event) == ["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data"]
    assert len(event["data"]["features"]) == 1
    assert len(post.body) < 1 << 16


@pytest.mark.parametrize(
    ("given", "faulty"),
    [
        ({"url": "ftp://hook"}, ["url"]),
        ({"url": "https://user:s3cret@hook/"}, ["url"]),
        ({"url": "http://hook", "ca": "ca.pem"}, ["ca"]),
        ({"url": "http://hook", "source": "my sidecar"}, ["source"]),
        ({"url": "http://hook", "source": ""}, ["source"]),
        ({"url": "http://hook", "on": ()}, ["on"]),
        ({"url": "", "source": "é", "on": ()}, ["url", "on", "source"]),
    ],
)
def test_options_that_cannot_work_are_refused_by_name(given: dict[str, object], faulty: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        Webhook(**given)  # type: ignore[arg-type]  # as in the table
    assert [fault.path for fault in caught.value.faults] == faulty
    assert "s3cret" not in str(caught.value)


def test_its_url_is_shown_nowhere() -> None:
    assert "s3cret" not in repr(Webhook(url="https://hook/s3cret"))
    assert [option.name for option in options(Webhook) if shape(option.annotation).secret] == ["url"]


def test_the_clock_is_no_option() -> None:
    assert "clock" not in {option.name for option in options(Webhook)}
    assert all(shape(option.annotation).description for option in options(Webhook))
