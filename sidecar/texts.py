"""Texts for people: those that come out of payloads, which may hold anything and be of any length; and counts."""

import re

# Controls, line and paragraph separators, what turns the direction of writing round, byte order marks, surrogates.
_UNSHOWABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def encodable(text: str) -> str:
    r"""The text, a lone surrogate in it (JSON can spell one, UTF-8 and protobuf cannot) as its escape.

    Example:
        >>> encodable("a\ud800b")
        'a\\ud800b'
    """
    return text.encode("utf-8", "backslashreplace").decode()


def shown(text: str, length: int) -> str:
    r"""The text on one line, what cannot be shown as its escape, and no longer than `length`.

    Example:
        >>> shown("a\nb", 80), shown("abcdef", 4)
        ('a\\nb', 'abc…')
    """
    escaped = _UNSHOWABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text[: length + 1])
    return escaped if len(escaped) <= length else escaped[: length - 1] + "…"


def counted(count: int, word: str, words: str = "") -> str:
    """So many of something.

    Example:
        >>> counted(1, "row"), counted(2000, "row"), counted(0, "entry", "entries")
        ('1 row', '2,000 rows', 'no entries')
    """
    return f"{f'{count:,}' if count else 'no'} {word if count == 1 else words or f'{word}s'}"
