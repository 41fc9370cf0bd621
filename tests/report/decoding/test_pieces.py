from collections.abc import Sequence
from pathlib import Path

import pytest

from sidecar.errors import ConfigError
from sidecar.report.decoding.inputs import Input
from sidecar.report.decoding.pieces import PIECE_BYTES, Done, Piece, Pieces, alone

HALF = PIECE_BYTES // 2


def file(name: str, size_bytes: int = HALF, mark: str = "1") -> Input:
    return Input(name, size_bytes, mark)


def done(pieces: Pieces, piece: Piece, *, whole: bool = True) -> Done:
    """Bring a piece into the table."""
    place = f"variant=v/hour=2026-07-30T12/{piece.id}-0000.parquet"
    path = pieces.table / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    told = [(each.name, each.size_bytes, each.mark) for each in piece.inputs]
    made = Done(
        piece=piece.id, inputs=told, files=[place], captures=1, rows=2, skipped={}, faults={}, told=[], whole=whole
    )
    pieces.add(made)
    return made


def names(pieces: Sequence[Piece]) -> list[list[str]]:
    return [[each.name for each in piece.inputs] for piece in pieces]


def test_small_files_are_one_piece_and_rows_are_one_each(tmp_path: Path) -> None:
    files = [file("a"), file("b"), file("c", 1), file("d.parquet", 1), file("e.parquet", 1), file("f", 9 * HALF)]

    kept, left = Pieces(tmp_path, []).left(files)

    assert (kept, names(left)) == ([], [["a", "b"], ["c"], ["d.parquet"], ["e.parquet"], ["f"]])


def test_what_is_done_is_not_left(tmp_path: Path) -> None:
    pieces = Pieces(tmp_path, ["how"])
    files = [file("a"), file("b"), file("c")]
    first = done(pieces, pieces.left(files)[1][0])

    kept, left = Pieces(tmp_path, ["how"]).left(files)

    assert (kept, names(left)) == ([first], [["c"]])


def test_files_that_come_later_change_no_piece(tmp_path: Path) -> None:
    pieces = Pieces(tmp_path, [])
    first = done(pieces, pieces.left([file("b"), file("d")])[1][0])

    kept, left = pieces.left([file("a"), file("b"), file("c"), file("d"), file("e")])

    assert (kept, names(left)) == ([first], [["a", "c"], ["e"]])


@pytest.mark.parametrize(
    "files",
    [
        [file("a")],
        [file("a"), file("b", mark="2")],
        [file("a"), file("b", HALF - 1)],
        [file("x"), file("b")],
    ],
)
def test_a_piece_of_which_a_file_is_another_is_done_again_and_its_rows_go(tmp_path: Path, files: list[Input]) -> None:
    pieces = Pieces(tmp_path, [])
    done(pieces, pieces.left([file("a"), file("b")])[1][0])

    kept, left = pieces.left(files)

    assert (kept, names(left)) == ([], [[each.name for each in files]])
    assert list(pieces.table.rglob("*")) == []


def test_what_is_decoded_in_another_way_is_done_again(tmp_path: Path) -> None:
    pieces = Pieces(tmp_path, ["a"])
    done(pieces, pieces.left([file("a")])[1][0])

    assert names(Pieces(tmp_path, ["b"]).left([file("a")])[1]) == [["a"]]


def test_rows_that_are_gone_are_made_again(tmp_path: Path) -> None:
    pieces = Pieces(tmp_path, [])
    made = done(pieces, pieces.left([file("a")])[1][0])
    (pieces.table / made.files[0]).unlink()

    assert names(pieces.left([file("a")])[1]) == [["a"]]


def test_rows_that_nobody_wrote_down_go_and_other_files_stay(tmp_path: Path) -> None:
    pieces = Pieces(tmp_path, [])
    orphan = pieces.table / "variant=v" / "hour=2026-07-30T12" / f"{'ab' * 16}-0000.parquet"
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"")
    theirs = tmp_path / "theirs.parquet"
    theirs.write_bytes(b"")
    pieces.left([])

    assert (orphan.exists(), theirs.exists()) == (False, True)


@pytest.mark.parametrize("place", ["variant=v/hour=2026-07-30T12/00-05-000-000001-ab.parquet", "a.parquet"])
def test_rows_of_somebody_else_are_neither_deleted_nor_counted(tmp_path: Path, place: str) -> None:
    """As where the folder for work is one in which a Parquet sink writes `rows/`."""
    pieces = Pieces(tmp_path, [])
    theirs = pieces.table / place
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"")

    with pytest.raises(ConfigError, match=f"{place}: no report has written it, expected a folder for work"):
        pieces.left([file("a")])
    assert theirs.exists()


def test_a_piece_with_a_file_that_could_not_be_read_is_tried_again(tmp_path: Path) -> None:
    pieces = Pieces(tmp_path, [])
    done(pieces, pieces.left([file("a")])[1][0], whole=False)

    assert names(pieces.left([file("a")])[1]) == [["a"]]


@pytest.mark.parametrize("rest", [b'{"piece": "half', b"\xff\n", b"[]\n", b"\n\n"])
def test_a_manifest_that_broke_off_counts_as_far_as_it_goes(tmp_path: Path, rest: bytes) -> None:
    pieces = Pieces(tmp_path, [])
    first = done(pieces, pieces.left([file("a")])[1][0])
    with (tmp_path / "pieces.jsonl").open("ab") as manifest:
        manifest.write(rest)

    assert pieces.left([file("a")]) == ([first], [])


def test_nobody_else_works_in_the_folder_meanwhile(tmp_path: Path) -> None:
    work = tmp_path / "new" / "work"
    with alone(work), pytest.raises(ConfigError, match="another report works here"), alone(work):
        pass
    with alone(work):
        pass


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "work").write_bytes(b"")

    with pytest.raises(ConfigError, match="work: File exists, expected a folder to work in"), alone(tmp_path / "work"):
        pass
