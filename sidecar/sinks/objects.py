"""SageMaker's capture files as objects: in S3, Google Cloud Storage, Azure's Blob Storage, or a folder.

An object is put whole or not at all, and there is no adding to one: lines are gathered in memory by variant and hour
until there are enough of them, or the first has waited long enough. What is gathered when a process is killed is lost.
"""

import gzip
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

from sidecar.config.values import Seconds
from sidecar.errors import ConfigError, DeliveryError, Fault
from sidecar.records import Capture
from sidecar.sinks.capture_lines import file_place, folder_name, line

if TYPE_CHECKING:
    # The options are checked before serving, which does not wait for a client of object stores.
    from obstore.store import ObjectStore

MAX_OBJECT_BYTES = 8 << 20
"""Some ten thousand captures; more in one object would read no faster, and be lost together."""
FLUSH_S = 60.0
TIMEOUT_S = 30.0
FIRST_PAUSE_S = 0.1
MAX_PAUSE_S = 5.0
MAX_TOLD_CHARACTERS = 300

Compression = Literal["none", "gzip", "zstd"]
_ENDS: dict[Compression, str] = {"none": "", "gzip": ".gz", "zstd": ".zst"}

# Those of obstore that name a place for many objects; no user, query or fragment, where secrets would stand.
_URL = re.compile(r"(s3a?|gs|az|azure|adl|abfss?)://[^/?#@\s]+(/[^?#]*)?|file:///[^?#]+")
_STATUS = re.compile(r"status code: (\d{3}.*?)(?=: <|$)", re.DOTALL)
_CODE = re.compile(r"<Code>(\w+)</Code>")
_QUERY = re.compile(r"\?\S*")


@dataclass(slots=True)
class _Gathered:
    """Lines of one variant and hour that wait to become an object.

    Args:
        first_s: Unix time of the first capture.
        since_s: When its line was gathered, on the sink's clock.
        data: The lines.
        count: Of them.
    """

    variant: str
    first_s: float
    since_s: float
    data: bytearray = field(default_factory=bytearray)
    count: int = 0

    def add(self, text: bytes) -> None:
        self.data += text
        self.count += 1


@dataclass(kw_only=True, slots=True)
class Objects:
    """Puts captures to `{url}/{endpoint}/{variant}/yyyy/mm/dd/hh/*.jsonl`, objects of SageMaker's lines.

    What reads SageMaker's capture folders reads these. Region, credentials and another S3 than Amazon's come from the
    environment, as its own clients have it (AWS_REGION, AWS_ENDPOINT_URL, AWS_WEB_IDENTITY_TOKEN_FILE, GOOGLE_…,
    AZURE_…). Nothing is touched before the first object.

    Args:
        url: s3://bucket/prefix; gs://, az:// and file:/// likewise. The bucket has to be there.
        endpoint: SageMaker's word for the served model; one folder under `url`.
        flush_s: So long after its first line an object is put, however small it is.
        max_object_bytes: Of lines that wait, of all objects together; beyond that the largest object is put.
        compression: none; gzip or zstd, and the objects' names end in .gz or .zst: SageMaker's own readers take none.
        timeout_s: After so long, retries included, an object is lost.
        clock: Monotonic, in seconds.

    Attributes:
        taken: Captures that are in objects.
        lost: Captures that were in objects which could not be put.
        gathered: Captures that wait to become objects.
        gathered_bytes: Their lines.
        deleted_files: None ever: what the bucket keeps is its own rule.

    Raises:
        ConfigError: `url` names no store, a limit is not positive, or obstore is not installed.
    """

    url: str
    endpoint: str = "sidecar"
    flush_s: Seconds = FLUSH_S
    max_object_bytes: int = MAX_OBJECT_BYTES
    compression: Compression = "none"
    timeout_s: Seconds = TIMEOUT_S
    clock: Callable[[], float] = field(default=time.monotonic, kw_only=False, repr=False)
    taken: int = field(default=0, init=False)
    lost: int = field(default=0, init=False)
    gathered: int = field(default=0, init=False)
    gathered_bytes: int = field(default=0, init=False)
    deleted_files: int = field(default=0, init=False)
    _groups: dict[tuple[str, int], _Gathered] = field(default_factory=dict, init=False, repr=False)
    _number: int = field(default=0, init=False, repr=False)
    _store: "ObjectStore | None" = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        faults = []
        if not _URL.fullmatch(self.url):
            faults.append(
                Fault("url", "expected s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or file:///folder")
            )
        if self.max_object_bytes < 1:
            faults.append(Fault("max_object_bytes", f"{self.max_object_bytes}, expected 1 or more"))
        if find_spec("obstore") is None:
            faults.append(Fault("kind", "obstore is not installed, expected pip install 'sidecar[report]'"))
        if faults:
            raise ConfigError(*faults)

    def export(self, captures: Sequence[Capture]) -> None:
        """Gather these, in order for each variant and hour, and put what is due.

        Raises:
            DeliveryError: Objects could not be put, of these captures or earlier ones; `lost` has grown by theirs.
        """
        problems = []
        for capture in captures:
            text = line(capture)
            while self.gathered_bytes and self.gathered_bytes + len(text) > self.max_object_bytes:
                largest = max(self._groups, key=lambda key: len(self._groups[key].data))
                problems += self._put(largest)
            self._group(capture).add(text)
            self.gathered_bytes += len(text)
            self.gathered += 1
        self._raise(problems + self._put_due())

    def tend(self) -> None:
        """Put what is due; to be called every second or so while there are no captures.

        Raises:
            DeliveryError: As `export`.
        """
        self._raise(self._put_due())

    def close(self) -> None:
        """Put all that is gathered.

        Raises:
            DeliveryError: As `export`.
        """
        self._raise([problem for key in list(self._groups) for problem in self._put(key)])
        self._store = None

    def _group(self, capture: Capture) -> _Gathered:
        key = (capture.variant, int(capture.started_s) // 3600)
        found = self._groups.get(key)
        if found is None:
            self._groups[key] = found = _Gathered(capture.variant, capture.started_s, self.clock())
        return found

    def _put_due(self) -> list[str]:
        now_s = self.clock()
        due = [
            key
            for key, group in self._groups.items()
            if now_s - group.since_s >= self.flush_s or len(group.data) >= self.max_object_bytes
        ]
        return [problem for key in due for problem in self._put(key)]

    def _put(self, key: tuple[str, int]) -> list[str]:
        """Put what is gathered under this key, and forget it; what was in the way, if anything."""
        group = self._groups.pop(key)
        self._number += 1
        place = f"{folder_name(self.endpoint)}/{file_place(group.variant, group.first_s, self._number)}"
        try:
            problem = self._send(place + _ENDS[self.compression], _compressed(group.data, self.compression))
        finally:
            # Not before: while a server keeps us waiting, these are in memory.
            self.gathered_bytes -= len(group.data)
            self.gathered -= group.count
        if problem:
            self.lost += group.count
            return [f"{self.url}: {problem}"]
        self.taken += group.count
        return []

    def _send(self, place: str, data: bytes | bytearray) -> str:
        """Put one object; what was in the way, empty where nothing was."""
        import obstore
        from obstore.exceptions import BaseError

        try:
            if self._store is None:
                self._store = _opened(self.url, self.timeout_s)
            # In one request: of one in parts that is given up, parts would stay in the bucket, and be paid for.
            obstore.put(self._store, place, data, use_multipart=False)
        except (BaseError, OSError, ValueError) as error:
            return told(error)
        return ""

    def _raise(self, problems: Sequence[str]) -> None:
        if problems:
            more = f" (and {len(problems) - 1} objects more)" if len(problems) > 1 else ""
            raise DeliveryError(problems[0] + more)


def _compressed(data: bytearray, compression: Compression) -> bytes | bytearray:
    match compression:
        case "gzip":
            return gzip.compress(data, mtime=0)
        case "zstd":
            import zstandard

            return zstandard.compress(data)
        case _:
            return data


def _opened(url: str, timeout_s: float) -> "ObjectStore":
    """The store at a URL that the sink lets pass: half of the time is for the last attempt, half for those before."""
    from obstore.store import LocalStore, from_url

    half = timedelta(seconds=timeout_s / 2)
    split = urlsplit(url)
    if split.scheme == "file":
        folder = Path(unquote(split.path))
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return LocalStore(folder)
    return from_url(
        url,
        # Plain HTTP is spoken where the environment's URL says http:// only.
        client_options={"allow_http": True, "timeout": half, "connect_timeout": half},
        retry_config={
            "max_retries": 1000,
            "retry_timeout": half,
            "backoff": {
                "init_backoff": timedelta(seconds=FIRST_PAUSE_S),
                "max_backoff": timedelta(seconds=MAX_PAUSE_S),
                "base": 2,
            },
        },
    )


def told(error: Exception) -> str:
    """What went wrong, on one line: obstore adds a page of its own insides, stores a document of theirs.

    Example:
        >>> why = "PUT http://s3/b/o?sig=1 - Server returned non-2xx status code: 404 Not Found: "
        >>> told(OSError(why + "<Error><Code>NoSuchBucket</Code></Error>"))
        'answered 404 Not Found (NoSuchBucket), expected a bucket that takes objects'
    """
    text = str(error)
    if status := _STATUS.search(text.partition("\n\nDebug source")[0]):
        code = _CODE.search(text)
        why = f" ({code[1]})" if code else ""
        return f"answered {status[1].strip()}{why}, expected a bucket that takes objects"
    # A query may hold a signature.
    return _QUERY.sub("", text.partition("\n\nDebug source")[0]).replace("\n", " ")[:MAX_TOLD_CHARACTERS]
