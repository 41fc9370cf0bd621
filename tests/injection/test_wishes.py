import pytest

from sidecar.errors import ConfigError
from sidecar.injection.pods import read
from sidecar.injection.wishes import Wishes, wishes
from tests.injection.manifests import container, pod


def test_annotations_say_what_is_wished() -> None:
    said = {
        "sidecar.internal/upstream-port": "9000",
        "sidecar.internal/mode": "plain",
        "sidecar.internal/config": "fraud",
        "sidecar.internal/admin-secret": "token",
    }

    assert wishes(read(pod(annotations=said)), mode="transparent") == Wishes(9000, "plain", "fraud", "token")


def test_without_any_the_pod_and_the_settings_do() -> None:
    assert wishes(read(pod()), mode="plain") == Wishes(8080, "plain", "", "")


def test_every_fault_is_told() -> None:
    said = {f"sidecar.internal/{name}": "?" * 100 for name in ("upstream-port", "mode", "config", "admin-secret")}

    with pytest.raises(ConfigError) as refused:
        wishes(read(pod(container("model"), annotations=said)), mode="plain")
    assert len(refused.value.faults) == 4
    assert max(len(fault.message) for fault in refused.value.faults) < 120
