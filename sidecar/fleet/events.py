"""What a watch tells: one JSON document a line, in chunks that know nothing of lines."""

from typing import NamedTuple

import orjson

from sidecar.errors import DeliveryError
from sidecar.kubernetes.access import MAX_MESSAGE_CHARACTERS, Object, Refused, seconds
from sidecar.texts import shown

KINDS = ("ADDED", "MODIFIED", "DELETED", "BOOKMARK")


class Lines:
    r"""Puts chunks together to lines, of up to `max_bytes`; what is no whole line yet waits for the rest.

    Example:
        >>> lines = Lines(80)
        >>> lines.feed(b'{"a"'), lines.feed(b':1}\n{}\n{')
        ([], [b'{"a":1}', b'{}'])
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._waiting = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk ends, without their ends and without blank ones.

        Raises:
            DeliveryError: A line gets too long.
        """
        first, *others = chunk.split(b"\n")
        self._waiting += first
        lines = []
        for each in others:
            lines.append(bytes(self._waiting))
            self._waiting = bytearray(each)
        if max(len(self._waiting), *map(len, lines), 0) > self._max_bytes:
            raise DeliveryError(f"a watch with an event of more than {self._max_bytes} bytes, expected fewer")
        return [line for line in lines if line.strip()]


class Event(NamedTuple):
    """One thing that happened to an object.

    Args:
        kind: One of KINDS.
        object: As it is now, or was last; of a BOOKMARK nothing but how far the watch has come.
    """

    kind: str
    object: Object


def parse_event(line: bytes) -> Event:
    """Read one.

    Raises:
        Refused: It says that the watch has failed.
        DeliveryError: It is none.

    Example:
        >>> parse_event(b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"7"}}}').kind
        'BOOKMARK'
    """
    try:
        event = orjson.loads(line)
    except ValueError as error:
        raise DeliveryError(f"a watch with a line that is not JSON: {_start(line)}; expected an event") from error
    kind, told = (event.get("type"), event.get("object")) if isinstance(event, dict) else (None, None)
    if not isinstance(told, dict) or not isinstance(kind, str):
        raise DeliveryError(f"a watch with a line that is no event: {_start(line)}; expected type and object")
    if kind == "ERROR":
        raise _failure(told)
    if kind not in KINDS:
        raise DeliveryError(f"a watch with an event of type {shown(kind, 40)}, expected one of {', '.join(KINDS)}")
    return Event(kind, told)


def _failure(status: Object) -> Refused:
    details = status.get("details")
    code = status.get("code")
    message = f"the watch has failed: {status.get('reason')}: {status.get('message')}"
    return Refused(
        shown(message, MAX_MESSAGE_CHARACTERS),
        code if isinstance(code, int) else 500,
        str(status.get("reason") or ""),
        retry_after_s=seconds(details.get("retryAfterSeconds") if isinstance(details, dict) else None),
    )


def _start(line: bytes) -> str:
    return shown(line[:200].decode(errors="replace"), 60)
