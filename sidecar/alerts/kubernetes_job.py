"""A Kubernetes Job, made from a template for an alert: the retraining trigger."""

import asyncio
import json
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import yaml

from sidecar.alerts.document import document
from sidecar.alerts.posting import On, check_url, encode, on_faults, read_secret
from sidecar.config.schema import File
from sidecar.errors import ConfigError, DeliveryError, Fault
from sidecar.records import JSON, Notice

if TYPE_CHECKING:
    # The channels' options are checked before serving, which does not wait for aiohttp.
    from aiohttp import ClientResponse, ClientSession

API = "https://kubernetes.default.svc"
CREDENTIALS = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where a pod finds both."""

MAX_TEMPLATE_BYTES = 64 << 10
MAX_JOB_BYTES = 1 << 20
"""Of the request: etcd takes 1.5 MiB. A YAML file can be much smaller than what its aliases make of it."""
MAX_NAME_CHARACTERS = 63
"""The Job controller labels pods with the Job's name, and a label's value has no more."""
MAX_STATUS_BYTES = 64 << 10
MAX_MESSAGE_CHARACTERS = 500

TITLE = "sidecar/alert-title"
"""The annotation that tells people what the Job is for."""

_LABEL = re.compile("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")  # RFC 1123's, as namespaces and names of pods
_TOKEN = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesJob:
    """Makes a Job from a template, once for each alert and state: the name is the alert's, and can be taken only once.

    Every container of the Job has SIDECAR_ALERT (the alert as JSON), SIDECAR_ALERT_ID and SIDECAR_ALERT_VARIANT in its
    environment. The service account needs the right to create Jobs in the namespace, and no other.

    Args:
        template: YAML or JSON file of a batch/v1 Job; read at each use.
        namespace: Where the Job is made; by default the template's own, or else the service account's.
        api: The API server.
        credentials: Folder with the service account's token, ca.crt and namespace; read at each use.
        on: The states of an alert that a Job is made for.

    Raises:
        ConfigError: The namespace cannot be one, `api` is no https:// URL, or `on` is empty.
    """

    template: File
    namespace: str = ""
    api: str = API
    credentials: File = CREDENTIALS
    on: On = ("firing",)

    def __post_init__(self) -> None:
        faults = on_faults(self.on)
        if self.namespace and not _LABEL.fullmatch(self.namespace):
            faults.append(Fault("namespace", f"{self.namespace!r}, expected a name of a-z, 0-9 and - (RFC 1123)"))
        try:
            check_url(self.api)
        except ValueError as error:
            faults.append(Fault("api", str(error)))
        else:
            if not self.api.startswith("https:") or "?" in self.api:
                faults.append(Fault("api", "expected https://host:port, without query"))
        if faults:
            raise ConfigError(*faults)

    async def send(self, notice: Notice, http: "ClientSession") -> None:
        """Make the Job, unless there is to be none for this state, or has been: this is only a reminder.

        Raises:
            DeliveryError: The API server did not make it, or a file cannot be used.
        """
        alert = notice.alert
        if alert.state not in self.on or (alert.state == "firing" and alert.told > 1):
            return
        token = await self._token()
        # PyYAML takes its time.
        order = await asyncio.to_thread(self._order, notice)
        await _post(http, order, token)

    async def _token(self) -> str:
        file = str(Path(self.credentials, "token"))
        token = await read_secret("credentials", file)
        if not _TOKEN.fullmatch(token):
            raise DeliveryError(f"credentials {file}: expected one word")
        return token

    def _order(self, notice: Notice) -> "_Order":
        template = _parse(self.template, _read(self.template, MAX_TEMPLATE_BYTES))
        namespace = self.namespace or _mapping(template, "metadata").get("namespace") or self._own_namespace()
        if not (isinstance(namespace, str) and _LABEL.fullmatch(namespace)):
            raise DeliveryError(f"{self.template}: namespace, expected a name of a-z, 0-9 and - (RFC 1123)")
        url = f"{self.api.rstrip('/')}/apis/batch/v1/namespaces/{namespace}/jobs"
        return _Order(url, _dump(_job(template, notice, namespace)), _trusting(Path(self.credentials, "ca.crt")))

    def _own_namespace(self) -> str:
        return _read(str(Path(self.credentials, "namespace")), 1024).strip()


class _Order(NamedTuple):
    url: str
    body: bytes
    tls: ssl.SSLContext


def _read(file: str, max_bytes: int) -> str:
    try:
        with Path(file).open("rb") as opened:
            data = opened.read(max_bytes + 1)
        text = data.decode()
    except OSError as error:
        raise DeliveryError(f"{file}: {error.strerror}, expected a file that can be read") from error
    except ValueError as error:  # in the name of the file, or in what it holds
        raise DeliveryError(f"{file}: {error}, expected text in UTF-8") from error
    if len(data) > max_bytes:
        raise DeliveryError(f"{file}: more than {max_bytes} bytes, expected fewer")
    return text


def _parse(file: str, text: str) -> dict[str, JSON]:
    try:
        # The loader in C would end the whole process over a few thousand brackets.
        template = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date such as 2026-02-30
        raise DeliveryError(f"{file}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(template, dict) or (template.get("apiVersion"), template.get("kind")) != ("batch/v1", "Job"):
        raise DeliveryError(f"{file}: expected one mapping with apiVersion batch/v1 and kind Job")
    return template


def _mapping(parent: Mapping[str, JSON], key: str) -> dict[str, JSON]:
    """The mapping at this key of the template; empty where there is none."""
    found = parent.get(key)
    if not isinstance(found, dict | None):
        raise DeliveryError(f"template: {key}, expected a mapping")
    return found or {}


def _job(template: Mapping[str, JSON], notice: Notice, namespace: str) -> JSON:
    """The template, named for the alert, which its containers are told of. What else is in it is the server's to judge.

    Nothing is changed in place: with YAML's aliases, one list may stand in many places.
    """
    told = document(notice.alert, link=notice.link)
    metadata = _mapping(template, "metadata")
    made = {
        "name": _name(metadata, notice),
        "namespace": namespace,
        "labels": {**_mapping(metadata, "labels"), "app.kubernetes.io/managed-by": "sidecar"},
        "annotations": {**_mapping(metadata, "annotations"), TITLE: told["title"]},
    }
    kept = {key: value for key, value in metadata.items() if key != "generateName"}
    spec = _mapping(template, "spec")
    pods = _mapping(spec, "template")
    pod = {**_mapping(pods, "spec"), **_containers(_mapping(pods, "spec"), _variables(told))}
    return {**template, "metadata": {**kept, **made}, "spec": {**spec, "template": {**pods, "spec": pod}}}


def _name(metadata: Mapping[str, JSON], notice: Notice) -> str:
    """The same whenever the notice is sent; another one for another state of the alert."""
    alert = notice.alert
    end = f"-{alert.id}" if alert.state == "firing" else f"-{alert.id}-{alert.state}"
    given = metadata.get("name") or metadata.get("generateName")
    text = given.lower() if isinstance(given, str) else ""
    start = re.sub("[^a-z0-9]+", "-", text).strip("-") or "sidecar"
    return start[: MAX_NAME_CHARACTERS - len(end)].rstrip("-") + end


def _variables(told: JSON) -> list[JSON]:
    values = {
        "SIDECAR_ALERT": encode(told).decode(),
        "SIDECAR_ALERT_ID": told["id"],
        "SIDECAR_ALERT_VARIANT": told["variant"],
    }
    # Kubernetes replaces $(NAME) by another variable, of which some are secrets; names of features may hold anything.
    return [{"name": name, "value": value.replace("$", "$$")} for name, value in values.items()]


def _containers(pod: Mapping[str, JSON], variables: list[JSON]) -> dict[str, list[JSON]]:
    """The containers with these variables before their own, which may so refer to them."""
    names = [each["name"] for each in variables]
    return {
        kind: [
            {**each, "env": [*variables, *(own for own in _mappings(each, "env") if own.get("name") not in names)]}
            for each in _mappings(pod, kind)
        ]
        for kind in ("initContainers", "containers")
        if kind in pod
    }


def _mappings(parent: Mapping[str, JSON], key: str) -> list[dict[str, JSON]]:
    """The list at this key of the template; empty where there is none."""
    found = parent.get(key)
    if found is not None and not (isinstance(found, list) and all(isinstance(each, dict) for each in found)):
        raise DeliveryError(f"template: {key}, expected a list of mappings")
    return found or []


def _dump(job: JSON) -> bytes:
    """As JSON, written piece by piece: it is known to be too large before it is."""
    written: list[str] = []
    size_bytes = 0
    try:
        for piece in json.JSONEncoder(allow_nan=False).iterencode(job):
            written.append(piece)
            size_bytes += len(piece)
            if size_bytes > MAX_JOB_BYTES:
                raise DeliveryError(f"template: makes a Job of more than {MAX_JOB_BYTES} bytes, expected fewer")
    except (TypeError, ValueError, RecursionError) as error:  # a date, a set, a NaN, an alias of what it stands in
        raise DeliveryError(f"template: {error}; expected what JSON can hold, quote the rest") from error
    return "".join(written).encode()


def _trusting(authorities: Path) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=authorities)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DeliveryError(f"{authorities}: {reason}, expected a PEM file of authorities") from error
    # Clusters' own authorities lack what Python 3.13 has begun to demand (kubernetes-client/python#2394).
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


async def _post(http: "ClientSession", order: _Order, token: str) -> None:
    from aiohttp import ClientError

    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Connection": "close",  # the next one is made with what ca.crt then holds
    }
    try:
        async with http.post(
            order.url, data=order.body, headers=headers, ssl=order.tls, allow_redirects=False, auto_decompress=False
        ) as reply:
            if reply.status in {200, 201, 202}:
                return
            status = await _status(reply)
    except (ClientError, OSError) as error:
        raise DeliveryError(f"{order.url}: {_told(error)}") from error
    if (reply.status, status.get("reason")) == (409, "AlreadyExists"):
        return
    message = f"{status.get('reason') or reply.reason}: {status.get('message') or 'no Kubernetes Status'}"
    said = "".join(each if each.isprintable() else " " for each in message.replace(token, "[token]"))
    raise DeliveryError(f"{order.url}: answered {reply.status} {said[:MAX_MESSAGE_CHARACTERS]}, expected 201")


async def _status(reply: "ClientResponse") -> dict[str, JSON]:
    """The Kubernetes Status that says why; empty where there is none."""
    data = b""
    while len(data) <= MAX_STATUS_BYTES and (more := await reply.content.read(MAX_STATUS_BYTES)):
        data += more
    try:
        status = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return status if isinstance(status, dict) and status.get("kind") == "Status" else {}


def _told(error: Exception) -> str:
    from aiohttp import ClientConnectorCertificateError, ClientConnectorError

    match error:
        case ClientConnectorCertificateError(certificate_error=reason):
            return f"its certificate is not trusted: {getattr(reason, 'verify_message', reason)}"
        case ClientConnectorError(os_error=reason):
            return f"no connection: {reason.strerror or reason}"
        case TimeoutError():
            return "no answer in time"
        case _:
            return f"no answer: {str(error) or type(error).__name__}"
