"""The resources that the tests' API server has, and what the validation of Kubernetes demands of them."""

import re
from collections.abc import Iterator

from sidecar.records import JSON
from tests.kubernetes.store import Refusal, Resource

MAX_DATA_BYTES = 1 << 20

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def _admit_configmap(configmap: JSON) -> None:
    data = configmap.get("data") or {}
    if not all(isinstance(value, str) for value in data.values()):
        raise Refusal(400, "json: cannot unmarshal into Go struct field ConfigMap.data of type string")
    if sum(len(value.encode()) for value in data.values()) > MAX_DATA_BYTES:
        raise Refusal(422, f"ConfigMap is invalid: []: Too long: must have at most {MAX_DATA_BYTES} bytes")


def _admit_job(job: JSON) -> None:
    if faults := list(_job_faults(job)):
        told = faults[0] if len(faults) == 1 else f"{faults}"
        raise Refusal(422, f'Job.batch "{job["metadata"].get("name", "")}" is invalid: {told}')


def _job_faults(job: JSON) -> Iterator[str]:
    metadata = job["metadata"]
    name = metadata.get("name", "")
    if not name:
        yield "metadata.name: Required value: name or generateName is required"
    elif not _SUBDOMAIN.fullmatch(name) or len(name) > 63:
        yield f'metadata.name: Invalid value: "{name}": a lowercase RFC 1123 subdomain must consist of lower ...'
    pod = job.get("spec", {}).get("template", {}).get("spec", {})
    if not pod.get("containers"):
        yield "spec.template.spec.containers: Required value"
    if (policy := pod.get("restartPolicy", "Always")) not in {"Never", "OnFailure"}:
        yield f'spec.template.spec.restartPolicy: Unsupported value: "{policy}"'
    for each in [*metadata.get("labels", {}).values(), *metadata.get("annotations", {}).values()]:
        if not isinstance(each, str):
            yield f"metadata.labels: Invalid value: {each!r}"


CONFIGMAPS = Resource("", "v1", "configmaps", "ConfigMap", _admit_configmap)
JOBS = Resource("batch", "v1", "jobs", "Job", _admit_job)
RESOURCES = (CONFIGMAPS, JOBS)
