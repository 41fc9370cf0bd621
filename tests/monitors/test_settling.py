from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.monitors import settling
from sidecar.monitors.settling import Settling
from sidecar.records import Labelled, Table


def rows(times: Sequence[float], *, version: str = "3") -> Labelled:
    """The label of each is the time of its request."""
    times_s = np.array(times, dtype=np.float64)
    nothing = Table((), np.empty((len(times), 0)))
    labels = Table(("label",), times_s[:, None])
    return Labelled("champion", version, times_s, np.ones(len(times)), nothing, nothing, labels, nothing)


def told(found: Sequence[Labelled]) -> list[float]:
    return [label for each in found for label in each.labels.values[:, 0].tolist()]


@given(st.lists(st.lists(st.integers(0, 100).map(float), max_size=6), max_size=20), st.integers(0, 150))
def test_rows_are_due_when_they_are_old_enough_and_once(batches: list[list[float]], now: int) -> None:
    held = Settling(50.0)
    for batch in batches:
        held.add(rows(batch))

    first, rest = told(held.due(float(now))), told(held.due(1000.0))
    every = sorted(time for batch in batches for time in batch)
    assert first == [time for time in every if time <= now - 50]
    assert sorted(first + rest) == every
    assert held.rows == 0


def test_they_come_in_the_order_of_their_requests_by_version() -> None:
    held = Settling(10.0)
    held.add(rows([5.0, 1.0]))
    held.add(rows([3.0], version="4"))
    held.add(rows([2.0]))

    assert [(each.version, told([each])) for each in held.due(20.0)] == [("3", [1.0, 2.0, 5.0]), ("4", [3.0])]


def test_when_too_many_wait_the_oldest_count_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "MAX_ROWS", 3)
    held = Settling(1e6)
    for time in (5.0, 1.0, 4.0, 2.0, 3.0):
        held.add(rows([time]))

    assert (told(held.due(10.0)), held.rows) == ([1.0, 2.0], 3)


def test_it_goes_on_from_its_state() -> None:
    held, again = Settling(50.0), Settling(50.0)
    held.add(rows([1.0, 60.0]))
    held.add(rows([2.0], version="4"))
    held.due(20.0)
    again.restore(held.state())

    assert again.rows == held.rows == 3
    assert sorted(told(again.due(70.0))) == sorted(told(held.due(70.0))) == [1.0, 2.0]
