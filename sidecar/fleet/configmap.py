"""Routing that pods share in one ConfigMap of Kubernetes: any of them may write it, all of them follow it."""

import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field

import orjson

from sidecar.config.values import File
from sidecar.errors import ConfigError, ConflictError, DeliveryError, Fault
from sidecar.fleet.following import Following, Pace, Place, version_of
from sidecar.kubernetes.access import API, Access, Object, Refused, Request, api_faults
from sidecar.kubernetes.account import CREDENTIALS, Account, namespace_faults
from sidecar.ports import Kept
from sidecar.records import JSON

KEY = "routing.json"
"""Of the document, among the ConfigMap's data."""
MAX_DOCUMENT_BYTES = 1 << 20
"""What Kubernetes takes of all data of a ConfigMap together."""
MAX_NAME_CHARACTERS = 253

# RFC 1123's subdomain, as names of ConfigMaps.
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


@dataclass(frozen=True, slots=True)
class ConfigMap:
    """Keeps the routing in a ConfigMap, whose other keys, labels and annotations are left as they are.

    A document's mark is the object's resourceVersion: it changes too where somebody changes something else of the
    object, and stays where the same document is written again. The service account needs the rights to get, list,
    watch and update this ConfigMap, and where nobody has made it before, to create ConfigMaps.

    Args:
        pace: Time and chance.
        name: Of the ConfigMap.
        namespace: Where it is; by default the service account's own.
        api: The API server.
        credentials: Folder with the service account's token, ca.crt and namespace; read at each request.

    Raises:
        ConfigError: Name or namespace cannot be one, or `api` is no https:// URL.
    """

    pace: Pace = field(default_factory=Pace, repr=False)
    _: KW_ONLY
    name: str
    namespace: str = ""
    api: str = API
    credentials: File = CREDENTIALS

    def __post_init__(self) -> None:
        faults = []
        if len(self.name) > MAX_NAME_CHARACTERS or not _NAME.fullmatch(self.name):
            faults.append(Fault("name", f"{self.name!r}, expected a name of a-z, 0-9, - and . (RFC 1123)"))
        if faults := faults + namespace_faults(self.namespace) + api_faults(self.api):
            raise ConfigError(*faults)

    async def read(self) -> Kept | None:
        """The document; None where there is no ConfigMap, or none with the document.

        Raises:
            DeliveryError: The server does not answer, or refuses; or a file cannot be used.
        """
        found = await self._find(await self._place())
        return None if found is None else _kept(found)

    async def write(self, document: bytes, mark: str | None) -> str:
        """Put another document in the place of the one with this mark, None where there is none yet; its own mark.

        Where the answer is lost, so that DeliveryError is raised, the document may have been written all the same: who
        tries again meets ConflictError then, and finds its own document.

        Args:
            document: Text in UTF-8, of up to MAX_DOCUMENT_BYTES.

        Raises:
            ConflictError: Somebody else was first; nothing was written.
            DeliveryError: The server does not answer, or refuses; or a file cannot be used.
        """
        data = {KEY: _text(document)}
        place = await self._place()
        found = await self._find(place)
        if mark != (None if found is None or _kept(found) is None else version_of(found)):
            raise ConflictError(f"ConfigMap {self.name}: {_changed(found)}, expected {mark or 'none with a document'}")
        if found is None:
            stored = await self._store(Request("POST", place.path, body=orjson.dumps(_first(place.name, data))))
        else:
            # Of this very version, and this very object: the server compares resourceVersion and uid.
            changed = {**found, "data": {**_data(found), **data}}
            stored = await self._store(Request("PUT", place.own_path, body=orjson.dumps(changed)))
        return version_of(stored)

    async def changed(self, mark: str | None) -> Kept:
        """The document once its mark is another one; waits for that, whatever happens to connections meanwhile.

        While there is none, there is nothing to return. What went by in between is not told of.
        """

        def another(found: Object) -> Kept | None:
            kept = _kept(found)
            return kept if kept and kept.mark != mark else None

        return await Following(self._access, self._place, another, self.pace).end()

    async def close(self) -> None:
        """Nothing: each call lets go of what it holds."""

    @property
    def _access(self) -> Access:
        return Access(self.api, Account(self.credentials))

    async def _place(self) -> Place:
        namespace = self.namespace or await Account(self.credentials).namespace()
        return Place(f"/api/v1/namespaces/{namespace}/configmaps", self.name)

    async def _find(self, place: Place) -> Object | None:
        try:
            return await self._access.call(Request("GET", place.own_path), self.pace.call_s)
        except Refused as error:
            # The server says NotFound of a wrong address too, but then it does not know the name.
            if (error.status, error.reason, error.name) == (404, "NotFound", self.name):
                return None
            raise

    async def _store(self, request: Request) -> Object:
        try:
            return await self._access.call(request, self.pace.call_s)
        except Refused as error:
            gone = request.method == "PUT" and (error.status, error.name) == (404, self.name)
            if error.status == 409 or gone:
                raise ConflictError(str(error)) from error
            raise


def _kept(found: Object) -> Kept | None:
    """The document of an object; None where it has none."""
    text = _data(found).get(KEY)
    return Kept(text.encode(errors="replace"), version_of(found)) if isinstance(text, str) else None


def _data(found: Object) -> Mapping[str, JSON]:
    data = found.get("data")
    return data if isinstance(data, dict) else {}


def _text(document: bytes) -> str:
    if len(document) > MAX_DOCUMENT_BYTES:
        raise DeliveryError(f"a document of {len(document)} bytes, expected up to {MAX_DOCUMENT_BYTES}")
    try:
        return document.decode()
    except ValueError as error:
        raise DeliveryError(f"a document that is no text: {error}; expected UTF-8") from error


def _first(name: str, data: Mapping[str, str]) -> JSON:
    labels = {"app.kubernetes.io/managed-by": "sidecar"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}, "data": data}


def _changed(found: Object | None) -> str:
    """What is there instead of what was expected."""
    if found is None:
        return "is not there any more"
    return f"has resourceVersion {version_of(found)}"
