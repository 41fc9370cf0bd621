import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

import sidecar
from sidecar.cli.lazy import FAMILIES
from sidecar.config.loading import Source
from sidecar.errors import ConfigError, ConflictError, DeliveryError
from sidecar.fleet import FLEETS
from sidecar.fleet.configmap import KEY, MAX_DOCUMENT_BYTES, ConfigMap
from sidecar.fleet.following import Pace
from sidecar.kubernetes.account import CREDENTIALS
from sidecar.ports import Fleet, Kept
from sidecar.records import JSON
from tests.fleet.rig import NAME, OBJECT, Cluster, cluster, object_of
from tests.kubernetes.api_server import NAMESPACE, TOKEN, Right
from tests.kubernetes.store import Refusal
from tests.proxy.rig import SHORT_S, on_both_loops, until

ROOT = Path(sidecar.__file__).parents[1]
EXAMPLE: list[JSON] = list(yaml.safe_load_all((ROOT / "k8s" / "examples" / "fleet.yaml").read_text()))


def example(kind: str, name: str) -> JSON:
    """An object of the example for users."""
    (found,) = [each for each in EXAMPLE if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


async def failure(found: Cluster) -> str:
    """Why the document could not be read; the token is in none of it."""
    with pytest.raises(DeliveryError) as raised:
        await found.pod.read()
    assert TOKEN not in str(raised.value)
    return str(raised.value).replace(found.server.url, "API")


@on_both_loops
async def test_before_anybody_has_written_there_is_no_document(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        assert await found.pod.read() is None


@pytest.mark.parametrize("document", [b"{}", b"", '{"a": "\\u00e9\u00e9\U0001f600<&>\\n"}\n\x00\x7f'.encode()])
@on_both_loops
async def test_what_is_written_is_read_byte_for_byte(document: bytes, tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        mark = await found.pod.write(document, None)
        assert await found.pod.read() == Kept(document, mark)
        assert await found.pod.write(document + b" ", mark) != mark


@on_both_loops
async def test_the_first_writer_makes_the_configmap(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        await found.pod.write(b"{}", None)
    made = found.server.store.objects[OBJECT]
    assert made["data"] == {KEY: "{}"}
    assert made["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "sidecar"}


@on_both_loops
async def test_one_that_others_have_made_needs_no_right_to_create(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        found.server.rights -= {Right("create", "configmaps")}
        found.put(None, owner="us")
        assert await found.pod.read() is None
        mark = await found.pod.write(b"{}", None)
        assert await found.pod.read() == Kept(b"{}", mark)
    assert found.server.store.objects[OBJECT]["data"] == {"owner": "us", KEY: "{}"}


@on_both_loops
async def test_all_else_of_the_object_stays_as_it_is(tmp_path: Path, authority: trustme.CA) -> None:
    kept = {"labels": {"team": "fraud"}, "annotations": {"note": "x"}, "finalizers": ["a/b"]}
    async with cluster(tmp_path, authority) as found:
        body = {**object_of("{}", {"other": "1"}), "binaryData": {"blob": "AAAA"}}
        found.server.store.create(OBJECT, {**body, "metadata": {**body["metadata"], **kept}})
        before = found.server.store.objects[OBJECT]
        mark = await found.pod.write(b"[]", before["metadata"]["resourceVersion"])
    assert found.server.store.objects[OBJECT] == {
        **before,
        "metadata": {**before["metadata"], "resourceVersion": mark},
        "data": {"other": "1", KEY: "[]"},
    }


@on_both_loops
async def test_the_same_document_again_keeps_its_mark(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        mark = await found.pod.write(b"{}", None)
        assert await found.pod.write(b"{}", mark) == mark


@pytest.mark.parametrize(
    ("there", "mark", "problem"),
    [
        ("theirs", None, "has resourceVersion 1001, expected none with a document"),
        ("theirs", "1000", "has resourceVersion 1001, expected 1000"),
        (None, "1001", "has resourceVersion 1001, expected 1001"),
        ("nobody's", "1001", "is not there any more, expected 1001"),
    ],
)
@on_both_loops
async def test_who_is_not_first_changes_nothing(
    there: str | None, mark: str | None, problem: str, tmp_path: Path, authority: trustme.CA
) -> None:
    async with cluster(tmp_path, authority) as found:
        found.put(there)
        if there == "nobody's":
            found.server.store.delete(OBJECT)
        revision = found.server.store.revision
        with pytest.raises(ConflictError, match=problem):
            await found.pod.write(b"ours", mark)
    assert found.server.store.revision == revision


def _create(found: Cluster) -> None:
    found.put("theirs")


def _delete(found: Cluster) -> None:
    found.server.store.delete(OBJECT)


def _renew(found: Cluster) -> None:
    found.server.store.delete(OBJECT)
    found.put("theirs")


@pytest.mark.parametrize(
    ("there", "meanwhile", "problem"),
    [
        (False, _create, "409 AlreadyExists"),
        (True, _create, "409 Conflict: Operation cannot be fulfilled"),
        (True, _delete, "404 NotFound"),
        (True, _renew, "409 Conflict: Precondition failed: UID"),
    ],
)
@on_both_loops
async def test_who_comes_between_reading_and_writing_is_first(
    there: bool, meanwhile: Callable[[Cluster], None], problem: str, tmp_path: Path, authority: trustme.CA
) -> None:
    async with cluster(tmp_path, authority) as found:
        mark = found.put("old") if there else None
        found.server.interloper = lambda: meanwhile(found)
        with pytest.raises(ConflictError, match=problem):
            await found.pod.write(b"ours", mark)
        kept = await found.pod.read()
    assert (kept.document if kept else None) == (None if meanwhile is _delete else b"theirs")


@pytest.mark.parametrize("there", [False, True])
@on_both_loops
async def test_of_many_writers_at_once_exactly_one_wins(there: bool, tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        mark = found.put("old") if there else None
        documents = [str(number).encode() for number in range(8)]
        ends = await asyncio.gather(*(found.pod.write(each, mark) for each in documents), return_exceptions=True)
        winners = [Kept(document, end) for document, end in zip(documents, ends, strict=True) if isinstance(end, str)]
        assert [type(end) for end in ends].count(ConflictError) == 7
        assert winners == [await found.pod.read()]


@on_both_loops
async def test_a_change_by_one_is_told_to_all_who_wait_without_another_request(
    tmp_path: Path, authority: trustme.CA
) -> None:
    async with cluster(tmp_path, authority) as found:
        mark = await found.pod.write(b"old", None)
        async with found.following(mark) as first, found.following(mark, watches=2) as second:
            asked = len(found.server.asked)
            another = replace(found.pod, pace=replace(found.pod.pace))
            now = await another.write(b"new", mark)
            assert [await first, await second] == [Kept(b"new", now)] * 2
        assert (found.verbs[asked:], found.waits.times_s) == (["GET", "PUT"], [])


@on_both_loops
async def test_what_has_changed_already_is_told_at_once(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        mark = found.put("old")
        now = found.put("new")
        assert [await found.pod.changed(each) for each in (mark, None)] == [Kept(b"new", now)] * 2
        assert found.verbs == ["GET", "GET"]


@on_both_loops
async def test_who_waits_for_the_first_document_gets_it(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found, found.following(None) as waiting:
        found.put(None)
        mark = found.put("first")
        assert await waiting == Kept(b"first", mark)


@on_both_loops
async def test_a_mark_changes_with_what_else_the_object_holds(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        mark = found.put("same")
        async with found.following(mark) as waiting:
            now = found.put("same", other="1")
            assert await waiting == Kept(b"same", now)
        assert await found.pod.write(b"new", now) != now


@on_both_loops
async def test_a_document_that_goes_and_comes_back_is_told_when_it_is_back(
    tmp_path: Path, authority: trustme.CA
) -> None:
    async with cluster(tmp_path, authority) as found:
        mark = found.put("old")
        async with found.following(mark) as waiting:
            found.put(None)
            found.server.store.delete(OBJECT)
            now = found.put("new")
            assert await waiting == Kept(b"new", now)


@on_both_loops
async def test_what_is_deleted_is_no_document(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        mark = found.put("old")
        async with found.following(mark) as waiting:
            found.server.store.delete(OBJECT)
            now = found.put("new")
            assert await waiting == Kept(b"new", now)
        assert found.verbs == ["GET", "watch"]


@on_both_loops
async def test_other_objects_are_not_ours(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        mark = found.put("old")
        async with found.following(mark) as waiting:
            theirs = {**object_of("theirs"), "metadata": {"name": "another", "resourceVersion": "1002"}}
            found.server.say(json.dumps({"type": "MODIFIED", "object": theirs}).encode() + b"\n")
            found.server.store.pass_by()
            now = found.put("ours")
            assert await waiting == Kept(b"ours", now)


@on_both_loops
async def test_who_waits_no_longer_leaves_nothing(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        tasks = asyncio.all_tasks()
        async with found.following(None):
            pass
        await until(lambda: not found.server.watches and asyncio.all_tasks() <= tasks)
        await found.pod.close()


@on_both_loops
async def test_token_and_authorities_are_read_each_time(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        found.server.token = "another"
        trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.crt"))
        assert "certificate is not trusted" in await failure(found)
        assert found.server.asked == []
        authority.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
        assert await failure(found) == f"API{PATH}: answered 401 Unauthorized: Unauthorized, expected 200"
        (tmp_path / "token").write_text("another")
        assert await found.pod.read() is None


PATH = f"/api/v1/namespaces/{NAMESPACE}/configmaps/{NAME}"


@pytest.mark.parametrize(
    ("namespace", "problem"),
    [
        ("", None),
        (NAMESPACE, None),
        ("other", 'answered 403 Forbidden: configmaps is forbidden: User "system:serviceaccount:serving:sidecar"'),
    ],
)
@on_both_loops
async def test_the_namespace_is_the_one_configured_or_our_own(
    namespace: str, problem: str | None, tmp_path: Path, authority: trustme.CA
) -> None:
    async with cluster(tmp_path, authority) as found:
        found.pod = replace(found.pod, namespace=namespace)
        if problem is None:
            assert await found.pod.read() is None
        else:
            assert problem in await failure(found)


@on_both_loops
async def test_a_wrong_address_is_no_missing_document(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        found.pod = replace(found.pod, api=found.server.url + "/prefix/")
        assert await failure(found) == (
            f"API/prefix{PATH}: answered 404 NotFound: the server could not find the requested resource, expected 200"
        )


@on_both_loops
async def test_an_object_without_version_is_none_of_kubernetes(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        found.put("old")
        found.server.store.objects[OBJECT]["metadata"] = {"name": NAME}
        assert await failure(found) == "an object without metadata.resourceVersion; expected one of Kubernetes"


@on_both_loops
async def test_no_answer_in_time_is_a_failure(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority, Pace(call_s=SHORT_S)) as found:
        found.server.silent = True
        assert await failure(found) == f"API{PATH}: no answer in time"


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (b"x" * (MAX_DOCUMENT_BYTES + 1), "a document of 1048577 bytes, expected up to 1048576"),
        (b"\xff", "a document that is no text: .* expected UTF-8"),
    ],
)
@on_both_loops
async def test_what_no_configmap_can_hold_is_not_sent(
    document: bytes, problem: str, tmp_path: Path, authority: trustme.CA
) -> None:
    async with cluster(tmp_path, authority) as found:
        with pytest.raises(DeliveryError, match=problem):
            await found.pod.write(document, None)
    assert found.server.asked == []


@on_both_loops
async def test_a_document_as_large_as_a_configmap_goes_both_ways(tmp_path: Path, authority: trustme.CA) -> None:
    document = b'"' * MAX_DOCUMENT_BYTES
    async with cluster(tmp_path, authority) as found:
        async with found.following(None) as waiting:
            mark = await found.pod.write(document, None)
            assert await waiting == Kept(document, mark)
        found.put("{}", other="x" * 10)
        with pytest.raises(DeliveryError, match="422 Invalid"):
            await found.pod.write(document, str(found.server.store.revision))


@on_both_loops
async def test_a_refused_write_is_told_in_the_words_of_the_server(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        found.server.rights -= {Right("create", "configmaps")}
        with pytest.raises(DeliveryError, match=r"answered 403 Forbidden: configmaps is forbidden: .* cannot create"):
            await found.pod.write(b"{}", None)
        mark = found.put("old")
        found.server.store.objects[OBJECT]["immutable"] = True
        with pytest.raises(DeliveryError, match="field is immutable"):
            await found.pod.write(b"{}", mark)


@on_both_loops
async def test_a_busy_server_is_a_failure_to_whoever_writes(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        found.server.refusals.append(Refusal(429, "slow down", retry_after_s=1).response)
        assert await failure(found) == f"API{PATH}: answered 429 TooManyRequests: slow down, expected 200"


@pytest.mark.parametrize(
    ("options", "faults"),
    [
        ({"name": ""}, ["name: '', expected a name of a-z, 0-9, - and . (RFC 1123)"]),
        ({"name": "A"}, ["name: 'A', expected a name of a-z, 0-9, - and . (RFC 1123)"]),
        ({"name": "a/../b"}, ["name: 'a/../b', expected a name of a-z, 0-9, - and . (RFC 1123)"]),
        ({"name": "a\n"}, ["name: 'a\\n', expected a name of a-z, 0-9, - and . (RFC 1123)"]),
        ({"name": "a" * 254}, [f"name: '{'a' * 254}', expected a name of a-z, 0-9, - and . (RFC 1123)"]),
        ({"namespace": "a/b"}, ["namespace: 'a/b', expected a name of a-z, 0-9 and - (RFC 1123)"]),
        ({"api": "http://a"}, ["api: expected https://host:port, without query"]),
        (
            {"name": "A", "api": "b"},
            [
                "name: 'A', expected a name of a-z, 0-9, - and . (RFC 1123)",
                "api: expected https://host:port, without query",
            ],
        ),
    ],
)
def test_what_cannot_be_a_configmap_is_refused(options: dict[str, Any], faults: list[str]) -> None:
    with pytest.raises(ConfigError) as raised:
        ConfigMap(**{"name": NAME, **options})
    assert [str(fault) for fault in raised.value.faults] == faults


@pytest.mark.parametrize("name", ["a", "a.b-c.0", "a" * 253])
def test_to_make_one_touches_nothing(name: str) -> None:
    made: Fleet = FLEETS["kubernetes"](name=name, credentials="/nowhere")
    assert made == ConfigMap(made.pace, name=name, credentials="/nowhere") if isinstance(made, ConfigMap) else False


@on_both_loops
async def test_processes_can_share_the_fake(tmp_path: Path) -> None:
    command = (sys.executable, "-m", "tests.kubernetes.api_server", str(tmp_path))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd=ROOT)
    try:
        assert process.stdout
        url = (await process.stdout.readline()).decode().strip()
        pod = ConfigMap(name=NAME, api=url, credentials=str(tmp_path))
        assert await pod.read() is None
        mark = await pod.write(b"{}", None)
        assert await pod.changed(None) == Kept(b"{}", mark)
    finally:
        process.terminate()
        await process.wait()


@on_both_loops
async def test_the_rights_of_the_example_for_users_are_enough_and_none_too_many(
    tmp_path: Path, authority: trustme.CA
) -> None:
    (rule,) = example("Role", "sidecar-fleet")["rules"]
    async with cluster(tmp_path, authority) as found:
        found.server.store.create(OBJECT, example("ConfigMap", NAME))
        found.server.rights = frozenset(Right(verb, each) for verb in rule["verbs"] for each in rule["resources"])
        assert await found.pod.read() is None
        mark = await found.pod.write(b"old", None)
        async with found.following(mark) as waiting:
            now = await found.pod.write(b"new", mark)
            assert await waiting == Kept(b"new", now)
    assert {_verb(*each) for each in found.server.asked} == set(rule["verbs"])


def _verb(method: str, path: str, query: Mapping[str, str]) -> str:
    """The right that a request needs."""
    if method == "GET":
        return "watch" if "watch" in query else "get" if path.endswith(NAME) else "list"
    return {"POST": "create", "PUT": "update"}[method]


def test_the_configuration_of_the_example_is_accepted_and_names_its_configmap(tmp_path: Path) -> None:
    file, token = tmp_path / "sidecar.yaml", tmp_path / "token"
    token.write_text("of the pod's own")
    said = example("ConfigMap", "fraud-model-sidecar")["data"]["sidecar.yaml"]
    file.write_text(said.replace("/etc/sidecar-admin/token", str(token)))
    config = Source(path=str(file)).load(FAMILIES)

    (rule,) = example("Role", "sidecar-fleet")["rules"]
    assert config.fleet
    assert (config.fleet.kind, [config.fleet.options["name"]]) == ("kubernetes", rule["resourceNames"])
    assert example("ConfigMap", NAME).keys() == {"apiVersion", "kind", "metadata"}


def test_the_pods_of_the_example_hold_what_their_sidecar_needs() -> None:
    pod = example("Deployment", "fraud-model")["spec"]["template"]
    (container,) = pod["spec"]["initContainers"]
    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
    (account,) = example("RoleBinding", "sidecar-fleet")["subjects"]

    assert (
        pod["spec"]["serviceAccountName"]
        == account["name"]
        == example("ServiceAccount", "fraud-model")["metadata"]["name"]
    )
    assert mounts == {
        "sidecar-config": "/etc/sidecar",
        "sidecar-admin": "/etc/sidecar-admin",
        "sidecar-state": "/var/lib/sidecar",
        "account": CREDENTIALS,
    }
    assert mounts.keys() == volumes.keys()
    assert volumes["sidecar-config"]["configMap"]["name"] == "fraud-model-sidecar"
    assert {path for each in volumes["account"]["projected"]["sources"] for path in _paths(each)} == {
        "token",
        "ca.crt",
        "namespace",
    }
    assert pod["metadata"]["labels"] == example("Service", "fraud-model")["spec"]["selector"]


def _paths(source: JSON) -> list[str]:
    """The files that a source of a projected volume makes."""
    ((_, made),) = source.items()
    return [made["path"]] if "path" in made else [each["path"] for each in made["items"]]
