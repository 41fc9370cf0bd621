import pytest

from sidecar.catalog.mlflow_link import Link
from sidecar.catalog.mlflow_registry import Models
from sidecar.errors import UnknownError
from tests.catalog.mlflow_server import MlflowServer


@pytest.fixture
def models(mlflow: MlflowServer) -> Models:
    mlflow.wipe()
    return Models(Link(mlflow.uri, 60.0))


def add(models: Models, name: str, tags: dict[str, str]) -> int:
    return models.add({"name": name, "source": "s3://m/1", "description": "", "run_id": ""}, tags).version


def test_a_version_makes_its_model_and_counts_on(models: Models) -> None:
    assert [add(models, "fraud", {"a": "b"}) for _ in range(2)] == [1, 2]
    assert models.names() == ["fraud"]
    assert [each.version for each in models.versions("fraud")] == [2, 1]
    assert models.aliases("fraud") == {}


def test_children_are_those_that_say_so_and_no_others(models: Models) -> None:
    add(models, "fraud", {})
    add(models, "fraud", {"sidecar.links": '[["derived_from","fraud/1",""]]'})
    add(models, "other", {"sidecar.links": '[["derived_from","fraud/1",""],["derived_from","fraud/2",""]]'})
    add(models, "other", {"sidecar.links": '[["derived_from","fraudX1",""],["trained_on","fraud/1",""]]'})
    add(models, "other", {"sidecar.links": '[["derived_from","fraud/x",""],["derived_from","not-fraud/1",""]]'})
    assert models.children("fraud") == {1: ["fraud/2", "other/1"], 2: ["other/1"]}


def test_what_can_be_no_model_or_version_is_not_there(models: Models) -> None:
    add(models, "fraud", {})
    for name in ("", "a/b", "nobody"):
        with pytest.raises(UnknownError):
            models.aliases(name)
    for name in ("", "0", "x", "2", "@", "@/"):
        with pytest.raises(UnknownError):
            models.version("fraud", name)
