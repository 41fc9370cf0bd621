import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from rich.console import Console

from sidecar.__main__ import main
from sidecar.cli.admin import Admin
from sidecar.cli.looking import Column, Drift, Drifts, Followed, Look, look
from sidecar.cli.top import KEPT, Rates, page, sparkline
from sidecar.config.addresses import parse_upstream
from tests.cli.served import served

PATIENCE_S = 60.0


def seen() -> Look:
    with served() as found:
        return look(Admin(parse_upstream(found.url), ""))


def drawn(found: Look, drifts: Drifts, silent: str = "") -> str:
    console = Console(width=160, force_terminal=False, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(page(found, drifts, {}, silent))
    console.file.close()
    return console.export_text()


def test_what_drifts_comes_before_what_may() -> None:
    columns = [
        Column("calm", 9.0, None),
        Column("moved", 2.0, Drift("above 3: 1 % -> 40 %")),
        Column("quiet", None, None),
    ]

    text = drawn(seen(), Drifts([Followed("champion", 100, columns)]))

    assert text.index("moved") < text.index("calm") < text.index("quiet")
    assert "above 3: 1 % -> 40 %" in text


def test_a_sidecar_that_is_silent_says_why_above_what_was_known() -> None:
    text = drawn(seen(), Drifts([]), "127.0.0.1:9901: Connection refused")

    assert "no answer, what follows is of before: 127.0.0.1:9901: Connection refused" in text.splitlines()[0]


def test_rates_of_variants_that_are_no_more_are_forgotten() -> None:
    found, rates = seen(), Rates()
    for _ in range(KEPT + 5):
        rates.add(found)
    gone = found.status.variants.pop()
    rates.add(found)

    assert gone.name not in rates.kept
    assert all(len(each) == KEPT for each in rates.kept.values())


def test_nothing_at_all_is_drawn_flat() -> None:
    assert (sparkline([]), sparkline([0.0, 0.0])) == ("", "▁▁")


def test_without_a_terminal_it_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top"]) == 64

    assert "sidecar status" in capsys.readouterr().err


@contextmanager
def terminal(*arguments: str, **variables: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A command in a terminal of its own, and what controls that."""
    ours, theirs = pty.openpty()
    whole = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40", **variables}
    command = [sys.executable, "-m", "sidecar", *arguments]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=whole) as process:
        os.close(theirs)
        try:
            yield process, ours
        finally:
            process.kill()
            os.close(ours)


def shown(ours: int, word: str) -> str:
    """What is on the terminal, once it has this word."""
    text, end_s = "", time.monotonic() + PATIENCE_S
    while word not in text and time.monotonic() < end_s:
        if select.select([ours], [], [], 1.0)[0]:
            text += os.read(ours, 65536).decode("utf-8", "replace")
    assert word in text
    return text


def test_it_draws_the_sidecar_and_ends_with_a_key() -> None:
    with served() as found, terminal("top", "--to", found.url) as (process, ours):
        shown(ours, "q quits")
        os.write(ours, b"q")
        shown(ours, "\x1b[?1049l")  # the screen that was there before

        assert process.wait(PATIENCE_S) == 0


def test_a_terminal_without_its_marks_gets_others() -> None:
    with served() as found, terminal("top", "--to", found.url, PYTHONIOENCODING="ascii") as (process, ours):
        assert "?" in shown(ours, "q quits")
        os.write(ours, b"q")
        shown(ours, "\x1b[?1049l")

        assert process.wait(PATIENCE_S) == 0
