import contextlib
import json
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.sinks.lines import PAGE_BYTES, LineFile, recover

NO_LIMIT = 1 << 30


def line(length: int) -> bytes:
    """A JSON string of `length` bytes, line end included; 3 is the least."""
    return b'"' + b"x" * (length - 3) + b'"\n'


@contextlib.contextmanager
def file_size_limit(limit: int) -> Iterator[None]:
    """A disk with this much room: a write over the limit is short, the next one fails. Python ignores SIGXFSZ."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def file(tmp_path: Path) -> Iterator[LineFile]:
    file = LineFile(tmp_path / "a.jsonl")
    yield file
    file.close()


short_lines = st.builds(line, st.integers(3, PAGE_BYTES))
any_lines = st.builds(line, st.integers(3, 3 * PAGE_BYTES))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(short_lines, min_size=1, max_size=8), min_size=1, max_size=6))
def test_what_is_written_up_to_any_page_is_whole_lines(batches: list[list[bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = LineFile(Path(folder, "a.jsonl"))
        for batch in batches:
            assert file.append(batch, NO_LIMIT)[0] == len(batch)
        written = file.path.read_bytes()
        file.close()
    for cut in (*range(PAGE_BYTES, len(written), PAGE_BYTES), len(written)):
        assert written[:cut].endswith(b"\n")
    expected = [json.loads(each) for batch in batches for each in batch]
    assert [json.loads(each) for each in written.splitlines()] == expected


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(any_lines, min_size=1, max_size=4), min_size=1, max_size=6))
def test_lines_of_any_length_come_back_and_growth_is_told(batches: list[list[bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = LineFile(Path(folder, "a.jsonl"))
        grown = sum(file.append(batch, NO_LIMIT)[1] for batch in batches)
        written = file.path.read_bytes()
        file.close()
        assert sorted(path.name for path in Path(folder).iterdir()) == ["a.jsonl"]
    assert grown == len(written)
    expected = [json.loads(each) for batch in batches for each in batch]
    assert [json.loads(each) for each in written.splitlines()] == expected


def test_filling_is_less_than_the_lines(file: LineFile) -> None:
    lines = [line(PAGE_BYTES // 2 + 1)] * 9
    _, grown = file.append(lines, NO_LIMIT)
    assert grown < 2 * sum(map(len, lines))


def test_a_file_is_hidden_until_it_has_a_line(file: LineFile, tmp_path: Path) -> None:
    before = [path.name for path in tmp_path.iterdir()]
    file.append([line(10)], NO_LIMIT)
    assert (before, [path.name for path in tmp_path.iterdir()]) == ([".a.jsonl.part"], ["a.jsonl"])


def test_a_file_that_never_got_a_line_is_deleted(tmp_path: Path) -> None:
    LineFile(tmp_path / "a.jsonl").close()
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_for_its_owner_only(file: LineFile) -> None:
    file.append([line(10)], NO_LIMIT)
    assert file.path.stat().st_mode & 0o777 == 0o600


def test_a_name_that_is_taken_is_refused_even_by_a_symlink(tmp_path: Path) -> None:
    (tmp_path / ".a.jsonl.part").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        LineFile(tmp_path / "a.jsonl")


def test_lines_beyond_the_limit_are_left(file: LineFile) -> None:
    lines = [line(40)] * 3
    assert file.append(lines, 100) == (2, 80)
    assert file.append(lines[2:], 100) == (0, 0)
    assert file.path.read_bytes() == b"".join(lines[:2])


def test_an_empty_file_takes_a_line_longer_than_its_limit(file: LineFile) -> None:
    assert file.append([line(40), line(40)], 10) == (1, 40)


def test_a_deleted_file_is_known_to_be_gone(file: LineFile) -> None:
    file.append([line(10)], NO_LIMIT)
    before = file.gone()
    file.path.unlink()
    assert (before, file.gone()) == (False, True)


@pytest.mark.parametrize("length", [700, PAGE_BYTES, 3 * PAGE_BYTES])
@pytest.mark.parametrize("room", [0, 1, 100, 4095, 4096, 4097, 9000])
@pytest.mark.parametrize("first", [[], [line(500)], [line(4096)], [line(5000)]])
def test_a_full_disk_leaves_the_lines_before_and_later_ones_follow(
    file: LineFile, first: list[bytes], room: int, length: int
) -> None:
    grown = file.append(first, NO_LIMIT)[1] if first else 0
    before = file.path.read_bytes() if first else b""
    with file_size_limit(grown + room), pytest.raises(OSError, match="File too large"):
        file.append([line(length)] * 20, NO_LIMIT)
    shown = file.path.read_bytes() if first else b""
    assert shown == before
    assert first or not file.path.exists()
    file.append([line(length)] * 20, NO_LIMIT)
    assert [each.rstrip() for each in file.path.read_bytes().splitlines()] == [
        each.rstrip() for each in first + [line(length)] * 20
    ]


@pytest.mark.parametrize(
    ("left", "shown"),
    [
        (b'{"a": 1}\n{"b": 2}\n', b'{"a": 1}\n{"b": 2}\n'),
        (b'{"a": 1}\n{"b"', b'{"a": 1}\n'),
        (b'{"a"', None),
        (b"", None),
    ],
)
def test_what_a_killed_process_left_hidden_is_cut_and_shown(tmp_path: Path, left: bytes, shown: bytes | None) -> None:
    (tmp_path / ".a.jsonl.part").write_bytes(left)
    recover(tmp_path / ".a.jsonl.part")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == ({"a.jsonl": shown} if shown else {})


def test_what_a_living_process_holds_is_left_alone(file: LineFile) -> None:
    with pytest.raises(BlockingIOError):
        recover(file.hidden_path)
    assert file.hidden_path.exists()
