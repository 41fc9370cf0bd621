import pytest

from sidecar.experiments.guardrails import Saturation
from sidecar.experiments.load import Load


@pytest.mark.parametrize(
    ("told", "now_s", "word"),
    [
        ([], 0.0, "missing"),
        ([(0.0, 7)], 0.0, "fine"),
        ([(0.0, 8)], 0.0, "unknown"),
        ([(0.0, 8), (9.9, 8)], 9.9, "unknown"),
        ([(0.0, 8), (10.0, 80)], 10.0, "breach"),
        ([(0.0, 8), (5.0, 7), (10.0, 8)], 10.0, "unknown"),
        ([(0.0, 8), (10.0, 8), (11.0, 7)], 11.0, "fine"),
        # Nobody was asked in between: it has not lasted longer than is known.
        ([(0.0, 8)], 30.0, "unknown"),
        ([(0.0, 8), (10.0, 8)], 71.0, "missing"),
        # The clock went back.
        ([(100.0, 8), (50.0, 8)], 50.0, "unknown"),
        ([(100.0, 8), (50.0, 8), (60.0, 8)], 60.0, "breach"),
        ([(100.0, 8)], 20.0, "missing"),
    ],
)
def test_too_many_for_too_long_is_a_breach(told: list[tuple[float, int]], now_s: float, word: str) -> None:
    load = Load(Saturation(in_flight=8, for_s=10.0))
    for at_s, in_flight in told:
        load.take(at_s, in_flight)

    assert load.look("challenger", now_s).word == word


def test_no_time_at_all_is_a_breach_at_once() -> None:
    load = Load(Saturation(in_flight=8, for_s=0.0))
    load.take(1.0, 1200)

    told = "challenger has 1,200 requests in flight, 8 are the limit: breach, for 0 of 0 s"
    assert load.look("challenger", 1.0) == ("saturation", "challenger", "breach", told)
