import stat
from pathlib import Path

import pytest

from sidecar.reference import hours
from sidecar.reference.hours import hour_file, write_hour

HOUR_S = 1_700_000_000.0  # 2023-11-14, 22:13 UTC


def test_a_file_is_in_the_folder_of_its_variant_and_hour(tmp_path: Path) -> None:
    file = hour_file(tmp_path, "champion", "statistics.json", HOUR_S)

    assert file == tmp_path / "champion/2023/11/14/22/statistics.json"


def test_it_is_written_whole_for_its_owner_alone(tmp_path: Path) -> None:
    file = hour_file(tmp_path / "new", "champion", "statistics.json", HOUR_S)
    write_hour(file, b"one")
    write_hour(file, b"two")

    assert (file.read_bytes(), [each.name for each in file.parent.iterdir()]) == (b"two", ["statistics.json"])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_the_oldest_go_and_files_of_other_names_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hours, "KEPT", 3)
    other = hour_file(tmp_path, "champion", "other.json", HOUR_S)
    write_hour(other, b"")
    for hour in range(6):
        write_hour(hour_file(tmp_path, "champion", "statistics.json", HOUR_S + 3600 * hour), b"")

    assert len(list(tmp_path.rglob("statistics.json"))) == 3
    assert other.exists()
    assert sorted(folder.name for folder in (tmp_path / "champion/2023/11/15").iterdir()) == ["01", "02", "03"]


def test_a_folder_that_takes_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / "champion").write_bytes(b"")

    with pytest.raises(OSError, match="champion"):
        write_hour(hour_file(tmp_path, "champion", "statistics.json", HOUR_S), b"")
