"""Media types as this package tells them apart."""

from functools import lru_cache

CSV = "text/csv"
JSON_LINES = frozenset({"application/jsonlines", "application/x-jsonlines", "application/x-ndjson"})


@lru_cache(maxsize=64)  # an upstream and its clients send a handful
def media_type(content_type: str) -> str:
    """The type in lower case, without parameters.

    >>> media_type("Application/JSON; charset=utf-8")
    'application/json'
    """
    return content_type.partition(";")[0].strip().lower()


def is_json(media: str) -> bool:
    """Whether a body of this type is one JSON text (RFC 6839 for the suffix)."""
    return media == "application/json" or media.endswith("+json")
