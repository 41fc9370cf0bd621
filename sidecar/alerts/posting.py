"""What channels over HTTP share: their URL, the files that hold their secrets, and the one request of a notice.

The path and the query of a URL may be secrets, as in Slack's: nothing here tells more of a URL than its host.
"""

import asyncio
import json
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from sidecar import __version__
from sidecar.config.addresses import SocketAddress, parse_upstream
from sidecar.errors import DeliveryError, Fault
from sidecar.records import JSON

if TYPE_CHECKING:
    # The channels' options are checked before serving, which does not wait for aiohttp.
    from aiohttp import ClientResponse, ClientSession

MAX_SECRET_BYTES = 16384
"""The largest are tokens of some KiB."""
MAX_WORD_CHARACTERS = 64
WORD_S = 1.0
"""What a receiver says beside its status is worth no longer wait."""

SecretUrl = Annotated[str, Meta(extra_json_schema={"writeOnly": True})]
"""A URL that no refusal repeats."""

On = tuple[Literal["firing", "resolved"], ...]
BOTH: On = ("firing", "resolved")

_URL = re.compile(r"(https?://[^/?#]+)([/?][\x21\x22\x24-\x7e]*)?")  # visible ASCII, no fragment
_AUTHORIZATION = re.compile(r"[\x21-\x7e]+( +[\x21-\x7e]+)*")


def check_url(url: str) -> None:
    """Whether notices can be posted there.

    Raises:
        ValueError: They cannot; the message holds nothing that may be secret.

    Example:
        >>> check_url("https://hooks.example:8443/alerts?key=1")
        >>> check_url("https://user:password@hooks.example/")
        Traceback (most recent call last):
        ValueError: expected a URL without user and password
    """
    match = _URL.fullmatch(url)
    if not match:
        raise ValueError("expected http://host/path or https://host/path, in visible ASCII and without fragment")
    if "@" in match[1]:
        raise ValueError("expected a URL without user and password")
    address = parse_upstream(match[1]).address
    # Resolvers raise what is no OSError.
    if isinstance(address, SocketAddress) and any(len(label) > 63 for label in address.host.split(".")):
        raise ValueError("expected a host name whose labels have at most 63 characters")


def url_faults(url: str, ca: str | None) -> list[Fault]:
    """What is wrong with the options of these names."""
    try:
        check_url(url)
    except ValueError as error:
        return [Fault("url", str(error))]
    if ca is not None and not url.startswith("https:"):
        return [Fault("ca", "given, but url does not speak TLS; expected https://")]
    return []


def on_faults(on: On) -> list[Fault]:
    """What is wrong with the option of this name."""
    return [] if on else [Fault("on", "empty; expected firing, resolved or both")]


def encode(document: JSON) -> bytes:
    """The document as JSON, as short as it gets; a lone surrogate, which UTF-8 cannot hold, is a question mark."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


async def read_secret(option: str, file: str) -> str:
    """What a file holds, without the blanks around it; read at each use, so that it can be replaced.

    Args:
        option: Names the file in errors; what it holds is never told.

    Raises:
        DeliveryError: It cannot be read, or holds no text.
    """
    try:
        data = await asyncio.to_thread(_read, file)
        text = data.decode("ascii").strip()
    except OSError as error:
        raise DeliveryError(f"{option} {file}: {error.strerror}, expected a file that can be read") from error
    except ValueError:  # in the name of the file, or in what it holds
        text = ""
    if not text or len(data) > MAX_SECRET_BYTES:
        raise DeliveryError(f"{option} {file}: expected up to {MAX_SECRET_BYTES} bytes of ASCII, not blank")
    return text


def _read(file: str) -> bytes:
    with Path(file).open("rb") as opened:
        return opened.read(MAX_SECRET_BYTES + 1)


async def authorization(file: str | None) -> dict[str, str]:
    """The header field of this name, where a file holds its value.

    Raises:
        DeliveryError: The file cannot be read, or holds something else.
    """
    if file is None:
        return {}
    value = await read_secret("authorization_file", file)
    if not _AUTHORIZATION.fullmatch(value):
        raise DeliveryError(f"authorization_file {file}: expected one line, as in Bearer 0123")
    return {"Authorization": value}


async def post(http: "ClientSession", url: str, body: bytes, headers: Mapping[str, str], ca: str | None = None) -> None:
    """Send a body once. Redirects are not followed: they would take it, and its signature, elsewhere.

    Args:
        url: One that `check_url` lets pass.
        ca: PEM file of the authorities trusted instead of the system's; read at each use, so that it can be replaced.

    Raises:
        DeliveryError: Nobody answered, or with another status than 2xx.
    """
    from aiohttp import ClientError
    from yarl import URL

    trusted = True if ca is None else await asyncio.to_thread(_trusting, ca)
    # One connection for each: a notice is rare, and would often meet a kept one just as the receiver closes it.
    fields = {"User-Agent": f"sidecar/{__version__}", "Accept-Encoding": "identity", "Connection": "close", **headers}
    where = URL(url, encoded=True)  # as the user has written it: some receivers sign their own URLs
    try:
        async with http.post(
            where, data=body, headers=fields, allow_redirects=False, auto_decompress=False, ssl=trusted
        ) as reply:
            if 200 <= reply.status < 300:
                return
            problem = f"answered {reply.status}{await _word(reply, url)}, expected 2xx"
    except (ClientError, OSError) as error:
        problem = _told(error)
    # Beyond the except: what aiohttp raises may hold the URL, and would be told with a traceback of this.
    raise DeliveryError(f"{where.authority}: {problem}")


def _trusting(ca: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DeliveryError(f"ca {ca}: {reason}, expected a PEM file of authorities") from error


async def _word(reply: "ClientResponse", url: str) -> str:
    """Why, if the receiver says it in a word, as Slack does: ` (channel_is_archived)`. Sentences may repeat the URL."""
    from aiohttp import ClientError

    said = b""
    try:
        async with asyncio.timeout(WORD_S):
            while len(said) <= MAX_WORD_CHARACTERS and (more := await reply.content.read(MAX_WORD_CHARACTERS + 1)):
                said += more
    except (ClientError, OSError):
        return ""
    word = said.strip().decode("latin-1")
    told = re.fullmatch("[a-z_]+", word) and len(word) <= MAX_WORD_CHARACTERS and word not in url
    return f" ({word})" if told else ""


def _told(error: Exception) -> str:
    """What happened; aiohttp's own messages may hold the URL."""
    from aiohttp import ClientConnectorCertificateError, ClientConnectorError, ClientResponseError

    match error:
        case ClientConnectorCertificateError(certificate_error=ssl.SSLCertVerificationError(verify_message=reason)):
            return f"its certificate is not trusted: {reason}"
        case ClientConnectorError(os_error=reason):
            return f"no connection: {reason.strerror or type(reason).__name__}"
        case ClientResponseError():
            return "answered with something that is not HTTP"
        case TimeoutError():
            return "no answer in time"
        case _:
            return "closed the connection without an answer"
