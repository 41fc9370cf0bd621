from collections.abc import Callable, Iterator
from pathlib import Path

import obstore
import pytest
from obstore.store import from_url

from sidecar.errors import ConfigError
from sidecar.reference.folder import read_folder
from sidecar.report.decoding import inputs
from sidecar.report.referring import FILES, read_reference
from tests.e2e.s3 import BUCKET, s3
from tests.report.captured import reference


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reference(tmp_path_factory.mktemp("reference"))


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3() as store, pytest.MonkeyPatch.context() as patch:
        for name, value in store.variables.items():
            patch.setenv(name, value)
        inputs._store.cache_clear()  # connections to another server
        yield f"s3://{BUCKET}"
        inputs._store.cache_clear()


def put(bucket: str, key: str, data: bytes) -> None:
    obstore.put(from_url(bucket, client_options={"allow_http": True}), key, data)


@pytest.mark.parametrize("spelt", [str, Path.as_uri])
def test_a_folder_is_read(folder: Path, spelt: Callable[[Path], str]) -> None:
    found = read_folder(folder, "")
    assert found is not None
    assert read_reference(spelt(folder)) == found


@pytest.mark.parametrize("end", ["", "/"])
def test_a_store_is_read_without_what_lies_below(folder: Path, bucket: str, end: str) -> None:
    for name in FILES:
        put(bucket, f"whole/{name}", (folder / name).read_bytes())
    put(bucket, "whole/deeper/statistics.json", b"none")
    assert read_reference(f"{bucket}/whole{end}") == read_reference(str(folder))


def test_a_broken_file_is_called_by_its_url(bucket: str) -> None:
    put(bucket, "broken/statistics.json", b"{}")
    with pytest.raises(ConfigError, match=f"^--reference: {bucket}/broken/statistics.json: Object missing"):
        read_reference(f"{bucket}/broken/")


def test_a_file_that_goes_while_it_is_read_is_told(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = inputs.Input(f"{bucket}/gone/statistics.json", 1, '"mark"', f"{bucket}/gone", "statistics.json")
    monkeypatch.setattr("sidecar.report.referring.find", lambda *_: [gone])
    with pytest.raises(ConfigError, match=r"^--reference: .*/statistics.json: gone, .* expected a file that stays"):
        read_reference(f"{bucket}/gone")


@pytest.mark.parametrize("spelt", [str, Path.as_uri])
def test_where_there_is_none_it_is_told(tmp_path: Path, bucket: str, spelt: Callable[[Path], str]) -> None:
    expected = "statistics.json and constraints.json"
    with pytest.raises(ConfigError, match=f"expected a folder with {expected}, got .*: there is neither"):
        read_reference(spelt(tmp_path))
    with pytest.raises(ConfigError, match=f"/no is no folder, expected one with {expected}"):
        read_reference(spelt(tmp_path / "no"))
    with pytest.raises(ConfigError, match=f"{bucket}/no: no file, expected such as end with "):
        read_reference(f"{bucket}/no")
