"""One request to the Kubernetes API, as the pod's own service account; what the server refuses is told in its words.

A request has a connection of its own. Requests are rare here, the service account's files are replaced while the
process runs, and a kept connection would be found closed just when there is something to say.
"""

import asyncio
import io
import re
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import orjson

from sidecar import __version__
from sidecar.config.addresses import parse_upstream
from sidecar.errors import DeliveryError, Fault
from sidecar.kubernetes.account import Account, Identity
from sidecar.records import JSON
from sidecar.texts import shown

if TYPE_CHECKING:
    # Options are checked before serving, which does not wait for aiohttp.
    from aiohttp import ClientResponse, ClientSession

API = "https://kubernetes.default.svc"
"""As a pod finds it."""

MAX_OBJECT_BYTES = 8 << 20
"""Of an answer: a ConfigMap of 1 MiB, its quotes, `<` and `&` escaped, and up to 256 KiB of annotations beside it."""
MAX_STATUS_BYTES = 64 << 10
MAX_MESSAGE_CHARACTERS = 500
MAX_RETRY_AFTER_S = 60.0
"""A server that asks for more is asked again all the same."""

_API = re.compile(r"(https://[^/?#]+)(/[\x21\x22\x24-\x3e\x40-\x7e]*)?")  # visible ASCII, no query, no fragment

# A connection whose other end is gone says nothing, as does a watch of what does not change. Found out within 30 s.
_KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}

# What Kubernetes' own description of its API has for reading, replacing and creating; the usual one first.
_DONE = {"GET": (200,), "PUT": (200, 201), "POST": (201, 200, 202)}

Object = Mapping[str, JSON]
"""A Kubernetes object."""


class Refused(DeliveryError):
    """The server has answered, and not with what was asked for.

    Args:
        status: Of its answer.
        reason: In a word of Kubernetes; empty where it gave none.
        name: Of the object that it speaks of; likewise.
        retry_after_s: For so long it wants to be left alone.
    """

    def __init__(self, message: str, status: int, reason: str = "", name: str = "", retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.name = name
        self.retry_after_s = retry_after_s


class Request(NamedTuple):
    """What is asked.

    Args:
        path: Behind the API's address.
    """

    method: Literal["GET", "PUT", "POST"]
    path: str
    query: Mapping[str, str] = {}
    body: bytes | None = None


def api_faults(api: str) -> list[Fault]:
    """What is wrong with the option of this name.

    Example:
        >>> api_faults("https://10.0.0.1:6443"), [each.message for each in api_faults("http://10.0.0.1")]
        ([], ['expected https://host:port, without query'])
    """
    match = _API.fullmatch(api)
    if not match:
        return [Fault("api", "expected https://host:port, without query")]
    if "@" in match[1]:
        return [Fault("api", "expected a URL without user and password")]
    try:
        parse_upstream(match[1])
    except ValueError as error:
        return [Fault("api", str(error))]
    return []


@dataclass(frozen=True, slots=True)
class Access:
    """The way to an API server.

    Args:
        api: Its address, one in which `api_faults` finds none.
        account: In whose name.
    """

    api: str
    account: Account

    async def call(self, request: Request, limit_s: float) -> Object:
        """What the server answers within `limit_s`, whole.

        Raises:
            Refused: It does not do what was asked.
            DeliveryError: Nobody answers, or what comes is no object, or a file cannot be used.
        """
        async with self.open(request, limit_s, limit_s) as reply:
            data = await _body(reply, MAX_OBJECT_BYTES)
        if len(data) > MAX_OBJECT_BYTES:
            raise DeliveryError(f"{self._url(request)}: more than {MAX_OBJECT_BYTES} bytes, expected fewer")
        try:
            answer = orjson.loads(data)
        except ValueError as error:
            raise DeliveryError(f"{self._url(request)}: answered with what is not JSON, expected an object") from error
        if not isinstance(answer, dict):
            raise DeliveryError(f"{self._url(request)}: answered with other JSON, expected an object")
        return answer

    @asynccontextmanager
    async def open(self, request: Request, limit_s: float, whole_s: float) -> AsyncIterator["ClientResponse"]:
        """The answer once it has begun; whatever happens while its body is read is told as here.

        Args:
            limit_s: For it to begin.
            whole_s: For it to end.

        Raises:
            Refused: The server does not do what was asked.
            DeliveryError: Nobody answers, or falls silent, or a file cannot be used.
        """
        from aiohttp import ClientError

        identity = await self.account.identify()
        try:
            async with asyncio.timeout(whole_s), _session() as http:
                async with asyncio.timeout(limit_s):
                    reply = await self._ask(http, request, identity)
                async with reply:
                    if reply.status not in _DONE[request.method]:
                        raise await self._refusal(request, reply, identity.token)
                    yield reply
        except (ClientError, OSError) as error:
            raise DeliveryError(f"{self._url(request)}: {_told(error)}") from error

    def _url(self, request: Request) -> str:
        return self.api.rstrip("/") + request.path

    async def _ask(self, http: "ClientSession", request: Request, identity: Identity) -> "ClientResponse":
        headers = {
            "Authorization": f"Bearer {identity.token}",
            "User-Agent": f"sidecar/{__version__}",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Connection": "close",
            **({} if request.body is None else {"Content-Type": "application/json"}),
        }
        return await http.request(
            request.method,
            self._url(request),
            params=request.query,
            data=None if request.body is None else io.BytesIO(request.body),  # sent piece by piece
            headers=headers,
            ssl=identity.tls,
            allow_redirects=False,  # they would take the token elsewhere
            auto_decompress=False,
        )

    async def _refusal(self, request: Request, reply: "ClientResponse", token: str) -> Refused:
        status = _status(await _body(reply, MAX_STATUS_BYTES))
        asked = reply.headers.get("Retry-After", "")
        message = f"{status.get('reason') or reply.reason}: {status.get('message') or 'no Kubernetes Status'}"
        said = shown(message.replace(token, "[token]"), MAX_MESSAGE_CHARACTERS)
        return Refused(
            f"{self._url(request)}: answered {reply.status} {said}, expected {_DONE[request.method][0]}",
            reply.status,
            str(status.get("reason") or ""),
            str(_mapping(status.get("details")).get("name") or ""),
            seconds(int(asked) if asked.isascii() and asked.isdecimal() and len(asked) < 10 else 0),
        )


def seconds(asked: object) -> float:
    """How long a server wants to be left alone, as far as that is heeded.

    Example:
        >>> seconds(5), seconds(86400), seconds("soon"), seconds(-1)
        (5.0, 60.0, 0.0, 0.0)
    """
    return min(max(0.0, float(asked)), MAX_RETRY_AFTER_S) if isinstance(asked, int) else 0.0


def _session() -> "ClientSession":
    from aiohttp import ClientSession, ClientTimeout, TCPConnector

    # Time limits are those of whoever asks, and no other.
    connector = TCPConnector(socket_factory=lambda info: _socket(info[0], info[1], info[2]), force_close=True)
    return ClientSession(connector=connector, timeout=ClientTimeout(total=None, sock_connect=None))


def _socket(family: int, kind: int, protocol: int) -> socket.socket:
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):  # not every system has all of them
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made


async def _body(reply: "ClientResponse", max_bytes: int) -> bytes:
    """All of it, or more than `max_bytes` of it."""
    data = bytearray()
    async for chunk in reply.content.iter_any():
        data += chunk
        if len(data) > max_bytes:
            break
    return bytes(data)


def _status(data: bytes) -> Object:
    """The Kubernetes Status that says why; empty where there is none."""
    try:
        status = _mapping(orjson.loads(data))
    except ValueError:
        return {}
    return status if status.get("kind") == "Status" else {}


def _mapping(found: JSON) -> Object:
    return found if isinstance(found, dict) else {}


def _told(error: Exception) -> str:
    from aiohttp import ClientConnectorCertificateError, ClientConnectorError

    match error:
        case ClientConnectorCertificateError(certificate_error=reason):
            return f"its certificate is not trusted: {getattr(reason, 'verify_message', reason)}"
        case ClientConnectorError(os_error=reason):
            return f"no connection: {reason.strerror or reason}"
        case TimeoutError():
            return "no answer in time"
        case _:
            return f"no answer: {str(error) or type(error).__name__}"
