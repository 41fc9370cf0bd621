"""Predictions and labels as bytes, and back as they were.

MessagePack, whose numbers keep their kind and all their bits. What it has no spelling for (a lone surrogate, an integer
beyond 64 bits) makes the whole document JSON, as Python reads and writes it; the first byte tells the two apart, since
no array of MessagePack begins with a bracket.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

import msgspec

from sidecar.records import Label, Prediction, Scalar
from sidecar.scalars import plain

DIGEST_BYTES = 16
"""Of two ids nobody finds one digest: that would take 2**64 attempts."""

T = TypeVar("T")


class Layout(NamedTuple):
    """What thousands of predictions have in common, and what need not be kept with each of them."""

    variant: str
    version: str
    features: tuple[str, ...]
    predictions: tuple[str, ...]


class _Body(NamedTuple):
    """The rest of a prediction."""

    ids: tuple[str, ...]
    time_s: float
    weight: float
    asked: Sequence[Sequence[Scalar]]
    answered: Sequence[Sequence[Scalar]]
    groups: Mapping[str, str]
    unit: int = 0


class _Whole(NamedTuple):
    layout: Layout
    body: _Body


class _Told(NamedTuple):
    id: str
    values: tuple[Scalar, ...]
    metric: str
    groups: Mapping[str, Scalar]


class _Form(Generic[T]):
    """Tuples of one shape."""

    def __init__(self, shape: type[T]) -> None:
        self._shape = shape
        self._decoder = msgspec.msgpack.Decoder(shape)

    def encode(self, value: T) -> bytes:
        try:
            return msgspec.msgpack.encode(value, enc_hook=_known)
        except (UnicodeEncodeError, OverflowError):
            return json.dumps(value, default=_known).encode()

    def decode(self, data: bytes) -> T:
        if data[:1] == b"[":
            return msgspec.convert(json.loads(data), self._shape)
        return self._decoder.decode(data)


_LAYOUT, _BODY, _WHOLE, _TOLD = _Form(Layout), _Form(_Body), _Form(_Whole), _Form(_Told)


def layout_of(prediction: Prediction) -> Layout:
    """What this prediction has in common with others."""
    return Layout(prediction.variant, prediction.version, prediction.features, prediction.predictions)


def rows_of(prediction: Prediction) -> int:
    """How many values a label of it has; where the request or the reply could not be read, the other one tells."""
    return max(len(prediction.asked), len(prediction.answered))


def digest(text: str) -> bytes:
    """By which an id or a metric is found: of one length, however long the text is."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()


def encode_layout(layout: Layout) -> bytes:
    """The layout alone."""
    return _LAYOUT.encode(layout)


def decode_layout(data: bytes) -> Layout:
    """Raises ValueError where it is none."""
    return _LAYOUT.decode(data)


def encode_body(prediction: Prediction) -> bytes:
    """All but the layout."""
    return _BODY.encode(_body_of(prediction))


def decode_body(data: bytes, layout: Layout) -> Prediction:
    """Raises ValueError where it is none."""
    return _prediction(layout, _BODY.decode(data))


def encode_prediction(prediction: Prediction) -> bytes:
    """The whole of it.

    Example:
        >>> kept = Prediction(("e",), "a", "3", 0.0, 1.0, ("age",), [[30]], ("probability",), [[float("inf")]])
        >>> decode_prediction(encode_prediction(kept)) == kept
        True
    """
    return _WHOLE.encode(_Whole(layout_of(prediction), _body_of(prediction)))


def decode_prediction(data: bytes) -> Prediction:
    """Raises ValueError where it is none."""
    return _prediction(*_WHOLE.decode(data))


def encode_label(label: Label) -> bytes:
    """The whole of it."""
    return _TOLD.encode(_Told(label.id, label.values, label.metric, label.groups))


def decode_label(data: bytes) -> Label:
    """Raises ValueError where it is none."""
    return Label(*_TOLD.decode(data))


def _body_of(prediction: Prediction) -> _Body:
    kept = prediction
    return _Body(kept.ids, kept.time_s, kept.weight, kept.asked, kept.answered, kept.groups, kept.unit)


def _prediction(layout: Layout, body: _Body) -> Prediction:
    ids, time_s, weight, asked, answered, groups, unit = body
    variant, version, features, predictions = layout
    return Prediction(ids, variant, version, time_s, weight, features, asked, predictions, answered, groups, unit)


def _known(value: object) -> object:
    """What the types allow for what is meant: scalars of numpy's, rows and mappings of any kind."""
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str | bytes) else plain(value)
