import pytest

from sidecar.__main__ import main


def test_a_refused_configuration_starts_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--upstream", "model", "--timeouts-idle-s", "0"]) == 64

    assert capsys.readouterr().err.splitlines() == [
        'upstream: expected http://host:port, https://host:port or unix:/path, got "model" (from --upstream)',
        "timeouts.idle_s: expected a number > 0 and <= 604800, got 0 (from --timeouts-idle-s)",
    ]


def test_help_teaches_by_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--help"]) == 0

    assert "sidecar run --upstream http://127.0.0.1:8081\n" in capsys.readouterr().out
