import base64
import json

import jsonpatch
import kubernetes_validate
import pytest

from sidecar.errors import DownstreamError
from sidecar.injection.patching import apply
from sidecar.injection.reviews import answer
from sidecar.records import JSON
from tests.injection.manifests import SETTINGS, VERSION, container, injected, pod


def review(document: JSON, **more: JSON) -> JSON:
    """What an API server sends, as its documentation shows it."""
    request = {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
        "namespace": "serving",
        "operation": "CREATE",
        "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller"},
        "object": document,
        "oldObject": None,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        "dryRun": False,
        **more,
    }
    return {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}


def ask(document: JSON) -> JSON:
    return json.loads(answer(json.dumps(document).encode(), SETTINGS).body)


def test_a_pod_is_admitted_with_its_patch() -> None:
    told = ask(review(pod()))
    response = told["response"]

    assert (told["apiVersion"], told["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    assert (response["uid"], response["allowed"]) == ("705ab4f5-6393-11e8-b7cc-42010a800002", True)
    assert response["patchType"] == "JSONPatch"
    changed = jsonpatch.apply_patch(pod(), json.loads(base64.b64decode(response["patch"])))
    assert changed == injected(pod())
    kubernetes_validate.validate(changed, VERSION, strict=True)


@pytest.mark.parametrize(
    ("document", "warnings"),
    [(injected(pod()), 0), (pod(hostNetwork=True), 1), (pod(container("a", 1, 2)), 1), (None, 1), ({"kind": "Pod"}, 1)],
)
def test_every_other_pod_is_admitted_as_it_is(document: JSON, warnings: int) -> None:
    response = ask(review(document))["response"]

    assert (response["allowed"], "patch" in response, "patchType" in response) == (True, False, False)
    assert len(response.get("warnings", [])) == warnings


@pytest.mark.parametrize(
    "more",
    [
        {"operation": "UPDATE"},
        {"operation": "DELETE", "object": None},
        {"subResource": "ephemeralcontainers"},
        {"kind": {"group": "apps", "version": "v1", "kind": "Deployment"}},
        {"kind": {"group": "other.dev", "version": "v1", "kind": "Pod"}},
    ],
)
def test_what_is_not_a_new_pod_passes(more: JSON) -> None:
    response = ask(review(pod(), **more))["response"]

    assert set(response) == {"uid", "allowed"}
    assert response["allowed"] is True


@pytest.mark.parametrize(
    ("metadata", "name"),
    [({"name": "a"}, "serving/a"), ({"generateName": "a-"}, "serving/a-"), ({}, "serving/"), (7, "serving/")],
)
def test_the_pod_is_called_by_what_is_known_of_its_name(metadata: JSON, name: str) -> None:
    assert answer(json.dumps(review({**pod(), "metadata": metadata})).encode(), SETTINGS).pod == name


def test_a_name_that_is_there_is_the_requests() -> None:
    assert answer(json.dumps(review(None, name="b")).encode(), SETTINGS).pod == "serving/b"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"\xff", "no JSON"),
        (b"[]", "no AdmissionReview"),
        (b"{}", "expected admission.k8s.io/v1 AdmissionReview, got"),
        (b'{"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview"}', "got admission.k8s.io/v1beta1"),
        (b'{"apiVersion": "v1", "kind": "Pod"}', "got v1 Pod"),
        (b'{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}', "request"),
        (json.dumps(review(pod(), uid=7)).encode(), "uid"),
        (b'{"a":' * 100_000, "no JSON"),
    ],
)
def test_what_is_no_review_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(DownstreamError, match=why) as refused:
        answer(body, SETTINGS)
    assert (refused.value.status, "\n" in str(refused.value)) == (400, False)


def test_a_pod_too_deep_to_be_read_is_refused_which_the_server_ignores() -> None:
    nested = b'{"a":' * 20_000 + b"1" + b"}" * 20_000
    document = json.dumps(review("HERE")).encode().replace(b'"HERE"', nested)

    with pytest.raises(DownstreamError):
        answer(document, SETTINGS)


def test_what_the_sidecar_would_apply_is_what_the_server_does() -> None:
    told = answer(json.dumps(review(pod())).encode(), SETTINGS)

    assert apply(pod(), told.injection.patch) == injected(pod())
