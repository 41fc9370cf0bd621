import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.injection.containers import Settings, Unasked
from sidecar.injection.injecting import inject
from sidecar.injection.patching import apply
from sidecar.injection.wishes import Mode
from sidecar.records import JSON
from tests.injection.manifests import ASKED, SETTINGS, container, injected, patched, pod, sidecar_of

MESH = container("istio-proxy", 15090)
LINKERD = container("linkerd-proxy", 4143, 4191)
PLAIN: JSON = {"sidecar.internal/mode": "plain"}
ALL = Settings(image="sidecar:1", unasked="inject")
TRY = Settings(image="sidecar:1", unasked="try")


def asked(port: int, scheme: str = "HTTP") -> JSON:
    return {"httpGet": {"port": port, "scheme": scheme}}


def names(document: JSON, kind: str = "initContainers") -> list[str]:
    return [each["name"] for each in document["spec"].get(kind) or ()]


def test_a_plain_pod_gets_a_redirect_and_a_sidecar_and_keeps_all_that_it_has() -> None:
    plain = pod()
    changed = injected(plain)

    assert names(changed) == ["sidecar-redirect", "sidecar"]
    assert changed["spec"]["containers"] == plain["spec"]["containers"]
    assert json.loads(changed["metadata"]["annotations"]["sidecar.internal/status"])["port"] == 8080
    assert changed["metadata"]["annotations"] | ASKED == changed["metadata"]["annotations"]


def test_an_injected_pod_is_left_alone() -> None:
    again = inject(injected(pod()), SETTINGS)

    assert (again.outcome, again.patch, [*again.warnings]) == ("untouched", (), [])


def test_ours_come_before_the_pods_own_init_containers_and_behind_its_volumes() -> None:
    changed = injected(pod(initContainers=[container("fetch")], volumes=[{"name": "weights", "emptyDir": {}}]))

    assert names(changed) == ["sidecar-redirect", "sidecar", "fetch"]
    assert names(changed, "volumes") == ["weights", "sidecar-state"]


@pytest.mark.parametrize("empty", [None, []])
def test_an_empty_list_is_none(empty: JSON) -> None:
    document = pod(initContainers=empty, volumes=empty)

    assert names(injected(document)) == ["sidecar-redirect", "sidecar"]


@pytest.mark.parametrize("metadata", [None, {}, {"annotations": None}, {"annotations": {}}])
def test_a_template_without_annotations_gets_the_status(metadata: JSON) -> None:
    document = pod()
    if metadata is None:
        del document["metadata"]
    else:
        document["metadata"] = metadata

    assert "sidecar.internal/status" in injected(document, ALL)["metadata"]["annotations"]


@pytest.mark.parametrize(
    ("document", "port"),
    [
        (pod(container("model", 8080), container("logs")), 8080),
        (pod(container("logs"), container("model", 9000)), 9000),
        (pod(container("model", 8080, 8081), annotations={"sidecar.internal/upstream-port": "8081"}), 8081),
        (pod(container("model"), annotations={"sidecar.internal/upstream-port": "5000"}), 5000),
        (pod(container("m", ports=[{"containerPort": 1}, {"containerPort": 2, "protocol": "UDP"}])), 1),
        (pod(container("m", ports=[{"containerPort": 7, "name": "a"}, {"containerPort": 7, "name": "b"}])), 7),
    ],
)
def test_the_port_is_the_one_that_is_named_or_the_only_one(document: JSON, port: int) -> None:
    changed = injected(document)

    assert f"http://127.0.0.1:{port}" in sidecar_of(changed)["args"]
    assert changed["spec"]["initContainers"][0]["args"][:3] == ["redirect", "--port", str(port)]


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (pod(hostNetwork=True), "hostNetwork"),
        (pod(os={"name": "windows"}), "not for Linux"),
        (pod(nodeSelector={"kubernetes.io/os": "windows"}), "not for Linux"),
        (pod(annotations={"kubernetes.io/config.mirror": "x"}), "mirror"),
        (pod(container("model", 8080), container("sidecar")), "a container named sidecar"),
        (pod(initContainers=[container("sidecar-redirect")]), "a container named sidecar-redirect"),
        (pod(volumes=[{"name": "sidecar-state", "emptyDir": {}}]), "a volume named sidecar-state"),
        (pod(container("model", 15006)), "port 15006 is taken"),
        (pod(container("model", 9901)), "port 9901 is taken"),
        (pod(container("model", 8080), MESH), "Istio has port 15006 and user 1337 in it"),
        (pod(container("model", 8080), MESH, annotations=PLAIN), "Istio has port 15006 and user 1337 in it"),
        (pod(container("model", 8080), container("kuma-sidecar"), annotations=PLAIN), "Kuma has ports 15006 and 9901"),
        (pod(container("model", 8080), LINKERD), "Linkerd redirects its ports already"),
        (
            pod(container("model", 5432)),
            "port 5432 speaks no HTTP: by its number; sidecar.internal/upstream-port would",
        ),
        (
            pod(container("model", ports=[{"containerPort": 81, "name": "https"}])),
            "port 81 speaks TLS: it is named https",
        ),
        (
            pod(container("model", ports=[{"containerPort": 81, "name": "https"}]), annotations=PLAIN),
            "port 81 speaks TLS",
        ),
        (pod(container("model", 8080, livenessProbe=asked(8080, "HTTPS"))), "TLS: a probe asks it by HTTPS"),
        (pod(container("model", 8080, 8081)), "upstream-port: missing; needed where a pod declares not one"),
        (pod(container("model")), "not one TCP port but none"),
        (pod(annotations={"sidecar.internal/upstream-port": "http"}), "(there is none), got 'http'"),
        (pod(annotations={"sidecar.internal/upstream-port": "0"}), "expected a number"),
        (pod(annotations={"sidecar.internal/mode": "magic"}), "expected transparent or plain, got 'magic'"),
        (pod(annotations={"sidecar.internal/config": "../x"}), "expected the name of an object"),
        (pod(annotations={"sidecar.internal/inject": "yes"}), "expected true or false, got 'yes'"),
        ({"spec": {"containers": []}}, "spec.containers: expected a list of at least 1"),
        ({"spec": None}, "spec: expected a mapping, got null"),
        (None, "expected a mapping, got null"),
        (pod(container("model", 0)), "containerPort: expected a whole number of at least 1"),
    ],
)
def test_a_pod_in_which_anything_is_in_the_way_stays_as_it_is_and_is_told_of(document: JSON, why: str) -> None:
    before = copy.deepcopy(document)
    found = inject(document, ALL)

    assert (found.outcome, found.patch, document) == ("refused", (), before)
    assert why in found.told
    assert "`" not in found.told
    assert (len(found.told) <= 200, [*found.warnings]) == (True, [])


@pytest.mark.parametrize(
    ("annotations", "labels", "unasked", "outcome"),
    [
        ({}, {}, "leave", "untouched"),
        ({}, {}, "try", "injected"),
        ({}, {}, "inject", "injected"),
        ({"sidecar.internal/inject": "true"}, {}, "leave", "injected"),
        ({}, {"sidecar.internal/inject": "true"}, "leave", "injected"),
        ({"sidecar.internal/inject": "false"}, {}, "try", "untouched"),
        ({"sidecar.internal/inject": "false"}, {}, "inject", "untouched"),
        ({}, {"sidecar.internal/inject": "false"}, "inject", "untouched"),
        ({"sidecar.internal/inject": "false"}, {"sidecar.internal/inject": "true"}, "inject", "untouched"),
    ],
)
def test_a_pod_decides_for_itself(annotations: JSON, labels: JSON, unasked: Unasked, outcome: str) -> None:
    document = pod()
    document["metadata"] = {"annotations": annotations, "labels": labels}

    assert inject(document, Settings(image="sidecar:1", unasked=unasked)).outcome == outcome


def silent(*containers: JSON, **annotations: str) -> JSON:
    """A pod that does not say whether."""
    document = pod(*containers)
    document["metadata"]["annotations"] = {f"sidecar.internal/{name}": value for name, value in annotations.items()}
    return document


@pytest.mark.parametrize(
    ("document", "outcome"),
    [
        (silent(container("model", 8080)), "injected"),
        (silent(container("model", 50051)), "injected"),
        (silent(container("postgres", 5432)), "untouched"),
        (silent(container("postgres", 5432), container("redis", 6379)), "untouched"),
        (silent(container("server", 8443)), "untouched"),
        (silent(container("worker")), "untouched"),
        # Which of two is the model's nobody but its owner knows: he is told.
        (silent(container("model", 8080, 9090)), "refused"),
        # Whoever speaks of us asks.
        (silent(container("worker"), config="fraud"), "refused"),
        (silent(container("postgres", 5432), mode="plain"), "refused"),
        (pod(container("postgres", 5432)), "refused"),
    ],
)
def test_where_nobody_asks_what_speaks_http_is_injected_and_what_does_not_is_left_in_peace(
    document: JSON, outcome: str
) -> None:
    found = inject(document, TRY)

    assert (found.outcome, found.warnings) == (outcome, found.warnings if outcome == "injected" else [])


def test_what_nobody_hears_is_told_whatever_becomes_of_the_pod() -> None:
    document = pod(
        annotations={"sidecar.internal/configg": "a", "sidecar.internal/zebra": "b", "sidecar.internal/status": "c"},
        labels={"sidecar.internal/mode": "plain", "sidecar.internal/inject": "true", "app": "fraud"},
    )
    told = [
        "annotation sidecar.internal/configg is not known; did you mean config?",
        "annotation sidecar.internal/zebra is not known; "
        "expected one of inject, upstream-port, config, mode, admin-secret",
        "label sidecar.internal/mode is not read; expected an annotation",
    ]
    refused = copy.deepcopy(document)
    refused["spec"]["hostNetwork"] = True
    untouched = copy.deepcopy(document)
    untouched["metadata"]["annotations"]["sidecar.internal/inject"] = "false"

    found = [inject(each, SETTINGS) for each in (document, refused, untouched)]
    assert [each.outcome for each in found] == ["injected", "refused", "untouched"]
    assert [each.warnings for each in found] == [told] * 3


def test_the_plain_way_says_what_is_left_to_do() -> None:
    assert inject(pod(annotations=PLAIN), SETTINGS).told == "plain, port 8080; the Service's targetPort has to be 15006"


def test_a_place_is_told_from_where_the_document_begins() -> None:
    assert inject({"spec": {}}, ALL, at="spec.template").told == "spec.template.spec.containers: missing"


def test_a_port_that_is_named_is_taken_at_its_word_and_with_a_file_the_file_is() -> None:
    named = pod(container("model", 5432), annotations={"sidecar.internal/upstream-port": "5432"})
    tls = container("model", ports=[{"containerPort": 8443, "name": "https"}])
    file = {"sidecar.internal/config": "fraud"}

    assert "http://127.0.0.1:5432" in sidecar_of(injected(named))["args"]
    assert names(injected(pod(tls, annotations=PLAIN | file))) == ["sidecar"]
    assert inject(pod(tls, annotations=file), SETTINGS).outcome == "refused"


def test_a_pod_that_does_not_ask_may_be_anything() -> None:
    document = pod(hostNetwork=True)
    document["metadata"]["annotations"] = {"sidecar.internal/mode": "magic"}

    assert inject(document, SETTINGS).outcome == "untouched"


@pytest.mark.parametrize(("said", "mode"), [(PLAIN, "transparent"), ({}, "plain")])
def test_the_plain_way_redirects_nothing_and_gets_along_with_a_mesh_that_leaves_it_room(said: JSON, mode: Mode) -> None:
    document = pod(container("model", 8080), LINKERD, annotations=said)

    assert names(injected(document, Settings(image="sidecar:1", mode=mode))) == ["sidecar"]


@pytest.mark.parametrize(
    ("document", "cautions"),
    [
        (pod(), 0),
        (pod(container("model", 8080, securityContext={"runAsUser": 1337})), 1),
        (pod(securityContext={"runAsUser": 1337}), 1),
        (pod(container("model", 8080, securityContext={"runAsUser": 5}), securityContext={"runAsUser": 1337}), 0),
        (pod(container("model", 8080, readinessProbe={"tcpSocket": {"port": 8080}})), 1),
        (pod(container("model", 8080, readinessProbe=asked(8080))), 0),
        (pod(container("model", 8080, readinessProbe={"grpc": {"port": 8080}})), 1),
        (pod(container("model", 50051), annotations=PLAIN), 1),
    ],
)
def test_what_is_not_as_one_may_think_is_told(document: JSON, cautions: int) -> None:
    assert len(inject(document, SETTINGS).warnings) == cautions


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = [
    "containers",
    "initContainers",
    "volumes",
    "hostNetwork",
    "os",
    "nodeSelector",
    "securityContext",
    "resources",
]


@given(st.dictionaries(st.sampled_from(FIELDS), ANYTHING, max_size=3), ANYTHING)
def test_whatever_a_pod_is_it_is_injected_well_or_left_alone(spec: JSON, metadata: JSON) -> None:
    document = pod(**spec) | {"metadata": metadata}
    found = inject(document, ALL)

    assert (found.outcome == "injected") == bool(found.patch)
    if found.patch:
        assert apply(document, found.patch)["spec"]["initContainers"][1]["name"] == "sidecar"
        assert inject(apply(document, found.patch), ALL).outcome == "untouched"


def test_our_own_hand_applies_as_anothers_does() -> None:
    document = pod(initContainers=[container("fetch")], volumes=[{"name": "weights", "emptyDir": {}}])
    found = inject(document, SETTINGS)

    assert apply(document, found.patch) == patched(document, found)
