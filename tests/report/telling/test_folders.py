import os
import stat
from pathlib import Path

import pytest

from sidecar.report.telling.folders import MAX_NAME, folder_name, write_files, write_whole


def test_files_are_by_variant_and_of_their_owner_alone(tmp_path: Path) -> None:
    files = {"champion": {"statistics.json": b"1", "bias/analysis.json": b"2"}, "b": {"statistics.json": b"3"}}

    assert write_files(tmp_path / "made", files, of="r.html") == 3

    assert (tmp_path / "made/champion/statistics.json").read_bytes() == b"1"
    assert (tmp_path / "made/champion/bias/analysis.json").read_bytes() == b"2"
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "made").rglob("*") if path.is_file()}
    assert modes == {0o600}


def test_files_of_an_earlier_report_are_replaced(tmp_path: Path) -> None:
    for data in b"long", b"x":
        write_files(tmp_path, {"v": {"statistics.json": data}}, of="r.html")
    assert [path.read_bytes() for path in (tmp_path / "v").iterdir()] == [b"x"]


@pytest.mark.parametrize("variant", ["../../etc", "..", ".", "/", "", "a/b", "\ud800", "x" * 1000, "~", "_", "\0"])
def test_a_variant_s_name_leads_nowhere_else(tmp_path: Path, variant: str) -> None:
    write_files(tmp_path / "in", {variant: {"statistics.json": b"1"}}, of="r.html")
    (folder,) = (path for path in (tmp_path / "in").iterdir() if path.name != ".r.html.written")
    assert [path.name for path in folder.iterdir()] == ["statistics.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert len(folder_name(variant)) <= MAX_NAME


def test_variants_that_differ_have_folders_that_do() -> None:
    long = "é" * 100
    names = ("a/b", "a%2Fb", "a.b", ".a", "%2Ea", long, f"{long}a", f"{long}b")
    assert len({folder_name(name) for name in names}) == len(names)


def test_what_the_last_report_of_the_name_has_written_and_this_one_has_not_is_deleted(tmp_path: Path) -> None:
    one = {"a": {"statistics.json": b"1", "quality/statistics.json": b"1"}, "b": {"statistics.json": b"1"}}
    write_files(tmp_path, one, of="r.html")
    write_files(tmp_path, {"c": {"statistics.json": b"1"}}, of="other.html")
    (tmp_path / "b" / "notes.txt").write_text("mine")

    write_files(tmp_path, {"a": {"statistics.json": b"2"}}, of="r.html")

    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("[!.]*")}
    assert found == {"a", "a/statistics.json", "b", "b/notes.txt", "c", "c/statistics.json"}


@pytest.mark.parametrize("name", ["../theirs", "/theirs", "link/theirs", "link", "v", "gone", "a//theirs"])
def test_what_a_list_names_elsewhere_is_left(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in"
    (folder / "v").mkdir(parents=True)
    (tmp_path / "theirs").write_text("")
    (folder / "link").symlink_to(tmp_path)
    (folder / ".r.html.written").write_text(f"{name}\n")

    write_files(folder, {"a": {"statistics.json": b"1"}}, of="r.html")

    assert (tmp_path / "theirs").exists()
    assert ((folder / "link").is_symlink(), (folder / "v").is_dir()) == (True, True)


def test_a_disk_that_is_full_is_told_by_the_file_and_no_part_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match=r"No space left on device: '.*r\.json'"):
        write_whole(tmp_path / "r.json", b"new")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_bytes(b"old")
    (tmp_path / ".report.json.part").mkdir()
    with pytest.raises(OSError, match="part"):
        write_whole(file, b"new")
    assert file.read_bytes() == b"old"


def test_a_part_that_a_killed_process_left_is_in_nobody_s_way(tmp_path: Path) -> None:
    part = tmp_path / ".r.part"
    os.close(os.open(part, os.O_CREAT | os.O_WRONLY, 0o644))
    write_whole(tmp_path / "r", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["r"]
