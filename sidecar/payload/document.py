"""JSON as it stands in bodies: the one place that parses it and writes it back."""

import json
import re

import orjson

from sidecar.errors import PayloadError
from sidecar.records import JSON

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def parse(data: bytes) -> JSON:
    """The value of a JSON text in UTF-8. Of a repeated key the last value counts; integers beyond 64 bits are floats.

    Beyond RFC 8259 the tokens `NaN`, `Infinity` and `-Infinity` are read, as TensorFlow Serving's REST API allows.

    >>> parse(b'[1, NaN]')
    [1, nan]

    Raises:
        PayloadError: Reason `json`: not JSON, nested deeper than about a thousand levels, not UTF-8, or a number too
            large for a double.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        if not _may_hold_tokens(data):
            raise PayloadError("json", f"body: {error}, expected JSON") from None
    return _parse_with_tokens(data)


def dump(document: JSON, source: bytes) -> bytes:
    """The text of a document that was parsed from `source` and changed since.

    Raises:
        PayloadError: Reason `json`: nested too deeply to be written.
    """
    try:
        if not _may_hold_tokens(source):
            return orjson.dumps(document)
    except orjson.JSONEncodeError:  # more than 254 levels; the standard library takes about a thousand
        pass
    try:
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    except RecursionError:
        raise PayloadError("json", "body: nested too deeply to be written, expected fewer levels") from None


def repeats_keys(data: bytes) -> bool:
    """Whether an object names a member twice: `parse` then drops a value that the bytes still show.

    Raises:
        PayloadError: Reason `json`: not JSON, or nested too deeply.
    """
    repeated = False

    def note(pairs: list[tuple[str, JSON]]) -> None:
        nonlocal repeated
        repeated = repeated or len(dict(pairs)) < len(pairs)

    try:
        json.loads(data.decode(), object_pairs_hook=note)
    except (ValueError, RecursionError):
        raise PayloadError("json", "body: not readable a second time, expected fewer levels") from None
    return repeated


def _may_hold_tokens(data: bytes) -> bool:
    return b"NaN" in data or b"Infinity" in data


def _parse_with_tokens(data: bytes) -> JSON:
    try:
        document = json.loads(data.decode())
        if _SURROGATE.search(data):  # a half of a pair is no character, and no text that anybody behind us could write
            json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        reason = str(error) or type(error).__name__
        raise PayloadError("json", f"body: {reason[:200]}, expected JSON") from None
    return document
