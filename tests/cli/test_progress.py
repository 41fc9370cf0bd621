import io

import pytest

from sidecar.cli.progress import Bar


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_is_shown_on_a_terminal_once_it_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, now_s = _Terminal(), [10.0]
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    bar = Bar("labels", 400, lambda: now_s[0])

    bar.advance(100)
    quiet = terminal.getvalue()
    now_s[0] = 11.5
    bar.advance(100)
    bar.close()

    assert quiet == ""
    assert "50%" in terminal.getvalue()


def test_no_bar_is_shown_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    now_s = iter([0.0, 100.0])
    bar = Bar("labels", 400, lambda: next(now_s))

    bar.advance(100)
    bar.close()

    assert capsys.readouterr().err == ""
