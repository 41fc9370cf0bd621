"""Files that hold secrets of sinks."""

from pathlib import Path

from sidecar.errors import DeliveryError

MAX_SECRET_BYTES = 16384
"""The largest are keys and tokens of some KiB."""


def read_secret(option: str, file: str) -> str:
    """What a file holds, without the blanks around it.

    Args:
        option: Names the file in errors; what it holds is never told.

    Raises:
        DeliveryError: It cannot be read, or holds no text.
    """
    try:
        with Path(file).open("rb") as opened:
            data = opened.read(MAX_SECRET_BYTES + 1)
        text = data.decode().strip()
    except OSError as error:
        raise DeliveryError(f"{option} {file}: {error.strerror}, expected a file that can be read") from error
    except ValueError:  # in the name of the file, or in what it holds: not to be told
        text = ""
    if not text or len(data) > MAX_SECRET_BYTES:
        raise DeliveryError(f"{option} {file}: expected up to {MAX_SECRET_BYTES} bytes of text, not blank")
    return text
