from contextlib import closing
from pathlib import Path

import pytest

from sidecar.catalog.mlflow import Mlflow
from sidecar.catalog.opening import open_catalog
from sidecar.catalog.remote import Remote
from sidecar.errors import ConfigError
from tests.catalog.contract import register


def test_a_file_is_made_where_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "state" / "catalog.sqlite"
    with closing(open_catalog(str(path), {})) as catalog:
        assert catalog.groups() == []
    assert path.exists()


def test_the_environment_says_where_it_is_unless_told_otherwise(tmp_path: Path) -> None:
    environ = {"SIDECAR_TRACKING": str(tmp_path / "a.sqlite")}
    with closing(open_catalog(None, environ)) as catalog, closing(open_catalog(str(tmp_path / "b"), environ)) as other:
        register(catalog)  # type: ignore[arg-type]  # what it has is enough
        assert (catalog.groups(), other.groups()) == (["fraud"], [])


def test_an_address_gets_the_token_of_the_environment(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file\n")
    url = "HTTP://127.0.0.1:9901"
    assert open_catalog(url, {}) == Remote(url)
    assert open_catalog(url, {"SIDECAR_ADMIN_TOKEN": "a"}) == Remote(url, "a")
    both = {"SIDECAR_ADMIN_TOKEN": "a", "SIDECAR_ADMIN_TOKEN_FILE": str(tmp_path / "token")}
    assert open_catalog(url, both) == Remote(url, "from-file")


def test_mlflow_is_meant_by_its_name() -> None:
    assert open_catalog("mlflow+http://127.0.0.1:5000", {}) == Mlflow(uri="http://127.0.0.1:5000")


@pytest.mark.parametrize("place", ["", "sqlite:///a", "s3://a/b", "http://", "https://u:p@host"])
def test_what_can_be_no_catalogue_is_refused(place: str) -> None:
    with pytest.raises(ConfigError, match="catalog: "):
        open_catalog(place, {})


def test_without_any_place_both_ways_to_give_one_are_told() -> None:
    with pytest.raises(ConfigError, match=r"expected a file, or an address .* SIDECAR_TRACKING"):
        open_catalog(None, {})


def test_a_file_that_cannot_be_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="expected a folder to write in"):
        open_catalog(str(tmp_path / "file" / "catalog.sqlite"), {})


@pytest.mark.parametrize("content", [None, b"\xff\xff"])
def test_a_token_that_cannot_be_read_is_told(tmp_path: Path, content: bytes | None) -> None:
    if content:
        (tmp_path / "token").write_bytes(content)
    with pytest.raises(ConfigError, match="SIDECAR_ADMIN_TOKEN_FILE: "):
        open_catalog("http://a", {"SIDECAR_ADMIN_TOKEN_FILE": str(tmp_path / "token")})
