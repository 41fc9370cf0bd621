import os
from pathlib import Path

from sidecar.infrastructure.files import MAX_BYTES, text_of


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "long").write_text("x" * 200_000)
    assert text_of(tmp_path / "long") == "x" * 200_000


def test_of_an_endless_file_the_rest_is_left() -> None:
    assert len(text_of(Path("/dev/zero")) or "") == MAX_BYTES


def test_what_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert [text_of(tmp_path), text_of(tmp_path / "absent"), text_of(tmp_path / ("x" * 300))] == [None, None, None]


def test_neither_a_pipe_nor_a_link_leads_anywhere(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/etc/hostname")
    assert text_of(tmp_path / "pipe") == ""
    assert text_of(tmp_path / "link") is None
