import asyncio
import base64
import json
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import pytest

from sidecar.alerts.webhook import signature
from sidecar.demo.receiver import TOLERANCE_S, Received, Receiver, write_secret

KEY = b"k" * 32
NOW_S = 1_800_000_000
DATA = {
    "id": "a1",
    "state": "firing",
    "title": "Data drift in variant default: area",
    "text": "features of default have drifted.",
    "features": [{"name": "area"}, {"name": "texture"}],
    "cause": "inputs",
    "reason": "inputs moved",
}
TAKEN = Received("a1", "firing", str(DATA["title"]), str(DATA["text"]), ("area", "texture"), "inputs", "inputs moved")
BODY = json.dumps({"specversion": "1.0", "data": DATA}).encode()


def signed(notice_id: str = "a1-1", *, key: bytes = KEY, sent_s: int = NOW_S, body: bytes = BODY) -> dict[str, str]:
    return {
        "webhook-id": notice_id,
        "webhook-timestamp": str(sent_s),
        "webhook-signature": signature(key, notice_id, sent_s, body),
    }


def posted(*requests: Mapping[str, str]) -> tuple[list[int], list[Received]]:
    """The answers to requests with these header fields, and what the receiver told."""
    told: list[Received] = []

    async def post_all() -> list[int]:
        receiver = Receiver(KEY, told.append, lambda: NOW_S * 1_000_000_000)
        async with receiver.listening() as url, aiohttp.ClientSession() as session:
            return [await post(session, url, headers) for headers in requests]

    async def post(session: aiohttp.ClientSession, url: str, headers: Mapping[str, str]) -> int:
        async with session.post(url, data=BODY, headers=headers) as reply:
            return reply.status

    return asyncio.run(post_all()), told


def test_a_notice_that_is_signed_is_told() -> None:
    assert posted(signed()) == ([204], [TAKEN])


def test_a_notice_that_comes_twice_is_told_once() -> None:
    assert posted(signed(), signed(), signed("a1-2")) == ([204] * 3, [TAKEN] * 2)


def test_one_of_two_signatures_is_enough() -> None:
    other = signed(key=b"o" * 32)
    both = {**other, "webhook-signature": f"{other['webhook-signature']} {signed()['webhook-signature']}"}

    assert posted(both) == ([204], [TAKEN])


@pytest.mark.parametrize(
    "headers",
    [
        {},
        signed(key=b"o" * 32),
        signed(body=b"another"),
        signed(sent_s=NOW_S - TOLERANCE_S - 1),
        signed(sent_s=NOW_S + TOLERANCE_S + 1),
        {**signed(), "webhook-id": "a1-2"},
        {**signed(), "webhook-timestamp": "soon"},
        {**signed(), "webhook-timestamp": "-1"},
        {**signed(), "webhook-signature": ""},
        {**signed(), "webhook-signature": "v1,é"},
    ],
)
def test_a_notice_without_its_signature_is_refused(headers: Mapping[str, str]) -> None:
    assert posted(headers) == ([401], [])


def test_a_secret_is_new_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    first, second = (write_secret(tmp_path / name) for name in ("first", "second"))

    assert first != second
    assert (tmp_path / "first").read_bytes() == b"whsec_" + base64.b64encode(first) + b"\n"
    assert (tmp_path / "first").stat().st_mode & 0o777 == 0o600
