"""What must not be stored is replaced: JSON pointer patterns (RFC 6901) over bodies.

A pattern is a pointer in which a token `*` stands for every member of an object and every element of an array.
"""

from collections.abc import Sequence

from sidecar.errors import ConfigError, Fault, PayloadError
from sidecar.payload import document
from sidecar.payload.grid import MAX_ROWS
from sidecar.payload.media import JSON_LINES
from sidecar.payload.pointers import Pointer, at, keys, parse_pointer
from sidecar.records import JSON

REDACTED = "[redacted]"


class Redaction:
    """Patterns, ready to be applied. Secure by default: a body in which they cannot be found is not to be kept."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """Read the patterns.

        Raises:
            ConfigError: A pattern is not a JSON pointer; the fault's path is its position, `[0]`.
        """
        pointers = [_pointer(pattern, index) for index, pattern in enumerate(patterns)]
        self._pointers = [(pointer, list(map(str.encode, filter(_is_name, pointer)))) for pointer in pointers]

    def apply(self, media: str, data: bytes) -> tuple[bytes, JSON]:
        """The body redacted, and its document; None for JSON Lines. The same bytes where nothing matched.

        Raises:
            PayloadError: Reason `json`: the body is not JSON, so what is in it is not known. Reason `shape`: it has
                more lines than are decoded.
        """
        if media not in JSON_LINES:
            return self._redact(data)
        if (ends := data.count(b"\n")) > MAX_ROWS:
            raise PayloadError("shape", f"body: {ends} lines, expected at most {MAX_ROWS}")
        return b"\n".join(self._redact(line)[0] if line.strip() else line for line in data.split(b"\n")), None

    def _redact(self, data: bytes) -> tuple[bytes, JSON]:
        parsed = document.parse(data)
        if not (pointers := self._that_may_match(data)):
            return data, parsed
        holder = [parsed]
        found = [_replace(holder, ("0", *pointer)) for pointer in pointers]
        # A repeated key keeps its earlier values from the parser, and so from us, but not from a reader of the bytes.
        if any(found) or document.repeats_keys(data):
            return document.dump(holder[0], data), holder[0]
        return data, holder[0]

    def _that_may_match(self, data: bytes) -> list[Pointer]:
        """Those whose names all occur in the bytes; any, where a name may be spelled with escapes."""
        escaped = b"\\" in data
        return [pointer for pointer, names in self._pointers if escaped or all(name in data for name in names)]


def _pointer(pattern: str, index: int) -> Pointer:
    try:
        return parse_pointer(pattern)
    except ValueError as error:
        raise ConfigError(Fault(f"[{index}]", str(error))) from None


def _is_name(token: str) -> bool:
    return token != "*" and not token.isdecimal()


def _replace(document: JSON, pointer: Pointer) -> bool:
    """Replace in place whatever matches; whether anything did."""
    *parents, last = pointer
    found = False
    for node in at(document, tuple(parents)):
        for key in keys(node, last):
            node[key] = REDACTED
            found = True
    return found
