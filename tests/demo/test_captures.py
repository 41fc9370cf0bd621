from pathlib import Path

from sidecar.demo.captures import Tally, tally


def test_lines_of_all_folders_are_counted(tmp_path: Path) -> None:
    hour = tmp_path / "sidecar" / "default" / "2026"
    hour.mkdir(parents=True)
    (hour / "a.jsonl").write_text("{}\n{}\n")
    (hour / "b.jsonl").write_text("{}\n")
    (hour / "notes.txt").write_text("no capture\n")

    assert tally(tmp_path) == Tally(files=2, lines=3)


def test_no_folder_holds_nothing(tmp_path: Path) -> None:
    assert tally(tmp_path / "none") == Tally(0, 0)


def test_what_was_there_before_is_not_counted() -> None:
    assert Tally(3, 50).since(Tally(1, 20)) == Tally(2, 30)
