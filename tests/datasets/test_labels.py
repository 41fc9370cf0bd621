import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from sidecar.datasets.labels import (
    ENDS,
    MAX_LINE_BYTES,
    RESTED,
    Columns,
    Entry,
    files_of,
    from_files,
    from_pipe,
)

COLUMNS = Columns("id", "label")


def read(*sources: Path, columns: Columns = COLUMNS) -> list[tuple[str, bytes, str]]:
    """Place, line and error of everything that is to be sent or told."""
    found = from_files(sources, columns, follow=False, pause=never)
    return [
        (each.place.rpartition("/")[2], each.data, each.error) for each in found if each and (each.data or each.error)
    ]


def never(_: float) -> None:
    raise AssertionError


FORMATS: list[tuple[str, bytes, list[tuple[str, bytes]]]] = [
    ("a.jsonl", b'{"id": "a"}\n\n  {"id": "b"} \r\n', [("a.jsonl:1", b'{"id": "a"}'), ("a.jsonl:3", b'{"id": "b"}')]),
    ("a.ndjson", b"1\n2", [("a.ndjson:1", b"1"), ("a.ndjson:2", b"2")]),
    ("truth", b"\xef\xbb\xbf1\n", [("truth:1", b"1")]),
    ("a.json", b'[{"id": "a"},\n {"id": "b"}]', [("a.json[0]", b'{"id":"a"}'), ("a.json[1]", b'{"id":"b"}')]),
    ("a.json", b'{\n"id": "a"}', [("a.json[0]", b'{"id":"a"}')]),
    ("a.json", b'{"id": "a"}\n{"id": "b"}\n', [("a.json:1", b'{"id": "a"}'), ("a.json:2", b'{"id": "b"}')]),
    ("a.json", b"\xef\xbb\xbf[1, NaN]", [("a.json[0]", b"1"), ("a.json[1]", b"NaN")]),
    ("a.json", b"[]", []),
    ("a.csv", b"when,id,label\n1,a,0.5\n\n2,b,cat\n", [
        ("a.csv:2", b'{"id":"a","label":0.5}'), ("a.csv:4", b'{"id":"b","label":"cat"}'),
    ]),
    ("a.csv", b'\xef\xbb\xbfid,label\r\n"a,\n""b",1\r\n', [("a.csv:3", b'{"id":"a,\\n\\"b","label":1.0}')]),
    ("a.csv", b"id,label\n", []),
    ("a.csv", b"", []),
    ("a.jsonl", b"", []),
]  # fmt: skip


@pytest.mark.parametrize(("name", "data", "lines"), FORMATS)
def test_every_format_becomes_lines_with_their_places(
    name: str, data: bytes, lines: list[tuple[str, bytes]], tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(data)
    assert read(tmp_path / name) == [(place, line, "") for place, line in lines]


@pytest.mark.parametrize(("name", "data"), [(name, data) for name, data, lines in FORMATS if lines])
def test_every_byte_is_counted_once(name: str, data: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    found = from_files([tmp_path / name], COLUMNS, follow=False, pause=never)
    assert sum(each.read_bytes for each in found if each) == len(data)


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,request,fraud\n1,a,1\n")
    assert read(tmp_path, columns=Columns("request", "fraud")) == [("a.csv:2", b'{"id":"a","label":1.0}', "")]


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.csv", b"name,label\nx,1\n", [("a.csv:1", "columns name, label; expected id and label among them")]),
        ("a.csv", b"id,label\nd\n\xff,1\n", [
            ("a.csv:2", "1 cells, expected 2 as there are names"),
            ("a.csv:3", "'utf-8' codec can't decode byte 0xff in position 0: "),
        ]),
        ("a.csv", b'id,label\na,"1', [("a.csv:2", "unexpected end of data, expected CSV in UTF-8")]),
        ("a.json", b"[{]", [("a.json", "unexpected character, expected a string")]),
        ("a.jsonl", b"x" * (MAX_LINE_BYTES + 9), [("a.jsonl:1", "longer than 1048576 bytes, expected a label")]),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_with_its_place(
    name: str, data: bytes, told: list[tuple[str, str]], tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(data)
    found = read(tmp_path)
    assert [(place, line) for place, line, _ in found] == [(place, b"") for place, _ in told]
    assert [error[: len(start)] for (_, _, error), (_, start) in zip(found, told, strict=True)] == [
        start for _, start in told
    ]


def test_a_bad_line_does_not_hold_back_the_rest(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"x" * (3 * MAX_LINE_BYTES) + b"\n2\n")
    (tmp_path / "b.csv").write_bytes(b"id,label\nd\nb,1\n")
    assert [line for _, line, error in read(tmp_path) if not error] == [b"2", b'{"id":"b","label":1.0}']


def test_a_document_that_is_too_long_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.datasets.labels.MAX_DOCUMENT_BYTES", 8)
    (tmp_path / "a.json").write_bytes(b"[1,\n  2]")
    (tmp_path / "b.json").write_bytes(b"[1,\n   2]")
    assert read(tmp_path) == [
        ("a.json[0]", b"1", ""),
        ("a.json[1]", b"2", ""),
        ("b.json", b"", "more than 8 bytes of one document, expected JSON Lines"),
    ]


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    (tmp_path / "2026").mkdir()
    names = ["2026/x.jsonl", *(f"a{end}" for end in ENDS), ".part.jsonl", "README.md", "z.jsonl"]
    for name in names:
        (tmp_path / name).touch()
    found = [str(path.relative_to(tmp_path)) for path in files_of([tmp_path])]
    assert found == ["2026/x.jsonl", "a.csv", "a.json", "a.jsonl", "a.ndjson", "z.jsonl"]
    assert list(files_of([tmp_path / "README.md"])) == [tmp_path / "README.md"]


def test_what_comes_slowly_from_standard_input_is_not_kept_waiting() -> None:
    reader, writer = os.pipe()
    entries = from_pipe(reader, rest_s=0.0)

    assert next(entries) is None
    os.write(writer, b"one\ntw")
    assert next(entries) == Entry("line 1", b"one")
    assert next(entries) is None
    os.write(writer, b"o")
    os.close(writer)
    assert list(entries) == [Entry("line 2", b"two")]
    os.close(reader)


def test_a_line_without_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_bytes(b"x" * (3 * MAX_LINE_BYTES) + b"\nlast")
    reader = os.open(file, os.O_RDONLY)

    *long, last = from_pipe(reader)

    os.close(reader)
    assert last is not None
    assert last.data == b"last"
    assert {each.error for each in long if each} == {"longer than 1048576 bytes, expected a label", ""}


class _EndError(Exception):
    """The play is over."""


def followed(sources: Sequence[Path], *acts: Callable[[], object]) -> list[list[tuple[str, bytes]]]:
    """What comes of sources before, between and after the acts: place and line."""
    rounds: list[list[tuple[str, bytes]]] = [[]]
    left = list(acts)

    def pause(_: float) -> None:
        if not left:
            raise _EndError
        left.pop(0)()

    try:
        for entry in from_files(sources, COLUMNS, follow=True, pause=pause):
            if entry is None:
                rounds.append([])
            elif entry.data or entry.error:
                rounds[-1].append((entry.place.rpartition("/")[2], entry.data or entry.error.encode()))
    except _EndError:
        rounds.pop()
    return rounds


def appending(file: Path, data: bytes) -> Callable[[], None]:
    def act() -> None:
        with file.open("ab") as opened:
            opened.write(data)

    return act


def nothing() -> None:
    pass


def test_new_lines_are_followed_and_half_a_line_waits_for_its_end(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"1\n2")

    rounds = followed([file], appending(file, b"2\n3\n"), nothing, appending(file, b"4\n"))

    assert rounds == [[("a.jsonl:1", b"1")], [("a.jsonl:2", b"22"), ("a.jsonl:3", b"3")], [], [("a.jsonl:4", b"4")]]


def test_a_last_line_without_end_is_taken_when_it_has_rested(tmp_path: Path) -> None:
    """Many write their files so."""
    (tmp_path / "a.jsonl").write_bytes(b"1\n2")
    (tmp_path / "b.csv").write_bytes(b"id,label\na,1")

    rounds = followed([tmp_path], *[nothing] * (RESTED + 2))

    rest = [("a.jsonl:2", b"2"), ("b.csv:2", b'{"id":"a","label":1.0}')]
    assert rounds == [[("a.jsonl:1", b"1")], *[[]] * (RESTED - 1), rest, [], []]


def test_half_a_row_waits_for_its_end(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(b'id,label,note\na,1,"two\n')

    rounds = followed([file], appending(file, b'lines"\nb,0'), appending(file, b".5,\n"))

    assert rounds == [[], [("a.csv:3", b'{"id":"a","label":1.0}')], [("a.csv:4", b'{"id":"b","label":0.5}')]]


def test_new_files_of_a_folder_are_followed(tmp_path: Path) -> None:
    rounds = followed(
        [tmp_path],
        appending(tmp_path / "b.jsonl", b"1\n"),
        (tmp_path / "a").mkdir,
        appending(tmp_path / "a" / "c.jsonl", b"2\n"),
    )

    assert rounds == [[], [("b.jsonl:1", b"1")], [], [("c.jsonl:1", b"2")]]


def test_a_file_that_is_replaced_or_cut_is_read_anew(tmp_path: Path) -> None:
    file, other = tmp_path / "a.jsonl", tmp_path / "b"
    file.write_bytes(b"1\n2\n")
    other.write_bytes(b"3\n4\n5\n")

    rounds = followed([file], lambda: other.replace(file), lambda: file.write_bytes(b"6\n"), file.unlink, other.touch)

    assert [[line for _, line in each] for each in rounds] == [[b"1", b"2"], [b"3", b"4", b"5"], [b"6"], [], []]


def test_a_document_is_read_when_it_is_whole_and_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(b"[1,\n")

    rounds = followed([file], appending(file, b"2]"), nothing, lambda: file.write_bytes(b"[1,\n2,\n3]"))

    assert [[line for _, line in each] for each in rounds] == [[], [b"1", b"2"], [], [b"1", b"2", b"3"]]


def test_a_document_that_stays_broken_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"[1,\n")

    rounds = followed([tmp_path], *[nothing] * (2 * RESTED))

    assert [len(each) for each in rounds] == [*[0] * RESTED, 1, *[0] * RESTED]


def test_a_file_that_cannot_be_read_is_told_once(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(file))

        assert followed([file], nothing, nothing) == [[("a.jsonl", b"No such device or address")], [], []]


@pytest.mark.parametrize(("name", "data", "lines"), [each for each in FORMATS if not each[0].endswith(".json")])
def test_whoever_writes_byte_by_byte_is_read_alike(
    name: str, data: bytes, lines: list[tuple[str, bytes]], tmp_path: Path
) -> None:
    file = tmp_path / name
    file.touch()
    acts = [appending(file, bytes([byte])) for byte in data]

    rounds = followed([file], *acts, *[nothing] * (RESTED + 1))

    assert [each for those in rounds for each in those] == lines
