import os
from pathlib import Path

from sidecar.config.fingerprints import fingerprints


def test_a_file_that_stays_the_same_has_the_same_fingerprint(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("a")
    assert fingerprints([str(file)]) == fingerprints([str(file)])


def test_a_file_that_is_replaced_changes(tmp_path: Path) -> None:
    file, other = tmp_path / "f", tmp_path / "g"
    file.write_text("a")
    other.write_text("b")
    before = fingerprints([str(file)])
    other.replace(file)
    assert fingerprints([str(file)]) != before


def test_a_configmaps_swapped_link_changes(tmp_path: Path) -> None:
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "f").write_text("same")
    (tmp_path / "data").symlink_to("1")
    (tmp_path / "f").symlink_to("data/f")
    before = fingerprints([str(tmp_path / "f")])
    (tmp_path / "new").symlink_to("2")
    os.replace(tmp_path / "new", tmp_path / "data")
    assert fingerprints([str(tmp_path / "f")]) != before


def test_a_file_that_is_not_there_has_an_empty_fingerprint() -> None:
    assert fingerprints(["/nowhere"]) == [()]
