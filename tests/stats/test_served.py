import pytest

from sidecar.stats import served as module
from sidecar.stats.served import Outcome, Served

ONE = Outcome("a", 1, failed=False, time_s=1.0, duration_s=0.1)


def test_outcomes_are_taken_once_in_their_order() -> None:
    served = Served()
    others = [ONE._replace(unit=unit) for unit in range(3)]
    for each in others:
        served.add(each)
    assert served.take() == others
    assert served.take() == []
    served.add(ONE)
    assert served.take() == [ONE]


def test_what_there_is_no_room_for_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT", 2)
    served = Served()
    for _ in range(5):
        served.add(ONE)
    assert (len(served.take()), served.dropped) == (2, 3)
    served.add(ONE)
    assert (len(served.take()), served.dropped) == (1, 3)
