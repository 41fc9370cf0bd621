"""Exchange → Capture: codings undone, secrets replaced. Nothing behind this point sees the raw bytes."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from sidecar.errors import PayloadError
from sidecar.exchange import Exchange, Message
from sidecar.payload.inflating import inflate
from sidecar.payload.media import media_type
from sidecar.payload.redacting import Redaction
from sidecar.records import JSON, Body, Capture


class Documents(NamedTuple):
    """The bodies of a capture as JSON, where reading had to parse them: decoding need not do so again."""

    request: JSON = None
    reply: JSON = None


UNREAD = Documents()

_TYPE, _CODINGS, _INFERENCE_ID = b"content-type", b"content-encoding", b"x-amzn-sagemaker-inference-id"

Fields = dict[bytes, str]
"""The fields of one head that are of use, by lower-case name; repeated ones joined by commas (RFC 9110, 5.3)."""


class Reader:
    """Turns exchanges into captures.

    Args:
        max_inflated_bytes: The most that a compressed body may inflate to.
        redact: JSON pointer patterns of what must not be stored; see `redacting`.
        redact_headers: Fields never kept, even where `headers` names them.
        headers: Fields kept, in any case.

    Raises:
        ConfigError: A pattern of `redact` is not a JSON pointer.
    """

    def __init__(
        self,
        *,
        max_inflated_bytes: int,
        redact: Sequence[str] = (),
        redact_headers: Sequence[str] = (),
        headers: Sequence[str] = (),
    ) -> None:
        never = {name.lower() for name in redact_headers}
        self._limit_bytes = max_inflated_bytes
        self._redaction = Redaction(redact) if redact else None
        self._kept = {name: name.encode() for field in headers if (name := field.lower()) not in never}
        wanted = b"|".join(map(re.escape, {_TYPE, _CODINGS, _INFERENCE_ID, *self._kept.values()}))
        self._wanted = re.compile(rb"\n(%s):[ \t]*([^\r\n]*)" % wanted, re.IGNORECASE)

    def read(self, exchange: Exchange) -> tuple[Capture, Documents]:
        """The exchange as it may be stored, and the documents that redaction has parsed on the way."""
        asked, answered = self._fields(exchange.request.lines), self._fields(exchange.reply.lines)
        request, question = self._body(asked, exchange.request)
        reply, answer = self._body(answered, exchange.reply)
        capture = Capture(
            request_id=exchange.request_id,
            inference_id=asked.get(_INFERENCE_ID, ""),
            variant=exchange.variant,
            version=exchange.version,
            method=exchange.method,
            path=exchange.target.partition(b"?")[0].decode("latin-1"),
            route=exchange.route,
            status=exchange.status,
            error_type=exchange.error_type,
            started_s=exchange.started_s,
            duration_s=exchange.duration_s,
            first_byte_s=exchange.first_byte_s,
            overhead_s=exchange.overhead_s,
            sample_ratio=exchange.sample_ratio,
            headers={"request": self._headers(asked), "reply": self._headers(answered)},
            request=request,
            reply=reply,
            unit=exchange.unit,
            shadow=exchange.shadow,
        )
        return capture, UNREAD if question is None and answer is None else Documents(question, answer)

    def _fields(self, lines: bytes) -> Fields:
        """One search over all lines instead of one for each."""
        fields: Fields = {}
        for field, text in self._wanted.findall(b"\n" + lines):
            name, value = field.lower(), text.rstrip(b" \t").decode("latin-1")
            fields[name] = f"{fields[name]}, {value}" if name in fields else value
        return fields

    def _headers(self, fields: Fields) -> dict[str, str]:
        return {name: fields[key] for name, key in self._kept.items() if key in fields} if self._kept else {}

    def _body(self, fields: Fields, message: Message) -> tuple[Body, JSON]:
        content_type, codings = fields.get(_TYPE, ""), fields.get(_CODINGS, "")
        data = b"".join(message.chunks)
        if message.truncated:
            readable = self._redaction is None and codings.strip().lower() in {"", "identity"}
            return Body(content_type, data if readable else b"", "truncated"), None
        try:
            if codings and data:
                data = inflate(data, codings, self._limit_bytes)
        except PayloadError as error:
            return Body(content_type, b"", error.reason), None
        if self._redaction is None or not data:
            return Body(content_type, data), None
        return _redacted(self._redaction, content_type, data)


def _redacted(redaction: Redaction, content_type: str, data: bytes) -> tuple[Body, JSON]:
    try:
        data, document = redaction.apply(media_type(content_type), data)
    except PayloadError:
        return Body(content_type, b"", "redact"), None
    return Body(content_type, data), document
