"""Alerts as CloudEvents, signed."""

import base64
import binascii
import hashlib
import hmac
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sidecar.alerts.document import document, timestamp
from sidecar.alerts.posting import (
    BOTH,
    On,
    SecretUrl,
    authorization,
    encode,
    on_faults,
    post,
    read_secret,
    url_faults,
)
from sidecar.config.values import File
from sidecar.errors import ConfigError, DeliveryError, Fault
from sidecar.records import JSON, Notice

if TYPE_CHECKING:
    from aiohttp import ClientSession

MEDIA_TYPE = "application/cloudevents+json; charset=utf-8"
MIN_KEY_BYTES = 24
"""Of the Standard Webhooks specification, section Signature scheme."""
MAX_KEYS = 4
"""Two sign while one replaces the other."""

_SOURCE = re.compile(r"[\x21-\x7e]+")  # a URI reference has no other characters (RFC 3986)


def signature(key: bytes, notice_id: str, sent_s: int, body: bytes) -> str:
    """`v1,` and `base64(HMAC-SHA256(key, "{id}.{timestamp}.{body}"))`.

    References:
        Standard Webhooks 1.0.0, sections Signature scheme and Webhook headers.

    Example:
        >>> key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        >>> signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}')
        'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """
    digest = hmac.digest(key, f"{notice_id}.{sent_s}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """POSTs each notice as a CloudEvents 1.0 event in JSON (structured mode), signed as Standard Webhooks says.

    Receivers verify with any library of Standard Webhooks, and know by `webhook-id`, which is the event's `id`, what
    they have already. The event's type is `dev.sidecar.alert.firing` or `dev.sidecar.alert.resolved`.

    Args:
        url: Where to; http:// or https://.
        secret_file: File of the signing secret: `whsec_` and 24 bytes or more in base64; during a change one a line.
        authorization_file: File that holds the value of the Authorization header field.
        ca: PEM file of the authorities to trust instead of the system's.
        source: The event's source, which tells one sidecar from another: a URI or a name.
        on: What is told: firing (also when repeated), resolved.
        clock: Unix time in nanoseconds.

    Raises:
        ConfigError: `url` is no URL or has a user, `ca` is without use, `source` no URI, `on` empty.
    """

    url: SecretUrl = field(repr=False)
    secret_file: File | None = None
    authorization_file: File | None = None
    ca: File | None = None
    source: str = "sidecar"
    on: On = BOTH
    clock: Callable[[], int] = field(default=time.time_ns, kw_only=False, repr=False)

    def __post_init__(self) -> None:
        faults = [*url_faults(self.url, self.ca), *on_faults(self.on)]
        if not _SOURCE.fullmatch(self.source):
            faults.append(Fault("source", "expected visible ASCII without spaces, as in a URI"))
        if faults:
            raise ConfigError(*faults)

    async def send(self, notice: Notice, http: "ClientSession") -> None:
        """Post one notice.

        Raises:
            DeliveryError: It was not taken, or a file cannot be used.
        """
        if notice.alert.state not in self.on:
            return
        body = encode(self._event(notice))
        headers = {
            "Content-Type": MEDIA_TYPE,
            **await authorization(self.authorization_file),
            **await self._signed(notice.id, body),
        }
        await post(http, self.url, body, headers, self.ca)

    def _event(self, notice: Notice) -> JSON:
        data = document(notice.alert, link=notice.link)
        return {
            "specversion": "1.0",
            "id": notice.id,
            "source": self.source,
            "type": f"dev.sidecar.alert.{notice.alert.state}",
            "subject": "/".join(data[name] for name in ("variant", "monitor", "check", "subject")),
            "time": timestamp(notice.time_s),
            "datacontenttype": "application/json",
            "data": data,
        }

    async def _signed(self, notice_id: str, body: bytes) -> dict[str, str]:
        """The header fields of a signature made now; none without a secret."""
        if self.secret_file is None:
            return {}
        keys = _keys(await read_secret("secret_file", self.secret_file), self.secret_file)
        sent_s = self.clock() // 1_000_000_000
        return {
            "webhook-id": notice_id,
            "webhook-timestamp": str(sent_s),
            "webhook-signature": " ".join(signature(key, notice_id, sent_s, body) for key in keys),
        }


def _keys(text: str, file: str) -> list[bytes]:
    """The keys of the secrets in a file; the prefix may be missing, the specification's libraries do without it."""
    secrets = text.split()
    try:
        keys = [base64.b64decode(each.removeprefix("whsec_"), validate=True) for each in secrets]
    except binascii.Error:
        keys = []
    if not 1 <= len(keys) <= MAX_KEYS or min(map(len, keys)) < MIN_KEY_BYTES:
        raise DeliveryError(
            f"secret_file {file}: expected whsec_ and at least {MIN_KEY_BYTES} bytes in base64,"
            f" on each of up to {MAX_KEYS} lines"
        )
    return keys
