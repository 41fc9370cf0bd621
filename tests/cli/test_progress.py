import io
from collections.abc import Callable

import pytest
from rich.console import Console

from sidecar.cli import progress as module
from sidecar.cli.progress import Bars, Silent, progress, rate


class _Soon:
    """A timer that waits for nobody."""

    def __init__(self, _after_s: float, work: Callable[[], None]) -> None:
        self.start, self.daemon = work, False

    def cancel(self) -> None:
        """It is too late."""

    def join(self) -> None:
        """It has been."""


def test_where_nobody_looks_nothing_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    shown = progress()
    with shown.stage("reading", 10, "bytes") as advance:
        advance(10)
    assert isinstance(shown, Silent)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("total", [10, None])
def test_on_a_terminal_a_stage_has_a_bar_that_is_taken_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], total: int | None
) -> None:
    monkeypatch.setattr(module, "Timer", _Soon)
    shown = io.StringIO()
    with Bars(Console(file=shown, force_terminal=True, width=120)).stage("reading captures", total, "bytes") as advance:
        advance(5)
        advance(5)
    assert capsys.readouterr() == ("", "")
    assert "reading captures" in shown.getvalue()
    assert ("100%" in shown.getvalue()) == (total is not None)
    assert shown.getvalue().endswith("\x1b[2K")  # the line is cleared


def test_what_is_quick_has_no_bar() -> None:
    shown = io.StringIO()
    with Bars(Console(file=shown, force_terminal=True)).stage("reading", 10, "bytes") as advance:
        advance(10)
    assert "reading" not in shown.getvalue()


@pytest.mark.parametrize(
    ("speed", "unit", "told"),
    [
        (None, "bytes", ""),
        (123_456_789.0, "bytes", "123 MB/s"),
        (99.0, "rows", "99.0 rows/s"),
        (2.0, "steps", "2.0 /s"),
    ],
)
def test_speeds_are_told_in_their_unit(speed: float | None, unit: str, told: str) -> None:
    assert rate(speed, unit) == told  # type: ignore[arg-type]  # one of the units
