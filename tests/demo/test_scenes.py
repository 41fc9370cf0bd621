import pytest

from sidecar.demo.scenes import SECTIONS, rule


@pytest.mark.parametrize(("rate", "hold_s", "resolve_s"), [(1000.0, 2.0, 5.0), (25.0, 4.0, 5.0), (2.0, 50.0, 50.0)])
def test_an_alert_is_held_for_seconds_and_for_rows(rate: float, hold_s: float, resolve_s: float) -> None:
    assert rule(rate) == {"check": "sequential", "hold_s": hold_s, "resolve_s": resolve_s}


def test_data_alone_are_watched() -> None:
    assert [monitor["kind"] for monitor in SECTIONS["monitors"]] == ["data"]
