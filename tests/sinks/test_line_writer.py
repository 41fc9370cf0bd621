import errno
import fcntl
import gc
import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.sinks.line_writer import LineWriter, writing
from tests.sinks.rig import PATIENCE_S

PAGE = 4096
"""Bytes that the least of pipes holds, and that it takes whole or not at all."""


class Stderr:
    """Takes lines when it is read."""

    def __init__(self, *, reading: bool = True) -> None:
        self.lines: list[str] = []
        self.error: Exception | None = None
        self.waiting = threading.Event()
        self.reading = threading.Event()
        if reading:
            self.reading.set()

    def write(self, line: str) -> None:
        self.waiting.set()
        assert self.reading.wait(PATIENCE_S)
        if self.error:
            raise self.error
        self.lines.append(line.removesuffix("\n"))


def missing(lines: int) -> str:
    return f"{lines} missing"


@contextmanager
def lines_to(write: Callable[[str], None], max_waiting: int = 1000) -> Iterator[LineWriter]:
    found = LineWriter(write, missing, max_waiting=max_waiting)
    try:
        yield found
    finally:
        found.close(PATIENCE_S)


def stuck(stderr: Stderr, lines: LineWriter) -> None:
    """The first line waits to be read."""
    lines.put("first")
    assert stderr.waiting.wait(PATIENCE_S)


@given(st.lists(st.text(max_size=30), max_size=30))
def test_lines_are_written_in_order_and_all_of_them_at_closing(texts: list[str]) -> None:
    stderr = Stderr()
    with lines_to(stderr.write) as lines:
        for each in texts:
            lines.put(each)
    assert (stderr.lines, lines.dropped) == ([each.removesuffix("\n") for each in texts], 0)


def test_a_line_is_written_at_once() -> None:
    stderr = Stderr()
    with lines_to(stderr.write) as lines:
        lines.put("one")
        assert stderr.waiting.wait(PATIENCE_S)


def test_where_nobody_reads_nobody_waits_and_what_has_no_room_is_counted() -> None:
    stderr = Stderr(reading=False)
    with lines_to(stderr.write, max_waiting=30) as lines:
        stuck(stderr, lines)  # 6 characters with its end
        for number in range(9):
            lines.put(f"line {number}")
        assert lines.dropped == 6
        stderr.reading.set()
    assert stderr.lines == ["first", "line 0", "line 1", "line 2", "6 missing"]


def test_after_a_gap_lines_come_again_and_it_is_told_of_once() -> None:
    stderr = Stderr(reading=False)
    with lines_to(stderr.write, max_waiting=1) as lines:
        stuck(stderr, lines)
        lines.put("lost")
        stderr.waiting.clear()
        stderr.reading.set()
        while "1 missing" not in stderr.lines:
            assert stderr.waiting.wait(PATIENCE_S)
        lines.put("second")
    assert (stderr.lines, lines.dropped) == (["first", "1 missing", "second"], 1)


def test_what_is_short_enough_to_fit_after_a_gap_has_begun_is_lost_with_the_others() -> None:
    stderr = Stderr(reading=False)
    with lines_to(stderr.write, max_waiting=20) as lines:
        stuck(stderr, lines)
        lines.put("x" * 20)
        lines.put("y")
        stderr.reading.set()
    assert stderr.lines == ["first", "2 missing"]


def test_a_line_beyond_all_bounds_waits_alone() -> None:
    stderr = Stderr()
    with lines_to(stderr.write, max_waiting=10) as lines:
        lines.put("x" * 100)
    assert stderr.lines == ["x" * 100]


def test_closing_does_not_wait_for_whoever_does_not_read() -> None:
    stderr = Stderr(reading=False)
    lines = LineWriter(stderr.write, missing)
    stuck(stderr, lines)
    lines.close(0.001)
    lines.close(0.001)
    assert stderr.lines == []
    stderr.reading.set()


def test_lines_that_cannot_be_written_are_missing_where_it_works_again() -> None:
    stderr = Stderr(reading=False)
    with lines_to(stderr.write) as lines:
        stuck(stderr, lines)
        stderr.error = OSError(errno.ENOSPC, "full")
        lines.put("second")
        stderr.reading.set()
        while lines.dropped < 2:
            assert stderr.waiting.wait(PATIENCE_S)
        stderr.error = None
        lines.put("third")
        lines.put("fourth")
    assert (stderr.lines, lines.dropped) == (["2 missing", "third", "fourth"], 2)


def test_a_gap_and_lines_that_cannot_be_written_are_one_gap() -> None:
    stderr = Stderr(reading=False)
    with lines_to(stderr.write, max_waiting=1) as lines:
        stuck(stderr, lines)
        lines.put("lost")
        stderr.error = ValueError("I/O operation on closed file")
        stderr.reading.set()
        while lines.dropped < 2 or lines._full:
            assert stderr.waiting.wait(PATIENCE_S)
        stderr.error = None
        lines.put("second")
    assert (stderr.lines, lines.dropped) == (["2 missing", "second"], 2)


def test_a_storm_from_many_threads_at_a_slow_reader_is_written_or_counted() -> None:
    stderr = Stderr()
    with lines_to(stderr.write, max_waiting=400) as lines:

        def storm(thread: int) -> None:
            for number in range(500):
                lines.put(f"{thread} {number}")

        storming = [threading.Thread(target=storm, args=(each,)) for each in range(8)]
        for each in storming:
            each.start()
        for each in storming:
            each.join()
    kept = [line for line in stderr.lines if "missing" not in line]
    gaps = [int(line.split()[0]) for line in stderr.lines if "missing" in line]
    assert len(kept) + lines.dropped == 4000
    assert sum(gaps) == lines.dropped
    for thread in range(8):
        numbers = [int(line.split()[1]) for line in kept if line.startswith(f"{thread} ")]
        assert numbers == sorted(numbers)


class Talkative:
    """Says something when it is collected as garbage."""

    def __init__(self, lines: LineWriter) -> None:
        self.lines, self.itself = lines, self

    def __del__(self) -> None:
        self.lines.put("collected")


def test_garbage_that_speaks_on_the_writing_thread_is_heard() -> None:
    stderr = Stderr()

    def write(line: str) -> None:
        if line == "first\n":
            Talkative(lines)
            gc.collect()
        stderr.write(line)

    with lines_to(write) as lines:
        lines.put("first")
        while len(stderr.lines) < 2:
            assert stderr.waiting.wait(PATIENCE_S)
    assert stderr.lines == ["first", "collected"]


@pytest.fixture
def pipe() -> Iterator[tuple[int, io.TextIOWrapper]]:
    """The end to read from of a pipe that holds a page, and a stream that writes into it."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PAGE)
    stream = open(writer, "w", encoding="utf-8")  # noqa: SIM115  (closed below)
    yield reader, stream
    os.close(reader)
    stream.close()


def read(descriptor: int, size: int) -> bytes:
    found = b""
    while len(found) < size:
        found += os.read(descriptor, size - len(found))
    return found


def test_a_pipe_that_nobody_reads_holds_up_only_the_thread(pipe: tuple[int, io.TextIOWrapper]) -> None:
    reader, stream = pipe
    texts = [f"{number:99d}" for number in range(100)]
    with lines_to(writing(stream), max_waiting=10_000) as lines:
        for each in texts:
            lines.put(each)
        assert lines.dropped == 0
        found = read(reader, 10_000)
    assert found.decode().splitlines() == texts


def test_a_pipe_that_another_process_has_made_not_to_wait_is_waited_for(pipe: tuple[int, io.TextIOWrapper]) -> None:
    reader, stream = pipe
    os.set_blocking(stream.fileno(), False)
    with lines_to(writing(stream), max_waiting=100_000) as lines:
        lines.put("x" * 20_000)
        lines.put("é\ud800")
        found = read(reader, 20_001 + 9)
    assert (found.decode(), lines.dropped) == ("x" * 20_000 + "\né\\ud800\n", 0)


def test_a_reader_that_is_gone_costs_its_lines_only() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as stream, lines_to(writing(stream)) as lines:
        lines.put("one")
        lines.put("two")
        lines.close(PATIENCE_S)
        assert lines.dropped == 2


def test_a_stream_that_is_closed_costs_its_lines_only(tmp_path: Path) -> None:
    stream = (tmp_path / "log").open("w")
    with lines_to(writing(stream)) as lines:
        stream.close()
        lines.put("one")
        lines.close(PATIENCE_S)
        assert lines.dropped == 1


class Led(io.StringIO):
    """A stream that is led elsewhere, as the keeper of a log file does it."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self.descriptor = descriptor

    def fileno(self) -> int:
        return self.descriptor


def test_after_a_line_that_broke_off_the_next_begins_anew(tmp_path: Path, pipe: tuple[int, io.TextIOWrapper]) -> None:
    reader, stream = pipe
    led = Led(stream.fileno())
    to = writing(led)
    gone = os.dup(reader)
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), reader)
    breaking = threading.Thread(target=lambda: os.close(gone) if read(gone, 2 * PAGE) else None)
    breaking.start()
    with pytest.raises(BrokenPipeError):
        to("x" * 100_000 + "\n")
    breaking.join()
    with (tmp_path / "log").open("w") as file:
        led.descriptor = file.fileno()
        to("whole\n")
        to("and so\n")
    assert (tmp_path / "log").read_text() == "\nwhole\nand so\n"


def test_a_stream_in_memory_is_written_to_as_it_is() -> None:
    stream = io.StringIO()
    writing(stream)("é\n")
    assert stream.getvalue() == "é\n"


def test_without_stderr_lines_go_nowhere() -> None:
    with lines_to(writing(None)) as lines:
        lines.put("one")
    assert lines.dropped == 0
