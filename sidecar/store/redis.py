"""Predictions and labels of a fleet: a Redis that all its sidecars share, so that a label may be posted to any of them.

Every call is one run of a script (`redis.lua`) in the server, so that of two sidecars that bring a label, or of one
that brings it and another that brings its prediction, exactly one joins the two. A call whose answer is lost may have
been done: who calls again is told `duplicate` or `repeated`, and nothing is joined twice.

How long what a call has written survives is the server's own: `appendonly yes` and `appendfsync always` lose nothing,
`everysec` a second, a failover what its replica had not. Its `maxmemory-policy` is to be `noeviction`.
"""

import re
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from sidecar.config.values import File, Seconds
from sidecar.errors import ConfigError, DeliveryError, Fault
from sidecar.records import Joined, Label, LabelCounts, LabelStatus, Prediction
from sidecar.store.documents import (
    decode_label,
    decode_prediction,
    digest,
    encode_label,
    encode_prediction,
    rows_of,
)
from sidecar.store.redis_link import Argument, Link, Place, check_url, has_password

T = TypeVar("T")

LEASE_S = 15.0
"""So long after its last sign of life a leader leads no more; by the server's clock."""
MAX_RUNS = 40
"""Of the script in one call that only clears up: some 10,000 predictions, in runs of some milliseconds."""

SecretUrl = Annotated[str, Meta(extra_json_schema={"writeOnly": True})]
"""A URL that no refusal repeats."""

_PREFIX = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_STATUSES: tuple[LabelStatus, ...] = ("joined", "duplicate", "unknown", "expired", "malformed")
# As the script has them.
_KEYS = (
    *("meta", "counts", "ids", "documents", "names", "pairs", "log", "open", "fresh", "done", "unread", "gone"),
    *("waiting", "queue", "saved", "places", "lease"),
)


@dataclass(slots=True)
class Redis:
    """Keeps them in a Redis server, for all sidecars that are given the same `url` and `prefix`.

    Args:
        folder: What every store is given; nothing is kept there.
        token: Tells this process from those it shares the store with.
        clock: Monotonic, in seconds; paces attempts to reach the server.
        url: redis://, rediss:// (TLS) or unix://, with user, password and number of the database if need be.
        password_file: File that holds the password instead; read at each connection.
        ca: PEM file of the authorities to trust instead of the system's.
        prefix: Of all keys; sidecars with the same one share what they keep.
        keep_s: For so long a prediction awaits its label.
        rows: Predictions kept, and labels kept waiting, at most.
        wait_s: For so long a label awaits its prediction.
        timeout_s: For the server to answer; beyond that a call has failed.

    Raises:
        ConfigError: `url` is none, there is a second password, `ca` without use, or `prefix` cannot be part of a key.
    """

    folder: str = ""
    token: str = field(default_factory=partial(secrets.token_hex, 16), repr=False)
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    _: KW_ONLY
    url: SecretUrl = field(repr=False)
    password_file: File | None = None
    ca: File | None = None
    prefix: str = "sidecar"
    # A chargeback takes weeks, a click seconds; a week holds what most feedback takes.
    keep_s: Seconds = 604_800.0
    rows: Annotated[int, Meta(ge=1)] = 200_000
    wait_s: Annotated[float, Meta(ge=0)] = 3600.0
    timeout_s: Seconds = 2.0
    _link: Link = field(init=False, repr=False)
    _leading: bool = field(default=False, init=False, repr=False)

    def __post_init__(self) -> None:
        if faults := self._faults():
            raise ConfigError(*faults)
        self._link = Link(
            Place(self.url, self.password_file, self.ca),
            Path(__file__).with_suffix(".lua").read_text(encoding="utf-8"),
            [f"{{{self.prefix}}}:{key}" for key in _KEYS],  # a hash tag: one node of a cluster has them all
            timeout_s=self.timeout_s,
            clock=self.clock,
        )

    def _faults(self) -> list[Fault]:
        faults = []
        try:
            check_url(self.url)
        except ValueError as error:
            return [Fault("url", str(error))]
        if self.password_file is not None and has_password(self.url):
            faults.append(Fault("password_file", "given beside a password in url; expected one of the two"))
        if self.ca is not None and not self.url.startswith("rediss:"):
            faults.append(Fault("ca", "given, but url does not speak TLS; expected rediss://"))
        if not _PREFIX.fullmatch(self.prefix):
            faults.append(Fault("prefix", "expected 1 to 64 letters, digits and any of _ . : -"))
        if find_spec("redis") is None:
            faults.append(Fault("kind", "redis is not installed, expected pip install 'sidecar[redis]'"))
        return faults

    def keep(self, predictions: Sequence[Prediction], now_s: float) -> None:
        """Keep these until their labels come; a call with thousands is one long run of the script."""
        told: list[Argument] = []
        for each in predictions:
            ids = [digest(name) for name in dict.fromkeys(each.ids)]
            told += [len(ids), *ids, _told(each.variant), rows_of(each), encode_prediction(each)]
        if told:
            self._link.run("keep", now_s, *told)
            with suppress(DeliveryError):  # these are kept; the next call makes room
                self._clear("shrink", self.rows)

    def add(self, labels: Sequence[Label], now_s: float) -> list[LabelStatus]:
        """Join these with their predictions, or let them wait; what became of each, in order."""
        most = self.rows if self.wait_s > 0 else 0
        told: list[Argument] = []
        for each in labels:
            metric = digest(each.metric) if each.metric else b""
            told += [digest(each.id), metric, len(each.values), encode_label(each)]
        statuses = self._link.run("add", now_s, most, *told) if told else []
        return msgspec.convert([each.decode() for each in _as(statuses, list[bytes])], list[LabelStatus])

    def joined(self, after: int, limit: int) -> list[Joined]:
        """What was joined behind the place `after`, the oldest first, `limit` at most."""
        read: list[Joined] = []
        while len(read) < limit:
            found = _pairs(*_as(self._link.run("joined", after, limit - len(read)), tuple[bytes, bytes]))
            if not found:
                break
            read += found
            after = found[-1].number
        return read

    def tidy(self, now_s: float) -> None:
        """Let go of what is too old, or too much; the next call goes on where this one ends."""
        self._clear("tidy", now_s, self.keep_s, self.rows, self.wait_s)

    def save(self, name: str, data: bytes, upto: int) -> None:
        """Keep what a monitor remembers, and that it has read all that was joined up to this place.

        Raises:
            DeliveryError: Also where this process does not lead, or no longer: then nothing was written.
        """
        if self._link.run("save", self.token, _told(name), data, upto) == 0:
            with suppress(DeliveryError):  # it is saved; the next call of `tidy` goes on
                self._clear("settle")

    def read(self, name: str) -> tuple[bytes, int] | None:
        """What was saved last under this name, and up to which place it had read; None before the first."""
        data, upto = _as(self._link.run("read", _told(name)), tuple[bytes | None, bytes | None])
        return None if data is None or upto is None else (data, int(upto))

    def leads(self, now_s: float) -> bool:  # noqa: ARG002  (clocks differ: the server's own rules)
        """Whether this process is the one of those that share the store that saves and alerts; to be asked often.

        One that led, was too slow to say so, and could lead again is first told that it does not: another may have
        led and saved meanwhile, and what was saved is where it is to go on.
        """
        said = self._link.run("leads", self.token, int(LEASE_S * 1000))
        interrupted = said == b"began" and self._leading
        self._leading = said != b"follows" and not interrupted
        return self._leading

    def _clear(self, call: str, *arguments: Argument) -> None:
        """Run it until there is nothing left to do for it, in pieces between which the server serves others."""
        for _ in range(MAX_RUNS):
            if self._link.run(call, *arguments) != 0:
                break

    @property
    def counts(self) -> LabelCounts:
        """What became of everything so far, of all processes that share the store."""
        told, waiting = _as(self._link.run("counts"), tuple[list[bytes], int])
        numbers = {name.decode(): int(number) for name, number in zip(told[::2], told[1::2], strict=True)}
        return LabelCounts(
            awaiting=numbers.get("awaiting", 0),
            waiting=waiting,
            labels={status: numbers.get(status, 0) for status in _STATUSES},
            predictions=numbers.get("predictions", 0),
            missing=numbers.get("missing", 0),
            repeated=numbers.get("repeated", 0),
        )

    def close(self) -> None:
        """Let another lead, and let go of the connection."""
        try:
            if self._leading:
                self._link.run("leave", self.token)
        except DeliveryError:
            pass  # the lease ends by itself
        finally:
            self._leading = False
            self._link.close()


def _told(text: str) -> bytes:
    """A text as the script has it; also one with a lone surrogate, of a field's bytes that were no text."""
    return text.encode("utf-8", "surrogatepass")


def _pairs(sizes: bytes, told: bytes) -> list[Joined]:
    numbers = iter(msgspec.msgpack.decode(sizes, type=list[int]))
    read, start = [], 0
    for number, prediction_bytes, label_bytes in zip(numbers, numbers, numbers, strict=True):
        middle = start + prediction_bytes
        end = middle + label_bytes
        read.append(Joined(number, decode_prediction(told[start:middle]), decode_label(told[middle:end])))
        start = end
    return read


def _as(reply: object, kind: type[T]) -> T:
    return msgspec.convert(reply, kind)
