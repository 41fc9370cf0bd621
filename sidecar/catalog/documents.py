"""Entries of the catalogue as JSON: in the file, and between the admin side and whoever asks it."""

import json
from math import isfinite, isnan
from typing import TypeVar

import msgspec

from sidecar.scalars import plain

T = TypeVar("T")


def encode(entry: object) -> bytes:
    """As JSON; a number that JSON has no word for is one of the texts that protobuf's JSON has for it.

    Raises:
        TypeError: Something in it is of no type that JSON has.
        ValueError: A text in it is no UTF-8.
        RecursionError: It is nested too deeply.

    Example:
        >>> encode({"auc": float("nan"), "loss": [float("-inf"), 0.25]})
        b'{"auc":"NaN","loss":["-Infinity",0.25]}'
    """
    text = json.dumps(_spelled(msgspec.to_builtins(entry, enc_hook=plain)), ensure_ascii=False, separators=(",", ":"))
    return text.encode()


def decode(data: bytes | str, kind: type[T]) -> T:
    """The entry that `encode` made these of; unknown keys are a later version's, and left out.

    Raises:
        ValueError: They are not JSON, not of this kind, or nested too deeply.

    Example:
        >>> decode(b'{"auc":"NaN","loss":"-Infinity"}', dict[str, float])
        {'auc': nan, 'loss': -inf}
    """
    try:
        return msgspec.json.decode(data, type=kind, strict=False)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _spelled(value: object) -> object:
    match value:
        case float() if not isfinite(value):
            return "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case dict():
            return {name: _spelled(each) for name, each in value.items()}
        case list() | tuple():
            return [_spelled(each) for each in value]
    return value
