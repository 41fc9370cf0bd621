"""What `/v1/captures` answers: the latest captures, redacted as they are stored."""

import codecs
from base64 import b64encode
from collections.abc import Sequence
from itertools import islice

from sidecar.records import JSON, Body, Capture


def recent(captures: Sequence[Capture], limit: int) -> JSON:
    """The latest `limit`, latest first."""
    return {"captures": [_capture(each) for each in islice(reversed(captures), limit)]}


def _capture(capture: Capture) -> JSON:
    return {
        "request_id": capture.request_id,
        "inference_id": capture.inference_id,
        "variant": capture.variant,
        "version": capture.version,
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
        "headers": {half: dict(fields) for half, fields in capture.headers.items()},
        "request": _body(capture.request),
        "reply": _body(capture.reply),
    }


def _body(body: Body) -> JSON:
    try:
        # The end of a truncated body may go through a character, which is no reason to call the rest binary.
        text = codecs.getincrementaldecoder("utf-8")().decode(body.data, final=body.withheld != "truncated")
        encoding = "text"
    except UnicodeDecodeError:
        text, encoding = b64encode(body.data).decode(), "base64"
    return {"content_type": body.content_type, "encoding": encoding, "data": text, "withheld": body.withheld}
