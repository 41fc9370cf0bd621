from collections.abc import Mapping

import msgspec
import pytest
from msgspec import Struct, ValidationError

from sidecar.injection.mismatches import fault
from sidecar.injection.pods import Pod
from sidecar.records import JSON
from tests.injection.manifests import container, pod


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (None, "expected a mapping, got null"),
        ({}, "spec: missing"),
        ({"spec": {}}, "spec.containers: missing"),
        ({"spec": {"containers": []}}, "spec.containers: expected a list of at least 1"),
        ({"spec": {"containers": None}}, "spec.containers: expected a list, got null"),
        (pod(hostNetwork="yes"), "spec.hostNetwork: expected true or false, got a text"),
        (
            pod(container("m", ports=[{"containerPort": 70000}])),
            "spec.containers[0].ports[0].containerPort: expected a whole number of at most 65535",
        ),
        (
            pod(container("m", livenessProbe={"httpGet": {"port": []}})),
            "spec.containers[0].livenessProbe.httpGet.port: expected a whole number or a text, got a list",
        ),
        (pod(initContainers=[{}]), "spec.initContainers[0].name: missing"),
        (pod(annotations={"a": 1}), "metadata.annotations[...]: expected a text, got a whole number"),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_in_words(document: JSON, told: str) -> None:
    with pytest.raises(ValidationError) as refused:
        msgspec.convert(document, Pod)
    assert str(fault(refused.value)) == told


class Keyed(Struct):
    """What has keys that are no texts."""

    numbers: Mapping[int, int]


def test_of_a_key_too() -> None:
    with pytest.raises(ValidationError) as refused:
        msgspec.convert({"numbers": {"a": 1}}, Keyed)
    assert str(fault(refused.value)) == "numbers: expected a whole number, got a text"


def test_what_is_not_understood_is_passed_on() -> None:
    assert str(fault(ValidationError("Something else - at `$.a`"), "b")) == "b.a: Something else"
