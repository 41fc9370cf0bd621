"""What k8s/ holds is what Kubernetes takes, and what the sidecar can do."""

import copy
import re
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import kubernetes_validate.utils as kubernetes
import pytest
import yaml

from sidecar.__main__ import main
from sidecar.records import JSON
from tests.k8s.rig import (
    BUILT,
    FOLDER,
    built,
    documents,
    holds_sidecar,
    manifests,
    one,
    patches,
    pod,
    resources,
    rule_files,
    shown,
)

VERSIONS = sorted({kubernetes.major_minor(each) for each in kubernetes.all_versions() if int(each.split(".")[1]) >= 29})
"""Native sidecars are on by default from 1.29 on."""

SIDECARS = [*(each for each in BUILT if holds_sidecar(each)), FOLDER / "examples" / "fleet.yaml"]
"""Whatever has pods with one."""

# Kinds that Kubernetes itself does not know, with the fields of them that we use; `...` is the schema of a PodSpec.
FOREIGN: dict[tuple[str, str], JSON] = {
    ("monitoring.coreos.com/v1", "PodMonitor"): {
        "selector": {"matchLabels": {}},
        "jobLabel": str,
        "podTargetLabels": list,
        "podMetricsEndpoints": [
            {"port": str, "path": str, "interval": str, "authorization": {"credentials": {"name": str, "key": str}}}
        ],
    },
    ("serving.kserve.io/v1beta1", "InferenceService"): {
        "predictor": {"model": {"modelFormat": {"name": str}, "storageUri": str, "lifecycle": ..., "resources": ...}}
    },
    ("argoproj.io/v1alpha1", "AnalysisTemplate"): {
        "args": [{"name": str, "value": str}],
        "metrics": [
            {
                "name": str,
                "interval": str,
                "initialDelay": str,
                "count": int,
                "failureLimit": int,
                "inconclusiveLimit": int,
                "successCondition": str,
                "failureCondition": str,
                "provider": {"prometheus": {"address": str, "query": str}},
            }
        ],
    },
    ("flagger.app/v1beta1", "MetricTemplate"): {"provider": {"type": str, "address": str}, "query": str},
    ("cert-manager.io/v1", "Issuer"): ...,
    ("cert-manager.io/v1", "Certificate"): ...,
}


def kind(resource: JSON) -> tuple[str, str]:
    return resource["apiVersion"], resource["kind"]


def strange(found: JSON, known: JSON, path: str = "spec") -> Iterator[str]:
    """What a document has beyond what is known, or of another type."""
    if known is ...:
        return
    if isinstance(known, type):
        if not isinstance(found, known):
            yield f"{path}: {found!r}"
    elif isinstance(known, list):
        for place, each in enumerate(found):
            yield from strange(each, known[0], f"{path}[{place}]")
    elif known:
        for name, value in found.items():
            yield from strange(value, known[name], f"{path}.{name}") if name in known else [f"{path}.{name}"]


def embedded(predictor: JSON) -> JSON:
    """The pod of an InferenceService: KServe's predictor is a PodSpec, with its model for a container."""
    more = {name: predictor["model"][name] for name in ("lifecycle", "resources") if name in predictor["model"]}
    rest = {name: value for name, value in predictor.items() if name != "model"}
    container = {"name": "kserve-container", "image": "x", **more}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": rest | {"containers": [container]}}


def validated(resource: JSON, version: str) -> None:
    """Refuse what Kubernetes' published schema does not have."""
    kubernetes.validate(resource, version, strict=True)


@cache
def natives() -> list[JSON]:
    """Every resource of Kubernetes' own, once; those within others, too."""
    found: list[JSON] = []
    for _, resource in resources():
        if resource["kind"] == "InferenceService":
            found.append(embedded(resource["spec"]["predictor"]))
        elif kind(resource) not in FOREIGN and resource not in found:
            found.append(resource)
        if template := resource.get("data", {}).get("retrain.yaml"):
            found.append(yaml.safe_load(template))
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_what_kubernetes_has_published(version: str) -> None:
    for resource in natives():
        validated(resource, version)


def test_a_misspelt_field_is_refused() -> None:
    resource = copy.deepcopy(one(built(FOLDER / "base"), "Deployment"))
    resource["spec"]["template"]["spec"]["initContainers"][0]["restartPolcy"] = "Always"
    with pytest.raises(kubernetes.ValidationError):
        validated(resource, VERSIONS[0])


def test_of_kinds_of_others_only_known_fields_are_used() -> None:
    found = [
        f"{where}: {each}"
        for where, resource in resources()
        if (known := FOREIGN.get(kind(resource))) is not None
        for each in strange(
            {"predictor": {"model": resource["spec"]["predictor"]["model"]}}
            if resource["kind"] == "InferenceService"
            else resource.get("spec", {}),
            known,
        )
    ]
    assert found == []


def test_every_file_is_read_by_some_test() -> None:
    """A new file is validated as a manifest, or somebody has said what else it is."""
    read = {*manifests(), *patches(), *rule_files(), *(FOLDER / "grafana").glob("*.json")}
    others = {path for path in FOLDER.rglob("*") if path.is_file()} - read
    assert {path.name for path in others} <= {"kustomization.yaml", "sidecar.yaml"}


def test_nothing_says_latest() -> None:
    images = {
        (where, container["image"])
        for where, resource in resources()
        if (spec := pod(resource))
        for container in [*spec.get("initContainers", []), *spec.get("containers", [])]
    }
    assert {each for each in images if ":" not in each[1].rpartition("/")[2] or each[1].endswith(":latest")} == set()


# The configuration


def configurations() -> Iterator[tuple[str, JSON]]:
    for where, resource in resources():
        if resource["kind"] == "ConfigMap" and "sidecar.yaml" in resource.get("data", {}):
            yield where, resource["data"]


def here(text: str, folder: Path, data: JSON) -> str:
    """A configuration whose files are in a folder of the test's."""

    def placed(found: re.Match[str]) -> str:
        path = folder / found[1].lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(data.get(path.name, "whsec_" + "QUJD" * 8), encoding="utf-8")
        return str(path)

    return re.sub(r"(/etc/[\w./-]+)", placed, text).replace("/var/lib/sidecar", str(folder))


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `sidecar baseline` makes, which a volume of the user's brings."""
    folder = tmp_path_factory.mktemp("reference")
    folder.joinpath("train.csv").write_text("a,b\n" + "1,2\n2,3\n" * 50, encoding="utf-8")
    assert main(["baseline", str(folder / "train.csv"), "--output", str(folder / "made")]) == 0
    return folder / "made"


def test_every_configuration_is_one_of_the_sidecars(
    tmp_path: Path, reference: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checked = 0
    capsys.readouterr()
    for place, (where, data) in enumerate(configurations()):
        shutil.copytree(reference, tmp_path / str(place) / "reference")
        file = tmp_path / f"{place}.yaml"
        file.write_text(here(data["sidecar.yaml"], tmp_path / str(place), data), encoding="utf-8")
        code = main(["check", "--config", str(file)])
        assert (where, code, capsys.readouterr().err) == (where, 0, "")
        checked += 1
    assert checked >= len(SIDECARS)


def parts(folder: Path) -> tuple[JSON, JSON, JSON]:
    """The pod's specification, the sidecar in it, and the configuration that it reads."""
    found = built(folder) if folder.is_dir() else documents(folder)
    (spec,) = [spec for each in found if (spec := pod(each))]
    (sidecar,) = [each for each in spec["initContainers"] if each["name"] == "sidecar"]
    (config,) = [each["data"]["sidecar.yaml"] for each in found if "sidecar.yaml" in each.get("data", {})]
    return spec, sidecar, yaml.safe_load(config)


@pytest.mark.parametrize("folder", SIDECARS, ids=shown)
def test_pods_their_ports_and_their_configuration_agree(folder: Path) -> None:
    _, sidecar, config = parts(folder)
    ports = {each["name"]: each["containerPort"] for each in sidecar["ports"]}
    mounts = {each["mountPath"] for each in sidecar["volumeMounts"]}

    assert ports == {"sidecar": port(config["listen"]), "sidecar-admin": port(config["admin"])}
    assert str(Path(config["admin_token_file"]).parent) in mounts
    assert "/var/lib/sidecar" in mounts
    assert sidecar["restartPolicy"] == "Always"
    # Were the first of these /readyz, the model server would wait for itself.
    assert sidecar["startupProbe"]["httpGet"]["path"] == "/healthz"
    assert sidecar["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert sidecar["readinessProbe"]["httpGet"]["path"] == "/readyz"


def port(address: str) -> int:
    return int(address.rpartition(":")[2])


@pytest.mark.parametrize("folder", SIDECARS, ids=shown)
def test_a_pods_end_leaves_time_for_each_step(folder: Path) -> None:
    """The sidecar drains while the model server still serves, and nobody is killed before both are done."""
    spec, sidecar, config = parts(folder)
    told_s = int(re.findall(r"sleep (\d+)", " ".join(sidecar["lifecycle"]["preStop"]["exec"]["command"]))[0])
    models = [spec["model"]] if "model" in spec else spec["containers"]

    for model in models:
        pause_s = model["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert pause_s >= told_s + config["timeouts"]["drain_s"]
        assert spec["terminationGracePeriodSeconds"] >= pause_s + 10


@pytest.mark.parametrize("folder", SIDECARS, ids=shown)
def test_the_sidecar_may_nothing_that_it_does_not_need(folder: Path) -> None:
    containers = parts(folder)[0]["initContainers"]
    may = {each["name"]: each["securityContext"] for each in containers}
    confined = {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False}

    for context in may.values():
        assert confined.items() <= context.items()
        assert context["capabilities"]["drop"] == ["ALL"]
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert (may["sidecar"]["runAsNonRoot"], may["sidecar"]["runAsUser"]) == (True, 1337)
    assert "add" not in may["sidecar"]["capabilities"]
    assert set(may.get("sidecar-redirect", {}).get("capabilities", {}).get("add", [])) <= {"NET_ADMIN", "NET_RAW"}


# The two ways


@pytest.mark.parametrize(("folder", "reached"), [("base", 15006), ("overlays/transparent", 8080)])
def test_service_and_policy_lead_to_the_same_port(folder: str, reached: int) -> None:
    found = built(FOLDER / folder)
    policy = one(found, "NetworkPolicy")["spec"]["ingress"]
    assert one(found, "Service")["spec"]["ports"][0]["targetPort"] == reached
    assert [each["ports"][0]["port"] for each in policy] == [reached, 9901]


@pytest.mark.parametrize("folder", ["overlays/transparent", "overlays/full", "examples/kserve"])
def test_redirection_comes_first_and_spares_the_sidecars_uid(folder: str) -> None:
    spec = next(spec for each in built(FOLDER / folder) if (spec := pod(each)))
    redirect, sidecar = spec["initContainers"]
    assert main([*redirect["args"], "--print"]) == 0, "the command is one of ours"
    assert redirect["args"] == ["redirect", "--port", "8080", "--to", "15006", "--uid", "1337"]
    assert sidecar["securityContext"]["runAsUser"] == 1337
    assert redirect["image"] == sidecar["image"]


def test_kserves_sidecar_is_the_bases() -> None:
    """Nothing builds one from the other: KServe has a resource of its own."""
    ours = pod(one(built(FOLDER / "overlays/transparent"), "Deployment"))
    theirs = pod(one(built(FOLDER / "examples/kserve"), "InferenceService"))
    assert ours
    assert theirs
    for name in ("initContainers", "volumes", "terminationGracePeriodSeconds"):
        assert unnamed(theirs[name]) == unnamed(ours[name])


def unnamed(found: JSON) -> JSON:
    """Without the label that the service is named after, which KServe has another one for."""
    return yaml.safe_load(re.sub(r"metadata\.labels\['[^']+'\]", "metadata.labels", yaml.safe_dump(found, width=1000)))


def test_variables_stand_before_those_that_name_them() -> None:
    """Kubernetes leaves a later one's name as it is."""
    for where, resource in resources():
        spec = pod(resource)
        for container in spec.get("initContainers", []) if spec else []:
            told: set[str] = set()
            for variable in container.get("env", []):
                assert set(re.findall(r"\$\((\w+)\)", variable.get("value", ""))) <= told, where
                told.add(variable["name"])


def test_a_changed_configuration_changes_no_name() -> None:
    """A ConfigMap with another name would be a rollout of all pods, where reading the file again is enough."""
    assert {one(built(each), "ConfigMap")["metadata"]["name"] for each in SIDECARS if each.is_dir()} == {"sidecar"}


def test_the_configuration_is_mounted_as_a_folder() -> None:
    """A file mounted by a subPath never changes."""
    mounts = [
        mount
        for _, resource in resources()
        if (spec := pod(resource))
        for container in [*spec.get("initContainers", []), *spec.get("containers", [])]
        for mount in container.get("volumeMounts", [])
    ]
    assert mounts
    assert [each for each in mounts if "subPath" in each] == []
