"""`sidecar versions` on a running sidecar: what it changes serves at once, what it refuses leaves all as it was."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.e2e.rig import PATIENCE_S, Sidecar, environment, sidecar, until
from tests.e2e.upstreams import Model
from tests.e2e.versions_rig import CHALLENGER, CHAMPION, changes, plan, routes, settings

BAD_ROUTES = "variants: {champion: {url: 'ftp://nowhere', weight: -1}}"


@pytest.fixture
def running(first: Model, second: Model, tmp_path: Path) -> Iterator[Sidecar]:
    file = settings(tmp_path, first.url, second.url)
    with sidecar("--config", file) as found:
        found.ready()
        until(lambda: found.ask("/v1/routes").ok)
        # That nobody has written these versions down is seen a moment later.
        until(lambda: routes(found)["uncatalogued"])
        yield found


def versions(found: Sidecar, *arguments: str, document: str = "") -> tuple[int, str]:
    """Exit code and words of `sidecar versions`."""
    done = subprocess.run(
        [sys.executable, "-m", "sidecar", "versions", *arguments, "--to", f"http://{found.admin}"],
        env=environment(),
        input=document,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def serving(found: Sidecar) -> set[str]:
    """Who answers sixteen requests."""
    replies = [
        requests.get(found.url, headers={"x-request-id": f"r-{number}"}, timeout=PATIENCE_S) for number in range(16)
    ]
    assert {reply.status_code for reply in replies} == {200}
    return {reply.headers["x-sidecar-variant"] for reply in replies}


def test_what_is_ordered_serves_with_the_next_request_and_can_be_undone(running: Sidecar) -> None:
    orders: Sequence[tuple[list[str], set[str]]] = (
        (["weight", CHALLENGER, "50", "--by", "ann", "--why", "a first look"], {CHAMPION, CHALLENGER}),
        (["promote", "2", "--by", "bob"], {CHALLENGER}),
        (["rollback", "--by", "cid"], {CHAMPION, CHALLENGER}),
    )
    found = []
    for arguments, _ in orders:
        code, words = versions(running, *arguments)
        assert code == 0, words
        found.append(serving(running))

    assert found == [whom for _, whom in orders]
    audit = [(each["revision"], each["who"], each["why"]) for each in changes(running)[1:]]
    assert audit == [(2, "ann", "a first look"), (3, "bob", ""), (4, "cid", "")]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["weight", "nobody", "10"], 1, "'nobody' is no variant"),
        (["weight", CHALLENGER, "110"], 64, "from 0 to 100"),
        (["weight", CHALLENGER, "nan"], 64, "from 0 to 100"),
        (["weight", CHALLENGER, "10", "--if-revision", "7"], 1, "revision 1 is in force"),
        (["promote", "9"], 1, "'9' is no variant or version"),
        (["hold"], 1, "there is no rollout"),
        (["rollback"], 1, "nothing to roll back to"),
        (["routes", "--put", "-"], 64, "variants.champion.url"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    running: Sidecar, arguments: list[str], code: int, told: str
) -> None:
    before = routes(running), changes(running)

    found, words = versions(running, *arguments, document=BAD_ROUTES)

    assert (found, told in words) == (code, True), words
    assert (routes(running), changes(running)) == before
    assert serving(running) == {CHAMPION}


def test_of_two_who_write_at_once_one_is_told_to_look_again(running: Sidecar) -> None:
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda part: versions(running, "weight", CHALLENGER, part, "--if-revision", "1"), "37"))

    assert sorted(code for code, _ in both) == [0, 1]
    assert any("revision 2 is in force, expected 1" in words for _, words in both)
    assert routes(running)["revision"] == 2
    assert routes(running)["shares"][CHALLENGER] == (3 if both[0][0] == 0 else 7)


def test_a_rollout_is_started_held_resumed_and_promoted_by_hand(first: Model, second: Model, tmp_path: Path) -> None:
    course = plan(start="manual", pause_s=3600, steps=[25, 50])
    file = settings(tmp_path, first.url, second.url, rollout=course)
    with sidecar("--config", file) as running:
        until(lambda: running.ask("/v1/routes").ok)
        phases = []
        for order in ("resume", "start", "hold", "promote", "rollback", "start"):
            code, _ = versions(running, order)
            phases.append((order, code, routes(running)["rollout"]["phase"], routes(running)["shares"][CHALLENGER]))

    assert phases == [
        ("resume", 1, "waiting", 0),
        ("start", 0, "stepping", 25),
        ("hold", 0, "held", 25),
        ("promote", 0, "promoted", 100),
        ("rollback", 0, "rolled_back", 0),
        ("start", 0, "stepping", 25),
    ]
