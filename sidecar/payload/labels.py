"""Labels and outcomes as they are posted: JSON, JSON Lines, and SageMaker's ground-truth lines.

A bad entry is a fault of its own and does not hold back the others. Unknown keys are faults, since a misspelt one is a
label that never comes; inside SageMaker's records they are passed over.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-model-quality-merge.html
"""

import csv
import json
import math
from base64 import b64decode
from collections.abc import Iterable, Mapping
from io import StringIO
from itertools import islice
from typing import NamedTuple

from sidecar.errors import PayloadError
from sidecar.payload.csv import cell
from sidecar.payload.document import parse
from sidecar.payload.media import JSON_LINES
from sidecar.records import JSON, Label, Scalar
from sidecar.texts import shown

MAX_ENTRIES = 100_000
"""Of one body: every bad one is told of, in some hundred bytes."""

MAX_ID = 512
"""Characters of an id; as the next two of their texts."""

MAX_NAME = 100
MAX_TEXT = 1000
MAX_VALUES = 10_000
"""Rows of one exchange."""

MAX_GROUPS = 50

_BOM = b"\xef\xbb\xbf"
_KEYS = ("id", "label", "groups", "metric", "value")
_LARGEST = 2**63
"""Integers from here on are floats, as orjson reads them."""


class LabelFault(NamedTuple):
    """An entry that is no label.

    Args:
        place: Where: `[3].label`, `line 7`, `line 7, label`; a field alone where the body is one object.
        id: What it calls its exchange, where that can be read.
        message: What is wrong, and what was expected.
        order: Its place among all entries, from 0.
    """

    place: str
    id: str | None
    message: str
    order: int


class Parsed(NamedTuple):
    """What a body holds.

    Args:
        labels: In the order in which they stand.
        faults: Likewise of the other entries.
        places: Where each label stands: `[3]`, `line 7`; empty where the body is one object.
    """

    labels: list[Label]
    faults: list[LabelFault]
    places: list[str]


class _Malformed(Exception):
    """An entry is no label."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class _Entry(NamedTuple):
    """Something that should be a label; `unread` says why it is no JSON."""

    place: str
    document: JSON
    unread: str = ""


def parse_labels(data: bytes, media: str) -> Parsed:
    """The labels of a body.

    Args:
        media: The media type in lower case, without parameters. Lines are read under JSON's own too, where the body
            as a whole is not JSON.

    Raises:
        PayloadError: Nothing in it can be read. Reason `empty`; `json`: no JSON; `shape`: JSON, but neither an object
            nor a list; `too_large`: more than 100,000 entries or lines.

    Example:
        >>> found = parse_labels(b'[{"id": "a", "label": 1}, {"id": "b", "lable": 0}]', "application/json")
        >>> found.labels[0].values, found.faults[0].place
        ((1,), '[1].lable')
    """
    data = data.removeprefix(_BOM)
    if not data.strip():
        raise PayloadError("empty", "body: empty, expected labels")
    entries = _readable(_lines(data)) if media in JSON_LINES else _document(data)
    found = Parsed([], [], [])
    for order, entry in enumerate(entries):
        try:
            found.labels.append(_label(entry))
            found.places.append(entry.place)
        except _Malformed as wrong:
            place = _joined(entry.place, wrong.field)
            found.faults.append(LabelFault(place, _id_if_any(entry.document), str(wrong), order))
    return found


def _document(data: bytes) -> list[_Entry]:
    try:
        document = parse(data)
    except PayloadError:
        lines = _lines(data)
        if any(isinstance(entry.document, dict) for entry in lines):
            return lines
        raise
    if isinstance(document, dict):
        return [_Entry("", document)]
    if not isinstance(document, list):
        raise PayloadError("shape", "body: a single value, expected an object with id and label, or a list of them")
    if len(document) > MAX_ENTRIES:
        raise PayloadError("too_large", f"body: {len(document)} entries, expected at most {MAX_ENTRIES}")
    return [_Entry(f"[{index}]", each) for index, each in enumerate(document)]


def _lines(data: bytes) -> list[_Entry]:
    if (ends := data.count(b"\n")) > MAX_ENTRIES:
        raise PayloadError("too_large", f"body: {ends} lines, expected at most {MAX_ENTRIES}")
    return [_line(number, line) for number, line in enumerate(data.split(b"\n"), 1) if line.strip()]


def _line(number: int, line: bytes) -> _Entry:
    try:
        return _Entry(f"line {number}", parse(line))
    except PayloadError as error:
        return _Entry(f"line {number}", None, str(error).removeprefix("body: "))


def _readable(entries: list[_Entry]) -> list[_Entry]:
    if all(entry.unread for entry in entries):
        raise PayloadError("json", f"body: {entries[0].place}: {entries[0].unread}")
    return entries


def _joined(place: str, field: str) -> str:
    between = "" if not place or not field else ", " if place.startswith("line") else "."
    return f"{place}{between}{field}"


def _label(entry: _Entry) -> Label:
    given = entry.document
    if entry.unread:
        raise _Malformed("", entry.unread)
    if not isinstance(given, dict):
        raise _Malformed("", "expected an object with id and label")
    if "groundTruthData" in given:
        return _ground_truth(given)
    for key in given:
        if key not in _KEYS:
            raise _Malformed(shown(key, 40), f"unknown key, expected some of {', '.join(_KEYS)}")
    name, groups = _id("id", given.get("id")), _groups(given.get("groups", {}))
    if "metric" in given or "value" in given:
        return _outcome(name, given, groups)
    if "label" not in given:
        raise _Malformed("label", "missing, expected label, or metric and value")
    return Label(name, _values("label", given["label"]), groups=groups)


def _outcome(name: str, given: Mapping[str, JSON], groups: Mapping[str, Scalar]) -> Label:
    for key in ("metric", "value"):
        if "label" in given and key in given:
            raise _Malformed(key, "beside label, expected label, or metric and value")
        if key not in given:
            raise _Malformed(key, "missing, expected metric and value")
    metric = given["metric"]
    if not isinstance(metric, str) or not 1 <= len(metric) <= MAX_NAME:
        raise _Malformed("metric", f"expected a name of 1 to {MAX_NAME} characters")
    values = _values("value", given["value"])
    for index, value in enumerate(values):
        if isinstance(value, str | bool):
            raise _Malformed(f"value[{index}]" if len(values) > 1 else "value", f"{_told(value)}, expected a number")
    return Label(name, values, metric, groups)


def _id(field: str, given: JSON) -> str:
    if isinstance(given, str) and 1 <= len(given) <= MAX_ID:
        return given
    raise _Malformed(field, f"expected a text of 1 to {MAX_ID} characters")


def _id_if_any(document: JSON) -> str | None:
    """What an entry calls its exchange, whatever else is wrong with it."""
    try:
        if "groundTruthData" in document:
            return _event_id(document)
        return _id("id", document["id"])
    except (_Malformed, TypeError, LookupError):
        return None


def _groups(given: JSON) -> dict[str, Scalar]:
    if not isinstance(given, dict) or len(given) > MAX_GROUPS:
        raise _Malformed("groups", f"expected an object of at most {MAX_GROUPS} scalars")
    for name in given:
        if not 1 <= len(name) <= MAX_NAME:
            raise _Malformed("groups", f"{shown(name, 40)!r}: expected names of 1 to {MAX_NAME} characters")
    return {
        name: None if value is None else _scalar(f"groups.{shown(name, 40)}", value) for name, value in given.items()
    }


def _values(field: str, given: JSON) -> tuple[Scalar, ...]:
    """A truth, or one for each row of an exchange."""
    if not isinstance(given, list):
        return (_scalar(field, given),)
    if not 1 <= len(given) <= MAX_VALUES:
        raise _Malformed(field, f"{len(given)} values, expected 1 to {MAX_VALUES}")
    return tuple(_scalar(f"{field}[{index}]", value) for index, value in enumerate(given))


def _scalar(field: str, value: JSON) -> Scalar:
    """A text, a finite number or a boolean; anything else is no truth."""
    if isinstance(value, str) and 1 <= len(value) <= MAX_TEXT:
        return value
    if isinstance(value, bool) or (isinstance(value, int) and -_LARGEST <= value < _LARGEST):
        return value
    if isinstance(value, int | float) and math.isfinite(number := _as_float(value)):
        return number
    expected = f"expected a text of at most {MAX_TEXT} characters, a finite number, true or false"
    raise _Malformed(field, f"{_told(value)}, {expected}")


def _as_float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf


def _told(value: JSON) -> str:
    """A value in a few words."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, str) and len(value) > MAX_TEXT:
        return f"{len(value)} characters"
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else "infinite"
    return "empty" if value == "" else json.dumps(value)[:40]


# SageMaker's


def _ground_truth(given: Mapping[str, JSON]) -> Label:
    name = _event_id(given)
    field = "groundTruthData.data"
    return Label(name, _values(field, _decoded(field, given["groundTruthData"])))


def _event_id(given: Mapping[str, JSON]) -> str:
    """SageMaker calls it `eventId` even where it holds an inference id; not everybody does."""
    metadata = given.get("eventMetadata")
    if not isinstance(metadata, dict):
        raise _Malformed("eventMetadata", "expected an object with eventId")
    return _id("eventMetadata.eventId", metadata.get("eventId", metadata.get("inferenceId")))


def _decoded(field: str, truth: JSON) -> JSON:
    """The value of a record's `data`, or the list of them: one for each row of the exchange."""
    if not isinstance(truth, dict) or "data" not in truth:
        raise _Malformed("groundTruthData", "expected an object with data and encoding")
    data, encoding = truth["data"], truth.get("encoding", "CSV")
    if not isinstance(data, str):
        return data
    try:
        if encoding == "JSON":
            return parse(data.encode())
        if encoding == "BASE64":
            return _fields(b64decode(data, validate=True).decode())
        if encoding == "CSV":
            return _fields(data)
    except (PayloadError, csv.Error, ValueError) as error:
        raise _Malformed(field, f"{str(error).removeprefix('body: ')[:200]}, expected {encoding}") from None
    raise _Malformed("groundTruthData.encoding", "expected CSV, JSON or BASE64")


def _fields(text: str) -> list[float | str | None]:
    """CSV's fields, of all lines; those that read as numbers are numbers, empty ones are missing."""
    lines: Iterable[list[str]] = csv.reader(StringIO(text, newline=""), skipinitialspace=True, strict=True)
    return [cell(field.strip()) for field in islice((field for line in lines for field in line), MAX_VALUES + 1)]
