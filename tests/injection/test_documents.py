import json

import kubernetes_validate
import pytest
import yaml

from sidecar.errors import ConfigError
from sidecar.injection.containers import Settings
from sidecar.injection.documents import TEMPLATES, inject_text
from sidecar.records import JSON
from tests.injection.manifests import VERSION, pod

SETTINGS = Settings(image="sidecar:1", unasked=True)
VERSIONS = {"CronJob": "batch/v1", "Job": "batch/v1"} | dict.fromkeys(
    ("Pod", "PodTemplate", "ReplicationController"), "v1"
)


def workload(kind: str) -> JSON:
    """A document of this kind, as small as Kubernetes takes it."""
    template = {"metadata": {"labels": {"app": "fraud"}}, "spec": pod()["spec"]}
    if kind in {"Job", "CronJob"}:
        template["spec"]["restartPolicy"] = "Never"
    found: JSON = template
    for step in reversed(TEMPLATES[kind]):
        found = {step: found}
    if kind in {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"}:
        found["spec"]["selector"] = {"matchLabels": {"app": "fraud"}}
    if kind == "StatefulSet":
        found["spec"]["serviceName"] = "fraud"
    if kind == "CronJob":
        found["spec"]["schedule"] = "* * * * *"
    metadata = {"name": "fraud"} | found.pop("metadata", {})
    return {"apiVersion": VERSIONS.get(kind, "apps/v1"), "kind": kind, "metadata": metadata, **found}


@pytest.mark.parametrize("kind", TEMPLATES)
def test_every_kind_that_has_a_pod_is_injected_and_good_and_then_left_alone(kind: str) -> None:
    text, told = inject_text(yaml.safe_dump(workload(kind)), SETTINGS)
    again, told_again = inject_text(text, SETTINGS)

    assert [(each.name, each.injection.outcome) for each in told] == [(f"{kind}/fraud", "injected")]
    kubernetes_validate.validate(yaml.safe_load(text), VERSION, strict=True)
    assert [each.injection.outcome for each in told_again] == ["untouched"]
    assert again == text


def test_lists_are_looked_into_and_their_items_need_not_say_their_kind() -> None:
    nameless = {"metadata": {"name": "a"}, "spec": pod()["spec"]}
    inner = {"kind": "List", "items": [workload("Deployment"), workload("Job"), None]}
    text = (
        yaml.safe_dump({"apiVersion": "v1", "kind": "PodList", "items": [nameless]}) + "---\n" + yaml.safe_dump(inner)
    )

    _, told = inject_text(text, SETTINGS)

    assert [each.name for each in told] == ["Pod/a", "Deployment/fraud", "Job/fraud"]
    assert {each.injection.outcome for each in told} == {"injected"}


def test_one_template_that_stands_in_two_places_is_injected_in_each() -> None:
    template = yaml.safe_dump(pod(), default_flow_style=True).strip()
    changed, _ = inject_text(f"kind: List\nitems:\n- &a {template}\n- *a\n", SETTINGS)

    items = yaml.safe_load(changed)["items"]
    assert items[0] == items[1]
    assert len(items[0]["spec"]["initContainers"]) == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        "kind: Service # a comment\nspec: {type: ClusterIP}\n",
        "kind: Deployment\n",
        "- 1\n",
        "kind: Pod\nspec: [1]\n",
        "kind: [Pod]\n",
        "kind: List\nitems: 7\n",
    ],
)
def test_where_nothing_changes_the_text_stays_with_its_comments(text: str) -> None:
    changed, _ = inject_text(text, SETTINGS)

    assert changed == text


def test_what_is_beside_the_pods_keeps_its_meaning_for_every_reader() -> None:
    others = {
        "kind": "ConfigMap",
        "data": {
            "a": "y", "b": "1e3", "c": "0o17", "d": "2024-01-01", "e": "null", "f": "1:20", "g": "two\nlines\n",
            "h": " spaced ", "i": "ünïcode", "j": "=", "k": "<<", "l": "#x", "m": "0x1", "n": "", "o": "\t", "p": ".5",
        },
    }  # fmt: skip
    changed, _ = inject_text(f"{json.dumps(others)}\n---\n{yaml.safe_dump(pod())}", SETTINGS)

    assert next(yaml.safe_load_all(changed)) == others
    # YAML 1.1 as Go reads it: these would be a truth, a number and another number.
    assert [word in changed for word in ('a: "y"', 'b: "1e3"', 'c: "0o17"')] == [True] * 3


def test_what_kubectl_takes_for_text_stays_text_in_the_pod() -> None:
    values = ["22:30", "190:20:30", "=", "1E400", "2024-01-01", "0x"]
    env = "".join(f"    - {{name: A, value: {each}}}\n" for each in values)
    text = "kind: Pod\nspec:\n  containers:\n  - name: m\n    ports: [{containerPort: 8_080}]\n    env:\n"
    changed, _ = inject_text(text + env, SETTINGS)

    (container,) = yaml.safe_load(changed)["spec"]["containers"]
    assert [each["value"] for each in container["env"]] == values
    assert container["ports"] == [{"containerPort": 8080}]


def test_dates_are_texts_and_octals_numbers() -> None:
    text = "kind: X\nat: 2024-01-01T00:00:00Z\nmode: 0o644\nold: 0644\n"
    changed, _ = inject_text(text + "---\n" + yaml.safe_dump(pod()), SETTINGS)

    found = next(yaml.safe_load_all(changed))
    assert found == {"kind": "X", "at": "2024-01-01T00:00:00Z", "mode": 420, "old": 420}


@pytest.mark.parametrize("text", ["a: [", "a: !!python/object:os.system {}", "a: \x00", "[" * 1000])
def test_what_is_no_yaml_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match="expected YAML") as refused:
        inject_text(text, SETTINGS)
    assert "\n" not in str(refused.value)
