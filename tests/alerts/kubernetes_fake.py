"""A small API server over real TLS: it makes Jobs, keeps them, and refuses what Kubernetes refuses, in its words."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext

import trustme
from aiohttp import web

from sidecar.records import JSON

TOKEN = "eyJhbGciOiJSUzI1NiJ9.c2lkZWNhcg.c2lnbmF0dXJl"
NAMESPACE = "serving"
VERBS_ALLOWED_IN = {NAMESPACE, "training"}

_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "AlreadyExists",
    415: "UnsupportedMediaType",
    422: "Invalid",
}
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_VARIABLE = re.compile(r"\$(\$|\(([^)]*)\)|)")


def expanded(value: str, variables: dict[str, str]) -> str:
    """The value of a variable as its container sees it: `$(NAME)` replaced where there is one, `$$` a dollar."""

    def replaced(match: re.Match[str]) -> str:
        if match[1] == "$":
            return "$"
        return variables.get(match[2], match[0]) if match[2] is not None else match[0]

    return _VARIABLE.sub(replaced, value)


def environment(container: JSON) -> dict[str, str]:
    """What a container of a Job would find in its environment."""
    variables: dict[str, str] = {}
    for each in container.get("env", []):
        variables[each["name"]] = expanded(each.get("value", ""), variables)
    return variables


class Refusal(Exception):
    """A Status that is sent instead of a Job."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def status(self) -> JSON:
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": _REASONS[self.code],
            "code": self.code,
        }


@dataclass
class ApiServer:
    """What it was told, and what it knows.

    Args:
        folder: Of a service account: token, ca.crt, namespace.
        token: The one that it takes.
        jobs: Those made, by namespace and name.
        answer: Sent to everybody instead of an answer of its own.
        hangs: Nobody gets an answer.
        hangs_up: Likewise, and the connection is closed.
    """

    folder: Path
    url: str = ""
    token: str = TOKEN
    jobs: dict[tuple[str, str], JSON] = field(default_factory=dict)
    requests: int = 0
    answer: web.Response | None = None
    hangs: bool = False
    hangs_up: bool = False

    async def serve(self, request: web.Request) -> web.Response:
        self.requests += 1
        if self.hangs:
            await asyncio.get_running_loop().create_future()
        if self.hangs_up and request.transport:
            request.transport.abort()
        if self.answer is not None:
            return self.answer
        try:
            job = await self._create(request)
        except Refusal as refusal:
            return web.json_response(refusal.status, status=refusal.code)
        return web.json_response(job, status=201)

    async def _create(self, request: web.Request) -> JSON:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            raise Refusal(401, "Unauthorized")
        path = re.fullmatch("/apis/batch/v1/namespaces/([^/]+)/jobs", request.path)
        if not path or request.method != "POST" or request.query_string:
            raise Refusal(404, "the server could not find the requested resource")
        namespace = path[1]
        if namespace not in VERBS_ALLOWED_IN:
            user = f"system:serviceaccount:{NAMESPACE}:sidecar"
            what = f'cannot create resource "jobs" in API group "batch" in the namespace "{namespace}"'
            raise Refusal(403, f'jobs.batch is forbidden: User "{user}" {what}')
        if request.content_type != "application/json":
            raise Refusal(415, "the body of the request was in an unknown format")
        job = await request.json()
        _admit(job, namespace)
        key = namespace, job["metadata"]["name"]
        if key in self.jobs:
            raise Refusal(409, f'jobs.batch "{key[1]}" already exists')
        self.jobs[key] = job
        return job


def _admit(job: JSON, namespace: str) -> None:
    """What the decoder and the validation of batch/v1 demand of a Job."""
    if (job.get("apiVersion"), job.get("kind")) != ("batch/v1", "Job"):
        raise Refusal(400, "the object provided is unrecognized")
    metadata = job.get("metadata", {})
    if metadata.get("namespace", namespace) != namespace:
        raise Refusal(400, "the namespace of the provided object does not match the namespace sent on the request")
    name = metadata.get("name", "")
    if faults := _faults(job, name):
        raise Refusal(422, f'Job.batch "{name}" is invalid: ' + (faults[0] if len(faults) == 1 else f"{faults}"))


def _faults(job: JSON, name: str) -> list[str]:
    faults = []
    if not name:
        faults.append("metadata.name: Required value: name or generateName is required")
    elif not _SUBDOMAIN.fullmatch(name) or len(name) > 63:
        faults.append(
            f'metadata.name: Invalid value: "{name}": a lowercase RFC 1123 subdomain must consist of lower ...'
        )
    pod = job.get("spec", {}).get("template", {}).get("spec", {})
    if not pod.get("containers"):
        faults.append("spec.template.spec.containers: Required value")
    if (policy := pod.get("restartPolicy", "Always")) not in {"Never", "OnFailure"}:
        faults.append(f'spec.template.spec.restartPolicy: Unsupported value: "{policy}"')
    labels = [*job["metadata"].get("labels", {}).values(), *job["metadata"].get("annotations", {}).values()]
    return faults + [f"metadata.labels: Invalid value: {each!r}" for each in labels if not isinstance(each, str)]


@asynccontextmanager
async def api_server(folder: Path, authority: trustme.CA) -> AsyncIterator[ApiServer]:
    """One that runs, and a service account that it knows in `folder`."""
    server = ApiServer(folder)
    folder.joinpath("token").write_text(f"{TOKEN}\n")
    folder.joinpath("namespace").write_text(NAMESPACE)
    authority.cert_pem.write_to_path(str(folder / "ca.crt"))
    context = SSLContext(PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.serve)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        server.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()
