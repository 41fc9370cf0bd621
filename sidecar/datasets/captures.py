"""Captured traffic, SageMaker's or ours, as a data set: what the model was asked and what it answered, side by side."""

import base64
import binascii
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from msgspec import Struct, field

from sidecar.datasets.chunk import LINES_BYTES, Chunk, fractions, refuse
from sidecar.errors import PayloadError
from sidecar.payload import DECODERS
from sidecar.payload.assembling import assemble
from sidecar.payload.decoding import Decoding, Rows
from sidecar.records import Body, Capture, Sample, Table

_TYPES = {"CSV": "text/csv", "JSON": "application/json", "BASE64": ""}


class _Half(Struct):
    data: str = ""
    encoding: Literal["CSV", "JSON", "BASE64"] = "BASE64"
    content_type: str = field(default="", name="observedContentType")

    def body(self, withheld: str) -> Body:
        data = base64.b64decode(self.data, validate=True) if self.encoding == "BASE64" else self.data.encode()
        return Body(self.content_type or _TYPES[self.encoding], data, withheld)


class _Data(Struct):
    asked: _Half = field(default_factory=_Half, name="endpointInput")
    answered: _Half = field(default_factory=_Half, name="endpointOutput")


class _Metadata(Struct):
    event_id: str = field(name="eventId")
    inference_id: str = field(default="", name="inferenceId")


class _Withheld(Struct):
    request: str = ""
    reply: str = ""


class _Ours(Struct):
    variant: str = ""
    version: str = ""
    request_id: str = ""
    method: str = "POST"
    path: str = ""
    status: int = 200
    withheld: _Withheld = field(default_factory=_Withheld)


class _Line(Struct):
    data: _Data = field(name="captureData")
    metadata: _Metadata = field(name="eventMetadata")
    ours: _Ours = field(default_factory=_Ours, name="sidecar")


def read_captures(path: Path, decoding: Decoding) -> Iterator[Chunk]:
    """The rows of a file of captures; lines whose request cannot be read are passed over, and told by reason.

    Raises:
        ConfigError: A line is no capture, or a prediction is called as a feature is.
    """
    with path.open("rb") as file:
        number = 0
        while lines := file.readlines(LINES_BYTES):
            items: list[tuple[Capture, Rows]] = []
            skipped = []
            for offset, line in enumerate(lines, 1):
                capture = _capture(line, path, number + offset)
                try:
                    items.append((capture, decoding.decode(capture)))
                except PayloadError as error:
                    skipped.append(error.reason)
            number += len(lines)
            yield from _chunks(path, items, sum(map(len, lines)), skipped)


def decoding_of(features: Sequence[str], prediction: Sequence[str]) -> Decoding:
    """The decoding of any format, with names for columns that have none."""
    return Decoding(DECODERS, features=features, prediction=prediction)


def _capture(line: bytes, path: Path, number: int) -> Capture:
    try:
        found = msgspec.json.decode(line, type=_Line)
        asked = found.data.asked.body(found.ours.withheld.request)
        answered = found.data.answered.body(found.ours.withheld.reply)
    except (msgspec.DecodeError, binascii.Error) as error:
        raise refuse(path, f":{number}", f"{error}, expected a line of SageMaker's data capture") from None
    ours = found.ours
    return Capture(
        request_id=ours.request_id or found.metadata.event_id,
        inference_id=found.metadata.inference_id,
        variant=ours.variant,
        version=ours.version,
        method=ours.method,
        path=ours.path,
        route="",
        status=ours.status,
        error_type="",
        started_s=0.0,
        duration_s=0.0,
        first_byte_s=0.0,
        overhead_s=0.0,
        sample_ratio=1.0,
        headers={},
        request=asked,
        reply=answered,
    )


def _chunks(
    path: Path, items: Sequence[tuple[Capture, Rows]], read_bytes: int, skipped: Sequence[str]
) -> Iterator[Chunk]:
    """One for each set of columns; the first of them carries the counts."""
    groups: dict[tuple[tuple[str, ...], tuple[str, ...]], list[tuple[Capture, Rows]]] = {}
    for item in items:
        groups.setdefault((item[1].features, item[1].predictions), []).append(item)
    for group in groups.values():
        cells = [
            [*asked, *answered]
            for _, rows in group
            for asked, answered in zip(rows.asked, rows.answered or [[]] * len(rows.asked), strict=True)
        ]
        for sample in assemble(group):
            yield Chunk(_side_by_side(path, sample), fractions(cells), read_bytes, skipped)
            read_bytes, skipped = 0, ()
    if read_bytes:
        yield Chunk(Table((), np.empty((0, 0))), (), read_bytes, skipped)


def _side_by_side(path: Path, sample: Sample) -> Table:
    features, predictions = sample.features, sample.predictions
    if clash := set(features.names) & set(predictions.names):
        message = f"{min(clash)[:80]!r} is a feature and a prediction, expected different names (see --prediction)"
        raise refuse(path, "", message)
    width = len(features.names)
    texts = {**features.texts, **{width + column: cells for column, cells in predictions.texts.items()}}
    return Table(features.names + predictions.names, np.hstack([features.values, predictions.values]), texts)
