"""AdmissionReview v1: what the API server asks of a webhook, and the answer to it. Every pod is admitted."""

import base64
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import orjson
from msgspec import Struct

from sidecar.errors import DownstreamError
from sidecar.injection.containers import Settings
from sidecar.injection.injecting import Injection, inject
from sidecar.injection.mismatches import fault
from sidecar.injection.pods import Metadata
from sidecar.records import JSON
from sidecar.texts import shown

VERSION = "admission.k8s.io/v1"

SHOWN = 300


class _Kind(Struct, frozen=True):
    """What a document is, which says how the rest of it is to be read."""

    kind: str = ""
    api_version: str = msgspec.field(name="apiVersion", default="")


class _Resource(Struct, frozen=True):
    """Of what kind an object is."""

    group: str = ""
    kind: str = ""


class _Request(Struct, frozen=True):
    """What is about to happen."""

    uid: str
    kind: _Resource
    operation: str
    object: JSON = None
    sub_resource: str = msgspec.field(name="subResource", default="")
    namespace: str = ""
    name: str = ""


class _Review(Struct, frozen=True):
    """The question."""

    request: _Request


class Answer(NamedTuple):
    """What the API server is told, and what the log is.

    Args:
        body: The AdmissionReview.
        pod: Namespace and name, as far as they are known by then.
    """

    body: bytes
    pod: str
    injection: Injection


def answer(body: bytes, settings: Settings) -> Answer:
    """The answer to a review.

    Raises:
        DownstreamError: It is none of v1.
    """
    request = _read(body)
    injection = _decide(request, settings)
    response: dict[str, JSON] = {"uid": request.uid, "allowed": True}
    if injection.patch:
        patch = orjson.dumps([each.document for each in injection.patch])
        response |= {"patchType": "JSONPatch", "patch": base64.b64encode(patch).decode()}
    if warnings := [*_warnings(injection)]:
        response["warnings"] = warnings
    told = {"apiVersion": VERSION, "kind": "AdmissionReview", "response": response}
    return Answer(orjson.dumps(told), shown(f"{request.namespace}/{_name(request)}", SHOWN), injection)


def _warnings(injection: Injection) -> Iterator[str]:
    """For whoever makes the pod: kubectl shows them."""
    if injection.outcome == "refused":
        yield f"no sidecar injected: {injection.told}"
    yield from injection.warnings


def _read(body: bytes) -> _Request:
    try:
        found = msgspec.json.decode(body, type=_Kind)
        if (found.api_version, found.kind) != (VERSION, "AdmissionReview"):
            got = shown(f"{found.api_version} {found.kind}", SHOWN)
            raise _bad(f"expected {VERSION} AdmissionReview, got {got}")
        return msgspec.json.decode(body, type=_Review).request
    except msgspec.ValidationError as error:
        raise _bad(f"no AdmissionReview: {fault(error)}") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise _bad(f"no JSON: {error}") from error


def _bad(message: str) -> DownstreamError:
    return DownstreamError(400, "bad_request", shown(message, SHOWN))


def _decide(request: _Request, settings: Settings) -> Injection:
    if (request.kind.group, request.kind.kind, request.sub_resource) != ("", "Pod", ""):
        return Injection("untouched", "it is no pod")
    if request.operation != "CREATE":
        return Injection("untouched", "it is there already")
    return inject(request.object, settings)


def _name(request: _Request) -> str:
    """Its name, or what that will begin with: it is made up afterwards."""
    if request.name:
        return request.name
    try:
        metadata = msgspec.convert(request.object, _Named).metadata
    except (msgspec.ValidationError, RecursionError):
        return ""
    return metadata.name or metadata.generate_name or ""


class _Named(Struct, frozen=True):
    """What has a name."""

    metadata: Metadata = Metadata()
