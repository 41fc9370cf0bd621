"""Capture → Rows: the format found, features and predictions read and named."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from sidecar.errors import ConfigError, Fault, PayloadError
from sidecar.payload.document import parse
from sidecar.payload.grid import Grid
from sidecar.payload.media import CSV, JSON_LINES, is_json, media_type
from sidecar.payload.reading import UNREAD, Documents
from sidecar.ports import Decoder
from sidecar.records import JSON, Body, Capture, Rows

REASONS = ("withheld", "empty", "format", "json", "shape", "rows", "status")
"""Every reason under which a body, or a reply alone, is not decoded."""


class Decoding:
    """Turns captures into rows.

    Args:
        decoders: The formats by name, in the order in which `auto` asks them.
        format: The name of the one format that all requests have, or `auto`.
        features: Names for columns that have none in the payload, used where the number fits.
        prediction: The same for the reply's.

    Raises:
        ConfigError: No format has this name.
    """

    def __init__(
        self,
        decoders: Mapping[str, Callable[..., Decoder]],
        *,
        format: str = "auto",
        features: Sequence[str] = (),
        prediction: Sequence[str] = (),
    ) -> None:
        if format != "auto" and format not in decoders:
            raise ConfigError(Fault("format", f"{format!r}, expected auto or one of {', '.join(decoders)}"))
        self._decoders = [build() for build in decoders.values()]
        self._only = decoders[format]() if format != "auto" else None
        self._features = tuple(features)
        self._prediction = tuple(prediction)

    def decode(self, capture: Capture, documents: Documents = UNREAD) -> Rows:
        """The rows of one exchange. A reply that cannot be read costs its predictions only, and is told as `fault`.

        Raises:
            PayloadError: The request cannot be read; the reason is a word of `REASONS`.
        """
        media, document = _opened(capture.request, documents.request)
        decoder = self._only or self._choose(capture.path, media, document)
        grid = decoder.features(capture.request.data, document)
        asked = grid[1]
        names = _named(grid, self._features, feature_names)
        try:
            predictions, answered = self._answers(capture, documents.reply, decoder)
        except PayloadError as error:
            return Rows(names, asked, fault=error.reason)
        if len(answered) != len(asked):
            return Rows(names, asked, fault="rows")
        return Rows(names, asked, predictions, answered)

    def _choose(self, path: str, media: str, document: JSON) -> Decoder:
        for decoder in self._decoders:
            if decoder.reads(path, media, document):
                return decoder
        raise PayloadError("format", f"request: {media[:80] or 'no content type'}, expected a format that is known")

    def _answers(self, capture: Capture, known: JSON, asked: Decoder) -> tuple[tuple[str, ...], list[list[object]]]:
        """The reply's rows: in the request's format, unless its own media type names another."""
        if not 200 <= capture.status < 300:
            raise PayloadError("status", f"reply: status {capture.status}, expected 2xx")
        media, document = _opened(capture.reply, known)
        decoder = self._choose("", media, None) if media == CSV or media in JSON_LINES else asked
        grid = decoder.predictions(capture.reply.data, document)
        return _named(grid, self._prediction, _prediction_names), grid[1]


def _opened(body: Body, known: JSON) -> tuple[str, JSON]:
    """The body's media type and document; None where it is not JSON."""
    if body.withheld:
        raise PayloadError("withheld", f"body: {body.withheld}, expected all of it")
    if not body.data:
        raise PayloadError("empty", "body: empty, expected rows")
    media = media_type(body.content_type)
    if known is not None or media == CSV or media in JSON_LINES:
        return media, known
    try:
        return media, parse(body.data)
    except PayloadError:
        if is_json(media) or body.data.lstrip()[:1] in (b"{", b"["):
            raise
        return media, None


def _named(grid: Grid, configured: tuple[str, ...], numbered: Callable[[int], tuple[str, ...]]) -> tuple[str, ...]:
    names, rows = grid
    if names:
        if len(set(names)) < len(names):
            raise PayloadError("shape", "columns: a name occurs twice, expected different names")
        return tuple(names)
    width = len(rows[0])
    return configured if len(configured) == width else numbered(width)


@lru_cache(maxsize=64)
def feature_names(width: int) -> tuple[str, ...]:
    """The names of columns that have none in the payload."""
    return tuple(f"feature_{index}" for index in range(width))


@lru_cache(maxsize=64)
def _prediction_names(width: int) -> tuple[str, ...]:
    return ("prediction",) if width == 1 else tuple(f"prediction_{index}" for index in range(width))
