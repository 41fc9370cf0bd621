"""What a model server offers to Prometheus, family by family: text format 0.0.4 or OpenMetrics 1.0.

https://prometheus.io/docs/instrumenting/exposition_formats/
https://prometheus.io/docs/specs/om/open_metrics_spec/

The parsers are prometheus_client's. They go over a line character by character, some of the way once for each label,
and hold a family until it ends: so lines are bounded in length and number before they see them. They run under the
interpreter's lock, which the request path needs: between lines it is let go.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple, cast

from sidecar.errors import PayloadError

if TYPE_CHECKING:
    # Loaded where there is something to be read.
    from prometheus_client.metrics_core import Metric as Family

MAX_BYTES = 16 * 1024 * 1024
"""Of an exposition, as it came and inflated. Those of model servers have some hundred KiB."""

MAX_LINES = 50_000
"""A family of so many samples takes some 40 MB while it is read."""

MAX_LINE_CHARACTERS = 16 * 1024

BREATH_LINES = 16
"""Some 0.3 ms of reading."""

OPENMETRICS = "application/openmetrics-text"

_GZIP = zlib.MAX_WBITS | 16

# Told apart by what they are, not where they come from: the parsers check less than they rely on.
_NOT_IN_FORMAT = (ValueError, LookupError, TypeError, AttributeError, NameError, ArithmeticError)


class Page(NamedTuple):
    """An exposition as it came.

    Args:
        media: Its media type, in lower case and without parameters; empty without one.
        coding: Its content coding: `gzip`, or empty.
        data: At most `MAX_BYTES`.
    """

    media: str
    coding: str
    data: bytes


def families(page: Page, breathe: Callable[[], None]) -> "Iterator[Family]":
    """The families in their order; a name may come more than once.

    Args:
        breathe: Called between lines, now and then; what it raises ends the reading.

    Raises:
        PayloadError: Reason `too_large`: it goes beyond a bound. Reason `format`: it is neither format, or cut short.
    """
    text = _text(page)
    parse = _openmetrics() if page.media == OPENMETRICS else _prometheus()
    try:
        yield from parse(_lines(text, breathe))
    except _NOT_IN_FORMAT as error:
        told = f"{type(error).__name__}: {error}"[:200]
        raise PayloadError("format", f"exposition: {told}, expected {page.media or 'text/plain'}") from None


def _text(page: Page) -> str:
    data = page.data
    try:
        if page.coding:
            data = _inflated(data)
        return data.decode()
    except (zlib.error, UnicodeDecodeError) as error:
        raise PayloadError("format", f"exposition: {str(error)[:200]}, expected gzip or plain UTF-8") from None


def _inflated(data: bytes) -> bytes:
    stream = zlib.decompressobj(_GZIP)
    text = stream.decompress(data, MAX_BYTES + 1)
    if len(text) > MAX_BYTES:
        raise PayloadError("too_large", f"exposition: inflates beyond {MAX_BYTES} bytes")
    if not stream.eof or stream.unused_data:
        raise zlib.error("cut short, or more than one member")
    return text


def _lines(text: str, breathe: Callable[[], None]) -> Iterator[str]:
    """Each with its line feed, as the parsers want them; only that ends a line."""
    start = lines = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        lines += 1
        if lines > MAX_LINES:
            raise PayloadError("too_large", f"exposition: expected at most {MAX_LINES} lines")
        if end - start > MAX_LINE_CHARACTERS:
            raise PayloadError("too_large", f"line {lines}: expected at most {MAX_LINE_CHARACTERS} characters")
        if lines % BREATH_LINES == 0:
            breathe()
        yield text[start:end]
        start = end


_Parse = Callable[[Iterable[str]], "Iterable[Family]"]
"""What both parsers are: they ask for a file, and only go over its lines."""


def _prometheus() -> _Parse:
    from prometheus_client.parser import text_fd_to_metric_families

    return cast("_Parse", text_fd_to_metric_families)


def _openmetrics() -> _Parse:
    from prometheus_client.openmetrics.parser import text_fd_to_metric_families

    return cast("_Parse", text_fd_to_metric_families)
