"""Two versions of one model behind one sidecar, with real labels: who serves, who is better, and the way back."""

import signal
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from sidecar.records import JSON
from tests.e2e.rig import Sidecar, sidecar, until
from tests.e2e.test_drift import Receiver
from tests.e2e.upstreams import served
from tests.e2e.versions_clients import CLIENTS, Answer, Client, Clients
from tests.e2e.versions_models import Data, Server, mlserver, servers, train_versions
from tests.e2e.versions_rig import CHALLENGER, CHAMPION, USER, changes, plan, routes, settings, told

ERRORS: JSON = {"kind": "errors", "margin": 0.05}
QUALITY: JSON = {"kind": "quality", "margin": 0.1}
STICKY: JSON = {"sticky": {"header": USER}}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return train_versions(tmp_path_factory.mktemp("versions"))


@pytest.fixture(scope="module")
def mlservers(data: Data) -> Iterator[dict[str, str]]:
    """Their URLs by what they serve."""
    with mlserver(data.good) as good, mlserver(data.poor) as poor:
        yield {"good": good(), "poor": poor()}


@pytest.fixture(scope="module")
def lasting(data: Data) -> Iterator[list[Server]]:
    with servers((data.good, "1"), (data.good, "2")) as found:
        yield found


@pytest.fixture
def pair(lasting: list[Server]) -> list[Server]:
    """Servers of two good versions."""
    for each in lasting:
        each.revive()
    return lasting


def variants_of(answers: list[Answer]) -> set[tuple[str, str]]:
    return {(answer.variant, answer.version) for answer in answers}


def steps(found: Sidecar) -> list[str]:
    """What the rollout did, in short; the configuration's own change comes first."""
    return [each["what"].partition(":")[0] for each in changes(found)][1:]


def continuous(found: Sidecar) -> bool:
    """Whether no change is missing in what is told of them."""
    revisions = [each["revision"] for each in changes(found)]
    return revisions == list(range(1, len(revisions) + 1))


def test_a_worse_challenger_is_rolled_back_by_its_labels_and_no_request_fails(
    data: Data, mlservers: dict[str, str], tmp_path: Path
) -> None:
    took, clients = Receiver(), Clients(data)
    with served(took.application) as hook:
        file = settings(
            tmp_path,
            mlservers["good"],
            mlservers["poor"],
            # It does not go on before it is known what to think of it.
            rollout=plan(ERRORS, QUALITY, steps=[50], pause_s=3600),
            alerts={"channels": [{"kind": "webhook", "url": f"{hook}/hook"}]},
        )
        with sidecar("--config", file) as running, clients.asking(running):
            back_s = clients.until(running, "rolled_back")
            until(lambda: len(clients.since(back_s)) >= 50)

            assert ": quality (challenger loses " in told(running)["reason"]
            assert continuous(running)
            assert steps(running)[-1] == "rolled_back"
            until(lambda: took.events)

    assert clients.statuses.keys() == {200}
    assert variants_of(clients.since(back_s)) == {(CHAMPION, "1")}
    assert clients.served == {(CHAMPION, "1"), (CHALLENGER, "2")}
    (event,) = took.events
    alert = event["data"]
    assert (alert["title"], alert["state"]) == (f"Rolled back in variant {CHALLENGER}: quality", "firing")


def test_a_better_challenger_is_promoted_step_by_step_and_users_move_one_way(
    data: Data, mlservers: dict[str, str], tmp_path: Path
) -> None:
    clients = Clients(data, users=40)
    file = settings(
        tmp_path,
        mlservers["poor"],
        mlservers["good"],
        rollout=plan(ERRORS, QUALITY),
        split=STICKY,
    )
    with sidecar("--config", file) as running, clients.asking(running):
        done_s = clients.until(running, "promoted")
        until(lambda: len(clients.since(done_s)) >= 20 and len(sides_of(clients.answers)) == 160)

        assert steps(running) == ["stepping"] * 3 + ["promoted"]
        assert continuous(running)

    assert clients.statuses.keys() == {200}
    assert variants_of(clients.since(done_s)) == {(CHALLENGER, "2")}
    sides = sides_of(clients.answers)
    assert set(sides.values()) <= {(CHALLENGER,), (CHAMPION, CHALLENGER), (CHAMPION,)}


def sides_of(answers: list[Answer]) -> dict[str, tuple[str, ...]]:
    """The variants that each user was with, one after the other."""
    mine = sorted(answers, key=lambda each: (each.user, each.begun_s))
    return {
        user: tuple(variant for variant, _ in groupby(each.variant for each in those))
        for user, those in groupby(mine, key=lambda each: each.user)
    }


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["told", "killed"])
def test_a_rollout_goes_on_after_a_restart_where_it_was(
    data: Data, pair: list[Server], tmp_path: Path, number: int
) -> None:
    clients = Clients(data, users=20)
    # Twice as many rows as what is asked for here while it must not go on.
    course = plan(ERRORS, steps=[40, 50, 60], min_rows=150)
    file = settings(tmp_path, pair[0].url, pair[1].url, rollout=course, split=STICKY)

    with sidecar("--config", file, code=-number if number == signal.SIGKILL else 0) as running:
        # A few at a time: nobody asks any more when it is seen to be there.
        until(lambda: clients.ask(running, 5) and told(running)["step"] == 1)
        before, log = standing(running), changes(running)
        users = sides_of(clients.ask(running, 20))
        running.process.send(number)
        running.process.ends()

    with sidecar("--config", file) as running:
        until(lambda: "rows" in told(running)["awaited"])
        assert sides_of(clients.ask(running, 20)) == users
        assert (standing(running), changes(running)) == (before, log)

        with clients.asking(running):
            clients.until(running, "promoted")
        assert changes(running)[: len(log)] == log
        assert continuous(running)
        assert steps(running) == ["stepping"] * 3 + ["promoted"]
    assert clients.statuses.keys() == {200}


def standing(found: Sidecar) -> JSON:
    """All that must be the same after a restart, as soon as the catalogue was asked for these versions."""
    document = until(lambda: (now := routes(found))["uncatalogued"] and now)
    rollout = {name: value for name, value in document["rollout"].items() if name not in {"awaited", "guardrails"}}
    return {**document, "rollout": rollout}


def test_servers_killed_in_turn_cost_only_what_was_already_sent(data: Data, pair: list[Server], tmp_path: Path) -> None:
    clients, readers = Clients(data), Clients(data, names="mnop")
    quick = {"eject_s": 1, "max_eject_s": 1, "return_s": 1}
    file = settings(tmp_path, pair[0].url, pair[1].url, (50, 50), ejection=quick)

    with sidecar("--config", file) as running, clients.asking(running), readers.asking(running, Client.look):
        until(lambda: len(clients.answers) >= 50)
        lost = [
            lost_by_killing(server, name, running, clients)
            for name, server in zip((CHAMPION, CHALLENGER), pair, strict=True)
        ]

    # Each has cost a connection, of which there were no more than clients.
    assert max(map(len, lost)) <= 2 * len(CLIENTS)
    assert {each.status for those in lost for each in those} <= {502}
    assert clients.statuses.get(200, 0) + sum(map(len, lost)) == len(clients.answers)
    # What may be sent twice goes to the other one.
    assert readers.statuses.keys() == {200}


def lost_by_killing(server: Server, name: str, running: Sidecar, clients: Clients) -> list[Answer]:
    """Kill a server, start it again once nothing goes there any more, and see its share return.

    Returns:
        What failed: all of it was asked for before the server was dead.
    """
    killed_s = time.monotonic()
    server.kill()
    dead_s = time.monotonic()
    until(lambda: state(running, name) == "ejected")
    until(lambda: len(clients.since(dead_s)) >= 100)
    server.revive()
    until(lambda: state(running, name) == "taking")
    back_s = time.monotonic()
    # Of so many the share is not farther off in one run of 10^10.
    until(lambda: len(clients.since(back_s)) >= 500)

    back = [each.variant for each in clients.since(back_s)]
    assert back.count(name) / len(back) == pytest.approx(0.5, abs=0.15)
    lost = [each for each in clients.answers if each.status != 200 and each.ended_s > killed_s]
    assert [each for each in lost if each.begun_s > dead_s] == []
    return lost


def state(found: Sidecar, name: str) -> str:
    told: str = routes(found)["availability"][name]["state"]
    return told


MANY = "abcdefgh"
WRONGS: dict[str, tuple[JSON, dict[str, float]]] = {
    "errors": (ERRORS, {"status": 500}),
    "latency.p90": ({"kind": "latency", "quantile": 0.9, "margin_ratio": 3.0}, {"delay_s": 0.5}),
    "saturation": ({"kind": "saturation", "in_flight": len(MANY), "for_s": 2.0}, {"hangs": True}),
}
"""Each far from what a busy machine does by itself: there too, at no three looks in a row do all clients wait for the
challenger."""


@pytest.mark.parametrize("name", WRONGS)
def test_a_challenger_that_goes_wrong_is_rolled_back_within_seconds(
    data: Data, pair: list[Server], tmp_path: Path, name: str
) -> None:
    guardrail, fault = WRONGS[name]
    clients = Clients(data, names=MANY)
    # As long as nothing goes wrong, it stays where it is.
    course = plan(guardrail, steps=[50], pause_s=3600)
    file = settings(tmp_path, pair[0].url, pair[1].url, rollout=course)

    with sidecar("--config", file) as running, clients.asking(running):
        until(lambda: len(clients.answers) >= 200 and CHALLENGER in {each.variant for each in clients.answers[100:]})
        assert told(running)["phase"] == "stepping"
        pair[1].fails(**fault)
        back_s = clients.until(running, "rolled_back")
        pair[1].fails()
        until(lambda: len(clients.since(back_s)) >= 20)

        assert told(running)["reason"].startswith(f"breach at 50 %: {name} (")
    assert variants_of(clients.since(back_s)) == {(CHAMPION, "1")}
    assert {each.status for each in clients.since(back_s)} == {200}
    assert {each.status for each in clients.answers} <= {200, fault.get("status", 200)}
