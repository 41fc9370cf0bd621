import asyncio

import numpy as np

from sidecar.demo.admin import Admin
from sidecar.demo.figures import Drift, Suspect
from sidecar.demo.model import Trained
from sidecar.demo.play import Play
from sidecar.demo.plot import Plot
from sidecar.demo.receiver import Received
from sidecar.demo.rows import SHIFTED, Drawn
from sidecar.demo.screen import Scene
from sidecar.records import JSON

TRAINED = Trained(features=SHIFTED, training=[[1.0, 2.0, 3.0], [3.0, 6.0, 9.0]], rows=[], accuracy=1.0)
NONE = Drift(0, [])
DRIFTING = Drift(20, [Suspect(SHIFTED[0], 20.0, 17.0, "moved")])


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def played() -> tuple[Play, Clock, list[str]]:
    """A play that began at second 200 of its clock, and what it says."""
    said: list[str] = []
    clock, rows = Clock(), Drawn(TRAINED, np.random.default_rng(0))
    play = Play(rows, Plot(rows.steps, 10.0), lambda *lines: said.extend(lines), clock)
    clock.now_s = 200.0
    play.begin()
    return play, clock, said


def test_rows_follow_the_plot() -> None:
    play, clock, said = played()

    shifts = []
    for now_s in (209.0, 210.0, 220.0):
        clock.now_s = now_s
        play.see(NONE)
        shifts.append(play.rows.shifted)
    play.receive(Received("a1", "firing", "Data drift", "They have drifted.", SHIFTED))
    play.see(NONE)

    assert shifts == [False, True, True]
    assert play.rows.shifted is False
    assert [line.partition(": ")[0] for line in said if line.startswith(">>>")] == [
        ">>> 10.0 s",
        ">>> 20.0 s",
        ">>> 20.0 s",
    ]


def test_rows_are_counted_from_the_shift_on() -> None:
    play, clock, said = played()
    for _ in range(15):
        next(play.rows)
    clock.now_s = 210.0
    play.see(NONE)
    clock.now_s = 212.0
    play.see(DRIFTING)

    assert said[-1].startswith(">>> 12.0 s: the sidecar has found drift, within 5 rows and 2.0 s of the shift: ")


def test_what_goes_on_is_what_the_sidecar_says_and_the_phase() -> None:
    class Answering(Admin):
        def __init__(self) -> None:
            pass

        async def get(self, path: str) -> JSON:
            return {"variants": []} if path == "/v1/drift" else None

    play, clock, said = played()
    clock.now_s = 210.0

    assert asyncio.run(play.look(Answering())) == Scene("shifted rows", NONE)
    assert len(said) == 1
