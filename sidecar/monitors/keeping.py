"""What a monitor remembers, as named arrays: taken out to be saved, and put back after a restart."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

Array = NDArray[Any]


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
    """Plain values as an array."""
    return np.frombuffer(msgspec.json.encode(value), dtype=np.uint8)


def unpacked(array: Array, kind: type[T]) -> T:
    """What was packed.

    Raises:
        ValueError: It is something else.
    """
    return msgspec.json.decode(array.tobytes(), type=kind)


def below(prefix: str, state: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays whose names begin so, without that beginning."""
    return {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}
