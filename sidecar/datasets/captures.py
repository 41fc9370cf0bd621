"""Captured traffic, SageMaker's or ours, as a data set: what the model was asked and what it answered, side by side."""

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct, field

from sidecar.datasets.chunk import LINES_BYTES, Chunk, fractions, refuse
from sidecar.errors import PayloadError
from sidecar.payload import DECODERS
from sidecar.payload.assembling import assemble
from sidecar.payload.decoding import Decoding
from sidecar.records import Body, Capture, Rows, Sample, Table

NO_HEADERS: Mapping[str, Mapping[str, str]] = {"request": {}, "reply": {}}

LATEST_S = 253_402_300_800.0
"""Unix time at which the year 10000 begins."""

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
    time: str = field(default="", name="inferenceTime")


class _Withheld(Struct):
    request: str = ""
    reply: str = ""


class _Ours(Struct):
    variant: str = ""
    version: str = ""
    request_id: str = ""
    method: str = "POST"
    path: str = ""
    route: str = ""
    status: Annotated[int, Meta(ge=0, le=999)] = 200
    error_type: str = ""
    started_s: float | None = None
    duration_s: float = 0.0
    first_byte_s: float = 0.0
    overhead_s: float = 0.0
    sample_ratio: float = 1.0
    headers: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: NO_HEADERS)
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
                try:
                    capture = capture_of(line)
                except PayloadError as error:
                    raise refuse(path, f":{number + offset}", str(error)) from None
                try:
                    items.append((capture, decoding.decode(capture)))
                except PayloadError as error:
                    skipped.append(error.reason)
            number += len(lines)
            yield from _chunks(path, items, sum(map(len, lines)), skipped)


def decoding_of(features: Sequence[str], prediction: Sequence[str], format: str = "auto") -> Decoding:
    """The decoding of one format, or of any, with names for columns that have none."""
    return Decoding(DECODERS, format=format, features=features, prediction=prediction)


def capture_of(line: bytes, variant: str = "") -> Capture:
    """The capture that a line tells; `started_s` is NaN where it tells no time.

    Args:
        variant: Who answered, where the line does not say so: SageMaker's don't, but their folders do.

    Raises:
        PayloadError: Reason `format`: it is no capture.
    """
    try:
        found = msgspec.json.decode(line, type=_Line)
        asked = found.data.asked.body(found.ours.withheld.request)
        answered = found.data.answered.body(found.ours.withheld.reply)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:  # ValueError: what is no base64
        raise PayloadError("format", f"{error}, expected a line of SageMaker's data capture") from None
    ours, metadata = found.ours, found.metadata
    return Capture(
        request_id=ours.request_id or metadata.event_id,
        inference_id=metadata.inference_id,
        variant=ours.variant or variant,
        version=ours.version,
        method=ours.method,
        path=ours.path,
        route=ours.route,
        status=ours.status,
        error_type=ours.error_type,
        started_s=_time_s(metadata.time) if ours.started_s is None else _sane(ours.started_s),
        duration_s=ours.duration_s,
        first_byte_s=ours.first_byte_s,
        overhead_s=ours.overhead_s,
        sample_ratio=ours.sample_ratio,
        headers=ours.headers,
        request=asked,
        reply=answered,
        given_id=metadata.event_id,
    )


@lru_cache(maxsize=64)
def _time_s(text: str) -> float:
    """Unix time; NaN where it is none. Times are whole seconds: those of many lines are the same."""
    try:
        found = datetime.fromisoformat(text)
        return _sane((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return math.nan


def _sane(time_s: float) -> float:
    """NaN instead of a time before 1970, or behind what a calendar has."""
    return time_s if 0 <= time_s < LATEST_S else math.nan


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
