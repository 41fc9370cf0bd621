"""Labels that come later than a step of the rollout would last: it waits for them, and goes by what they say.

No label is told before a step would be over but for the labels, and then of just so many rows as a step wants: how fast
anything here is does not matter.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sidecar.records import JSON
from tests.e2e.rig import Sidecar, sidecar, until
from tests.e2e.versions_clients import Answer, Clients
from tests.e2e.versions_models import Data, servers, train_versions
from tests.e2e.versions_rig import CHALLENGER, CHAMPION, changes, plan, settings, told

MIN_ROWS = 150
"""Of which three steps have so many that the poor version cannot pass by luck: it errs in 39 % of
rows, and the other in 4 %."""

STEPS = [40, 50, 60]
ERRORS: JSON = {"kind": "errors", "margin": 0.05}
QUALITY: JSON = {"kind": "quality", "margin": 0.1}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return train_versions(tmp_path_factory.mktemp("versions"))


@contextmanager
def rolling_out(clients: Clients, folder: Path, champion: Path, challenger: Path) -> Iterator[Sidecar]:
    """A rollout under way."""
    course = plan(ERRORS, QUALITY, steps=STEPS, min_rows=MIN_ROWS)
    with servers((champion, "1"), (challenger, "2")) as pair:
        file = settings(folder, pair[0].url, pair[1].url, rollout=course)
        with sidecar("--config", file) as running, clients.asking(running):
            yield running


def until_over(clients: Clients, found: Sidecar) -> list[int]:
    """Tell what was true, always too late; the steps that waited for it."""
    waited: list[int] = []
    while (rollout := until(lambda: stands(found, waited)))["phase"] == "stepping":
        waited.append(rollout["step"])
        tell(clients, found)
    return waited


def stands(found: Sidecar, waited: list[int]) -> JSON:
    """The rollout, where it is over, or where nothing but labels keeps it at a step that has not waited for any yet."""
    rollout = told(found)
    lacks = rollout["awaited"] == "data for quality" and rollout["step"] not in waited
    return rollout if lacks or rollout["phase"] in {"promoted", "rolled_back"} else None


def tell(clients: Clients, found: Sidecar) -> None:
    """Tell what was true of so much as a step wants; of what is asked for from now on, as that counts whole."""
    now_s = time.monotonic()
    clients.tell(found, until(lambda: enough(clients.since(now_s))))


def enough(answers: list[Answer]) -> list[Answer]:
    """The first of them, with so many of the challenger as a step wants; none while these are not there."""
    places = [place for place, each in enumerate(answers) if each.variant == CHALLENGER]
    return answers[: places[MIN_ROWS - 1] + 1] if len(places) >= MIN_ROWS else []


def steps(found: Sidecar) -> list[str]:
    """What the rollout did, in short."""
    return [each["what"].partition(":")[0] for each in changes(found)][1:]


def test_a_challenger_that_is_worse_by_late_labels_alone_is_rolled_back_by_them(data: Data, tmp_path: Path) -> None:
    clients = Clients(data)
    with rolling_out(clients, tmp_path, data.good, data.poor) as running:
        waited = until_over(clients, running)

        assert told(running)["reason"].startswith(f"breach at {STEPS[waited[-1]]} %: quality (")
        assert steps(running) == ["stepping"] * len(waited) + ["rolled_back"]
        assert waited == list(range(len(waited)))
    assert clients.statuses.keys() == {200}


def test_a_challenger_that_is_better_by_late_labels_is_promoted_a_step_at_a_time(data: Data, tmp_path: Path) -> None:
    clients = Clients(data)
    with rolling_out(clients, tmp_path, data.poor, data.good) as running:
        waited = until_over(clients, running)

        assert told(running)["phase"] == "promoted"
        assert steps(running) == ["stepping"] * len(STEPS) + ["promoted"]
        assert waited == list(range(len(STEPS)))
    assert clients.statuses.keys() == {200}
    assert clients.served == {(CHAMPION, "1"), (CHALLENGER, "2")}
