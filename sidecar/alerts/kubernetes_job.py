"""A Kubernetes Job, made from a template for an alert: the retraining trigger."""

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from sidecar.alerts.document import document
from sidecar.alerts.posting import On, encode, on_faults
from sidecar.config.values import File
from sidecar.errors import ConfigError, DeliveryError
from sidecar.kubernetes.access import API, Access, Refused, Request, api_faults
from sidecar.kubernetes.account import A_LABEL, CREDENTIALS, Account, is_label, namespace_faults
from sidecar.records import JSON, Notice

if TYPE_CHECKING:
    # The channels' options are checked before serving, which does not wait for aiohttp.
    from aiohttp import ClientSession

TIMEOUT_S = 10.0
"""For the API server to answer."""
MAX_TEMPLATE_BYTES = 64 << 10
MAX_JOB_BYTES = 1 << 20
"""Of the request: etcd takes 1.5 MiB. A YAML file can be much smaller than what its aliases make of it."""
MAX_NAME_CHARACTERS = 63
"""The Job controller labels pods with the Job's name, and a label's value has no more."""

TITLE = "sidecar/alert-title"
"""The annotation that tells people what the Job is for."""


@dataclass(frozen=True, slots=True)
class KubernetesJob:
    """Makes a Job from a template, once for each alert and state: the name is the alert's, and can be taken only once.

    Every container of the Job has SIDECAR_ALERT (the alert as JSON), SIDECAR_ALERT_ID and SIDECAR_ALERT_VARIANT in its
    environment. The service account needs the right to create Jobs in the namespace, and no other.

    Args:
        timeout_s: For the API server to answer.
        template: YAML or JSON file of a batch/v1 Job; read at each use.
        namespace: Where the Job is made; by default the template's own, or else the service account's.
        api: The API server.
        credentials: Folder with the service account's token, ca.crt and namespace; read at each use.
        on: The states of an alert that a Job is made for.

    Raises:
        ConfigError: The namespace cannot be one, `api` is no https:// URL, or `on` is empty.
    """

    timeout_s: float = field(default=TIMEOUT_S, repr=False)
    _: KW_ONLY
    template: File
    namespace: str = ""
    api: str = API
    credentials: File = CREDENTIALS
    on: On = ("firing",)

    def __post_init__(self) -> None:
        if faults := [*on_faults(self.on), *namespace_faults(self.namespace), *api_faults(self.api)]:
            raise ConfigError(*faults)

    async def send(self, notice: Notice, http: "ClientSession") -> None:  # noqa: ARG002 - a Channel
        """Make the Job, unless there is to be none for this state, or has been: this is only a reminder.

        Raises:
            DeliveryError: The API server did not make it, or a file cannot be used.
        """
        alert = notice.alert
        if alert.state not in self.on or (alert.state == "firing" and alert.told > 1):
            return
        account = Account(self.credentials)
        request = await self._request(notice, account)
        try:
            async with Access(self.api, account).open(request, self.timeout_s, self.timeout_s):
                pass  # the answer is the Job once more
        except Refused as error:
            if (error.status, error.reason) != (409, "AlreadyExists"):
                raise

    async def _request(self, notice: Notice, account: Account) -> Request:
        # PyYAML takes its time, as do aliases that are written out.
        template = await asyncio.to_thread(_load, self.template)
        namespace = self.namespace or _mapping(template, "metadata").get("namespace") or await account.namespace()
        if not is_label(namespace):
            raise DeliveryError(f"{self.template}: namespace, expected {A_LABEL}")
        body = await asyncio.to_thread(lambda: _dump(_job(template, notice, namespace)))
        return Request("POST", f"/apis/batch/v1/namespaces/{namespace}/jobs", body=body)


def _load(file: str) -> dict[str, JSON]:
    """The template in a file."""
    try:
        with Path(file).open("rb") as opened:
            data = opened.read(MAX_TEMPLATE_BYTES + 1)
        text = data.decode()
    except OSError as error:
        raise DeliveryError(f"{file}: {error.strerror}, expected a file that can be read") from error
    except ValueError as error:  # in the name of the file, or in what it holds
        raise DeliveryError(f"{file}: {error}, expected text in UTF-8") from error
    if len(data) > MAX_TEMPLATE_BYTES:
        raise DeliveryError(f"{file}: more than {MAX_TEMPLATE_BYTES} bytes, expected fewer")
    return _parse(file, text)


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
