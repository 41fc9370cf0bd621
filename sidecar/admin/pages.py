"""The page: the files of `page/`, read once at the start. What is not in that table is not there, whatever its path."""

import gzip
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

from aiohttp import web

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
}
"""What is served; notes and licences beside it are for who reads the package."""

START = "index.html"
SELF = "'self'"

_INLINE = re.compile(rb"<script\b(?![^>]*\ssrc=)[^>]*>(.*?)</script\s*>", re.DOTALL | re.IGNORECASE)


class _File(NamedTuple):
    """A file as it is sent.

    Args:
        tag: Of its contents.
        packed: By gzip; None where that saves nothing.
    """

    content_type: str
    data: bytes
    tag: str
    packed: bytes | None


class Page:
    """Serves the files.

    Args:
        folder: Where they are.
    """

    def __init__(self, folder: Traversable | None = None) -> None:
        found = folder if folder is not None else files("sidecar.admin") / "page"
        self._files: Mapping[str, _File] = {path: _file(path, data) for path, data in _read(found)}
        self._policy = policy(self._files[START].data) if START in self._files else ""

    @property
    def paths(self) -> list[str]:
        """What is served, below `/ui/`."""
        return sorted(self._files)

    def add_to(self, app: web.Application) -> None:
        """Have it answer."""
        app.router.add_get("/", self.start)
        app.router.add_get("/ui/{path:.+}", self.file)

    async def start(self, request: web.Request) -> web.Response:
        """The page itself."""
        answer = self._answer(request, START)
        answer.headers["Content-Security-Policy"] = self._policy
        return answer

    async def file(self, request: web.Request) -> web.Response:
        """What it loads."""
        return self._answer(request, request.match_info["path"])

    def _answer(self, request: web.Request, path: str) -> web.Response:
        found = self._files.get(path)
        if found is None:
            raise web.HTTPNotFound(text="no such file of the page")
        packed = found.packed if "gzip" in request.headers.get("Accept-Encoding", "") else None
        tag = f'"{found.tag}"' if packed is None else f'"{found.tag}-gzip"'
        # An upgrade must be seen at once; what is the same is not sent again.
        headers = {"Cache-Control": "no-cache", "ETag": tag, "Vary": "Accept-Encoding"}
        if tag in re.findall(r'"[^"]*"', request.headers.get("If-None-Match", "")):
            return web.Response(status=304, headers=headers)
        if packed is not None:
            headers["Content-Encoding"] = "gzip"
        return web.Response(
            body=found.data if packed is None else packed, headers={**headers, "Content-Type": found.content_type}
        )


def policy(page: bytes) -> str:
    """What the page may load: our own files, and the scripts that stand in it, as an import map has to.

    Example:
        >>> policy(b"<script>1</script>")[:80]
        "default-src 'none'; script-src 'self' 'sha256-a4ayc/80/OGda4BO/1o/V0etpOqiLx1JwB"
    """
    inline = [f"'sha256-{b64encode(sha256(each).digest()).decode()}'" for each in _INLINE.findall(page)]
    return (
        f"default-src 'none'; script-src {' '.join([SELF, *inline])}; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def _read(folder: Traversable, before: str = "") -> Iterator[tuple[str, bytes]]:
    for each in folder.iterdir():
        path = f"{before}{each.name}"
        if each.is_dir():
            yield from _read(each, f"{path}/")
        elif _suffix(path) in TYPES:
            yield path, each.read_bytes()


def _file(path: str, data: bytes) -> _File:
    packed = gzip.compress(data, mtime=0)
    smaller = len(packed) < 0.9 * len(data)
    return _File(TYPES[_suffix(path)], data, sha256(data).hexdigest()[:32], packed if smaller else None)


def _suffix(path: str) -> str:
    return "." + path.rpartition(".")[2]
