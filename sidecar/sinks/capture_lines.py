"""SageMaker's capture files as all who write them have them: the line of a capture, and where its file lies."""

import base64
import json
import uuid
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote

import orjson

from sidecar.records import JSON, Body, Capture

MAX_NAME_LENGTH = 200
"""File systems allow 255 bytes."""

_JSON_TYPES = frozenset(
    {"application/json", "text/json"} | {f"application/{x}" for x in ("jsonlines", "x-jsonlines", "jsonl", "x-ndjson")}
)


@lru_cache(maxsize=64)
def _utc(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _encoding(content_type: str) -> str:
    media = content_type.partition(";")[0].strip().lower()
    if media == "text/csv":
        return "CSV"
    return "JSON" if media in _JSON_TYPES or media.endswith("+json") else "BASE64"


def _half(body: Body, mode: str) -> JSON:
    data = b"" if body.withheld else body.data
    encoding = _encoding(body.content_type)
    try:
        text = data.decode() if encoding != "BASE64" else base64.b64encode(data).decode()
    except UnicodeDecodeError:
        encoding, text = "BASE64", base64.b64encode(data).decode()
    return {"observedContentType": body.content_type, "mode": mode, "data": text, "encoding": encoding}


def line(capture: Capture) -> bytes:
    """The capture as SageMaker writes it, and what SageMaker has no place for under `sidecar`; with its line end."""
    metadata = {"eventId": capture.event_id, "inferenceTime": _utc(int(capture.started_s))}
    if capture.inference_id:
        metadata["inferenceId"] = capture.inference_id
    document = {
        "captureData": {
            "endpointInput": _half(capture.request, "INPUT"),
            "endpointOutput": _half(capture.reply, "OUTPUT"),
        },
        "eventMetadata": metadata,
        "eventVersion": "0",
        "sidecar": {
            "variant": capture.variant,
            "version": capture.version,
            "request_id": capture.request_id,
            "method": capture.method,
            "path": capture.path,
            "route": capture.route,
            "status": capture.status,
            "error_type": capture.error_type,
            "started_s": capture.started_s,
            "duration_s": capture.duration_s,
            "first_byte_s": capture.first_byte_s,
            "overhead_s": capture.overhead_s,
            "sample_ratio": capture.sample_ratio,
            "headers": capture.headers,
            "withheld": {"request": capture.request.withheld, "reply": capture.reply.withheld},
        },
    }
    try:
        return orjson.dumps(document, default=dict, option=orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError:  # a lone surrogate: a field's bytes that were no text; UTF-8 cannot hold it
        return json.dumps(document, default=dict, ensure_ascii=False).encode(errors="replace") + b"\n"


def folder_name(name: str) -> str:
    """One name, one folder: nothing climbs out, and no reader (Spark) skips it for a leading dot or underscore."""
    quoted = quote(name, safe="", errors="replace") or "%"
    if quoted[0] in "._":
        quoted = f"%{ord(quoted[0]):02X}{quoted[1:]}"
    return quoted[:MAX_NAME_LENGTH]


def file_place(variant: str, started_s: float, number: int) -> str:
    """`{variant}/yyyy/mm/dd/hh/mm-ss-mmm-{number}-{uuid}.jsonl`: where a file that begins so lies under its endpoint.

    Args:
        started_s: Unix time of its first capture.
        number: Of the file among those of this process; its place in the order of those that began at one moment.
    """
    moment = datetime.fromtimestamp(started_s, UTC)
    name = f"{moment:%M-%S}-{moment.microsecond // 1000:03}-{number:06}-{uuid.uuid4().hex}.jsonl"
    return f"{folder_name(variant)}/{moment:%Y/%m/%d/%H}/{name}"
