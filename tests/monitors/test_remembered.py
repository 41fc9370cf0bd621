from collections.abc import Sequence

import pytest

from sidecar.monitors.remembered import recall, remembered
from sidecar.quality.outcomes import Outcomes
from sidecar.records import Finding, Joined, Label, Labelled, Prediction


class Counting:
    """A monitor that remembers a number, and goes on only from one of its own settings."""

    findings: Sequence[Finding] = ()

    def __init__(self, settings: str, number: int = 0) -> None:
        self.settings = settings
        self.number = number

    def take(self, rows: Labelled) -> None:
        self.number += len(rows.times_s)

    def assess(self, now_s: float) -> None:
        """Nothing."""

    def state(self) -> bytes:
        return f"{self.settings} {self.number}".encode()

    def restore(self, state: bytes) -> bool:
        settings, number = state.decode().split()
        if settings == self.settings:
            self.number = int(number)
        return settings == self.settings


def outcomes() -> Outcomes:
    found = Outcomes()
    made = Prediction(("r",), "champion", "3", 0.0, 2.0, (), [[]], ("p",), [[1]])
    found.add(Joined(1, made, Label("r", (5.0,), "amount")))
    return found


def test_all_go_on_from_what_was_remembered() -> None:
    data = remembered({"a": Counting("x", 3), "b": Counting("y", 4)}, outcomes())
    graders, found = {"b": Counting("y"), "a": Counting("x")}, Outcomes()

    assert recall(data, graders, found) == []
    assert {name: each.number for name, each in graders.items()} == {"a": 3, "b": 4}
    assert found.by == outcomes().by


def test_who_cannot_is_named_and_who_is_new_begins() -> None:
    data = remembered({"a": Counting("x", 3), "b": Counting("y", 4)}, outcomes())
    graders = {"a": Counting("other"), "b": Counting("y"), "new": Counting("z")}

    assert recall(data, graders, Outcomes()) == ["a"]
    assert [each.number for each in graders.values()] == [0, 4, 0]


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x92\x80\xc4\x00", b"\x93\x80\xc4\x00\x00", b"no such thing"])
def test_what_is_damaged_is_left(data: bytes) -> None:
    grader, found = Counting("x", 7), outcomes()

    assert recall(data, {"a": grader}, found) == ["everything"]
    assert (grader.number, found.by) == (7, outcomes().by)
