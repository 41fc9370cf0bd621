"""The way to a Redis: one connection, one script; a call ends in time, and fails as DeliveryError without a secret.

The server may be down, slow, loading, full, or a replica by now. Whoever calls learns so within the timeout; whoever
calls next within PAUSE_S at once, so that a server that comes back is not met by all that waited. All keys have one
hash tag, and so one node of a cluster has them all: where another than the one called does, it is called instead.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from ssl import SSLCertVerificationError
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from sidecar.errors import DeliveryError

if TYPE_CHECKING:
    # The options are checked before serving, which does not wait for a client of Redis.
    from redis import ConnectionPool
    from redis import Redis as Client

PAUSE_S = 1.0
"""After a failure nobody tries again for so long: one attempt a second is no storm, and a second's wait no outage."""
MAX_PASSWORD_BYTES = 16384
MAX_TOLD_CHARACTERS = 200
DEFAULT_PORT = 6379

Argument = bytes | float | int | str
Node = tuple[str, int]

# What the server says where a new connection may help: it is a replica by now, or its cluster is being put together.
_ELSEWHERE = frozenset({"READONLY", "MASTERDOWN", "CLUSTERDOWN"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a Redis is, and how it lets us in.

    Args:
        url: One that `check_url` lets pass.
        password_file: Read at each connection, so that it can be replaced; None where the URL says all.
        ca: PEM file of the authorities trusted instead of the system's.
    """

    url: str = field(repr=False)
    password_file: str | None = None
    ca: str | None = None

    @property
    def name(self) -> str:
        """What errors call it: host and port, or the path of a socket; nothing that may be secret."""
        split = urlsplit(self.url)
        if split.scheme == "unix":
            return unquote(split.path)
        host = f"[{split.hostname}]" if ":" in (split.hostname or "") else split.hostname
        return f"{host}:{split.port or DEFAULT_PORT}"

    def pool(self, timeout_s: float, node: Node | None) -> "ConnectionPool":
        """Connections to it, none of them open yet.

        Args:
            timeout_s: To connect, and to answer.
            node: The one of its cluster; None for what the URL names.

        Raises:
            DeliveryError: The password's file cannot be used.
        """
        from redis import ConnectionPool
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        pool = ConnectionPool.from_url(
            self.url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,  # a command of a later Redis than 5, and an answer more to wait for
            **({} if self.password_file is None else {"password": _read_password(self.password_file)}),
            **({} if self.ca is None else {"ssl_ca_certs": self.ca}),
        )
        if node is not None:
            pool.connection_kwargs.update(host=node[0], port=node[1])
        return pool


def check_url(url: str) -> None:
    """Whether a Redis can be reached by it.

    Raises:
        ValueError: It cannot; the message holds nothing that may be secret.

    Example:
        >>> check_url("rediss://sidecar:secret@redis.example:6380/1")
        >>> check_url("unix:///run/redis.sock?db=1")
        >>> check_url("http://redis.example")
        Traceback (most recent call last):
        ValueError: expected redis://host:port/number, rediss://host:port/number or unix:///path?db=number
    """
    problem = "expected redis://host:port/number, rediss://host:port/number or unix:///path?db=number"
    try:
        split = urlsplit(url)
        query = parse_qs(split.query, keep_blank_values=True, strict_parsing=bool(split.query))
        port = split.port
    except ValueError:  # its own message repeats the URL
        raise ValueError(problem) from None
    numbers = [*query.pop("db", []), *([split.path[1:]] if split.path[1:] and split.scheme != "unix" else [])]
    where = split.path if split.scheme == "unix" else split.hostname
    fits = split.scheme in {"redis", "rediss", "unix"} and where and port != 0 and not split.fragment
    if not fits or len(numbers) > 1 or not all(each.isascii() and each.isdecimal() for each in numbers):
        raise ValueError(problem)
    if set(query) - {"password"}:
        raise ValueError("options in its query, expected none but db and password")


def has_password(url: str) -> bool:
    """Whether a URL that `check_url` lets pass holds one."""
    split = urlsplit(url)
    return bool(split.password or "password" in parse_qs(split.query))


def _read_password(file: str) -> str:
    try:
        with Path(file).open("rb") as opened:
            data = opened.read(MAX_PASSWORD_BYTES + 1)
        text = data.decode().strip()
    except OSError as error:
        raise DeliveryError(f"password_file {file}: {error.strerror}, expected a file that can be read") from error
    except ValueError:  # in the name of the file, or in what it holds: not to be told
        text = ""
    if not text or len(data) > MAX_PASSWORD_BYTES:
        raise DeliveryError(f"password_file {file}: expected up to {MAX_PASSWORD_BYTES} bytes of text, not blank")
    return text


class Link:
    """Runs one script in a Redis; threads take turns.

    Args:
        place: Where it is.
        script: In Lua.
        keys: All that the script touches.
        timeout_s: After so long without an answer a call has failed: half for the connection, half for the answer.
        clock: Monotonic, in seconds.
    """

    def __init__(
        self,
        place: Place,
        script: str,
        keys: Sequence[str],
        *,
        timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        from hashlib import sha1

        self._place = place
        self._script = script
        self._digest = sha1(script.encode(), usedforsecurity=False).hexdigest()
        self._keys = tuple(keys)
        self._timeout_s = timeout_s
        self._clock = clock
        self._lock = threading.Lock()
        self._client: Client | None = None
        self._paused_until_s = float("-inf")
        self._problem = ""

    def run(self, *arguments: Argument) -> object:
        """What the script returns: bytes, numbers, None, and lists of them.

        Raises:
            DeliveryError: It did not run, or refused; or it has run, and the answer was lost.
        """
        if not self._lock.acquire(timeout=self._timeout_s):
            raise self._error(f"busy with other calls for {self._timeout_s:g} s")
        try:
            return self._run(arguments)
        finally:
            self._lock.release()

    def close(self) -> None:
        """Let go of the connection; the next call makes another."""
        with self._lock:
            self._disconnect()

    def _run(self, arguments: tuple[Argument, ...]) -> object:
        from redis.exceptions import RedisError

        wait_s = self._paused_until_s - self._clock()
        if wait_s > 0:
            raise self._error(f"{self._problem}; next attempt in {wait_s:.1f} s")
        try:
            return self._follow(arguments)
        except (RedisError, OSError, ValueError) as error:
            problem = self._note(error)
        # Beyond the except: what the client raises may hold the URL, and would be told with a traceback of this.
        raise self._error(problem)

    def _follow(self, arguments: tuple[Argument, ...]) -> object:
        from redis.exceptions import MovedError

        try:
            return self._call(arguments)
        except MovedError as moved:
            node = (moved.host or urlsplit(self._place.url).hostname or "", int(moved.port))
        self._disconnect()
        self._connect(node)
        return self._call(arguments)

    def _call(self, arguments: tuple[Argument, ...]) -> object:
        from redis.exceptions import NoScriptError

        client = self._client or self._connect(None)
        try:
            reply: object = client.evalsha(self._digest, len(self._keys), *self._keys, *arguments)
        except NoScriptError:  # a server that has been restarted, or never saw us
            reply = client.eval(self._script, len(self._keys), *self._keys, *arguments)
        return reply

    def _connect(self, node: Node | None) -> "Client":
        from redis import Redis as Client

        pool = self._place.pool(self._timeout_s / 2, node)
        pool.release(pool.get_connection())  # whatever is refused here, password or number, is no matter of the call
        self._client = Client.from_pool(pool)
        return self._client

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _note(self, error: Exception) -> str:
        """Why; whether it was the connection, which is then let go of, and nobody makes another for a while."""
        from redis.exceptions import ConnectionError as DisconnectedError
        from redis.exceptions import InvalidResponse
        from redis.exceptions import TimeoutError as LateError

        lost = self._client is None or isinstance(error, DisconnectedError | LateError | InvalidResponse | OSError)
        problem = _told(error, self._timeout_s / 2)
        if lost or getattr(error, "status_code", None) in _ELSEWHERE:
            self._disconnect()
            self._paused_until_s = self._clock() + PAUSE_S
            self._problem = problem
        return problem

    def _error(self, problem: str) -> DeliveryError:
        return DeliveryError(f"redis {self._place.name}: {problem}")


def _told(error: Exception, timeout_s: float) -> str:
    """What happened, for people. The client's own texts repeat what it was given; the server's are cut."""
    from redis.exceptions import AuthenticationError, InvalidResponse, MovedError, RedisError, ResponseError
    from redis.exceptions import TimeoutError as LateError

    match error:
        case AuthenticationError():
            return "refuses the password, or the lack of one"
        case LateError():
            return f"no answer within {timeout_s:g} s"
        case InvalidResponse():
            return "answered with something that is not Redis'"
        case MovedError():
            return "sent us on to another node twice, expected a cluster at rest"
        case RedisError(status_code=code) if code or isinstance(error, ResponseError):
            return f"answered {code or ''} {error}".replace("  ", " ")[:MAX_TOLD_CHARACTERS]
    return f"no connection: {_reason(error.__context__)}"


def _reason(cause: BaseException | None) -> str:
    match cause:
        case SSLCertVerificationError(verify_message=reason):
            return f"its certificate is not trusted ({reason})"
        case OSError(strerror=str(reason)) if reason:
            return reason
    return "closed without an answer"
