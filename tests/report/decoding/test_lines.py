import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from sidecar.datasets.captures import decoding_of
from sidecar.records import JSON
from sidecar.report.decoding import lines
from sidecar.report.decoding.inputs import find
from sidecar.report.decoding.lines import LINES_BYTES, MAX_TOLD, ONLY_VARIANT, Items, Tally, items_of
from tests.report.captured import half

NOON_S = 1_785_412_800


def line(asked: str = "1,2", answered: str = "0.5", **more: JSON) -> bytes:
    """A line of SageMaker's."""
    document: JSON = {
        "captureData": {
            "endpointInput": half("text/csv", asked, "INPUT", "CSV"),
            "endpointOutput": half("text/csv", answered, "OUTPUT", "CSV"),
        },
        "eventMetadata": {"eventId": "e", "inferenceTime": "2026-07-30T12:00:00Z"},
        **more,
    }
    return json.dumps(document).encode() + b"\n"


def read(file: Path, seen: Callable[[int], None] = lambda _: None) -> tuple[Items, Tally]:
    tally = Tally()
    (source,) = find([str(file)])
    items = [item for some in items_of(source, file.parent, decoding_of((), ()), tally, seen) for item in some]
    return items, tally


def written(file: Path, *data: bytes) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"".join(data))
    return file


def test_a_line_is_a_capture_with_its_rows(tmp_path: Path) -> None:
    items, tally = read(written(tmp_path / "a.jsonl", line("1,2\n3,x", "0.5\n0.25"), line("4,5", "1")))

    assert [rows.asked for _, rows in items] == [[[1.0, 2.0], [3.0, "x"]], [[4.0, 5.0]]]
    assert (tally.captures, tally.rows, tally.skipped, tally.faults, tally.told) == (2, 3, {}, {}, [])


def test_whoever_answered_is_told_by_the_line_or_by_the_folder(tmp_path: Path) -> None:
    hour = tmp_path / "fraud" / "blue" / "2026" / "07" / "30" / "12" / "a.jsonl"
    ours = line(sidecar={"variant": "green"})

    items, _ = read(written(hour, line(), ours))
    alone, _ = read(written(tmp_path / "a.jsonl", line()))

    assert [capture.variant for capture, _ in (*items, *alone)] == ["blue", "green", ONLY_VARIANT]


def test_lines_of_one_second_keep_their_order(tmp_path: Path) -> None:
    later = {"eventId": "f", "inferenceTime": "2026-07-30T12:00:01Z"}
    file = written(tmp_path / "a.jsonl", line(), line(), line(eventMetadata=later), line())

    times = [capture.started_s - NOON_S for capture, _ in read(file)[0]]

    assert [round(time * 1e6) for time in times] == [0, 1, 1_000_000, 2]


def test_lines_that_tell_more_than_seconds_are_taken_at_their_word(tmp_path: Path) -> None:
    exact = line(sidecar={"started_s": NOON_S + 0.25})

    items, _ = read(written(tmp_path / "a.jsonl", exact, exact))

    assert [capture.started_s for capture, _ in items] == [NOON_S + 0.25] * 2


def test_what_cannot_be_read_is_passed_over_told_and_counted(tmp_path: Path) -> None:
    file = written(
        tmp_path / "a.jsonl",
        line(),
        b"{not json\n",
        b"\n",
        line(eventMetadata={"eventId": "e"}),
        line(asked=""),
        line(answered="", asked="1"),
        line(asked="1,2\n3"),
        line()[:70],
    )

    items, tally = read(file)

    assert (len(items), tally.captures, tally.faults) == (2, 2, {"empty": 1})
    assert tally.skipped == {"line": 2, "time": 1, "empty": 1, "shape": 1}
    assert [text.partition(f"{file}:")[2][:20] for text in tally.told] == [
        "2: JSON is malformed",
        "4: no time, expected",
        "8: Input data was tr",
    ]


def test_of_many_broken_lines_the_first_are_told(tmp_path: Path) -> None:
    _, tally = read(written(tmp_path / "a.jsonl", b"x\n" * 1000))

    assert (tally.skipped, len(tally.told)) == ({"line": 1000}, MAX_TOLD)


def test_a_line_without_end_takes_no_memory_and_costs_itself_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 1000)
    for rest in (0, 1, 999, 1000, 1001, 5000):
        file = written(tmp_path / "a.jsonl", line(), b"x" * (1001 + rest), b"\n", line())
        items, tally = read(file)
        assert (len(items), tally.skipped) == (2, {"large": 1})
        assert tally.told == [f"{file}:2: longer than 1000 bytes, expected a capture"]


def test_a_line_as_long_as_a_line_may_be_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", len(line()))

    assert len(read(written(tmp_path / "a.jsonl", line(), line(), line().rstrip()))[0]) == 3


PACKED: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "zst": zstandard.compress}


@pytest.mark.parametrize("end", PACKED)
def test_compressed_files_are_read_as_others_are(tmp_path: Path, end: str) -> None:
    """In two parts, too: whoever appends to such a file adds another one."""
    pack = PACKED[end]
    file = written(tmp_path / f"a.jsonl.{end}", pack(line("1,2")), pack(line("3,4") + line("5,6")))

    items, tally = read(file)

    assert [rows.asked[0][0] for _, rows in items] == [1.0, 3.0, 5.0]
    assert tally.whole


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl.gz", gzip.compress(line() * 2000)[:-20]),
        ("a.jsonl.gz", gzip.compress(line()) + b"rubbish"),
        ("a.jsonl.gz", b"no such format"),
        ("a.jsonl.zst", b"no such format"),
        ("a.jsonl.zst", zstandard.compress(line()) + b"rubbish"),
    ],
)
def test_a_compressed_file_that_is_broken_costs_its_rest(tmp_path: Path, name: str, data: bytes) -> None:
    file = written(tmp_path / name, data)

    _, tally = read(file)

    assert (tally.skipped["file"], tally.whole) == (1, False)
    assert tally.told[-1].startswith(f"{file}: ")


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(line() * 3) + b"rubbish",
        gzip.compress(line() * 3) + gzip.compress(line() * 2000)[:30],
    ],
)
def test_lines_before_the_place_where_a_file_broke_are_read(tmp_path: Path, data: bytes) -> None:
    items, tally = read(written(tmp_path / "a.jsonl.gz", data))

    assert (len(items), tally.captures, tally.skipped) == (3, 3, {"file": 1})


@pytest.mark.parametrize("cut", [1, 2, 100, 1000])
def test_a_file_of_zstandard_that_is_cut_off_costs_its_rest_and_is_tried_again(tmp_path: Path, cut: int) -> None:
    """As one is that is being copied still."""
    noise = [line(asked=f"{number},{number * number}") for number in range(2000)]
    whole = zstandard.compress(b"".join(noise[:1000])) + zstandard.compress(b"".join(noise[1000:]))

    items, tally = read(written(tmp_path / "a.jsonl.zst", whole[:-cut]))

    assert (0 < len(items) < 2000, tally.skipped["file"], tally.whole) == (True, 1, False)
    assert tally.told[-1].endswith(": the file is cut off")


def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    file = written(tmp_path / "a.jsonl", line())
    (source,) = find([str(file)])
    file.unlink()
    tally, seen = Tally(), list[int]()

    assert list(items_of(source, tmp_path, decoding_of((), ()), tally, seen.append)) == []
    assert (tally.skipped, tally.whole, sum(seen)) == ({"file": 1}, False, source.size_bytes)
    assert tally.told == [f"{file}: [Errno 2] No such file or directory: '{file}'"]


@pytest.mark.parametrize("end", ["", ".gz", ".zst"])
def test_progress_is_told_on_the_way_and_adds_up(tmp_path: Path, end: str) -> None:
    many = line("1,2" + ",3" * 1000) * (4 * LINES_BYTES // 2000)
    file = written(tmp_path / f"a.jsonl{end}", PACKED.get(end[1:], bytes)(many))
    seen: list[int] = []

    read(file, seen.append)

    assert (sum(seen), len(seen) > 3, min(seen) >= 0) == (file.stat().st_size, True, True)
