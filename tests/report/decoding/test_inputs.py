import gzip
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest
from obstore.store import from_url

from sidecar.errors import ConfigError
from sidecar.report.decoding import inputs
from sidecar.report.decoding.inputs import Input, _local, _unless_gone, fetched, find
from tests.e2e.s3 import BUCKET, Store, s3


@pytest.fixture(scope="module")
def server() -> Iterator[Store]:
    with s3() as store:
        yield store


@pytest.fixture
def bucket(server: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a bucket that others have used before."""
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    inputs._store.cache_clear()  # connections to another server
    yield f"s3://{BUCKET}"
    inputs._store.cache_clear()


def put(bucket: str, key: str, data: bytes) -> None:
    obstore.put(from_url(bucket, client_options={"allow_http": True}), key, data)


def names(found: list[Input], root: Path) -> list[str]:
    return [str(Path(each.name).relative_to(root)) for each in found]


def test_a_folder_is_all_its_files_with_these_ends(tmp_path: Path) -> None:
    for name in (
        "b/2.jsonl",
        "b/1.jsonl.gz",
        "a.jsonl.zst",
        "c.parquet",
        "d.csv",
        ".e.jsonl",
        ".f/g.jsonl",
        "b/_h.jsonl",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"12")

    found = find([str(tmp_path)])

    assert names(found, tmp_path) == ["a.jsonl.zst", "b/1.jsonl.gz", "b/2.jsonl", "b/_h.jsonl", "c.parquet"]
    assert {each.size_bytes for each in found} == {2}


def test_what_is_named_twice_is_there_once(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"")

    found = find([str(tmp_path), str(file), file.as_uri(), f"{tmp_path}/../{tmp_path.name}"])

    assert names(found, tmp_path) == ["a.jsonl"]


def test_a_file_that_is_another_one_has_another_mark(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    marks = set()
    for moment in (1, 2):
        file.write_bytes(b"1")
        os.utime(file, ns=(moment, moment))
        marks |= {each.mark for each in find([str(file)])}

    assert len(marks) == 2


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{}/nothing", "nothing: No such file or directory, expected captures"),
        ("{}/a.csv", r"a.csv: no file, expected such as end with .jsonl, .jsonl.gz"),
        ("{}/empty", r"empty: no file, expected such as end with"),
        ("ftp://host/a", r"ftp://host/a: ftp://, expected a file, a folder, or one of s3://, "),
    ],
)
def test_what_is_not_there_is_refused(tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "a.csv").write_bytes(b"")
    (tmp_path / "empty").mkdir()

    with pytest.raises(ConfigError, match=message):
        find([source.format(tmp_path)])


def test_a_local_file_is_read_where_it_is(tmp_path: Path) -> None:
    with fetched(Input("/captures/a.jsonl", 1, ""), tmp_path) as path:
        assert path == Path("/captures/a.jsonl")


def test_objects_are_found_and_fetched(bucket: str, tmp_path: Path) -> None:
    keys = ["one/sidecar/%2Ev/2026/07/30/12/a b.jsonl", "one/b.jsonl", "one/.hidden.jsonl", "one/c.csv"]
    for key in keys:
        put(bucket, key, gzip.compress(key.encode()))

    found = find([f"{bucket}/one/"])
    fetched_bytes = []
    for each in found:
        with fetched(each, tmp_path) as path:
            fetched_bytes.append(gzip.decompress(path.read_bytes()).decode())

    assert [each.name for each in found] == [
        f"{bucket}/one/b.jsonl",
        f"{bucket}/one/sidecar/%2Ev/2026/07/30/12/a b.jsonl",
    ]
    assert (fetched_bytes, list(tmp_path.iterdir())) == ([keys[1], keys[0]], [])


def test_a_single_object_can_be_named(bucket: str, tmp_path: Path) -> None:
    put(bucket, "two/a.jsonl", b"{}")

    (found,) = find([f"{bucket}/two/a.jsonl"])
    with fetched(found, tmp_path) as path:
        data = path.read_bytes()

    assert (found.name, found.size_bytes, data) == (f"{bucket}/two/a.jsonl", 2, b"{}")


def test_an_object_that_is_replaced_meanwhile_is_not_read(bucket: str, tmp_path: Path) -> None:
    put(bucket, "three/a.jsonl", b"{}")
    (found,) = find([f"{bucket}/three"])
    put(bucket, "three/a.jsonl", b"[]")

    with pytest.raises(OSError, match=r"three/a.jsonl: gone, or another one than was listed"), fetched(found, tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_object_of_another_size_than_listed_is_not_read(bucket: str, tmp_path: Path) -> None:
    put(bucket, "four/a.jsonl", b"0123456789")
    (found,) = find([f"{bucket}/four"])

    for size_bytes in (9, 11):
        changed = found._replace(size_bytes=size_bytes)
        with pytest.raises(OSError, match=f"other than {size_bytes} bytes"), fetched(changed, tmp_path):
            pass


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{}/empty", "captures/empty: no file, expected such as end with"),
        ("{}/none/a.jsonl", "none/a.jsonl: .*; expected a bucket that can be read"),
        ("s3://no-such-bucket/a", "s3://no-such-bucket/a: .*; expected a bucket that can be read"),
    ],
)
def test_what_a_store_has_not_is_refused(bucket: str, source: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        find([source.format(bucket)])
    assert "\n" not in str(caught.value)


def test_without_obstore_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ConfigError, match=r"s3://b/p: object stores need obstore: pip install 'sidecar\[report\]'"):
        find(["s3://b/p"])


def test_what_goes_meanwhile_is_passed_over(tmp_path: Path) -> None:
    """A sink deletes its oldest files to make room; what points to one points nowhere."""
    (tmp_path / "a.jsonl").write_bytes(b"")
    (tmp_path / "b.jsonl").symlink_to(tmp_path / "gone")

    assert [Path(each.name).name for each in find([str(tmp_path)])] == ["a.jsonl"]


def test_a_folder_that_cannot_be_listed_is_not_passed_over() -> None:
    _unless_gone(FileNotFoundError())
    with pytest.raises(PermissionError):
        _unless_gone(PermissionError())


@pytest.mark.parametrize("source", ["s3://me:secret@bucket/x", "s3://bucket/x?sig=secret", "gs://bucket/#secret"])
def test_a_secret_in_a_url_is_refused_and_not_repeated(source: str) -> None:
    with pytest.raises(ConfigError, match="expected secrets in the environment") as refused:
        find([source])

    assert "secret@" not in str(refused.value)
    assert "=secret" not in str(refused.value)


def test_a_container_of_an_account_is_no_secret() -> None:
    assert _local("abfss://container@account.dfs.core.windows.net/x") is None
