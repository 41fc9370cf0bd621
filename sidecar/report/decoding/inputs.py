"""What a report reads: files and folders, here or in an object store.

`s3://bucket/prefix` and its like go through obstore, with credentials, region and another S3 than Amazon's from the
environment, as its own clients have it (AWS_…, GOOGLE_…, AZURE_…; AWS_ENDPOINT_URL).
"""

import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from sidecar.errors import ConfigError, Fault

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta
    from obstore.store import ObjectStore

CAPTURE_ENDS = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
"""What captures end with: lines as SageMaker writes them, or rows as the Parquet sink does."""

CHUNK_BYTES = 1 << 20
TIMEOUT = timedelta(seconds=60)
"""Of one request to a store, and of all attempts at it."""

MAX_TOLD_CHARACTERS = 300

_STORES = ("s3", "s3a", "gs", "az", "azure", "adl", "abfs", "abfss")
_URL = re.compile(r"([a-z][a-z0-9+.]*)://.")
_QUERY = re.compile(r"\?\S*")
_SECRET = re.compile(r"//[^/]*:[^/]*@|[?#]")


class Input(NamedTuple):
    """A file that is there.

    Args:
        name: Its absolute path, or its URL.
        mark: Another one when there is something else in it.
        store: The URL of the store that has it; empty of a local file.
        key: What the store calls it.
    """

    name: str
    size_bytes: int
    mark: str
    store: str = ""
    key: str = ""


def find(sources: Sequence[str], ends: Sequence[str] = CAPTURE_ENDS) -> list[Input]:
    """The files with these ends that are named, or lie under what is named; each once, in the order of their names.

    Hidden files and folders are passed over, as all engines do.

    Args:
        sources: Files, folders, URLs.

    Raises:
        ConfigError: One is not there, cannot be asked for, or has no such file.
    """
    found: dict[str, Input] = {}
    for source in sources:
        local = _local(source)
        inputs = list(_in_store(source, ends) if local is None else _on_disk(local, ends))
        if not inputs:
            raise ConfigError(Fault(source, f"no file, expected such as end with {', '.join(ends)}"))
        found.update((each.name, each) for each in inputs)
    return [found[name] for name in sorted(found)]


@contextmanager
def fetched(source: Input, folder: Path) -> Iterator[Path]:
    """The file; where it is not here, a copy of it that is deleted in the end.

    Args:
        folder: Where copies go.

    Raises:
        OSError: It is gone, or another one than it was.
        ConfigError: The store does not give it.
    """
    if not source.store:
        yield Path(source.name)
        return
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".fetched-") as copy:
        copied = 0
        for chunk in _chunks(source):
            copied += len(chunk)
            if copied > source.size_bytes:
                break
            copy.write(chunk)
        if copied != source.size_bytes:
            raise OSError(f"{source.name}: other than {source.size_bytes} bytes, as it was listed with")
        copy.flush()
        yield Path(copy.name)


def _local(source: str) -> Path | None:
    """The path that it is; None of what lies in a store."""
    scheme = _URL.match(source)
    if scheme is None:
        return Path(source)
    if scheme[1] == "file":
        return Path(unquote(urlsplit(source).path))
    if scheme[1] not in _STORES:
        expected = ", ".join(f"{each}://" for each in _STORES)
        raise ConfigError(Fault(source, f"{scheme[1]}://, expected a file, a folder, or one of {expected}"))
    if _SECRET.search(source):
        # It would be told in the report, and is not repeated here.
        raise ConfigError(Fault(f"{scheme[1]}://…", "has a password or a query, expected secrets in the environment"))
    return None


def _on_disk(source: Path, ends: Sequence[str]) -> Iterator[Input]:
    try:
        if not source.is_dir():
            yield from _if_ends(source, ends)
            return
        for folder, folders, names in os.walk(source, onerror=_unless_gone):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                if not name.startswith("."):
                    with suppress(FileNotFoundError):  # a sink has just deleted it to make room
                        yield from _if_ends(Path(folder, name), ends)
    except OSError as error:
        raise ConfigError(Fault(str(error.filename or source), f"{error.strerror}, expected captures")) from error


def _unless_gone(error: OSError) -> None:
    """Refuse a folder that cannot be listed: what is below would be missing, and nobody told."""
    if not isinstance(error, FileNotFoundError):
        raise error


def _if_ends(path: Path, ends: Sequence[str]) -> Iterator[Input]:
    seen = path.stat()
    if path.name.endswith(tuple(ends)):
        yield Input(os.path.abspath(path), seen.st_size, str(seen.st_mtime_ns))


def _in_store(url: str, ends: Sequence[str]) -> Iterator[Input]:
    import_obstore(url)
    import obstore
    from obstore.exceptions import BaseError

    base, _, last = url.rstrip("/").rpartition("/")
    single = last.endswith(tuple(ends)) and not base.endswith("/")
    base, key = (base, last) if single else (url.rstrip("/"), "")
    try:
        store = _store(base)
        found: Iterable[ObjectMeta] = [obstore.head(store, key)] if single else _listed(store)
        for each in found:
            place = each["path"]
            hidden = any(part.startswith(".") for part in place.split("/"))
            if place.endswith(tuple(ends)) and not hidden:
                mark = each["e_tag"] or str(each["last_modified"])
                yield Input(f"{base}/{place}", each["size"], mark, base, place)
    except (BaseError, OSError, ValueError) as error:
        raise ConfigError(Fault(url, f"{told(error)}; expected a bucket that can be read")) from error


def _listed(store: "ObjectStore") -> "Iterator[ObjectMeta]":
    import obstore

    for page in obstore.list(store):
        yield from page


def _chunks(source: Input) -> Iterator[bytes]:
    import obstore
    from obstore.exceptions import BaseError, NotFoundError, PreconditionError

    try:
        # A store that knows no marks gives times in their place, which it would not know again.
        options: GetOptions = {"if_match": source.mark} if source.mark.startswith('"') else {}
        for chunk in obstore.get(_store(source.store), source.key, options=options).stream(CHUNK_BYTES):
            yield bytes(chunk)
    except (NotFoundError, PreconditionError, FileNotFoundError) as error:
        raise OSError(f"{source.name}: gone, or another one than was listed") from error
    except (BaseError, ValueError) as error:
        raise ConfigError(Fault(source.name, f"{told(error)}; expected an object that can be read")) from error


@lru_cache(maxsize=8)
def _store(url: str) -> "ObjectStore":
    """The store at a URL; its connections are kept."""
    from obstore.store import from_url

    # Plain HTTP is spoken where the environment's URL says http:// only.
    return from_url(
        url, client_options={"allow_http": True, "timeout": TIMEOUT}, retry_config={"retry_timeout": TIMEOUT}
    )


def import_obstore(source: str) -> None:
    """See that the client of object stores is there.

    Raises:
        ConfigError: It is not.
    """
    try:
        import obstore  # noqa: F401  # whether it is there is the question
    except ImportError:
        raise ConfigError(Fault(source, "object stores need obstore: pip install 'sidecar[report]'")) from None


def told(error: Exception) -> str:
    r"""What went wrong, on one line: obstore adds a page of its own insides, and queries may hold signatures.

    Example:
        >>> told(ValueError("GET http://s3/b?X-Amz-Signature=1 in 2 s\n\nDebug source:\nGeneric {"))
        'GET http://s3/b in 2 s'
    """
    text = str(error).partition("\n\nDebug source")[0]
    return _QUERY.sub("", " ".join(text.split()))[:MAX_TOLD_CHARACTERS]
