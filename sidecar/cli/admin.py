"""The admin side of a sidecar elsewhere, as commands ask it."""

from collections.abc import Mapping
from contextlib import closing
from functools import wraps
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import NoReturn, TypeVar

import click
import msgspec

from sidecar.catalog.documents import decode, encode
from sidecar.cli.asking import Work, token, token_option
from sidecar.cli.reaching import to_option
from sidecar.cli.unix import UnixConnection
from sidecar.config.addresses import UnixAddress, UpstreamAddress, parse_upstream
from sidecar.errors import ConfigError, ConflictError, DeliveryError, Fault, UnknownError
from sidecar.texts import shown

T = TypeVar("T")

TIMEOUT_S = 30.0
REPLY_BYTES = 64 << 20
SHOWN = 2000
"""Characters of what a sidecar says is wrong."""


def asked(work: Work) -> Work:
    """The options that say which sidecar; the command gets it as its first argument."""

    @to_option
    @token_option
    @wraps(work)
    def call(to: str, token_file: str | None, **values: object) -> object:
        try:
            address = parse_upstream(to)
        except ValueError as error:
            raise click.BadParameter(f"{error}.", param_hint="--to") from None
        return work(Admin(address, token(token_file)), **values)

    return call


class Admin:
    """A sidecar's admin side. A change is asked for once: whoever gets no answer looks whether it was made.

    Args:
        token: Empty without one.
        timeout_s: For each step of an answer.
    """

    def __init__(self, address: UpstreamAddress, token: str, timeout_s: float = TIMEOUT_S) -> None:
        self._address = address
        self._headers = {"Accept": "application/json", "Connection": "close"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._timeout_s = timeout_s

    def ask(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> bytes:
        """The body of an answer that is 200.

        Raises:
            UnknownError: There is no such thing.
            ConflictError: Somebody else was first, or what is there forbids it.
            ConfigError: It will not, whoever asks again.
            DeliveryError: It does not answer, or cannot now.
        """
        sent = None if body is None else _encoded(body)
        whole = {**self._headers, **({} if sent is None else {"Content-Type": "application/json"}), **(headers or {})}
        name = self._address.address
        reached = False
        try:
            with closing(self._connection()) as connection:
                connection.connect()
                reached = True
                connection.request(method, path, sent, whole)
                reply = connection.getresponse()
                data = _read(reply)
        except (OSError, HTTPException) as error:
            if not reached:
                raise DeliveryError(_silent(str(name), error)) from None
            doubt = "; whether it was done is not known" if method != "GET" else ""
            raise DeliveryError(f"{name}: {str(error) or type(error).__name__}{doubt}") from None
        if reply.status != 200:
            _refuse(reply.status, str(name), _message(data))
        return data

    def read(self, data: bytes, kind: type[T]) -> T:
        """What an answer says.

        Raises:
            ConfigError: It is none of a sidecar's.
        """
        try:
            return decode(data, kind)
        except ValueError as error:
            told = f"{self._address.address}: not the answer of a sidecar: {shown(str(error), SHOWN)}"
            raise ConfigError(Fault("--to", told)) from None

    def _connection(self) -> HTTPConnection:
        address = self._address.address
        if isinstance(address, UnixAddress):
            return UnixConnection(address.path, self._timeout_s)
        kind = HTTPSConnection if self._address.scheme == "https" else HTTPConnection
        return kind(address.host, address.port, timeout=self._timeout_s)


class _Wrong(msgspec.Struct):
    message: str


class _Failure(msgspec.Struct):
    error: _Wrong


def _encoded(body: object) -> bytes:
    try:
        return encode(body)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(Fault("", f"{error}; expected what JSON can hold")) from None


def _read(reply: HTTPResponse) -> bytes:
    data = reply.read(REPLY_BYTES + 1)
    if len(data) > REPLY_BYTES:
        raise OSError(f"the reply has more than {REPLY_BYTES} bytes")
    if reply.length:  # http.client tells only who reads all at once
        raise OSError("the reply is cut off")
    return data


def _silent(name: str, error: Exception) -> str:
    """Why nobody answers, and what to do."""
    why = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return f"{name}: {why}; expected the admin side of a running sidecar, or --to with its address"


def _message(data: bytes) -> str:
    """What is wrong, in the words of the admin side; empty of anybody else's."""
    try:
        return decode(data, _Failure).error.message
    except ValueError:
        return ""


def _refuse(status: int, name: str, message: str) -> NoReturn:
    """Raise what the sidecar means by its status."""
    lines = [shown(line, SHOWN) for line in message.splitlines()] or ["not the answer of a sidecar"]
    told = f"{name}: {status} {' '.join(lines)}"
    match status:
        case 404 if message:
            raise UnknownError(lines[0])
        case 409 | 412:
            raise ConflictError(lines[0])
        case 400 | 413 | 415 | 422 if message:
            raise ConfigError(*(Fault("", line) for line in lines))  # a line for each fault, with its path
        case 401:
            raise ConfigError(Fault("--token-file", told))
        case 408 | 429 | 500 | 502 | 503 | 504:
            raise DeliveryError(told)
    raise ConfigError(Fault("--to", told))
