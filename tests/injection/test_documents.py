import json

import kubernetes_validate
import pytest
import yaml

from sidecar.errors import ConfigError
from sidecar.injection.containers import Settings
from sidecar.injection.documents import TEMPLATES, inject_text
from sidecar.injection.go_yaml import dump_all, load_all
from sidecar.records import JSON
from tests.injection.manifests import VERSION, pod

SETTINGS = Settings(image="sidecar:1", unasked="inject")
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
    beside, _ = inject_text(f"{json.dumps(others)}\n---\n{yaml.safe_dump(pod())}", SETTINGS)
    changed = dump_all([others])

    assert beside.startswith(f"{json.dumps(others)}\n---\n")
    assert yaml.safe_load(changed) == others
    # YAML 1.1 as Go reads it: these would be a truth, a number and another number.
    assert [word in changed for word in ('a: "y"', 'b: "1e3"', 'c: "0o17"')] == [True] * 3


def test_what_kubectl_takes_for_text_stays_text_in_the_pod() -> None:
    values = ["22:30", "190:20:30", "=", "1E400", "2024-01-01", "0x"]
    env = "".join(f"    - {{name: A, value: {each}}}\n" for each in values)
    text = "kind: Pod\nspec:\n  containers:\n  - name: m\n    ports: [{containerPort: 8_080}]\n    env:\n"
    changed, _ = inject_text(text + env, SETTINGS)

    assert env in changed
    (document,) = load_all(changed)
    (container,) = document["spec"]["containers"]
    assert [each["value"] for each in container["env"]] == values
    assert container["ports"] == [{"containerPort": 8080}]


def test_where_it_is_written_anew_dates_are_texts_and_octals_numbers() -> None:
    text = "at: 2024-01-01T00:00:00Z\nmode: 0o644\nold: 0644\n"
    # One that is in two places is written anew.
    changed, _ = inject_text(f"{text}shared: [&a {json.dumps(pod())}, *a]\nkind: List\nitems: [*a, *a]\n", SETTINGS)

    found = yaml.safe_load(changed)
    assert {name: found[name] for name in ("at", "mode", "old")} == {
        "at": "2024-01-01T00:00:00Z",
        "mode": 420,
        "old": 420,
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "a: [",
            "line 1, column 5: expected YAML, but while parsing a flow node, expected the node content, but found",
        ),
        ("a: 1\n b: 2", "line 2, column 3: expected YAML, but mapping values are not allowed here"),
        ("a: !!python/object:os.system {}", "line 1, column 4: expected YAML, but could not determine a constructor"),
        ("a: 1\nb: \x00", "line 2: expected YAML, but it holds '\\x00'"),
        ("[" * 1000, "expected YAML, but it is nested too deeply"),
        ("a: !!binary /w==", "expected YAML, but something is not what its tag says"),
    ],
)
def test_what_is_no_yaml_is_refused_in_one_line_that_says_where_and_what(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        inject_text(text, SETTINGS)
    assert str(refused.value).startswith(told)
    assert "\n" not in str(refused.value)


def test_where_a_pod_is_wrong_is_told_from_the_documents_beginning() -> None:
    _, told = inject_text("kind: CronJob\nspec: {jobTemplate: {spec: {template: {spec: {containers: 7}}}}}\n", SETTINGS)

    (only,) = told
    place = "spec.jobTemplate.spec.template.spec.containers"
    assert (only.name, only.injection.told) == ("CronJob/(no name)", f"{place}: expected a list, got a whole number")


def test_in_a_list_too() -> None:
    _, told = inject_text("kind: List\nitems: [{kind: Pod, spec: 1}, {kind: Job}]\n", SETTINGS)

    assert [each.injection.told for each in told] == [
        "items[0].spec: expected a mapping, got a whole number",
        "items[1].spec.template: expected a mapping, got null",
    ]


MANIFEST = """\
# The fraud model.
apiVersion: apps/v1
kind: Deployment
metadata: {name: fraud, labels: {app: fraud}}  # ours
spec:
  replicas: 2

  selector: {matchLabels: {app: fraud}}
  template:
    metadata:
      labels: {app: fraud}
      annotations:
        team: risk  # who to ask
    spec:
      # Weights first.
      initContainers:
      # from the bucket
      - name: fetch
        image: fetch:1
      containers:
        - name: model
          image: "model:1"  # pinned
          ports: [{containerPort: 8080}]
      volumes:
        - name: weights
          emptyDir: {}
# The end.
---
kind: Service   # beside it
metadata: {name: fraud}
"""


def test_what_is_there_stays_with_its_comments_and_its_style() -> None:
    changed, _ = inject_text(MANIFEST, SETTINGS)
    lines = changed.splitlines()

    rest = iter(lines)
    assert all(line in rest for line in MANIFEST.splitlines()), "every line is there, in its order"
    assert lines.index("      initContainers:") + 1 == lines.index("      - name: sidecar-redirect")
    assert changed.endswith(MANIFEST.partition("# The end.")[2])
    (deployment, _) = yaml.safe_load_all(changed)
    kubernetes_validate.validate(deployment, VERSION, strict=True)


def test_line_breaks_stay_as_they_are() -> None:
    changed, _ = inject_text(MANIFEST.replace("\n", "\r\n"), SETTINGS)

    assert changed.count("\n") == changed.count("\r\n") > MANIFEST.count("\n")


def test_json_stays_json() -> None:
    text = json.dumps(workload("Deployment"), indent=4)
    changed, _ = inject_text(text, SETTINGS)

    kubernetes_validate.validate(json.loads(changed), VERSION, strict=True)
    assert changed.startswith(text[:100])
