"""The way to an MLflow server: its documented REST API, one connection a call; it ends in time, and tells no secret.

Its own client, mlflow-skinny, takes 70 MB of memory and 45 packages to send what is here one document each way.
Who we are comes from the variables that it reads too, at each call. Whatever answers may be no MLflow, or a hostile
one: a reply has a limit of bytes and of time, and a type.
"""

import os
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from io import BufferedReader, RawIOBase
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import SplitResult, urlencode, urlsplit

import msgspec

from sidecar.catalog.mlflow_place import address_of, authorization, tls
from sidecar.errors import ConfigError, ConflictError, DeliveryError, Fault, SidecarError, UnknownError
from sidecar.texts import shown

if TYPE_CHECKING:
    # The options are checked before serving, which does not wait for a client of HTTP.
    from socket import socket

    from _typeshed import WriteableBuffer

T = TypeVar("T")

API = "/api/2.0/mlflow/"
MAX_REPLY_BYTES = 8 << 20
MAX_TOLD_CHARACTERS = 300
MAX_PAGES = 200

# MLflow's own words in `error_code`; whatever else it says is trouble of its own.
_ERRORS: dict[str, Callable[[str], SidecarError]] = {
    "RESOURCE_DOES_NOT_EXIST": UnknownError,
    "NOT_FOUND": UnknownError,
    "RESOURCE_ALREADY_EXISTS": ConflictError,
    "ALREADY_EXISTS": ConflictError,
    "RESOURCE_CONFLICT": ConflictError,
    "ABORTED": ConflictError,
    "INVALID_PARAMETER_VALUE": lambda text: ConfigError(Fault("", text)),
    "BAD_REQUEST": lambda text: ConfigError(Fault("", text)),
}


class Page(Protocol):
    """A part of a list."""

    next_page_token: str


P = TypeVar("P", bound=Page)


class Nothing(msgspec.Struct):
    """A reply of which only that it came is of interest."""


class _Refusal(msgspec.Struct):
    error_code: str
    message: str = ""


def pages(ask: Callable[[Mapping[str, str]], P]) -> Iterator[P]:
    """All parts of a list.

    Args:
        ask: For the part that is told by these fields of a question.

    Raises:
        DeliveryError: There is no end to them.
    """
    token: dict[str, str] = {}
    for _ in range(MAX_PAGES):
        page = ask(token)
        yield page
        if not page.next_page_token:
            return
        token = {"page_token": page.next_page_token}
    raise DeliveryError(f"mlflow: more than {MAX_PAGES} pages of a list")


@dataclass(frozen=True, slots=True)
class Link:
    """Asks one MLflow server; any thread may, and they do not wait for each other.

    Args:
        uri: One that `check_uri` lets pass.
        timeout_s: Within which a call has its answer, or has failed.
        environ: The variables of MLflow's own client that say who we are and whom we trust.
        clock: Monotonic, in seconds.
    """

    uri: str
    timeout_s: float
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)

    def get(self, what: str, kind: type[T], **query: str | int) -> T:
        """The answer to a question.

        Args:
            what: Behind the API's prefix: `model-versions/get`.
            kind: Type of the answer; further fields are not read.

        Raises:
            UnknownError: It is not there.
            ConfigError: The server does not take what it was given.
            DeliveryError: It did not answer as MLflow does.
        """
        return self._ask("GET", f"{what}?{urlencode(query, errors='replace')}", b"", kind)

    def send(self, what: str, kind: type[T], document: Mapping[str, object], *, method: str = "POST") -> T:
        """The answer to an order.

        Raises:
            UnknownError: What it is about is not there.
            ConflictError: It is there already.
            ConfigError: The server does not take what it was given.
            DeliveryError: It did not answer as MLflow does; the order may have been done.
        """
        try:
            body = msgspec.json.encode(document)
        except UnicodeEncodeError:
            raise ConfigError(Fault("", "a lone surrogate, expected text that UTF-8 can hold")) from None
        return self._ask(method, what, body, kind)

    def _ask(self, method: str, what: str, body: bytes, kind: type[T]) -> T:
        from http.client import HTTPException

        try:
            status, reply = self._exchange(method, what, body)
        except TimeoutError:
            problem = f"no answer within {self.timeout_s:g} s"
        except ssl.SSLCertVerificationError as error:
            problem = f"its certificate is not trusted ({error.verify_message})"
        except (OSError, HTTPException) as error:
            problem = _reason(error)
        else:
            return self._read(what.partition("?")[0], status, reply, kind)
        # Beyond the except: the causes would be told with it, and may hold what was sent.
        raise self._error(problem)

    def _exchange(self, method: str, what: str, body: bytes) -> tuple[int, bytes]:
        from http.client import HTTPResponse

        until_s = self.clock() + self.timeout_s
        split = urlsplit(self.uri)
        head = [
            f"{method} {split.path.rstrip('/')}{API}{what} HTTP/1.1",
            f"host: {split.netloc}",
            "connection: close",
            "accept: application/json",
            "content-type: application/json",
            f"content-length: {len(body)}",
            *authorization(self.environ),
        ]
        with self._connected(split) as connection:
            connection.settimeout(_left(until_s - self.clock()))
            connection.sendall("\r\n".join([*head, "", ""]).encode("latin-1") + body)
            timed = _Timed(connection, lambda: _left(until_s - self.clock()))
            reply = HTTPResponse(timed, method=method)  # type: ignore[arg-type]  # all it asks of it is `makefile`
            with reply:
                reply.begin()
                return reply.status, reply.read(MAX_REPLY_BYTES + 1)

    def _connected(self, split: SplitResult) -> "socket":
        import socket

        address = address_of(split)
        connection = socket.create_connection((address.host, address.port), self.timeout_s)
        if split.scheme == "http":
            return connection
        try:
            return tls(self.environ).wrap_socket(connection, server_hostname=address.host)
        except BaseException:
            connection.close()
            raise

    def _read(self, what: str, status: int, reply: bytes, kind: type[T]) -> T:
        if len(reply) > MAX_REPLY_BYTES:
            raise self._error(f"{what}: answered more than {MAX_REPLY_BYTES} bytes")
        if status == 200:
            if (found := _parsed(reply, kind)) is not None:
                return found
            raise self._error(f"{what}: answered something that is not MLflow's")
        refusal = _parsed(reply, _Refusal) or _Refusal("")
        told = shown(refusal.message or f"answered {status} {refusal.error_code}".rstrip(), MAX_TOLD_CHARACTERS)
        if status in {401, 403}:
            raise self._error(f"{what}: answered {status}: it refuses our credentials, or the lack of them")
        raise _ERRORS.get(refusal.error_code, DeliveryError)(f"mlflow {urlsplit(self.uri).netloc}: {told}")

    def _error(self, problem: str) -> DeliveryError:
        return DeliveryError(f"mlflow {urlsplit(self.uri).netloc}: {problem}")


def _parsed(reply: bytes, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(reply, type=kind, strict=False)  # numbers of 64 bits may come as texts
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None


def _reason(error: Exception) -> str:
    match error:
        case OSError(strerror=str(reason)) if reason:
            return f"no connection: {reason}"
        case ConnectionError() | OSError():
            return "no connection: closed without an answer"
    return "answered something that is not HTTP"


def _left(seconds: float) -> float:
    if seconds <= 0:
        raise TimeoutError
    return seconds


@dataclass(frozen=True, slots=True)
class _Timed:
    """A socket of which all reading together ends in time, however slowly it drips.

    Args:
        left: Seconds to go; raises TimeoutError when there are none.
    """

    connection: "socket"
    left: Callable[[], float]

    def makefile(self, _mode: str) -> BufferedReader:
        return BufferedReader(_Reading(partial(self._receive)))

    def _receive(self, into: "WriteableBuffer") -> int:
        self.connection.settimeout(self.left())
        return self.connection.recv_into(into)


class _Reading(RawIOBase):
    def __init__(self, receive: Callable[["WriteableBuffer"], int]) -> None:
        self._receive = receive

    def readable(self) -> bool:
        return True

    def readinto(self, into: "WriteableBuffer", /) -> int:
        return self._receive(into)
