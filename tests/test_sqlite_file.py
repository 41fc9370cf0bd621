import errno
import fcntl
import os
import sqlite3
import stat
import threading
from contextlib import closing, suppress
from pathlib import Path

import pytest

from sidecar.errors import ConfigError
from sidecar.sqlite_file import BROKEN, Schema, open_file, snapshot, transaction

SCHEMA = Schema(7, 3, ("CREATE TABLE texts (text TEXT)",))
SHARED = Schema(7, 3, ("CREATE TABLE texts (text TEXT)",), shared=True)
FILE = "a.sqlite"


def opened(folder: Path, schema: Schema = SCHEMA) -> sqlite3.Connection:
    return open_file(folder / FILE, schema, 0.0)


def texts(folder: Path) -> list[str]:
    with closing(opened(folder)) as connection:
        return [text for (text,) in connection.execute("SELECT text FROM texts ORDER BY rowid")]


def write(folder: Path, *rows: str) -> None:
    with closing(opened(folder)) as connection, transaction(connection):
        connection.executemany("INSERT INTO texts VALUES (?)", [(row,) for row in rows])


def refused(folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        opened(folder)
    [fault] = caught.value.faults
    assert fault.path == "state"
    return fault.message


def test_what_was_written_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    write(tmp_path, "a")
    write(tmp_path, "b", "c")
    assert texts(tmp_path) == ["a", "b", "c"]


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as connection, suppress(KeyError), transaction(connection):
        connection.execute("INSERT INTO texts VALUES ('a')")
        raise KeyError
    assert texts(tmp_path) == []


def test_the_folder_is_made_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "var" / "state"
    with closing(opened(folder)) as connection:
        connection.execute("INSERT INTO texts VALUES ('a')")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert modes == {"state": 0o700, FILE: 0o600, f"{FILE}-wal": 0o600}


def test_a_file_that_is_open_already_is_refused_and_its_owner_keeps_it(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as connection:
        for _ in range(2):
            expected = "database is locked, expected a whole file that no other process has open"
            assert refused(tmp_path) == f"{tmp_path / FILE}: {expected}"
        connection.execute("INSERT INTO texts VALUES ('a')")
    assert texts(tmp_path) == ["a"]


def test_a_file_of_another_application_is_refused_and_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE)) as other:
        other.execute("CREATE TABLE theirs (x)")
        other.commit()
    before = (tmp_path / FILE).read_bytes()
    assert refused(tmp_path) == f"{tmp_path / FILE}: another application's file, expected one of ours or none"
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]


def test_a_file_of_a_later_schema_is_refused(tmp_path: Path) -> None:
    opened(tmp_path, Schema(7, 4, ())).close()
    assert refused(tmp_path).endswith("schema 4, expected at most 3: a later sidecar wrote it")


@pytest.mark.parametrize(
    ("at", "damage", "said"),
    [
        (0, b"mine", "file is not a database"),
        (2 * 4096, b"\xff" * 4096 * 20, "the file is broken"),
        (-1, b"", "malformed"),
    ],
    ids=["no database", "broken pages", "cut"],
)
def test_a_damaged_file_is_put_aside_and_another_begun(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, at: int, damage: bytes, said: str
) -> None:
    write(tmp_path, *("x" * 1000 for _ in range(100)))
    with (tmp_path / FILE).open("r+b") as file:
        if at < 0:
            file.truncate(3 * 4096)
        else:
            file.seek(at)
            file.write(damage)
    whole = (tmp_path / FILE).read_bytes()

    assert texts(tmp_path) == []
    write(tmp_path, "a")
    assert texts(tmp_path) == ["a"]

    assert (tmp_path / f"{FILE}{BROKEN}").read_bytes() == whole
    (record,) = caplog.records
    assert said in record.getMessage()


def test_what_can_be_no_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder" / FILE).mkdir(parents=True)
    assert refused(tmp_path / "file") == f"{tmp_path / 'file'}: File exists, expected a folder to write in"
    assert "unable to open database file, expected a whole file" in refused(tmp_path / "folder")
    assert refused(Path("/proc/state")) == "/proc/state: No such file or directory, expected a folder to write in"
    assert "embedded null byte" in refused(Path("a\0b"))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("max_page_count = 1", "database or disk is full, expected a file on a disk with room"),
        (
            "query_only = ON",
            "attempt to write a readonly database, "
            "expected a whole file that can be read and written, on a disk with room",
        ),
    ],
)
def test_what_is_expected_is_what_is_missing(tmp_path: Path, setting: str, expected: str, *, shared: bool) -> None:
    schema = Schema(7, 3, SCHEMA.statements, (setting,), shared=shared)
    with pytest.raises(ConfigError) as caught:
        opened(tmp_path, schema)
    assert str(caught.value) == f"state: {tmp_path / FILE}: {expected}"
    assert texts(tmp_path) == []


def test_a_disk_without_room_for_the_folder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "mkdir", full)
    assert (
        refused(tmp_path) == f"{tmp_path}: No space left on device, expected a folder to write in, on a disk with room"
    )


def test_a_process_that_died_while_it_made_the_file_leaves_one_that_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / FILE).touch()
    assert texts(tmp_path) == []


def test_a_file_that_is_shared_is_written_by_several(tmp_path: Path) -> None:
    with closing(opened(tmp_path, SHARED)) as first, closing(opened(tmp_path, SHARED)) as second:
        for connection in (first, second, first):
            with transaction(connection):
                connection.execute("INSERT INTO texts VALUES ('a')")
        assert second.execute("SELECT count(*) FROM texts").fetchone() == (3,)


def test_a_snapshot_is_of_one_moment_and_holds_nobody_up(tmp_path: Path) -> None:
    with closing(opened(tmp_path, SHARED)) as reader, closing(opened(tmp_path, SHARED)) as writer:
        with snapshot(reader):
            before = reader.execute("SELECT count(*) FROM texts").fetchone()
            with transaction(writer):
                writer.execute("INSERT INTO texts VALUES ('a')")
            assert reader.execute("SELECT count(*) FROM texts").fetchone() == before == (0,)
        assert reader.execute("SELECT count(*) FROM texts").fetchone() == (1,)


def test_a_file_that_is_shared_is_opened_by_one_at_a_time(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    with pytest.raises(ConfigError, match="another process is still opening it, expected a whole file and others to"):
        opened(tmp_path, SHARED)
    opener = threading.Thread(target=lambda: open_file(tmp_path / FILE, SHARED, 60.0).close())
    opener.start()
    assert not (tmp_path / FILE).exists()
    os.close(folder)
    opener.join()
    assert texts(tmp_path) == []
