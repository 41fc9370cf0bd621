import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
import yaml
from aiohttp import web

import sidecar
from sidecar.alerts.document import document
from sidecar.alerts.kubernetes_job import MAX_TEMPLATE_BYTES, TIMEOUT_S, TITLE, KubernetesJob
from sidecar.alerts.posting import On
from sidecar.cli.lazy import FAMILIES
from sidecar.config.keys import options
from sidecar.config.loading import Source
from sidecar.errors import ConfigError, DeliveryError
from sidecar.records import JSON, Notice
from tests.alerts.containers import environment
from tests.alerts.notices import ALERT_ID, notice
from tests.kubernetes.api_server import NAMESPACE, TOKEN, ApiServer, Right, api_server
from tests.kubernetes.resources import JOBS
from tests.kubernetes.store import Key
from tests.proxy.rig import PATIENCE_S, SHORT_S, on_both_loops

TEMPLATE = """
apiVersion: batch/v1
kind: Job
metadata:
  name: retrain
  labels: {team: fraud}
  annotations: {owner: us}
spec:
  backoffLimit: 2
  template:
    spec:
      restartPolicy: Never
      volumes: [{name: data, secret: {secretName: data, defaultMode: 0400}}]
      initContainers:
      - {name: fetch, image: fetch:1}
      containers:
      - name: train
        image: train:1
        args: [--alert, $(SIDECAR_ALERT_ID)]
        env:
        - {name: SIDECAR_ALERT_ID, value: theirs}
        - {name: MODEL, value: "fraud of $(SIDECAR_ALERT_VARIANT)"}
"""
EXAMPLES = Path(sidecar.__file__).parents[1] / "k8s" / "examples"
EXAMPLE: JSON = {each["kind"]: each for each in yaml.safe_load_all((EXAMPLES / "retrain.yaml").read_text())}
FILES: JSON = EXAMPLE["ConfigMap"]["data"]
JOB = Key(JOBS, NAMESPACE, f"retrain-{ALERT_ID}")
THE_SERVERS = {"uid", "creationTimestamp", "resourceVersion"}
"""What is in the metadata of every object."""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


class Cluster:
    """An API server, a channel to it, and the template between them."""

    def __init__(self, server: ApiServer, folder: Path) -> None:
        self.server = server
        self.file = folder / "job.yaml"
        self.file.write_text(TEMPLATE)
        self.channel = KubernetesJob(
            PATIENCE_S, template=str(self.file), api=server.url, credentials=str(server.folder)
        )

    async def send(self, told: Notice | None = None) -> None:
        async with aiohttp.ClientSession() as http:
            await self.channel.send(told or notice(), http)

    async def failure(self) -> str:
        """Why it was not taken; the token is in none of it."""
        with pytest.raises(DeliveryError) as raised:
            await self.send()
        assert TOKEN not in str(raised.value)
        return str(raised.value).replace(self.server.url, "API")

    def change(self, change: Callable[[JSON], object]) -> None:
        """Write the template as this makes it."""
        template = yaml.safe_load(TEMPLATE)
        change(template)
        self.file.write_text(yaml.safe_dump(template))

    @property
    def jobs(self) -> list[Key]:
        """Those that were made."""
        return list(self.server.store.objects)

    @property
    def job(self) -> JSON:
        """The one that was made, as it was sent."""
        (job,) = self.server.store.objects.values()
        return {**job, "metadata": {key: value for key, value in job["metadata"].items() if key not in THE_SERVERS}}


@asynccontextmanager
async def cluster(folder: Path, authority: trustme.CA) -> AsyncIterator[Cluster]:
    credentials = folder / "credentials"
    credentials.mkdir()
    async with api_server(credentials, authority) as server:
        yield Cluster(server, folder)


@on_both_loops
async def test_an_alert_makes_the_job_of_the_template(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        await found.send()
    assert found.jobs == [JOB]
    job = found.job
    assert job["metadata"] == {
        "name": f"retrain-{ALERT_ID}",
        "namespace": NAMESPACE,
        "labels": {"team": "fraud", "app.kubernetes.io/managed-by": "sidecar"},
        "annotations": {"owner": "us", TITLE: "Data drift in variant champion: amount"},
    }
    assert (job["spec"]["backoffLimit"], job["spec"]["template"]["spec"]["volumes"][0]["secret"]["defaultMode"]) == (
        2,
        0o400,
    )


@on_both_loops
async def test_every_container_is_told_of_the_alert_and_keeps_what_is_its_own(
    tmp_path: Path, authority: trustme.CA
) -> None:
    told = notice()
    async with cluster(tmp_path, authority) as found:
        await found.send(told)
    pod = found.job["spec"]["template"]["spec"]
    ours = {
        "SIDECAR_ALERT": json.dumps(document(told.alert, link=told.link), separators=(",", ":")),
        "SIDECAR_ALERT_ID": ALERT_ID,
        "SIDECAR_ALERT_VARIANT": "champion",
    }
    assert environment(pod["initContainers"][0]) == ours
    assert environment(pod["containers"][0]) == {**ours, "MODEL": "fraud of champion"}
    assert [each["name"] for each in pod["containers"][0]["env"]] == [*ours, "MODEL"]


@on_both_loops
async def test_a_name_of_a_feature_cannot_fetch_another_variable(tmp_path: Path, authority: trustme.CA) -> None:
    told = notice(columns=("$(SIDECAR_ALERT_ID)", "$$", "cost in $", "$("))
    async with cluster(tmp_path, authority) as found:
        await found.send(told)
    seen = environment(found.job["spec"]["template"]["spec"]["containers"][0])["SIDECAR_ALERT"]
    assert json.loads(seen) == document(told.alert, link=told.link)


@on_both_loops
async def test_lists_that_stand_in_two_places_are_not_mixed_up(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        shared = "env: &env [{name: A, value: '1'}]"
        found.file.write_text(
            TEMPLATE.replace("image: fetch:1", f"image: fetch:1, {shared}").replace("env:\n", "env: &x\n")
        )
        await found.send()
    pod = found.job["spec"]["template"]["spec"]
    assert [len(each["env"]) for each in pod["initContainers"] + pod["containers"]] == [4, 4]


@on_both_loops
async def test_a_template_may_be_json(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        found.file.write_text(json.dumps(yaml.safe_load(TEMPLATE), indent=2))
        await found.send()
    assert found.jobs == [JOB]


@pytest.mark.parametrize(
    ("metadata", "name"),
    [
        ({"name": "retrain"}, f"retrain-{ALERT_ID}"),
        ({"name": "Retrain_The.Model!"}, f"retrain-the-model-{ALERT_ID}"),
        ({"name": "x" * 100}, f"{'x' * 46}-{ALERT_ID}"),
        ({"name": "x" * 45 + "-y"}, f"{'x' * 45}-{ALERT_ID}"),
        ({"generateName": "retrain-"}, f"retrain-{ALERT_ID}"),
        ({"name": "--"}, f"sidecar-{ALERT_ID}"),
        ({"name": 7}, f"sidecar-{ALERT_ID}"),
        ({}, f"sidecar-{ALERT_ID}"),
        (None, f"sidecar-{ALERT_ID}"),
    ],
)
@on_both_loops
async def test_the_name_is_the_alerts_and_one_that_kubernetes_takes(
    metadata: JSON, name: str, tmp_path: Path, authority: trustme.CA
) -> None:
    async with cluster(tmp_path, authority) as found:
        found.change(lambda template: template.update(metadata=metadata))
        await found.send()
    assert found.job["metadata"]["name"] == name
    assert "generateName" not in found.job["metadata"]


@on_both_loops
async def test_to_send_again_makes_no_second_job(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        await found.send()
        await found.send()
    assert (len(found.server.asked), found.jobs) == (2, [JOB])


@on_both_loops
async def test_the_end_of_an_alert_has_a_job_of_its_own(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        found.channel = replace(found.channel, on=("firing", "resolved"))
        await found.send()
        await found.send(notice("resolved", told=2))
    assert found.jobs == [JOB, Key(JOBS, NAMESPACE, f"{JOB.name}-resolved")]


@pytest.mark.parametrize(
    ("on", "told"),
    [
        (("firing",), notice("resolved", told=2)),
        (("resolved",), notice()),
        (("firing", "resolved"), notice(told=2)),
    ],
)
@on_both_loops
async def test_other_states_and_reminders_make_no_job(
    on: On, told: Notice, tmp_path: Path, authority: trustme.CA
) -> None:
    async with cluster(tmp_path, authority) as found:
        found.channel = replace(found.channel, on=on)
        await found.send(told)
    assert found.server.asked == []


@pytest.mark.parametrize(
    ("option", "of_template", "namespace"),
    [("training", "serving", "training"), ("", "training", "training"), ("", None, NAMESPACE)],
)
@on_both_loops
async def test_the_namespace_is_the_one_configured_or_the_templates_or_our_own(
    option: str, of_template: str | None, namespace: str, tmp_path: Path, authority: trustme.CA
) -> None:
    async with cluster(tmp_path, authority) as found:
        found.change(lambda template: template["metadata"].update(namespace=of_template))
        found.channel = replace(found.channel, namespace=option)
        await found.send()
    assert found.jobs == [Key(JOBS, namespace, JOB.name)]


@on_both_loops
async def test_template_token_and_authorities_are_read_each_time(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        found.server.token = "another"
        trustme.CA().cert_pem.write_to_path(str(found.server.folder / "ca.crt"))
        assert "certificate is not trusted" in await found.failure()
        authority.cert_pem.write_to_path(str(found.server.folder / "ca.crt"))
        assert "401" in await found.failure()
        (found.server.folder / "token").write_text("another")
        found.change(lambda template: template["metadata"].update(name="second"))
        await found.send()
    assert found.jobs == [Key(JOBS, NAMESPACE, f"second-{ALERT_ID}")]


def _restart_always(template: JSON) -> None:
    template["spec"]["template"]["spec"]["restartPolicy"] = "Always"


FORBIDDEN = (
    'answered 403 Forbidden: jobs.batch is forbidden: User "system:serviceaccount:serving:sidecar" cannot create'
    ' resource "jobs" in API group "batch" in the namespace "elsewhere", expected 201'
)
INVALID = (
    f'answered 422 Invalid: Job.batch "{JOB.name}" is invalid: spec.template.spec.restartPolicy: Unsupported value:'
    ' "Always", expected 201'
)
REQUIRED = (
    f'answered 422 Invalid: Job.batch "{JOB.name}" is invalid: spec.template.spec.containers: Required value,'
    " expected 201"
)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda template: template["metadata"].update(namespace="elsewhere"), FORBIDDEN),
        (_restart_always, INVALID),
        (lambda template: template["spec"]["template"]["spec"].pop("containers"), REQUIRED),
    ],
)
@on_both_loops
async def test_what_kubernetes_refuses_is_told_in_its_words(
    change: Callable[[JSON], object], problem: str, tmp_path: Path, authority: trustme.CA
) -> None:
    async with cluster(tmp_path, authority) as found:
        found.change(change)
        told = await found.failure()
    assert told.partition(": ")[2] == problem
    assert found.jobs == []


@on_both_loops
async def test_another_token_is_refused(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        found.server.token = "rotated"
        problem = await found.failure()
    assert problem == "API/apis/batch/v1/namespaces/serving/jobs: answered 401 Unauthorized: Unauthorized, expected 201"


@on_both_loops
async def test_an_address_that_is_no_api_is_refused(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        found.channel = replace(found.channel, api=found.server.url + "/prefix/")
        problem = await found.failure()
    assert problem == (
        "API/prefix/apis/batch/v1/namespaces/serving/jobs: answered 404 NotFound:"
        " the server could not find the requested resource, expected 201"
    )


@pytest.mark.parametrize(
    ("status", "text", "problem"),
    [
        (409, '{"kind": "Status", "reason": "Conflict", "message": "busy"}', "answered 409 Conflict: busy"),
        (409, "AlreadyExists", "answered 409 Conflict: no Kubernetes Status"),
        (500, '{"kind": "Status", "reason": "AlreadyExists"}', "answered 500 AlreadyExists: no Kubernetes Status"),
    ],
)
@on_both_loops
async def test_no_other_answer_means_that_the_job_is_there(
    status: int, text: str, problem: str, tmp_path: Path, authority: trustme.CA
) -> None:
    async with cluster(tmp_path, authority) as found:
        found.server.refusals.append(web.Response(status=status, text=text))
        told = await found.failure()
    assert told.partition(": ")[2] == f"{problem}, expected 201"
    assert len(found.server.asked) == 1


@pytest.mark.parametrize("status", [200, 201, 202])
@on_both_loops
async def test_a_job_that_was_taken_is_made_whatever_else_the_answer_says(
    status: int, tmp_path: Path, authority: trustme.CA
) -> None:
    async with cluster(tmp_path, authority) as found:
        found.server.refusals.append(web.Response(status=status, text="<html>"))
        await found.send()
    assert len(found.server.asked) == 1


BOMB = f"a: &a {'x' * 10000}\nb: &b [{'*a, ' * 20}]\nc: [{'*b, ' * 20}]"
HEAD = "apiVersion: batch/v1\nkind: Job\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "expected one mapping with apiVersion batch/v1 and kind Job"),
        ("[]", "expected one mapping with apiVersion batch/v1 and kind Job"),
        ("apiVersion: batch/v1\nkind: CronJob", "expected one mapping with apiVersion batch/v1 and kind Job"),
        ("apiVersion: v1\nkind: Job", "expected one mapping with apiVersion batch/v1 and kind Job"),
        (f"{HEAD}---\n{HEAD}", "not YAML: expected a single document in the stream"),
        ("{", "not YAML: while parsing a flow node expected the node content"),
        ("[" * 500, "not YAML: maximum recursion depth exceeded"),
        (f"{HEAD}x: !!python/object:os.system {{}}", "not YAML: could not determine a constructor"),
        (f"{HEAD}x: 2026-02-30", "not YAML: day"),
        (f"{HEAD}x: 2026-02-20", "Object of type date is not JSON serializable; expected what JSON can hold"),
        (f"{HEAD}x: .nan", "Out of range float values are not JSON compliant"),
        (f"{HEAD}x: &x [*x]", "Circular reference detected; expected"),
        (f"{HEAD}metadata: {{}}\n{BOMB}", "makes a Job of more than 1048576 bytes, expected fewer"),
        ("#" * (MAX_TEMPLATE_BYTES + 1), "more than 65536 bytes, expected fewer"),
        (f"{HEAD}metadata: 7", "metadata, expected a mapping"),
        (f"{HEAD}metadata: {{labels: [a]}}", "labels, expected a mapping"),
        (f"{HEAD}metadata: {{namespace: ../x}}", "namespace, expected a name of a-z, 0-9 and -"),
        (f"{HEAD}metadata: {{namespace: 7}}", "namespace, expected a name of a-z, 0-9 and -"),
        (f"{HEAD}spec: {{template: {{spec: {{containers: 7}}}}}}", "containers, expected a list of mappings"),
        (f"{HEAD}spec: {{template: {{spec: {{containers: [7]}}}}}}", "containers, expected a list of mappings"),
        (f"{HEAD}spec: {{template: {{spec: {{containers: [{{env: 7}}]}}}}}}", "env, expected a list of mappings"),
        ("\udcff", "invalid start byte, expected text in UTF-8"),
    ],
)
@on_both_loops
async def test_a_template_that_is_no_job_is_told_by_what_is_wrong(
    text: str, problem: str, tmp_path: Path, authority: trustme.CA
) -> None:
    async with cluster(tmp_path, authority) as found:
        found.file.write_bytes(text.encode(errors="surrogateescape"))
        assert problem in await found.failure()
    assert found.server.asked == []


@on_both_loops
async def test_a_template_that_is_not_there_is_told_by_its_name(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        found.file.unlink()
        assert await found.failure() == f"{found.file}: No such file or directory, expected a file that can be read"


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("token", None, "token: No such file or directory, expected a file that can be read"),
        ("token", "", "token: expected up to 16384 bytes of ASCII, not blank"),
        ("token", "a\nb: c", "token: expected one word"),
        ("ca.crt", None, "ca.crt: No such file or directory, expected a PEM file of authorities"),
        ("ca.crt", "nonsense", "expected a PEM file of authorities"),
        ("namespace", None, "namespace: No such file or directory, expected a file that can be read"),
        ("namespace", "", "namespace: expected up to 16384 bytes of ASCII, not blank"),
        ("namespace", "../x", "namespace: expected a name of a-z, 0-9 and - (RFC 1123)"),
    ],
)
@on_both_loops
async def test_a_service_account_that_cannot_be_used_is_told_by_its_file(
    name: str, text: str | None, problem: str, tmp_path: Path, authority: trustme.CA
) -> None:
    async with cluster(tmp_path, authority) as found:
        file = found.server.folder / name
        file.unlink() if text is None else file.write_text(text)
        assert problem in await found.failure()
    assert found.server.asked == []


@on_both_loops
async def test_no_answer_in_time_is_a_failure(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        found.server.silent = True
        found.channel = replace(found.channel, timeout_s=SHORT_S)
        async with asyncio.timeout(TIMEOUT_S / 2):
            assert await found.failure() == "API/apis/batch/v1/namespaces/serving/jobs: no answer in time"


@pytest.mark.parametrize(
    ("options", "faults"),
    [
        ({"namespace": "a/b"}, ["namespace: 'a/b', expected a name of a-z, 0-9 and - (RFC 1123)"]),
        ({"api": "http://a"}, ["api: expected https://host:port, without query"]),
        ({"on": ()}, ["on: empty; expected firing, resolved or both"]),
        (
            {"on": (), "namespace": "A", "api": "a"},
            [
                "on: empty; expected firing, resolved or both",
                "namespace: 'A', expected a name of a-z, 0-9 and - (RFC 1123)",
                "api: expected https://host:port, without query",
            ],
        ),
    ],
)
def test_what_cannot_be_a_cluster_is_refused(options: dict[str, Any], faults: list[str]) -> None:
    with pytest.raises(ConfigError) as raised:
        KubernetesJob(template="job.yaml", **options)
    assert [str(fault) for fault in raised.value.faults] == faults


def test_the_time_for_an_answer_is_no_option() -> None:
    assert [each.name for each in options(KubernetesJob)] == ["template", "namespace", "api", "credentials", "on"]


def test_to_make_one_touches_nothing() -> None:
    assert KubernetesJob(template="/nowhere", credentials="/nowhere").api == "https://kubernetes.default.svc"


@on_both_loops
async def test_the_example_for_users_is_a_job_that_the_api_server_takes(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        found.file.write_text(FILES["retrain.yaml"])
        (rule,) = EXAMPLE["Role"]["rules"]
        found.server.rights = frozenset(Right(verb, each) for verb in rule["verbs"] for each in rule["resources"])
        await found.send()

    (container,) = found.job["spec"]["template"]["spec"]["containers"]
    assert {each["name"] for each in container["env"]} >= {"SIDECAR_ALERT", "SIDECAR_ALERT_ID"}


def test_the_examples_configuration_is_accepted(tmp_path: Path) -> None:
    file = tmp_path / "sidecar.yaml"
    file.write_text(FILES["sidecar.yaml"])
    flags = {"state": str(tmp_path / "state"), "reference.path": str(tmp_path)}

    assert Source(path=str(file), flags=flags).load(FAMILIES).alerts.channels[1].kind == "kubernetes_job"
