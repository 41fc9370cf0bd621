"""Rules, dashboards and templates ask for what the sidecar tells, in words that Prometheus understands."""

import ast
import json
import re
from pathlib import Path

import pytest
import yaml

from sidecar.admin.prometheus import metric_name
from sidecar.instruments.table import INSTRUMENTS, metric
from sidecar.records import JSON
from tests.k8s.rig import FOLDER, ROOT, documents, expressions, names, promtool, rule_files

RULES = FOLDER / "prometheus" / "rules.yaml"

PROMETHEUS_OWN = {"up"}

# What Prometheus and its operator add to what is scraped, and Argo Rollouts' label of a pod.
ADDED = {"job", "instance", "namespace", "pod", "le", "rollouts_pod_template_hash"}


def told() -> set[str]:
    """The names that `/metrics` may have."""
    found = set()
    for name, instrument in INSTRUMENTS.items():
        plain = metric_name(metric(name, []))
        found |= (
            {f"{plain}{part}" for part in ("_bucket", "_sum", "_count")} if instrument.kind == "histogram" else {plain}
        )
    return found


def recorded() -> set[str]:
    rules = [rule for path in rule_files() for group in documents(path)[0]["groups"] for rule in group["rules"]]
    return {rule["record"] for rule in rules if "record" in rule}


def attributes() -> set[str]:
    """Every attribute that the code puts on a point, as a label: texts in `sidecar/instruments` that look like one."""
    texts = {
        node.value
        for path in (ROOT / "sidecar" / "instruments").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    of_columns = {f"sidecar.{subject}.name" for subject in ("feature", "prediction")}
    return {text.replace(".", "_") for text in texts | of_columns if re.fullmatch(r"[a-z][a-z0-9_.]*", text)}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sum by (job) (rate(a_total[5m])) > 0", ({"a_total"}, {"job"})),
        ('a{b="x{}", c!~"d"} offset 5m / on (e) group_left () b:c', ({"a", "b:c"}, {"b", "c", "e"})),
        ("topk(3, a) unless vector(0) or b", ({"a", "b"}, set())),
    ],
)
def test_names_are_read_from_queries(query: str, expected: tuple[set[str], set[str]]) -> None:
    assert names(query) == expected


def test_every_metric_that_is_asked_for_is_told() -> None:
    known = told() | recorded() | PROMETHEUS_OWN
    assert {(where, name) for where, query in expressions() for name in names(query)[0] - known} == set()


def test_every_label_that_is_asked_for_is_told() -> None:
    known = attributes() | ADDED
    assert {(where, label) for where, query in expressions() for label in names(query)[1] - known} == set()


def test_every_query_is_promql(tmp_path: Path) -> None:
    """What is no rule is made one of, for Prometheus' own program to read."""
    queries = sorted({query for _, query in expressions()})
    rules = [{"record": f"query:{place}", "expr": query} for place, query in enumerate(queries)]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}), encoding="utf-8")
    assert f"{len(queries)} rules found" in promtool("check", "rules", file)


@pytest.mark.parametrize("path", rule_files(), ids=lambda path: path.name)
def test_prometheus_takes_the_rules(path: Path) -> None:
    assert "SUCCESS" in promtool("check", "rules", path)


def test_the_operators_rule_is_made_as_the_head_says() -> None:
    head = re.findall(r"printf '(.*?)'", RULES.read_text(encoding="utf-8"))[0].replace("\\n", "\n")
    text = head + re.sub(r"(?m)^", "  ", RULES.read_text(encoding="utf-8"))
    assert yaml.safe_load(text)["spec"] == yaml.safe_load(RULES.read_text(encoding="utf-8"))


def test_every_alert_says_what_it_is_and_how_bad() -> None:
    alerts = [rule for path in rule_files() for group in documents(path)[0]["groups"] for rule in group["rules"]]
    for alert in alerts:
        if "alert" in alert:
            assert alert["labels"]["severity"] in {"info", "warning", "critical"}
            assert alert["annotations"]["summary"]


# What alerts fire on, and what they do not

COUNT = "sidecar_overhead_duration_seconds_count"

SHOWN = {"feature_flag_result_variant", "severity"}
"""Labels of alerts that the cases are about, beside those that Prometheus adds."""

AT = 'namespace="n", job="j", feature_flag_result_variant="v"'

CASES: list[tuple[str, JSON, str, list[JSON]]] = [
    (
        "one failure in ten is an emergency",
        {
            f'{COUNT}{{{AT}, http_response_status_code="200"}}': "0+90x200",
            f'{COUNT}{{{AT}, http_response_status_code="502", error_type="502"}}': "0+10x200",
        },
        "SidecarFailingFast",
        [{"namespace": "n", "job": "j", "severity": "critical"}],
    ),
    (
        "what the client is to blame for is no failure",
        {
            f'{COUNT}{{{AT}, http_response_status_code="200"}}': "0+50x200",
            f'{COUNT}{{{AT}, http_response_status_code="400", error_type="malformed"}}': ("0+50x200"),
            f'{COUNT}{{{AT}, http_response_status_code="200", error_type="client_closed"}}': ("0+50x200"),
        },
        "SidecarFailingFast",
        [],
    ),
    (
        "a reply that broke off is a failure, whatever its status",
        {
            f'{COUNT}{{{AT}, http_response_status_code="200"}}': "0+50x200",
            f'{COUNT}{{{AT}, http_response_status_code="200", error_type="reset"}}': "0+9x200",
        },
        "SidecarFailingFast",
        [{"namespace": "n", "job": "j", "severity": "critical"}],
    ),
    (
        "without requests nothing fails",
        {f'{COUNT}{{{AT}, http_response_status_code="502", error_type="502"}}': "7x200"},
        "SidecarFailingFast",
        [],
    ),
    (
        "what is slow for one in ten is slow",
        {
            f'http_server_request_duration_seconds_bucket{{{AT}, le="1.0"}}': "0+90x200",
            f"http_server_request_duration_seconds_count{{{AT}}}": "0+100x200",
        },
        "SidecarSlow",
        [{"namespace": "n", "job": "j", "feature_flag_result_variant": "v", "severity": "warning"}],
    ),
    (
        "the other spelling of the bound counts as well",
        {
            f'http_server_request_duration_seconds_bucket{{{AT}, le="1"}}': "0+100x200",
            f"http_server_request_duration_seconds_count{{{AT}}}": "0+100x200",
        },
        "SidecarSlow",
        [],
    ),
    (
        "a sidecar that Prometheus does not reach is down",
        {'up{job="j", instance="i"}': "1x100 0x100", 'sidecar_info{job="j", instance="i"}': "1x100 stale"},
        "SidecarDown",
        [{"job": "j", "instance": "i", "severity": "critical"}],
    ),
    (
        "others that are down are not our affair",
        {'up{job="other", instance="i"}': "0x200"},
        "SidecarDown",
        [],
    ),
    (
        "a job whose sidecars are gone is missed",
        {'sidecar_info{namespace="n", job="j", pod="a"}': "1x150 stale"},
        "SidecarAbsent",
        [{"namespace": "n", "job": "j", "severity": "critical"}],
    ),
    (
        "a pod that is replaced is not missed",
        {
            'sidecar_info{namespace="n", job="j", pod="a"}': "1x150 stale",
            'sidecar_info{namespace="n", job="j", pod="b"}': "1x200",
        },
        "SidecarAbsent",
        [],
    ),
    (
        "an ejected variant is told",
        {f'sidecar_variant_available{{{AT}, pod="a"}}': "100x150 0x50"},
        "SidecarUpstreamEjected",
        [{"namespace": "n", "job": "j", "pod": "a", "feature_flag_result_variant": "v", "severity": "warning"}],
    ),
    (
        "captures without room are told",
        {
            'sidecar_capture_offered_total{namespace="n", job="j"}': "0+100x200",
            'sidecar_capture_dropped_total{namespace="n", job="j", sidecar_reason="buffer_full"}': "0+5x200",
        },
        "SidecarCapturesDropped",
        [{"namespace": "n", "job": "j", "severity": "warning"}],
    ),
    (
        "a refused configuration is told, for a while",
        {'sidecar_configuration_refused_total{namespace="n", job="j"}': "0x190 1x10"},
        "SidecarConfigurationRefused",
        [{"namespace": "n", "job": "j", "severity": "warning"}],
    ),
    (
        "one that was mended is not",
        {'sidecar_configuration_refused_total{namespace="n", job="j"}': "0x100 1x100"},
        "SidecarConfigurationRefused",
        [],
    ),
]


def test_alerts_fire_when_they_should(tmp_path: Path) -> None:
    """By Prometheus' own program: a sample a minute for 200 minutes, and what fires then."""
    test = {"rule_files": [str(RULES)], "evaluation_interval": "2m", "tests": [_case(*case) for case in CASES]}
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump(test), encoding="utf-8")
    assert {case[2] for case in CASES} <= {rule.get("alert") for rule in _rules()}
    assert "SUCCESS" in promtool("test", "rules", file)


def _case(name: str, series: JSON, alert: str, expected: list[JSON]) -> JSON:
    """Which alerts there are; what they say holds numbers that are not the tests'."""
    # Grouping leaves the alert's name away, and sums up to 1: one alert each.
    query = f'sum by ({", ".join(sorted(ADDED | SHOWN))}) (ALERTS{{alertname="{alert}", alertstate="firing"}})'
    samples = [{"labels": _labels(each), "value": 1} for each in expected]
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": each, "values": values} for each, values in series.items()],
        "promql_expr_test": [{"expr": query, "eval_time": "200m", "exp_samples": samples}],
    }


def _rules() -> list[JSON]:
    return [rule for group in documents(RULES)[0]["groups"] for rule in group["rules"]]


def _labels(found: JSON) -> str:
    return "{" + ", ".join(f'{name}="{value}"' for name, value in found.items()) + "}"


# Dashboards


BOARDS = sorted((FOLDER / "grafana").glob("*.json"))


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.name)
def test_a_dashboard_is_whole(path: Path) -> None:
    """Grafana's own program is nowhere to be had: what it asks of a dashboard's JSON, as its documentation has it."""
    board = json.loads(path.read_text(encoding="utf-8"))
    panels = board["panels"]
    variables = {each["name"] for each in board["templating"]["list"]} | {"__rate_interval"}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(panels) + json.dumps(board["templating"])))

    assert board["uid"] == f"sidecar-{path.stem}"
    assert {"title", "schemaVersion", "time", "annotations"} <= board.keys()
    assert "id" not in board, "Grafana's own number, which another Grafana has given to another"
    assert len({each["id"] for each in panels}) == len(panels)
    assert used - {"__all"} <= variables
    for panel in panels:
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert [each["refId"] for each in panel["targets"]] == list("ABCDEF"[: len(panel["targets"])])
            assert panel["title"]


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.name)
def test_panels_do_not_lie_on_one_another(path: Path) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken
        taken |= cells


def test_every_alert_of_the_models_is_on_a_dashboard() -> None:
    """Who is told looks there next: at least one panel has each metric that an alert is about."""
    shown = {
        name for where, query in expressions() if where.partition(" ")[0].endswith(".json") for name in names(query)[0]
    }
    asked = {
        name for rule in _rules() if "alert" in rule for name in names(rule["expr"])[0] if name.startswith("sidecar_")
    }
    assert asked - shown - {"sidecar_alert_dropped_total", "sidecar_container_memory_oom_kills_total"} == set()
