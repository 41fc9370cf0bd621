import pytest

from sidecar.injection.meshes import CONTAINERS, MESHES, Mesh, mesh_of
from sidecar.injection.pods import read
from tests.injection.manifests import container, pod


@pytest.mark.parametrize("mesh", MESHES, ids=[each.name for each in MESHES])
def test_a_mesh_is_known_by_each_of_its_containers_of_either_kind(mesh: Mesh) -> None:
    for name in mesh.containers:
        assert mesh_of(read(pod(container("model"), container(name)))) == mesh
        assert mesh_of(read(pod(initContainers=[container(name)]))) == mesh


@pytest.mark.parametrize("mesh", MESHES, ids=[each.name for each in MESHES])
def test_a_mesh_is_known_by_what_asks_for_it_as_label_or_annotation(mesh: Mesh) -> None:
    for key, values in mesh.asking.items():
        for value in values:
            assert mesh_of(read(pod(annotations={key: value}))) == mesh
            assert mesh_of(read(pod(labels={key: value}))) == mesh
        assert mesh_of(read(pod(labels={key: "false"}, annotations={key: "disabled"}))) is None


def test_a_proxy_of_ones_own_is_no_mesh() -> None:
    assert mesh_of(read(pod(container("model"), container("envoy"), container("nginx")))) is None


def test_no_container_is_of_two_meshes() -> None:
    assert len(CONTAINERS) == sum(len(each.containers) for each in MESHES)
