import json
from pathlib import Path

import pytest

from sidecar.reference.archive import Archive
from sidecar.reference.checks import Violation
from sidecar.reference.hours import KEPT

HOUR_S = 1_700_000_000.0  # 2023-11-14, 22:13 UTC
LATE = Violation("age", "completeness_check", 0.5, 0.9, "half of the rows have no value")
WRONG = Violation("country", "data_type_check", 0.1, 1.0, "numbers", subject="predictions")


def told(folder: Path) -> dict[str, list[str]]:
    """The features in each file, by its path."""
    return {
        str(file.relative_to(folder).parent): [
            each["feature_name"] for each in json.loads(file.read_bytes())["violations"]
        ]
        for file in sorted(folder.rglob("*.json"))
    }


def test_an_hour_holds_what_was_broken_at_any_time_within_it(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    for found in ([LATE], [], [WRONG, LATE], []):
        archive.keep("champion", found, HOUR_S)

    assert told(tmp_path) == {"champion/2023/11/14/22": ["age", "country"]}


def test_of_what_is_broken_for_long_the_worst_is_kept(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    for value in (0.8, 0.2, 0.7):
        archive.keep("champion", [LATE._replace(value=value)], HOUR_S)

    (file,) = tmp_path.rglob("*.json")
    assert [each["value"] for each in json.loads(file.read_bytes())["violations"]] == [0.2]


def test_the_next_hour_begins_anew_and_an_hour_without_faults_says_so(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.keep("champion", [LATE], HOUR_S)
    archive.keep("champion", [], HOUR_S + 3600)
    archive.keep("challenger", [], HOUR_S)

    assert told(tmp_path) == {
        "challenger/2023/11/14/22": [],
        "champion/2023/11/14/22": ["age"],
        "champion/2023/11/14/23": [],
    }


def test_a_restart_goes_on_with_the_hour(tmp_path: Path) -> None:
    Archive(tmp_path).keep("champion", [WRONG], HOUR_S)
    Archive(tmp_path).keep("champion", [LATE], HOUR_S)

    ((_, found),) = told(tmp_path).items()
    assert sorted(found) == ["age", "country"]
    (file,) = tmp_path.rglob("*.json")
    assert {each["subject"] for each in json.loads(file.read_bytes())["violations"]} == {"features", "predictions"}


@pytest.mark.parametrize("damaged", [b"", b"{", b"[]", b'{"violations": [{}]}', b'{"violations": 3}'])
def test_a_damaged_file_is_written_anew(tmp_path: Path, damaged: bytes) -> None:
    Archive(tmp_path).keep("champion", [], HOUR_S)
    (file,) = tmp_path.rglob("*.json")
    file.write_bytes(damaged)
    Archive(tmp_path).keep("champion", [LATE], HOUR_S)

    assert told(tmp_path) == {"champion/2023/11/14/22": ["age"]}


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    Archive(tmp_path / "violations").keep("champion", [LATE], HOUR_S)

    made = list((tmp_path / "violations").rglob("*"))
    assert {path.stat().st_mode & 0o777 for path in made if path.is_dir()} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in made if path.is_file()} == {0o600}
    assert [path.name for path in made if path.is_file()] == ["constraint_violations.json"]


def test_the_oldest_files_go_and_their_folders_with_them(tmp_path: Path) -> None:
    for hour in range(KEPT):
        file = (
            tmp_path
            / "champion"
            / "2022"
            / "01"
            / f"{hour // 24:03}"
            / f"{hour % 24:02}"
            / "constraint_violations.json"
        )
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")
    archive = Archive(tmp_path)
    for hour in range(24):
        archive.keep("champion", [], HOUR_S + 3600 * hour)

    files = sorted(tmp_path.rglob("*.json"))
    assert len(files) == KEPT
    assert not (tmp_path / "champion" / "2022" / "01" / "000").exists()
    assert (tmp_path / "champion" / "2022" / "01" / "001").exists()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        Archive(tmp_path / "file").keep("champion", [LATE], HOUR_S)
