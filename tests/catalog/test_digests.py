import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from sidecar.catalog.digests import digest_of

SHELL = r"find -L . -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum -z | sha256sum"


def tree(folder: Path) -> Path:
    """Names whose order differs by whether whole paths are compared, and some that shells dislike."""
    for name in ("a/b", "a.b", "a b", "a-", "new\nline", "back\\slash", "ä", "sub/deep/er"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / os.fsdecode(b"\xff")).write_text("no UTF-8")
    return folder


def test_a_file_is_what_sha256sum_says(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"x" * 3_000_000)
    assert digest_of(tmp_path / "model") == f"sha256:{hashlib.sha256(b'x' * 3_000_000).hexdigest()}"


def test_a_folder_is_what_the_shell_says(tmp_path: Path) -> None:
    folder = tree(tmp_path / "model")
    (tmp_path / "elsewhere").write_text("elsewhere")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "folder").symlink_to(folder / "sub")
    expected = subprocess.run(SHELL, shell=True, cwd=folder, capture_output=True, check=True, text=True).stdout.split()
    assert digest_of(folder) == f"sha256:{expected[0]}"


def test_where_a_folder_is_and_when_it_was_made_does_not_matter(tmp_path: Path) -> None:
    first, second = tree(tmp_path / "first"), tree(tmp_path / "second")
    os.utime(second / "a.b", (0, 0))
    (second / "empty").mkdir()
    assert digest_of(first) == digest_of(str(second))


@pytest.mark.parametrize("change", ["name", "content", "less", "more"])
def test_whatever_changes_in_a_folder_changes_its_digest(tmp_path: Path, change: str) -> None:
    folder = tree(tmp_path)
    before = digest_of(folder)
    match change:
        case "name":
            (folder / "a b").rename(folder / "a c")
        case "content":
            (folder / "a b").write_text("other")
        case "less":
            (folder / "a b").unlink()
        case "more":
            (folder / "sub" / "c").write_text("")
    assert digest_of(folder) != before


def test_links_that_lead_round_or_nowhere_are_told(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "up").symlink_to(tmp_path)
    with pytest.raises(OSError, match="above it"):
        digest_of(tmp_path)
    (tmp_path / "sub" / "up").unlink()
    (tmp_path / "sub" / "up").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        digest_of(tmp_path)


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="expected a file or a folder"):
        digest_of(tmp_path / "pipe")
    assert digest_of(tmp_path) == f"sha256:{hashlib.sha256().hexdigest()}"


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        digest_of(tmp_path / "model")
