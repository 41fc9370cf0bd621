"""Rules: which requests do not take part in the split, by their path, method and one field.

Patterns know `*` for any bytes, none and `/` included, and `?` for one byte; nothing else is special. What stands
between two stars is looked for once, from the left, and never again (an atomic group): where a pattern fits at all,
it fits so, and a request cannot make the matching of a pattern take more than its length times that of the text.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from sidecar.wire.message import RequestHead

_AUTHORITY = re.compile(rb"\A(?i:https?)://[^/]*+")


@dataclass(frozen=True)
class Rule:
    r"""Says who serves the requests that fit all of it.

    Args:
        variant: Who does.
        path: Pattern of the target without its query, percent-encoding as it stands, upper and lower case apart.
        methods: Any of these; none for all.
        header: Name of a field that the request must have.
        value: Pattern of its value; of a repeated field one of them must fit.

    Example:
        >>> from sidecar.wire.http1 import parse_request
        >>> rule = Rule("challenger", path="/v2/models/*/infer", methods=("POST",))
        >>> rule.fits(parse_request(b"POST /v2/models/fraud/infer?x=1 HTTP/1.1\r\nHost: a\r\n"))
        True
    """

    variant: str
    path: str = "*"
    methods: Collection[str] = ()
    header: str | None = None
    value: str = "*"
    _path: re.Pattern[bytes] = field(init=False, repr=False, compare=False)
    _methods: frozenset[bytes] = field(init=False, repr=False, compare=False)
    _values: re.Pattern[bytes] = field(init=False, repr=False, compare=False)
    _value: re.Pattern[bytes] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_path", glob(self.path))
        object.__setattr__(self, "_methods", frozenset(method.encode() for method in self.methods))
        object.__setattr__(self, "_values", values(self.header or ""))
        object.__setattr__(self, "_value", glob(self.value))

    def fits(self, head: RequestHead) -> bool:
        """Whether the request is one of those."""
        if self._methods and head.method not in self._methods:
            return False
        if not self._path.fullmatch(_path_of(head.target)):
            return False
        if self.header is None:
            return True
        found = self._values.findall(b"\n" + head.lines)
        return any(self._value.fullmatch(value) for value in found)


def glob(pattern: str) -> re.Pattern[bytes]:
    """What a pattern stands for, to be matched in full.

    >>> bool(glob("/a*/c").fullmatch(b"/a/b/c")), bool(glob("/?").fullmatch(b"/"))
    (True, False)
    """
    first, *others = [_literal(piece) for piece in re.split(r"\*+", pattern)]
    if not others:
        return re.compile(first, re.DOTALL)
    middle = b"".join(b"(?>.*?%b)" % piece for piece in others[:-1])
    return re.compile(first + middle + b".*" + others[-1], re.DOTALL)


def values(name: str) -> re.Pattern[bytes]:
    """Finds the fields of that name in field lines that have a line end before them; group 1 is the value."""
    words = rb"[^\r \t]*+(?:[ \t]++[^\r \t]++)*+"
    return re.compile(rb"\n%b:[ \t]*+(%b)" % (re.escape(name.encode()), words), re.IGNORECASE)


def _literal(piece: str) -> bytes:
    return b".".join(re.escape(part) for part in piece.encode().split(b"?"))


def _path_of(target: bytes) -> bytes:
    """Without the query, and without the scheme and authority that a target in absolute-form has."""
    path = target.partition(b"?")[0]
    return path if path.startswith(b"/") else _AUTHORITY.sub(b"", path) or b"/"
