import json
import os
from pathlib import Path

import numpy as np
import pytest

from sidecar.errors import ConfigError
from sidecar.records import Table
from sidecar.reference.constraints import Constraint, Constraints, Monitoring, suggested
from sidecar.reference.folder import CONSTRAINTS, FILES, SAMPLE, STATISTICS, Reference, read_folder, write_folder
from sidecar.reference.learning import Learner
from sidecar.reference.profile import Profiles


def learned(*names: str, sample: bool = False) -> Reference:
    rows = Table(names, np.random.default_rng(1).normal(size=(50, len(names))))
    learner = Learner()
    learner.update(rows)
    profiles = learner.profiles()
    return Reference(profiles, suggested(profiles), rows if sample else None)


def read(folder: Path) -> Reference | None:
    return read_folder(folder, "reference.path")


@pytest.mark.parametrize("sample", [True, False])
def test_what_is_written_is_read_back(tmp_path: Path, sample: bool) -> None:
    folder = tmp_path / "a" / "b"
    written = learned("x", "y", sample=sample)

    write_folder(folder, written)

    assert read(folder) == written
    assert {file.name for file in folder.iterdir()} == {STATISTICS, CONSTRAINTS, *([SAMPLE] if sample else [])}


def test_references_are_equal_where_all_parts_are() -> None:
    one, other = learned("x", "y", sample=True), learned("x", "z", sample=True)

    assert one == learned("x", "y", sample=True)
    assert one != other
    assert one != learned("x", "y")
    assert one != Reference(one.profiles, one.constraints, other.sample)
    assert one != Reference(one.profiles, Constraints([]), one.sample)
    assert one != "a reference"


def test_where_there_is_no_file_there_is_no_reference(tmp_path: Path) -> None:
    assert read(tmp_path) is None
    assert read(tmp_path / "nowhere") is None


def test_of_sagemaker_s_two_files_one_is_enough(tmp_path: Path) -> None:
    whole = learned("x")
    write_folder(tmp_path, whole)

    (tmp_path / CONSTRAINTS).rename(tmp_path / "aside")
    assert read(tmp_path) == whole

    (tmp_path / "aside").rename(tmp_path / CONSTRAINTS)
    (tmp_path / STATISTICS).unlink()
    assert read(tmp_path) == Reference(Profiles(0, ()), whole.constraints)


def test_a_sample_alone_is_no_reference(tmp_path: Path) -> None:
    write_folder(tmp_path, learned("x", sample=True))
    (tmp_path / STATISTICS).unlink()
    (tmp_path / CONSTRAINTS).unlink()

    assert read(tmp_path) is None


@pytest.mark.parametrize("name", FILES)
def test_a_broken_file_is_named(tmp_path: Path, name: str) -> None:
    write_folder(tmp_path, learned("x", sample=True))
    (tmp_path / name).write_bytes(b'{"features": [')

    with pytest.raises(ConfigError) as raised:
        read(tmp_path)

    assert str(raised.value).startswith(f"reference.path: {tmp_path / name}")


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    write_folder(tmp_path, learned("x"))
    (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / name).mkdir()

    with pytest.raises(ConfigError) as raised:
        read(tmp_path)

    expected = f"reference.path: {tmp_path / name}: Is a directory, expected a file that can be read"
    assert str(raised.value) == expected


def test_a_file_in_the_place_of_the_folder_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "reference").touch()

    with pytest.raises(ConfigError, match="Not a directory, expected a file that can be read"):
        read(tmp_path / "reference")


def test_what_somebody_else_has_in_the_files_stays(tmp_path: Path) -> None:
    write_folder(tmp_path, learned("x"))
    for name in (STATISTICS, CONSTRAINTS):
        document = json.loads((tmp_path / name).read_bytes())
        document["features"][0]["owner"] = {"team": name}
        (tmp_path / name).write_text(json.dumps({**document, "ticket": 7}))

    write_folder(tmp_path, learned("x", "y"))

    for name in (STATISTICS, CONSTRAINTS):
        document = json.loads((tmp_path / name).read_bytes())
        assert document["ticket"] == 7
        assert [feature.get("owner") for feature in document["features"]] == [{"team": name}, None]
    assert read(tmp_path) == learned("x", "y")


def test_a_sample_from_before_goes_where_there_is_no_newer_one(tmp_path: Path) -> None:
    write_folder(tmp_path, learned("x", sample=True))
    write_folder(tmp_path, learned("x"))

    assert read(tmp_path) == learned("x")


def test_rows_are_for_their_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_folder(tmp_path, learned("x", sample=True))
    finally:
        os.umask(before)

    modes = {name: (tmp_path / name).stat().st_mode & 0o777 for name in FILES}
    assert modes == {STATISTICS: 0o644, CONSTRAINTS: 0o644, SAMPLE: 0o600}


def test_what_a_killed_process_has_left_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / f".{STATISTICS}.part").write_bytes(b"half")

    write_folder(tmp_path, learned("x"))

    assert read(tmp_path) == learned("x")
    assert not list(tmp_path.glob(".*"))


def test_nothing_is_written_of_what_cannot_be_written_whole(tmp_path: Path) -> None:
    """A lone surrogate, which a client may send as a feature's name."""
    write_folder(tmp_path, learned("x", sample=True))
    monitoring = Monitoring()
    strange = Constraint("\ud800", "Integral", 1.0, non_negative=True, domain=None, monitoring=monitoring)

    with pytest.raises(UnicodeEncodeError):
        write_folder(tmp_path, Reference(learned("y").profiles, Constraints([strange], monitoring)))

    assert read(tmp_path) == learned("x", sample=True)
