import asyncio
from collections import Counter

import numpy as np

from sidecar.demo.admin import Admin
from sidecar.demo.fraud.late import LATE_S, Late, Truth
from sidecar.demo.fraud.payments import Stream
from sidecar.demo.fraud.play import LOOK_S, Play
from sidecar.demo.fraud.plot import QUIET_ROWS
from sidecar.demo.receiver import Received
from sidecar.records import JSON

TEST = {"alarm": False, "evidence_nats": 1.0, "needed_nats": 12.2, "mean": None, "limit": 0.07}


class Answering(Admin):
    """Answers as the admin side does, and counts."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.entries: list[JSON] = []
        self.labelled = 0

    async def get(self, path: str) -> JSON:
        self.asked[path] += 1
        if path == "/v1/drift":
            return {"variants": []}
        version: JSON = {
            "labelled": self.labelled,
            "window": None,
            "estimated": None,
            "reference": {"rows": min(self.labelled, 600), "learned": self.labelled >= 600, "loss": None},
            "tests": {"worse": TEST},
            "segments": [],
        }
        return {"labels": {"awaiting": 0, "posted": {}}, "variants": [version]}

    async def post(self, path: str, document: JSON) -> JSON:
        self.asked[path] += 1
        again = len(document) - len({entry["id"] for entry in document} - {entry["id"] for entry in self.entries})
        self.entries += document
        return {"counts": {"joined": len(document) - again, "duplicate": again}}


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def played() -> tuple[Play, Answering, Clock, Late, Stream, list[str]]:
    """A play that began at second 200 of its clock."""
    clock, said = Clock(), list[str]()
    stream, late = Stream(np.random.default_rng(0)), Late(np.random.default_rng(1))
    play = Play(stream, late, lambda *lines: said.extend(lines), clock)
    clock.now_s = 200.0
    play.begin()
    return play, Answering(), clock, late, stream, said


def test_labels_are_posted_when_they_are_due_and_what_became_of_them_is_counted() -> None:
    play, admin, clock, late, _, _ = played()
    for number in range(300):
        late.take(Truth(f"p{number}", number % 2, changed=False), clock.now_s)
    asyncio.run(play.look(admin))
    clock.now_s += LATE_S[1]
    asyncio.run(play.look(admin))
    clock.now_s += LATE_S[1]
    asyncio.run(play.look(admin))

    assert admin.asked["/v1/labels?brief=1"] == 2
    assert all(entry["label"] == int(entry["id"][1:]) % 2 for entry in admin.entries)
    posted = play.plot.posted
    assert posted.statuses == {"joined": late.first, "duplicate": late.again}
    assert (posted.first, posted.again, posted.never) == (late.first, late.again, late.never)
    assert posted.faults == []
    assert late.again > 0


def test_the_sidecar_is_asked_once_a_second() -> None:
    play, admin, clock, _, _, _ = played()
    scenes = []
    for _ in range(8):
        scenes.append(asyncio.run(play.look(admin)))
        clock.now_s += LOOK_S / 4

    assert admin.asked == {"/v1/drift": 2, "/v1/quality": 2}
    assert all(scene.quality is not None for scene in scenes)


def test_payments_follow_the_plot() -> None:
    play, admin, clock, _, stream, said = played()
    changed = []
    for labelled in (0, 600, 600 + QUIET_ROWS):
        admin.labelled = labelled
        clock.now_s += 10.0
        scene = asyncio.run(play.look(admin))
        changed.append(stream.changed)

    assert changed == [False, False, True]
    assert scene.phase == "another kind of fraud"
    assert [line.partition(": ")[0] for line in said if line.startswith(">>>")] == [">>> 20.0 s", ">>> 30.0 s"]


def test_a_notice_is_told_with_the_time_since_the_first_request() -> None:
    play, _, clock, _, _, said = played()
    clock.now_s = 250.0

    play.receive(Received("a1", "firing", "Concept drift", "Worse.", (), "relation", ""))

    assert said[0] == ">>> 50.0 s: ALERT firing, at the webhook receiver, its signature right:"
    assert len(play.plot.notices) == 1
