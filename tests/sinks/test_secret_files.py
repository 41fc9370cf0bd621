from pathlib import Path

import pytest

from sidecar.errors import DeliveryError
from sidecar.sinks.secret_files import MAX_SECRET_BYTES, read_secret


def test_a_secret_is_what_the_file_holds_without_the_blanks_around_it(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(" s3cret of alice\n")
    assert read_secret("token", str(file)) == "s3cret of alice"


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe", b"a" * (MAX_SECRET_BYTES + 1)])
def test_what_is_no_secret_is_told_without_what_it_holds(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    with pytest.raises(DeliveryError) as caught:
        read_secret("token", str(file))
    assert str(caught.value) == f"token {file}: expected up to {MAX_SECRET_BYTES} bytes of text, not blank"


def test_a_missing_file_is_told_by_option_and_name(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match=r"^token .*/gone: No such file or directory, expected a file that can be"):
        read_secret("token", str(tmp_path / "gone"))
