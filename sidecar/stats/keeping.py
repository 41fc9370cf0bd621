"""What a monitor remembers, as named arrays: taken out to be saved, and put back after a restart."""

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from io import BytesIO
from typing import Any, TypeVar

import msgspec
import numpy as np
import zstandard
from numpy.typing import NDArray

T = TypeVar("T")

Array = NDArray[Any]

MAX_BYTES = 1 << 30
"""Of what is saved, inflated: 1,000 features of 40 variants."""

SEAL_BYTES = 32
"""Before what is saved: SHA-256 of what it belongs to and of all its bytes."""


def sealed(parts: Mapping[str, Array], belongs_to: bytes) -> bytes:
    """The arrays as they are saved.

    Args:
        belongs_to: Of all that they mean nothing without: a reference, settings.
    """
    file = BytesIO()
    np.savez(file, **parts)  # type: ignore[arg-type]  # the stubs take `allow_pickle` for one of the parts
    data = zstandard.compress(file.getvalue(), 1)
    return sha256(belongs_to + data).digest() + data


def unsealed(saved: bytes, belongs_to: bytes) -> dict[str, Array] | None:
    """What was saved; None where it belongs to something else, or is damaged."""
    data = saved[SEAL_BYTES:]
    if saved[:SEAL_BYTES] != sha256(belongs_to + data).digest() or zstandard.frame_content_size(data) > MAX_BYTES:
        return None
    try:
        with np.load(BytesIO(zstandard.decompress(data))) as file:
            return dict(file.items())
    except (ValueError, KeyError):  # as another version of ours saves it
        return None


def taken(part: object, names: Iterable[str], prefix: str) -> dict[str, Array]:
    """The attributes of a part, under names of their own."""
    return {f"{prefix}{name}": np.asarray(getattr(part, name)) for name in names}


def put_back(part: object, names: Iterable[str], prefix: str, state: Mapping[str, Array]) -> None:
    """The attributes as they were taken.

    Raises:
        KeyError: One is missing.
        ValueError: One is of another shape or type.
    """
    for name in names:
        new, old = state[f"{prefix}{name}"], getattr(part, name)
        if new.shape != np.shape(old) or new.dtype != np.asarray(old).dtype:
            raise ValueError(f"{prefix}{name}: of another shape or type, expected that of this reference")
        setattr(part, name, new if isinstance(old, np.ndarray) else new.item())


def packed(value: object) -> Array:
    """Plain values as an array; half a surrogate pair in a text too, which JSON can spell and UTF-8 cannot."""
    return np.frombuffer(json.dumps(msgspec.to_builtins(value, str_keys=True)).encode(), dtype=np.uint8)


def unpacked(array: Array, kind: type[T]) -> T:
    """What was packed.

    Raises:
        ValueError: It cannot be read.
        msgspec.ValidationError: It is something else.
    """
    return msgspec.convert(json.loads(array.tobytes()), type=kind, str_keys=True)


def below(prefix: str, state: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays whose names begin so, without that beginning."""
    return {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}
