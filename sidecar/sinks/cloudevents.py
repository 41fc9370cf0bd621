"""Captures as CloudEvents over HTTP, as KServe's inference logger sends them."""

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import quote, urlsplit

from msgspec import Meta

from sidecar import __version__
from sidecar.config.values import File, Seconds
from sidecar.errors import ConfigError, DeliveryError, Fault
from sidecar.records import Body, Capture
from sidecar.sinks.secret_files import read_secret

if TYPE_CHECKING:
    # The options are checked before serving, which does not wait for a client of HTTP.
    from sidecar.sinks.kept_connection import Answer, KeptConnection

REQUEST = "org.kubeflow.serving.inference.request"
RESPONSE = "org.kubeflow.serving.inference.response"

TIMEOUT_S = 5.0
RETRY_S = 10.0
FIRST_PAUSE_S = 0.1
MAX_PAUSE_S = 2.0
MAX_FIELD_BYTES = 4096
"""An attribute beyond that is left out: many receivers take no field of 8 KiB, and would refuse the event for it."""
MENDS = frozenset({0, 408, 425, 429, 500, 502, 503, 504})
"""What another attempt may mend; 0 is no answer."""

SecretUrl = Annotated[str, Meta(extra_json_schema={"writeOnly": True})]
"""A URL that no refusal repeats."""

_URL = re.compile(r"https?://[^/?#@\s]+([/?][\x21\x22\x24-\x7e]*)?")  # visible ASCII; neither user nor fragment
_SOURCE = re.compile(r"[\x21-\x7e]+")  # a URI reference has no other characters (RFC 3986)
_AUTHORIZATION = re.compile(r"[\x21-\x7e]+( +[\x21-\x7e]+)*")
_MEDIA_TYPE = re.compile(r"[\x20-\x7e]+")
# What stands for itself in a field: visible ASCII without `"` and `%`.
_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')


@dataclass(kw_only=True, slots=True)
class CloudEvents:
    """POSTs two CloudEvents for each capture in binary mode, as KServe's inference logger does: request and response.

    Their types are `org.kubeflow.serving.inference.request` and `.response`, their `id` is one: the capture's event id,
    by which labels may call it. The attributes `inferenceservicename`, `namespace`, `component`, `endpoint` (the
    variant) and `metadata` (the request's header fields, as JSON) are KServe's; ours are `modelversion`, `requestid`,
    `inferenceid`, `path`, `status` and `errortype` of the response, and `withheld`, why a body is not there. Fields
    hold them as the HTTP binding has it: `"`, `%`, spaces and what is not ASCII percent-encoded.

    One kept connection, one event after another, in order. What is busy (408, 425, 429, 5xx) or away is tried again,
    and may then get an event twice; anything else than 2xx loses the capture.

    Args:
        url: Where to; http:// or https://.
        endpoint: SageMaker's word for the served model; told as `inferenceservicename`.
        namespace: Told as such; left out where it is empty.
        component: Told as such.
        source: The events' source: a URI or a name.
        authorization_file: File that holds the value of the Authorization header field; read for each batch.
        ca: PEM file of the authorities to trust instead of the system's.
        timeout_s: For a connection, and for each silence of the receiver.
        retry_s: So long a batch of up to 64 captures is tried; what is not taken by then is lost.
        clock: Monotonic, in seconds.
        pause: Waits so many seconds.

    Attributes:
        taken: Captures both of whose events were taken.
        lost: Captures that were given and not taken.
        gathered: None ever, likewise the next two.
        gathered_bytes: None.
        deleted_files: None.

    Raises:
        ConfigError: `url` is no URL or has a user, `ca` is without use, `source` no URI.
    """

    url: SecretUrl = field(repr=False)
    endpoint: str = "sidecar"
    namespace: str = ""
    component: Literal["predictor", "transformer", "explainer"] = "predictor"
    source: str = "sidecar"
    authorization_file: File | None = None
    ca: File | None = None
    timeout_s: Seconds = TIMEOUT_S
    retry_s: Seconds = RETRY_S
    clock: Callable[[], float] = field(default=time.monotonic, kw_only=False, repr=False)
    pause: Callable[[float], None] = field(default=time.sleep, kw_only=False, repr=False)
    taken: int = field(default=0, init=False)
    lost: int = field(default=0, init=False)
    gathered: int = field(default=0, init=False)
    gathered_bytes: int = field(default=0, init=False)
    deleted_files: int = field(default=0, init=False)
    _connection: "KeptConnection | None" = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        faults = [*_url_faults(self.url, self.ca)]
        if not _SOURCE.fullmatch(self.source):
            faults.append(Fault("source", "expected visible ASCII without spaces, as in a URI"))
        if faults:
            raise ConfigError(*faults)

    def export(self, captures: Sequence[Capture]) -> None:
        """Send these, in order.

        Raises:
            DeliveryError: Some or all were not taken, and `lost` has grown by these.
        """
        taken = self.taken
        try:
            problem = self._send_all(captures, self._opened(), self._authorization())
        except DeliveryError:
            self.lost += len(captures) - (self.taken - taken)
            raise
        lost = len(captures) - (self.taken - taken)
        self.lost += lost
        if problem:
            raise DeliveryError(f"{self._opened().authority}: {problem}; {lost} of {len(captures)} captures lost")

    def tend(self) -> None:
        """Nothing: all that is given is sent or lost at once."""

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    def _send_all(
        self, captures: Sequence[Capture], connection: "KeptConnection", authorization: dict[str, str]
    ) -> str:
        """Send these until the time is over; why the first that was not taken was not, empty where all were."""
        problem = ""
        until_s = self.clock() + self.retry_s
        for capture in captures:
            refusal = self._send(connection, capture, authorization, until_s)
            self.taken += not refusal
            problem = problem or refusal
            if refusal and self.clock() >= until_s:
                break
        return problem

    def _opened(self) -> "KeptConnection":
        if self._connection is None:
            from sidecar.sinks.kept_connection import KeptConnection

            self._connection = KeptConnection(self.url, ca=self.ca, timeout_s=self.timeout_s)
        return self._connection

    def _authorization(self) -> dict[str, str]:
        if self.authorization_file is None:
            return {}
        value = read_secret("authorization_file", self.authorization_file)
        if not _AUTHORIZATION.fullmatch(value):
            raise DeliveryError(f"authorization_file {self.authorization_file}: expected one line, as in Bearer 0123")
        return {"Authorization": value}

    def _send(
        self, connection: "KeptConnection", capture: Capture, authorization: dict[str, str], until_s: float
    ) -> str:
        """Send both events of a capture; why one was not taken, empty where both were."""
        common = {"User-Agent": f"sidecar/{__version__}", **authorization}
        answered_s = capture.started_s + capture.duration_s
        for kind, body, time_s in (
            (REQUEST, capture.request, capture.started_s),
            (RESPONSE, capture.reply, answered_s),
        ):
            fields = common | self._fields(kind, capture, body, time_s)
            if refusal := self._post(connection, body, fields, until_s):
                return refusal
        return ""

    def _fields(self, kind: str, capture: Capture, body: Body, time_s: float) -> dict[str, str]:
        # As KServe has it: the request's beside either event, a list of values for each name.
        metadata = {name: [value] for name, value in capture.headers.get("request", {}).items()}
        attributes = {
            "specversion": "1.0",
            "type": kind,
            "id": capture.event_id,
            "source": self.source,
            "time": datetime.fromtimestamp(time_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "inferenceservicename": self.endpoint,
            "namespace": self.namespace,
            "component": self.component,
            "endpoint": capture.variant,
            "metadata": json.dumps(metadata, separators=(",", ":")),
            "modelversion": capture.version,
            "requestid": capture.request_id,
            "inferenceid": capture.inference_id,
            "path": capture.path,
            "withheld": body.withheld,
        }
        if kind == RESPONSE:
            attributes |= {"status": str(capture.status), "errortype": capture.error_type}
        encoded = {f"ce-{name}": _encoded(value) for name, value in attributes.items() if value}
        fields = {name: value for name, value in encoded.items() if len(value) <= MAX_FIELD_BYTES}
        # The sender of a body may have sent a type that is none; a field cannot hold all of these.
        typed = body.content_type if _MEDIA_TYPE.fullmatch(body.content_type) else ""
        return fields | ({"Content-Type": typed} if typed else {})

    def _post(self, connection: "KeptConnection", body: Body, fields: dict[str, str], until_s: float) -> str:
        """Send an event until it is taken, refused, or the time is over; why it was not taken, empty where it was."""
        data = b"" if body.withheld else body.data
        pause_s = FIRST_PAUSE_S
        while True:
            answer = connection.post(data, fields)
            if 200 <= answer.status < 300:
                return ""
            left_s = until_s - self.clock()
            if answer.status not in MENDS or left_s <= 0:
                return answer.problem or f"answered {answer.status}, expected 2xx"
            self.pause(min(_asked_s(answer, pause_s), left_s))
            pause_s = min(2 * pause_s, MAX_PAUSE_S)


def _url_faults(url: str, ca: str | None) -> list[Fault]:
    """What is wrong with the options of these names; the URL is not repeated."""
    try:
        fits = _URL.fullmatch(url) and urlsplit(url).port != 0 and urlsplit(url).hostname
    except ValueError:
        fits = None
    if not fits:
        return [Fault("url", "expected http://host:port/path or https://host:port/path, without user and fragment")]
    if ca is not None and not url.startswith("https:"):
        return [Fault("ca", "given, but url does not speak TLS; expected https://")]
    return []


def _encoded(value: str) -> str:
    """An attribute's value as a field's (CloudEvents 1.0.2, HTTP binding, section 3.1.3.2).

    Example:
        >>> _encoded('a "b" 100 % é')
        'a%20%22b%22%20100%20%25%20%C3%A9'
    """
    return quote(value, safe=_SAFE, errors="replace")


def _asked_s(answer: "Answer", pause_s: float) -> float:
    """The pause before another attempt: the receiver's own where it asks for one in seconds."""
    asked = answer.retry_after
    return max(pause_s, float(asked)) if asked.isascii() and asked.isdigit() else pause_s
