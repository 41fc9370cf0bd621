"""The catalogue of a sidecar elsewhere, asked over its admin API: for training jobs and the CLI.

It needs nothing but the standard library and msgspec. Proxies of the environment are not asked: the admin side is
within the cluster or on this machine; redirects are not followed, since they would be given the token.
"""

import json
import ssl
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import NoReturn, TypeVar
from urllib.parse import quote, urlsplit

from sidecar.catalog.bounds import check_group
from sidecar.catalog.documents import decode, encode
from sidecar.entries import Approval, Draft, Point, Run, RunStatus, Version
from sidecar.errors import ConfigError, ConflictError, DeliveryError, Fault, UnknownError
from sidecar.texts import shown

T = TypeVar("T")

TIMEOUT_S = 5.0
"""For each step of an answer; a training job waits no longer."""
REPLY_BYTES = 64 << 20
SHOWN = 300
"""Characters of an error of somebody else's."""


@dataclass(slots=True)
class Remote:
    """Asks the sidecar at this address; nothing is sent before the first call.

    Who does something, and when, is for the sidecar to say: it goes by its own clock, and may go by its own names.
    An answer that did not come leaves open whether it was done. To log, to end or to decide once more does no harm.

    Args:
        url: Of the admin side, `http://127.0.0.1:9901`; a path in it is put before every other.
        token: Bearer token of the admin side; empty where it wants none.

    Raises:
        ConfigError: The address, or the token, can be none.
    """

    url: str
    token: str = field(default="", repr=False)
    timeout_s: float = TIMEOUT_S

    def __post_init__(self) -> None:
        """Whoever mistypes an address is told at once."""
        try:
            parts = urlsplit(self.url)
            whole = (
                _visible(self.url) and parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
            )
        except ValueError:
            whole = False
        if not whole or parts.username is not None or parts.query or parts.fragment:
            raise ConfigError(Fault("catalog", f"{shown(self.url, SHOWN)}: expected an address as in http://host:9901"))
        if not _visible(self.token):
            raise ConfigError(Fault("catalog", "expected a token of visible ASCII without spaces"))

    def groups(self) -> list[str]:
        """All models."""
        return self._asked("GET", "/v1/models", _Models).models

    def versions(self, group: str) -> list[Version]:
        """All versions of a model, the latest first."""
        return self._asked("GET", f"/v1/models/{_segment(group)}/versions", _Versions).versions

    def version(self, group: str, name: str) -> Version:
        """One of them, by its number, or an alias with `@` before it."""
        return self._asked("GET", f"/v1/models/{_segment(group)}/versions/{_segment(name)}", Version)

    def register(self, group: str, draft: Draft, *, by: str, now_s: float) -> Version:  # noqa: ARG002 - its clock
        """Add a version."""
        check_group(group)
        body = {"draft": draft, "by": by}
        return self._asked("POST", f"/v1/models/{_segment(group)}/versions", Version, body)

    def decide(self, group: str, name: str, approval: Approval, *, by: str, why: str, now_s: float) -> Version:  # noqa: ARG002 - its clock
        """Say whether a version may serve."""
        path = f"/v1/models/{_segment(group)}/versions/{_segment(name)}/approval"
        return self._asked("POST", path, Version, {"approval": approval, "why": why, "by": by})

    def begin(self, group: str, name: str, *, now_s: float) -> Run:  # noqa: ARG002 - its clock
        """Begin a training run."""
        return self._asked("POST", "/v1/runs", Run, {"group": group, "name": name})

    def log(
        self, run: str, *, parameters: Mapping[str, str], points: Sequence[Point], artefacts: Mapping[str, str]
    ) -> None:
        """Add to a run."""
        body = {"parameters": parameters, "points": points, "artefacts": artefacts}
        self._reply("POST", f"/v1/runs/{_segment(run)}", body)

    def end(self, run: str, status: RunStatus, *, now_s: float) -> None:  # noqa: ARG002 - its clock
        """End it."""
        self._reply("POST", f"/v1/runs/{_segment(run)}/end", {"status": status})

    def run(self, run: str) -> Run:
        """A run."""
        return self._asked("GET", f"/v1/runs/{_segment(run)}", Run)

    def runs(self, group: str) -> list[Run]:
        """The latest runs of a model."""
        return self._asked("GET", f"/v1/models/{_segment(group)}/runs", _Runs).runs

    def close(self) -> None:
        """Nothing is held."""

    def _asked(self, method: str, path: str, kind: type[T], body: object = None) -> T:
        data = self._reply(method, path, body)
        try:
            return decode(data, kind)
        except ValueError as error:
            raise DeliveryError(f"{self._said(method, path)}: {shown(str(error), SHOWN)}, expected {path}'s") from error

    def _reply(self, method: str, path: str, body: object = None) -> bytes:
        """The body of an answer that is 2xx."""
        headers = {"Accept": "application/json", "Connection": "close"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        prefix = urlsplit(self.url).path.rstrip("/")
        sent = None if body is None else _encoded(body)
        try:
            with closing(self._connection()) as connection:
                connection.request(method, prefix + path, sent, headers)
                reply = connection.getresponse()
                data = _read(reply)
        except (OSError, HTTPException, UnicodeError) as error:  # the last of a host whose name is too long
            raise DeliveryError(f"{self._said(method, path)}: {str(error) or type(error).__name__}") from error
        if not 200 <= reply.status < 300:
            _refuse(reply.status, f"{self._said(method, path)}: {reply.status}: {_message(data)}")
        return data

    def _connection(self) -> HTTPConnection:
        parts = urlsplit(self.url)
        assert parts.hostname  # checked when we were made
        if parts.scheme == "http":
            return HTTPConnection(parts.hostname, parts.port, timeout=self.timeout_s)
        context = ssl.create_default_context()
        return HTTPSConnection(parts.hostname, parts.port, timeout=self.timeout_s, context=context)

    def _said(self, method: str, path: str) -> str:
        return f"{method} {self.url.rstrip('/')}{path}"


@dataclass(frozen=True, slots=True)
class _Models:
    models: list[str]


@dataclass(frozen=True, slots=True)
class _Versions:
    versions: list[Version]


@dataclass(frozen=True, slots=True)
class _Runs:
    runs: list[Run]


def _visible(text: str) -> bool:
    """Whether it is of visible ASCII, which is what heads of messages are made of."""
    return text.isascii() and text.isprintable() and " " not in text


def _segment(text: str) -> str:
    """As one segment of a path, whatever it is: an empty one, or `..`, would make another path of it."""
    if text in ("", ".", ".."):
        raise UnknownError(f"there can be nothing called {text!r}")
    return quote(text, safe="@", errors="backslashreplace")


def _encoded(body: object) -> bytes:
    try:
        return encode(body)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(Fault("", f"{error}; expected what JSON can hold")) from error


def _read(reply: HTTPResponse) -> bytes:
    data = reply.read(REPLY_BYTES + 1)
    if len(data) > REPLY_BYTES:
        raise OSError(f"the reply has more than {REPLY_BYTES} bytes")
    return data


def _refuse(status: int, message: str) -> NoReturn:
    """Raise what the sidecar means by its status."""
    match status:
        case 404:
            raise UnknownError(message)
        case 409:
            raise ConflictError(message)
        case 400 | 413 | 414 | 422:
            raise ConfigError(Fault("", message))
    raise DeliveryError(message)


def _message(data: bytes) -> str:
    """What is wrong, in the words of the admin side; of anybody else the beginning."""
    try:
        return shown(str(json.loads(data)["error"]["message"]), SHOWN)
    except (ValueError, TypeError, LookupError, RecursionError):
        return shown(data[: 2 * SHOWN].decode("utf-8", "replace"), SHOWN)
